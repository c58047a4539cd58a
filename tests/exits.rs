//! Every exit arrives, once, with the right status: in series and at once, on every transport.

mod support;

use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use nix::sys::signal::Signal;
use sdrun::{Command, Exit, Manager, Outcome, Status};
use support::{managers, on_bus, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn exit(manager: &Manager, words: &[&str]) -> Exit {
    let unit = Command::from(words).collect(true).start(manager).await;
    let unit = unit.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    soon("an exit", unit.wait()).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

#[tokio::test]
async fn two_thousand_one_after_another() {
    for (transport, manager) in managers().await {
        for run in 0..2000 {
            let exit = exit(&manager, &["/bin/true"]).await;
            assert_eq!(exit.status, Some(Status::Exited(0)), "{transport}, run {run}: {exit:?}");
            assert!(exit.success());
        }
    }
}

#[tokio::test]
async fn five_hundred_at_once() {
    for (transport, manager) in managers().await {
        let exits = join_all((0..500).map(|_| exit(&manager, &["/bin/true"]))).await;
        for exit in exits {
            assert_eq!((exit.result, exit.status), (Outcome::Success, Some(Status::Exited(0))), "{transport}");
        }
    }
}

#[tokio::test]
async fn every_exit_code() {
    for (transport, manager) in managers().await {
        let exits = stream::iter(0..=255u8)
            .map(|code| {
                let manager = &manager;
                async move { (code, exit(manager, &["/bin/sh", "-c", &format!("exit {code}")]).await) }
            })
            .buffer_unordered(32)
            .collect::<Vec<_>>()
            .await;
        assert_eq!(exits.len(), 256);
        for (code, exit) in exits {
            assert_eq!(exit.status, Some(Status::Exited(code)), "{transport}");
            assert_eq!(exit.code(), Some(code.into()));
            let expected = if code == 0 { Outcome::Success } else { Outcome::ExitCode };
            assert_eq!(exit.result, expected, "{transport}, code {code}");
        }
    }
}

/// Those that `signal(7)` says end a process. The four that systemd counts as a clean end are a success to it.
#[tokio::test]
async fn every_fatal_signal() {
    use Signal::*;
    let clean = [SIGHUP, SIGINT, SIGTERM, SIGPIPE];
    let killing = [SIGKILL, SIGALRM, SIGUSR1, SIGUSR2, SIGSTKFLT, SIGVTALRM, SIGPROF, SIGIO, SIGPWR];
    let dumping = [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS];
    for (transport, manager) in managers().await {
        for signal in clean.into_iter().chain(killing).chain(dumping) {
            let mut command = Command::from(["/bin/sh", "-c", &format!("kill -{} $$", signal as i32)]);
            command.collect(true).extra("IgnoreSIGPIPE", false);
            let unit = command.start(&manager).await.unwrap();
            let exit = soon("the exit", unit.wait()).await.unwrap();
            let seen = format!("{transport}, {signal}: {exit:?}");
            assert_eq!(exit.signal(), Some(signal as i32), "{seen}");
            assert_eq!(exit.code(), None, "{seen}");
            // Whether core is dumped depends on the limits of the machine.
            let expected = match exit.status {
                Some(Status::Dumped(_)) => {
                    assert!(dumping.contains(&signal), "{seen}");
                    Outcome::CoreDump
                }
                _ if clean.contains(&signal) => Outcome::Success,
                _ => Outcome::Signal,
            };
            assert_eq!(exit.result, expected, "{seen}");
        }
    }
}

#[tokio::test]
async fn programs_that_cannot_be_executed() {
    for (transport, manager) in managers().await {
        for program in ["/nonexistent/program", "/etc/passwd", "/etc"] {
            let exit = exit(&manager, &[program]).await;
            assert_eq!(exit.status, Some(Status::Exited(203)), "{transport}, {program}: {exit:?}");
            assert_eq!(exit.result, Outcome::ExitCode);
        }
    }
}

/// The program has ended, and systemd has forgotten the unit, before anything of it was read here.
#[tokio::test]
async fn ends_before_the_reply_is_read() {
    for (transport, manager) in managers().await {
        for run in 0..20 {
            let name = format!("sdrun-early-{transport}-{run}.service");
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "exit 9"]).name(&name).collect(true);
            let mut start = Box::pin(command.start(&manager));
            // Sends the call; this runtime has one thread, so nothing is read until the next await.
            assert!(futures::poll!(&mut start).is_pending());
            wait_until_gone(&name);
            let exit = soon("the exit", start.await.unwrap().wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(9)), "{transport}");
        }
    }
}

