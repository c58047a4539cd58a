//! What has not run yet when systemd reads the unit anew (`daemon-reload`) is run as it was given.

mod support;

use sdrun::{Command, Exec, Manager, Outcome, ServiceType, Status, Stdio, Unit};
use std::time::Duration;
use support::{Folder, ODD_WORDS, managers, reader_of, shell_line, sleeping, soon, systemctl, systemd_version};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// Starts it and waits until it is active.
async fn active(command: &mut Command, manager: &Manager) -> Unit {
    let unit = command.start(manager).await.unwrap();
    soon("the activation", unit.activated()).await.unwrap();
    unit
}

/// A command that writes these words, each and a NUL byte.
fn echo(words: &[&str]) -> Exec {
    Exec::new("/usr/bin/printf").arg("%s\\0").args(words).clone()
}

fn echoed(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word}\0")).collect()
}

#[tokio::test]
async fn lines_see_what_became_of_the_program() {
    for (transport, manager) in managers().await {
        for reload in [false, true] {
            let at = format!("{transport}, reload: {reload}");
            let folder = Folder::new();
            let pid = |what: &str| shell_line(&format!("echo {what} $MAINPID >>{}", folder.path("pids")));
            let after = shell_line(&format!("echo $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS >>{}", folder.path("end")));

            let mut command = sleeping();
            command.start_post(pid("post")).stop(pid("stop")).stop_post(after.clone());
            let unit = active(&mut command, &manager).await;
            let sdrun::Value::U32(main) = unit.get("MainPID").await.unwrap() else { panic!("a number") };
            if reload {
                systemctl(&["daemon-reload"]);
            }
            systemctl(&["stop", unit.name()]);
            soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(folder.read("pids"), format!("post {main}\nstop {main}\n"), "{at}");

            let fifo = folder.fifo("go");
            let kinds = [
                ("exit 0", "success exited 0"),
                ("exit 3", "exit-code exited 3"),
                ("kill -9 $$", "signal killed KILL"),
            ];
            let mut expected = String::from("success killed TERM\n");
            for (script, kind) in kinds {
                let mut command = Command::from(shell_line(&format!("cat {fifo}; {script}")));
                let unit = command.stop_post(after.clone()).collect(true).start(&manager).await.unwrap();
                let running = reader_of(&fifo).await;
                if reload {
                    systemctl(&["daemon-reload"]);
                }
                drop(running);
                soon("the exit", unit.wait()).await.unwrap();
                expected += &format!("{kind}\n");
            }
            let mut command = sleeping();
            command.stop_post(after.clone()).runtime_max(Duration::from_millis(300));
            let exit = soon("the exit", command.start(&manager).await.unwrap().wait()).await.unwrap();
            assert_eq!((exit.result, exit.status), (Outcome::Timeout, Some(Status::Killed(15))), "{at}");
            expected += "timeout killed TERM\n";
            assert_eq!(folder.read("end"), expected, "{at}");
        }
    }
}

/// Each word, in every line that has not run yet, arrives as it is also when systemd has read the unit anew meanwhile.
#[tokio::test]
async fn words_survive_a_reload() {
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let fifo = folder.fifo("go");
        let out = folder.path("out");
        let mut command = Command::from(echo(&ODD_WORDS));
        command.service_type(ServiceType::Oneshot).collect(true).stdout(Stdio::append(&out));
        command.start_pre(["/bin/cat", &fifo]).start_pre(echo(&["pre"]));
        command.start_post(echo(&ODD_WORDS)).stop(echo(&ODD_WORDS)).stop_post(echo(&["plain"]));
        command.stop_post(echo(&ODD_WORDS)).stop_post(echo(&["$"]).ignore_failure(true));
        let unit = command.start(&manager).await.unwrap();
        let waiting = reader_of(&fifo).await;
        systemctl(&["daemon-reload"]);
        systemctl(&["daemon-reload"]);
        drop(waiting);
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(exit.success(), "{transport}: {exit:?}");
        let odd = echoed(&ODD_WORDS);
        let expected = format!("pre\0{odd}{odd}{odd}plain\0{odd}$\0");
        assert_eq!(folder.read("out"), expected, "{transport}");

        // Each alone.
        let folder = Folder::new();
        let mut units = Vec::new();
        for (number, word) in ODD_WORDS.iter().enumerate() {
            let mut command = sleeping();
            command.stop_post(echo(&[word])).stdout(Stdio::append(folder.path(&number.to_string())));
            units.push(active(&mut command, &manager).await);
        }
        systemctl(&["daemon-reload"]);
        systemctl(&[&["stop"], &*units.iter().map(Unit::name).collect::<Vec<_>>()].concat());
        for (number, (word, unit)) in ODD_WORDS.iter().zip(units).enumerate() {
            soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(folder.read(&number.to_string()), echoed(&[word]), "{transport}");
        }
    }
}

/// What does not survive it: see [`Exec`].
#[tokio::test]
async fn expansion_does_not_survive_a_reload() {
    let version = systemd_version();
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let mut command = sleeping();
        command.env("X", "1 2").stdout(Stdio::append(folder.path("out")));
        command.stop_post(echo(&["${X}", "a$b;"]).expand_environment(true));
        let unit = active(&mut command, &manager).await;
        systemctl(&["daemon-reload"]);
        systemctl(&["stop", unit.name()]);
        soon("the exit", unit.wait()).await.unwrap();
        let expected = if version < 254 { ["\\1 2", "a\\$b\\;"] } else { ["${X}", "a$b;"] };
        assert_eq!(folder.read("out"), echoed(&expected), "{transport}");

        let mut command = sleeping();
        let unit = active(
            command
                .stop_post(shell_line("printf '%s\\0' \"$0\" \"a;b\" >>$OUT").arg0("zero"))
                .env("OUT", folder.path("out0")),
            &manager,
        );
        let unit = unit.await;
        systemctl(&["daemon-reload"]);
        systemctl(&["stop", unit.name()]);
        soon("the exit", unit.wait()).await.unwrap();
        if version >= 254 {
            assert_eq!(folder.read("out0"), "zero\0a;b\0", "{transport}");
        }
    }
}

/// The manual's example 7.
#[tokio::test]
async fn a_command_that_stops_it() {
    for (transport, manager) in managers().await {
        for reload in [false, true] {
            let folder = Folder::new();
            let out = std::fs::File::create(folder.path("out")).unwrap();
            let (goes_on, stops) = (folder.fifo("goes_on"), folder.fifo("stops"));
            let script = format!(
                "[ -n \"${{MAINPID}}\" ] || exit 1; echo $MAINPID >{stops}; tail -f --pid $MAINPID /dev/null; \
                 echo we are done with $MAINPID"
            );
            let mut command = Command::from(["/bin/cat", &goes_on]);
            command.stop(["/bin/bash", "-c", &script]).stdout(out).collect(true);
            let unit = active(&mut command, &manager).await;
            let running = reader_of(&goes_on).await;
            let main = unit.main_pid().await.unwrap().expect("it runs");
            if reload {
                systemctl(&["daemon-reload"]);
            }
            systemctl(&["stop", "--no-block", unit.name()]);
            let stopping = tokio::task::spawn_blocking(|| std::fs::read_to_string(stops).unwrap());
            assert_eq!(soon("the stop command", stopping).await.unwrap(), format!("{main}\n"), "{transport}");
            assert!(unit.try_wait().unwrap().is_none(), "it waits for the program");
            drop(running);
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(0)), "{transport}, reload {reload}: {exit:?}");
            assert_eq!(folder.read("out"), format!("we are done with {main}\n"), "{transport}, reload {reload}");
        }
    }
}
