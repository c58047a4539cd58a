//! Whole outputs: nothing is cut off at the end, and nothing waits for ever.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use sdrun::{Command, ExitType, Manager, Output, Status, Stdio};
use support::{managers, shell, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn output(manager: &Manager, command: &mut Command) -> Output {
    let unit = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start(manager).await.unwrap();
    soon("the output", unit.wait_with_output()).await.unwrap()
}

/// `output()`, on the default manager.
#[tokio::test]
async fn of_the_default_manager() {
    let output = shell("echo out; echo err >&2; cat; exit 3").output();
    let output = soon("the output", output).await.unwrap();
    assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.status.code(), Some(3));
    // Places that were given are kept.
    let mut command = shell("cat; echo err >&2");
    command.stdin(Stdio::file("/etc/hostname")).stderr(Stdio::null());
    let output = soon("the output", command.output()).await.unwrap();
    assert_eq!((&*output.stdout, output.stderr.len()), (&*std::fs::read("/etc/hostname").unwrap(), 0));
    // A command can be run again.
    let again = soon("the output", command.output()).await.unwrap();
    assert_eq!(again.stdout, output.stdout);
    assert!(!command.raise_on_fail(true).output().await.unwrap().stdout.is_empty());
    let failed = shell("echo x; exit 3").raise_on_fail(true).output().await;
    assert!(matches!(failed, Err(sdrun::Error::Failed { .. })), "{failed:?}");
}

/// The standard input that was not taken is closed first, so that a program that reads it to its end ends.
#[tokio::test]
async fn closes_the_standard_input() {
    for (transport, manager) in managers().await {
        let mut command = Command::from("/bin/cat");
        command.collect(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut unit = command.start(&manager).await.unwrap();
        unit.stdin.as_mut().unwrap().write_all(b"in").await.unwrap();
        assert_eq!(soon("the output", unit.wait_with_output()).await.unwrap().stdout, b"in", "{transport}");
    }
}

/// A child that outlives the main process is waited for, killed, or counts as the unit.
#[tokio::test]
async fn with_a_child_that_outlives_the_main_process() {
    // The child writes only when the main process has been gone for a while.
    let script = "main=$$; (while kill -0 $main 2>/dev/null; do sleep 0.01; done; sleep 0.2; echo child) & echo main";
    for (transport, manager) in managers().await {
        let left = output(&manager, shell(script).extra("KillMode", "process")).await;
        assert_eq!((left.stdout, left.status.code()), (b"main\nchild\n".into(), Some(0)), "{transport}: process");
        let killed = output(&manager, &mut shell(script)).await;
        assert_eq!((killed.stdout, killed.status.code()), (b"main\n".into(), Some(0)), "{transport}: control-group");

        // The unit itself ends with the last one, and so does a wait for it without its output.
        let mut command = shell(script);
        let mut unit = command.exit_type(ExitType::Cgroup).stdout(Stdio::piped()).start(&manager).await.unwrap();
        let mut stdout = unit.stdout.take().unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        let mut text = String::new();
        soon("what is left", stdout.read_to_string(&mut text)).await.unwrap();
        assert_eq!((&*text, exit.code()), ("main\nchild\n", Some(0)), "{transport}: cgroup");
        assert!(exit.runtime.unwrap() >= std::time::Duration::from_millis(200), "{transport}: {exit:?}");
    }
}

const LOOPS: usize = 200;
/// What a pipe holds.
const PIPE: usize = 65536;
/// One that fits into a pipe, so that the program need not wait for a reader, and one that does not.
const LENGTHS: [usize; 2] = [60_000, 100_000];

/// Runs it over and over, a few at a time, and has everything that it printed be there.
async fn never_cut_off(name: &str, command: &Command, expected: &[u8]) {
    use futures::stream::{StreamExt, iter};

    let name = &name;
    for (transport, manager) in &managers().await {
        let runs = iter(0..LOOPS).map(|number| async move {
            let mut command = command.clone();
            let mut unit = command.stdout(Stdio::piped()).start(manager).await.unwrap();
            let unit_name = unit.name().to_owned();
            // By turns with the call for it, and by hand.
            let (stdout, exit) = if number % 2 == 0 {
                let output = soon(name, unit.wait_with_output()).await.unwrap();
                (output.stdout, output.status)
            } else if expected.len() < PIPE {
                // Only when it has ended.
                let (mut stdout, mut bytes) = (unit.stdout.take().unwrap(), Vec::new());
                let exit = soon(name, unit.wait()).await.unwrap();
                soon(name, stdout.read_to_end(&mut bytes)).await.unwrap();
                (bytes, exit)
            } else {
                let (mut stdout, mut bytes) = (unit.stdout.take().unwrap(), Vec::new());
                soon(name, stdout.read_to_end(&mut bytes)).await.unwrap();
                (bytes, soon(name, unit.wait()).await.unwrap())
            };
            assert_eq!(exit.status, Some(Status::Exited(0)), "{name} on {transport}, run {number}: {exit:?}");
            let length = stdout.len();
            assert!(stdout == expected, "{name} on {transport}, run {number}: {length} of {} bytes", expected.len());
            unit_name
        });
        let names: Vec<_> = runs.buffer_unordered(4).collect().await;
        if name.contains("remain") {
            let mut systemctl = tokio::process::Command::new("systemctl");
            assert!(systemctl.args([support::scope(), "stop"]).args(names).status().await.unwrap().success());
        }
    }
}

fn line(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length];
    line.push(b'\n');
    line
}

/// A program that prints and ends at once.
fn printing(length: usize) -> Command {
    static FILE: AtomicUsize = AtomicUsize::new(0);
    let number = FILE.fetch_add(1, Ordering::Relaxed);
    // Left behind in the sandbox, for the units that run.
    let file = std::env::temp_dir().join(format!("sdrun-output-{}-{number}", std::process::id()));
    std::fs::write(&file, line(length)).unwrap();
    let mut command = Command::new("/bin/cat");
    command.arg(file).collect(true);
    command
}

#[tokio::test]
async fn kill_mode_control_group() {
    for length in LENGTHS {
        let command = printing(length).extra("KillMode", "control-group").clone();
        never_cut_off("kill mode control group", &command, &line(length)).await;
    }
}

#[tokio::test]
async fn kill_mode_process() {
    for length in LENGTHS {
        let command = printing(length).extra("KillMode", "process").clone();
        never_cut_off("kill mode process", &command, &line(length)).await;
    }
}

#[tokio::test]
async fn exit_type_cgroup() {
    for length in LENGTHS {
        let command = printing(length).exit_type(ExitType::Cgroup).clone();
        never_cut_off("exit type cgroup", &command, &line(length)).await;
    }
}

#[tokio::test]
async fn remain_after_exit() {
    for length in LENGTHS {
        let command = printing(length).remain_after_exit(true).clone();
        never_cut_off("remain after exit", &command, &line(length)).await;
    }
}

#[tokio::test]
async fn oneshot() {
    for length in LENGTHS {
        let command = printing(length).service_type(sdrun::ServiceType::Oneshot).clone();
        never_cut_off("oneshot", &command, &line(length)).await;
    }
}

#[tokio::test]
async fn commands_before_and_after() {
    for length in LENGTHS {
        let command = printing(length).start_pre("/bin/echo before").stop_post("/bin/echo after").clone();
        never_cut_off(
            "commands before and after",
            &command,
            &[b"before\n".to_vec(), line(length), b"after\n".to_vec()].concat(),
        )
        .await;
    }
}