/// Blocks this thread until the program of the unit has been started and systemd has forgotten the unit.
fn wait_until_gone(name: &str) {
    let scope = if support::is_root() { "--system" } else { "--user" };
    let seen = |journal: &str| journal.contains(name);
    loop {
        let listed = systemctl(&[scope, "list-units", "--all", "--plain", "--no-legend", name]);
        // `list-jobs` first: while the start is queued the unit may not be listed yet.
        if !seen(&listed) && was_started(name) {
            return;
        }
        std::thread::yield_now();
    }
}

/// Whether systemd has worked on the unit: its log says so even after the unit is gone.
fn was_started(name: &str) -> bool {
    let field = if support::is_root() { "UNIT" } else { "USER_UNIT" };
    let journal = std::process::Command::new("journalctl")
        .args(["-q", "-n1", "-o", "cat", &format!("{field}={name}")])
        .output()
        .expect("journalctl runs");
    !journal.stdout.is_empty()
}

fn systemctl(arguments: &[&str]) -> String {
    let output = std::process::Command::new("systemctl").args(arguments).output().expect("systemctl runs");
    String::from_utf8(output.stdout).unwrap()
}

/// What the exit says about time and identity is the unit's own.
#[tokio::test]
async fn times_and_invocation_id() {
    let manager = on_bus().await;
    let before = std::time::SystemTime::now();
    let script = "test \"$INVOCATION_ID\" = \"$(cat)\" </dev/null; sleep 0.2; exit 3";
    let unit = Command::from(["/bin/sh", "-c", script]).collect(true).start(&manager).await.unwrap();
    let exit = soon("the exit", unit.wait()).await.unwrap();
    assert_eq!(exit.code(), Some(3));
    assert_eq!(exit.unit, unit.name().into());
    let (started, ended) = (exit.started.unwrap(), exit.ended.unwrap());
    assert!(before - Duration::from_secs(1) <= started && started < ended, "{exit:?}");
    let runtime = exit.runtime.unwrap();
    assert!(runtime >= Duration::from_millis(200) && runtime < support::DEADLINE, "{exit:?}");
    assert_eq!(exit.invocation_id, unit.invocation_id());
    assert_eq!(exit.invocation_id.unwrap().to_string().len(), 32);
}

/// The process sees the same invocation ID as the handle.
#[tokio::test]
async fn invocation_id_is_that_of_the_process() {
    let manager = on_bus().await;
    let out = std::env::temp_dir().join(format!("sdrun-id-{}", std::process::id()));
    let script = format!("printf %s \"$INVOCATION_ID\" >{}", out.display());
    let exit = exit(&manager, &["/bin/sh", "-c", &script]).await;
    assert_eq!(std::fs::read_to_string(&out).unwrap(), exit.invocation_id.unwrap().to_string());
    std::fs::remove_file(out).unwrap();
}

/// Starts that were skipped or never came to it are told apart from a success.
#[tokio::test]
async fn skipped_starts_are_no_success() {
    for (transport, manager) in managers().await {
        let outcome = |property: &'static str, value: sdrun::Value| {
            let manager = &manager;
            async move {
                let mut command = Command::new("/bin/true");
                command.collect(true).extra(property, value);
                let exit = soon(property, command.start(manager).await.unwrap().wait()).await.unwrap();
                assert_eq!(exit.status.is_some(), property == "ExecStop", "{transport}: {exit:?}");
                assert!(!exit.success());
                exit.result
            }
        };
        let condition = |name: &str| {
            use sdrun::Value::{Array, Bool, Str, Struct};
            let one = Struct(vec![Str(name.into()), Bool(false), Bool(false), Str("/nonexistent".into())]);
            Array(sdrun::Signature::new("(sbbs)").unwrap(), vec![one])
        };
        assert_eq!(outcome("Conditions", condition("ConditionPathExists")).await, Outcome::Condition, "{transport}");
        assert_eq!(outcome("Asserts", condition("AssertPathExists")).await, Outcome::Assert, "{transport}");
    }
}

