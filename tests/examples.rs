//! The examples of pystemd.run's manual, run, and what it shows.
//!
//! Cargo builds examples for `cargo test`, but not for `cargo test --test examples`: there `cargo build --examples`
//! goes first. Most of them need root, as in the manual, so all are run as root.

#[path = "systemd_run/built.rs"]
mod built;
#[path = "systemd_run/screen.rs"]
mod screen;
mod support;

use std::collections::HashMap;
use std::process::Command;

use screen::Screen;
use support::container::Container;
use support::{is_root, soon};

/// Runs an example to its end, and what it wrote to standard output.
async fn run(name: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(built::example(name));
    let output = soon(name, command.args(arguments).kill_on_drop(true).output()).await.unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What systemd says of a unit.
fn properties(unit: &str) -> HashMap<String, String> {
    let output = Command::new("systemctl").args(["show", unit]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// A unit that is stopped at the end of the test.
struct Stopped(String);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", &self.0]).status();
    }
}

#[tokio::test]
async fn example_1_two_units_in_the_background() {
    if !is_root() {
        return;
    }
    let said = run("pystemd_1_background", &["1000"]).await;
    let units: Vec<_> = said.lines().map(|unit| Stopped(unit.into())).collect();
    assert_eq!(units.len(), 2, "{said}");
    // The example is gone, they run.
    for Stopped(unit) in &units {
        let properties = properties(unit);
        assert!(["active", "activating"].contains(&&*properties["ActiveState"]), "{properties:?}");
        assert!(properties["ExecStart"].contains("argv[]=/bin/sleep 1000 ;"), "{}", properties["ExecStart"]);
        let process = properties["MainPID"].parse::<u32>().unwrap();
        assert!(process > 0);
    }
    assert_ne!(units[0].0, units[1].0);
}

#[tokio::test]
async fn example_2_the_unit_stays_when_its_process_has_ended() {
    if !is_root() {
        return;
    }
    let said = run("pystemd_2_remain_after_exit", &["0.5"]).await;
    let lines: Vec<_> = said.lines().collect();
    let [unit, first, exit, second, state] = lines[..] else { panic!("{said}") };
    let process: u32 = first.strip_prefix("MainPID ").unwrap().parse().unwrap();
    assert!(process > 0, "{said}");
    assert_eq!([exit, second, state], ["success (main process exited, status 0)", "MainPID 0", "Str(\"active\")"]);
    // It was stopped at the end.
    assert_eq!(properties(unit)["ActiveState"], "inactive");
}

#[tokio::test]
async fn example_3_as_another_user() {
    if !is_root() {
        return;
    }
    let user = nix::unistd::User::from_name("tester").unwrap().expect("the sandbox has the user");
    let mut child = tokio::process::Command::new(built::example("pystemd_3_other_user"))
        .args(["tester", "1000"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let unit = soon("the unit's name", lines.next_line()).await.unwrap().unwrap();
    let stopped = Stopped(unit.clone());
    let shown = properties(&unit);
    assert_eq!([&*shown["User"], &*shown["RemainAfterExit"]], ["tester", "yes"]);
    // A `simple` unit counts as started before its process has changed its user.
    let process = shown["MainPID"].clone();
    let owner = async {
        loop {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let of = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
            if of.split_whitespace().next() == Some(&user.uid.to_string()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon("the change of user", owner).await;
    drop(stopped);
    // It ended by SIGTERM, and is gone when the example would stop it.
    let said = soon("the exit", lines.next_line()).await.unwrap().unwrap();
    assert_eq!(said, "success (main process killed, signal 15 (SIGTERM))");
    soon("the end", child.wait()).await.unwrap();

    let said = run("pystemd_3_other_user", &["tester", "0.1"]).await;
    assert!(said.ends_with("\nsuccess (main process exited, status 0)\n"), "{said}");
}

#[tokio::test]
async fn example_4_the_environment_in_a_machine() {
    if !is_root() {
        return;
    }
    let container = Container::boot();
    for machine in [container.name(), ".host"] {
        let said = run("pystemd_4_machine", &[machine]).await;
        let variables: HashMap<_, _> = said.lines().filter_map(|line| line.split_once('=')).collect();
        assert_eq!(variables["SUPER_SECRET_PASSW"], "1234", "{said}");
        assert_eq!(variables["INVOCATION_ID"].len(), 32, "{said}");
        assert!(variables.contains_key("PATH"), "{said}");
    }
}

#[test]
fn example_5_bash_on_a_terminal() {
    if !is_root() {
        return;
    }
    let mut command = Command::new(built::example("pystemd_5_terminal"));
    // Nothing of this machine's own: bash takes its prompt and its key bindings from there.
    command.env("TERM", "dumb");
    let mut screen = Screen::run(&command);
    screen.expect("# ");
    // What the shell sets up, for the answers to be like those in the manual.
    screen.type_keys("PS1='ready> '; PATH=/nonexistent; bind 'set bell-style none'\r");
    screen.expect("\nready> ");
    // Completion: the only command of that name.
    screen.type_keys("ech\t");
    screen.expect("echo ");
    screen.type_keys("\"hi all\"\r");
    screen.expect("\nhi all\r\n");
    screen.expect("ready> ");
    // ^C, when the command runs.
    screen.type_keys("PATH=/usr/bin:/bin; sh -c 'echo sleeping; exec sleep 1000'\r");
    screen.expect("\nsleeping\r\n");
    screen.type_keys("\x03");
    screen.expect("^C");
    screen.expect("ready> ");
    // ^Z, and the job is there.
    screen.type_keys("sh -c 'echo sleeping; exec sleep 1001'\r");
    screen.expect("\nsleeping\r\n");
    screen.type_keys("\x1a");
    screen.expect("^Z");
    let stopped = screen.expect("ready> ");
    assert!(stopped.contains("[1]+  Stopped"), "{stopped}");
    screen.type_keys("jobs\r");
    let jobs = screen.expect("ready> ");
    assert!(jobs.contains("[1]+  Stopped") && jobs.contains("sleep 1001"), "{jobs}");
    // The size of the window, now and when it changes.
    screen.type_keys("stty size\r");
    screen.expect("\n31 113\r\n");
    screen.resize(25, 90);
    screen.type_keys("until [ \"$(stty size)\" = '25 90' ]; do :; done; stty size\r");
    screen.expect("\n25 90\r\n");
    screen.expect("ready> ");
    // Bash would not end without being asked again as long as it has a stopped job. It is systemd that ends that.
    screen.type_keys("disown %1\r");
    screen.expect("ready> ");
    // As typed, and as bash says it.
    screen.type_keys("exit\r");
    screen.expect("exit\r\nexit\r\n");
    let status = screen.end();
    assert!(status.success(), "{status}: {}", screen.seen);
    assert_eq!(screen.modes(), screen.before);
}

#[test]
fn example_5_is_left_by_the_escape() {
    if !is_root() {
        return;
    }
    let mut screen = Screen::run(Command::new(built::example("pystemd_5_terminal")).env("TERM", "dumb"));
    screen.expect("# ");
    screen.type_keys("\x1d\x1d\x1d");
    screen.expect("disconnected from ");
    assert!(screen.end().success());
    assert_eq!(screen.modes(), screen.before);
}

#[tokio::test]
async fn example_6_output_into_a_file() {
    if !is_root() {
        return;
    }
    let path = format!("/tmp/sdrun-example-6-{}", std::process::id());
    let said = run("pystemd_6_output_to_file", &[&path]).await;
    assert_eq!(said, format!("{path}: success (main process exited, status 0)\n"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "omg!\n");
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn example_7_the_stop_command_waits() {
    if !is_root() {
        return;
    }
    let said = run("pystemd_7_stop_command", &["1"]).await;
    let lines: Vec<_> = said.lines().collect();
    let [start, stop, exit] = lines[..] else { panic!("{said}") };
    let process = start.rsplit(' ').next().unwrap();
    assert_ne!(process, "0", "{said}");
    // By itself: it was not killed.
    assert_eq!([stop, exit], [&*format!("we are done with {process}"), "success (main process exited, status 0)"]);
}

#[tokio::test]
async fn example_8_in_a_slice() {
    if !is_root() {
        return;
    }
    for (arguments, slice) in [(&[][..], "my_amazing.slice"), (&["other.slice"], "other.slice")] {
        let said = run("pystemd_8_slice", arguments).await;
        let (unit, group) = said.split_once(": ").unwrap();
        let _stopped = Stopped(unit.into());
        assert!(group.contains(&format!("/{slice}/{unit}")), "{said}");
        let shown = properties(unit);
        assert_eq!([&*shown["Slice"], &*shown["ActiveState"]], [slice, "active"]);
    }
}
