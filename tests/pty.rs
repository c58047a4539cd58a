//! Units on a terminal of their own.

mod support;

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sdrun::{Command, Error, Manager, Pty, Result, Status, Value, WindowSize};
use support::{managers, soon};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

fn sh(script: &str) -> Command {
    let mut command = Command::from(["/bin/sh", "-c", script]);
    command.collect(true);
    command
}

/// All that comes, up to the end of file.
async fn all(pty: &mut Pty) -> String {
    let mut bytes = Vec::new();
    soon("the end of the terminal's output", pty.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// The value of an `ExecStartPre`, `ExecStopPost`, … that runs a script.
fn line(script: &str) -> Value {
    let words = Value::from(["/bin/sh", "-c", script]);
    let line = Value::Struct(vec!["/bin/sh".into(), words, false.into()]);
    Value::Array(sdrun::Signature::new("(sasb)").unwrap(), vec![line])
}

#[tokio::test]
async fn the_three_streams_are_one_terminal() {
    for (name, manager) in managers().await {
        let script = "tty; test -t 0 && test -t 1 && test -t 2 && readlink /proc/self/fd/2; echo $TERM; exit 5";
        let mut unit = sh(script).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        let output = all(unit.pty.as_mut().unwrap()).await;
        let lines: Vec<_> = output.split("\r\n").collect();
        assert!(lines[0].starts_with("/dev/pts/"), "{name}: {output:?}");
        assert_eq!(lines, [lines[0], lines[0], "dumb", ""], "{name}: {output:?}");
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(5)));
    }
}

/// What systemd-run sends is compared in `what_is_sent`; here is what the program sees.
#[tokio::test]
async fn term_is_that_of_the_caller() {
    let own = std::env::var("TERM").ok().filter(|term| !term.is_empty());
    for (_, manager) in managers().await {
        let mut unit = sh("echo $TERM").pty().start(&manager).await.unwrap();
        assert_eq!(all(unit.pty.as_mut().unwrap()).await.trim_end(), own.as_deref().unwrap_or("vt220"));
    }
}

#[tokio::test]
async fn written_read_and_resized() {
    for (name, manager) in managers().await {
        let script = "trap 'stty size' WINCH; echo ready; while read word; do echo got $word; done; echo over";
        let mut unit = sh(script).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        let (reader, mut writer) = unit.pty.take().unwrap().into_split();
        assert_eq!(writer.size().unwrap(), WindowSize::default());
        let mut lines = BufReader::new(reader).lines();
        let mut next = async || soon("a line", lines.next_line()).await.unwrap().unwrap();
        assert_eq!(next().await, "ready", "{name}");
        writer.write_all(b"one\n").await.unwrap();
        assert_eq!([next().await, next().await], ["one", "got one"], "{name}");
        writer.resize(WindowSize::new(33, 101)).unwrap();
        // The shell runs the trap when its `read` is over.
        writer.write_all(b"two\n").await.unwrap();
        let mut seen = [next().await, next().await, next().await];
        seen.sort();
        assert_eq!(seen, ["33 101", "got two", "two"], "{name}");
        // ^D ends the input.
        writer.write_all(b"\x04").await.unwrap();
        assert_eq!(next().await, "over", "{name}");
        assert_eq!(soon("the end", lines.next_line()).await.unwrap(), None);
        assert!(soon("the exit", unit.wait()).await.unwrap().success());
    }
}

/// systemd issue 7531: a program that ends at once, and its output is lost.
#[tokio::test]
async fn the_output_of_a_program_that_ends_at_once_is_whole() {
    let expected: String = (1..=300).map(|number| format!("line {number}\r\n")).collect();
    for (name, manager) in managers().await {
        for round in 0..200 {
            let mut command = Command::from(["/usr/bin/seq", "-f", "line %.0f", "300"]);
            let mut unit = command.env("TERM", "dumb").pty().start(&manager).await.unwrap();
            let output = all(unit.pty.as_mut().unwrap()).await;
            assert_eq!(output, expected, "{name}, round {round}");
            assert!(soon("the exit", unit.wait()).await.unwrap().success());
        }
    }
}

/// systemd issue 32916: a terminal that hangs when the commands before and after print too.
#[tokio::test]
async fn the_commands_before_and_after_print_too() {
    for (name, manager) in managers().await {
        for round in 0..200 {
            let mut command = sh("echo main");
            command.extra("ExecStartPre", line("echo before")).extra("ExecStopPost", line("echo after"));
            let mut unit = command.env("TERM", "dumb").pty().start(&manager).await.unwrap();
            let output = all(unit.pty.as_mut().unwrap()).await;
            assert_eq!(output, "before\r\nmain\r\nafter\r\n", "{name}, round {round}");
            assert!(soon("the exit", unit.wait()).await.unwrap().success());
        }
    }
}