/// A job that waits for another unit, and is cancelled while it waits.
#[tokio::test]
async fn cancelled_and_failed_dependencies() {
    for (transport, manager) in managers().await {
        let id = std::process::id();
        let scope = if support::is_root() { "--system" } else { "--user" };
        let first = format!("sdrun-first-{transport}-{id}.service");
        // Its start job lasts until it ends.
        let mut slow = Command::from(["/bin/sh", "-c", "sleep 1000"]);
        slow.name(&first).extra("Type", "oneshot").collect(true);
        let slow = slow.start(&manager).await.unwrap();

        let second = format!("sdrun-second-{transport}-{id}.service");
        let mut waiting = Command::new("/bin/true");
        waiting.name(&second).extra("After", [first.as_str()]).collect(true);
        let waiting = waiting.start(&manager).await.unwrap();
        systemctl(&[scope, "stop", &second]);
        let exit = soon("the cancelled unit", waiting.wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::Canceled, None), "{transport}");

        let third = format!("sdrun-third-{transport}-{id}.service");
        let mut needing = Command::new("/bin/true");
        let first = [first.as_str()];
        needing.name(&third).extra("After", first).extra("Requires", first).collect(true);
        let needing = needing.start(&manager).await.unwrap();
        systemctl(&[scope, "kill", "--signal=KILL", first[0]]);
        let exit = soon("the dependent unit", needing.wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::Dependency, None), "{transport}");
        let exit = soon("the killed unit", slow.wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::Signal, Some(Status::Killed(9))), "{transport}");
    }
}

/// With `Restart=` the exit is the last one.
#[tokio::test]
async fn restarts_are_not_the_end() {
    for (transport, manager) in managers().await {
        let counter = std::env::temp_dir().join(format!("sdrun-count-{transport}-{}", std::process::id()));
        let script = format!("echo >>{0}; test $(wc -l <{0}) -ge 4 && exit 0; exit 5", counter.display());
        let mut command = Command::from(["/bin/sh", "-c", &script]);
        command.collect(true).extra("Restart", "on-failure").extra("RestartUSec", 1000u64);
        let unit = command.start(&manager).await.unwrap();
        let exit = soon("the last exit", unit.wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::Success, Some(Status::Exited(0))), "{transport}");
        assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), 4, "{transport}");
        std::fs::remove_file(counter).unwrap();
    }
}

/// Nor where `Restart=` is left at `no` and an exit status forces it.
#[tokio::test]
async fn forced_restarts_are_not_the_end() {
    for (transport, manager) in managers().await {
        let counter = std::env::temp_dir().join(format!("sdrun-forced-{transport}-{}", std::process::id()));
        let script = format!("echo >>{0}; test $(wc -l <{0}) -ge 3 && exit 4; exit 5", counter.display());
        let codes = sdrun::Value::Array(sdrun::Signature::new("i").unwrap(), vec![5i32.into()]);
        let none = sdrun::Value::Array(sdrun::Signature::new("i").unwrap(), vec![]);
        let mut command = Command::from(["/bin/sh", "-c", &script]);
        command.collect(true).extra("RestartForceExitStatus", sdrun::Value::Struct(vec![codes, none]));
        let unit = command.extra("RestartUSec", 1000u64).start(&manager).await.unwrap();
        let exit = soon("the last exit", unit.wait()).await.unwrap();
        assert_eq!((exit.result, exit.status), (Outcome::ExitCode, Some(Status::Exited(4))), "{transport}");
        std::fs::remove_file(counter).unwrap();
    }
}

/// With `RemainAfterExit=` the handle resolves and the unit stays.
#[tokio::test]
async fn a_unit_that_remains_has_ended_when_its_process_has() {
    for (transport, manager) in managers().await {
        let mut command = Command::new("/bin/true");
        command.extra("RemainAfterExit", true).collect(true);
        let unit = command.start(&manager).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(exit.status, Some(Status::Exited(0)), "{transport}");
        assert!(exit.ended.is_some() && exit.runtime.is_some(), "{exit:?}");
        assert_eq!(unit.get("SubState").await.unwrap(), "exited".into(), "{transport}");
        assert_eq!(unit.get("MainPID").await.unwrap(), 0u32.into());
        systemctl(&[if support::is_root() { "--system" } else { "--user" }, "stop", unit.name()]);
    }
}

/// A name can be used again as soon as its last unit has ended; each handle gets the exit of its own run.
#[tokio::test]
async fn a_name_used_again_and_again() {
    for (transport, manager) in managers().await {
        let name = format!("sdrun-again-{transport}-{}.service", std::process::id());
        let mut run = 0u8;
        while run < 100 {
            let mut command = Command::from(["/bin/sh", "-c", &format!("exit {run}")]);
            command.name(&name).collect(true);
            if run % 2 == 0 {
                command.extra("Type", "oneshot");
            }
            match command.start(&manager).await {
                Ok(unit) => {
                    let exit = soon("the exit", unit.wait()).await.unwrap();
                    assert_eq!(exit.status, Some(Status::Exited(run)), "{transport}");
                    run += 1;
                }
                // systemd has told us of the end and not yet forgotten the unit.
                Err(sdrun::Error::UnitExists { name: taken, .. }) => assert_eq!(*taken, name),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
