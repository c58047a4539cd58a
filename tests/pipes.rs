//! The ends of a unit's pipes that stay here: what goes through them, who waits for whom, and when they end.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use sdrun::{Command, Error, Manager, Outcome, Status, Stdio, Unit};
use support::{managers, shell, soon};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn start(manager: &Manager, command: &mut Command) -> Unit {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).start(manager).await.unwrap()
}

/// What cannot be guessed and compresses badly, the same each time (xorshift).
struct Noise(u64);

impl Noise {
    fn new() -> Self {
        Noise(0x9e37_79b9_7f4a_7c15)
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

const MANY: usize = 64 << 20;

/// 64 MiB in and out again at once, in pieces of sizes that fit nothing.
async fn through_cat(manager: &Manager) {
    let mut unit = start(manager, Command::from("/bin/cat").collect(true)).await;
    let (mut stdin, mut stdout) = (unit.stdin.take().unwrap(), unit.stdout.take().unwrap());
    let write = async move {
        let (mut noise, mut left, mut buffer) = (Noise::new(), MANY, vec![0; 99_992]);
        while left > 0 {
            let length = left.min(buffer.len());
            noise.fill(&mut buffer[..length]);
            stdin.write_all(&buffer[..length]).await.unwrap();
            left -= length;
        }
    };
    let read = async move {
        let (mut noise, mut total) = (Noise::new(), 0);
        let (mut buffer, mut expected) = (vec![0; 70_000], vec![0; 70_000]);
        loop {
            // In whole words, as they were made.
            let mut length = 0;
            while length < buffer.len() {
                match stdout.read(&mut buffer[length..]).await.unwrap() {
                    0 => break,
                    read => length += read,
                }
            }
            noise.fill(&mut expected[..length]);
            assert!(buffer[..length] == expected[..length], "altered after {total} bytes");
            total += length;
            if length < buffer.len() {
                return total;
            }
        }
    };
    let ((), total) = soon("64 MiB", async { tokio::join!(write, read) }).await;
    assert_eq!(total, MANY);
    assert!(soon("the exit", unit).await.unwrap().success());
}

alone! {
    fn much_both_ways_in_little_memory() {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
            for (transport, manager) in managers().await {
                let before = resident();
                through_cat(&manager).await;
                let grown = resident().saturating_sub(before);
                assert!(grown < 8 << 20, "{transport}: {grown} bytes more");
            }
        });
    }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn a_whole_output_of_64_mib() {
    for (transport, manager) in managers().await {
        let mut command = Command::from(format!("/usr/bin/head -c {MANY} /dev/zero"));
        let unit = command.collect(true).stdout(Stdio::piped()).start(&manager).await.unwrap();
        let output = soon("the output", unit.wait_with_output()).await.unwrap();
        assert_eq!((output.stdout.len(), output.status.code()), (MANY, Some(0)), "{transport}");
        assert!(output.stdout.iter().all(|byte| *byte == 0));
    }
}

/// A reader that goes away: the program is told when it writes, and its exit says so.
#[tokio::test]
async fn a_reader_that_stops() {
    for (transport, manager) in managers().await {
        // systemd has SIGPIPE ignored by default, so writing fails.
        let mut unit = start(&manager, &mut shell("while echo y 2>/dev/null; do :; done; exit 41")).await;
        let mut stdout = BufReader::new(unit.stdout.take().unwrap());
        soon("a line", stdout.read_line(&mut String::new())).await.unwrap();
        drop(stdout);
        assert_eq!(soon("the exit", unit).await.unwrap().status, Some(Status::Exited(41)), "{transport}");

        let mut command = Command::from("/usr/bin/yes");
        let mut unit = start(&manager, command.collect(true).extra("IgnoreSIGPIPE", false)).await;
        drop(unit.stdout.take());
        let exit = soon("the exit", unit).await.unwrap();
        assert_eq!(exit.status, Some(Status::Killed(13)), "{transport}");
        // systemd takes SIGPIPE for a clean end.
        assert_eq!(exit.result, Outcome::Success, "{transport}");
    }
}

/// A reader that pauses: the program is held up, and nothing is lost.
#[tokio::test]
async fn a_reader_that_pauses() {
    for (transport, manager) in managers().await {
        let script = "seq 1 30000 && echo done >&2";
        let mut unit = start(&manager, &mut shell(script)).await;
        let (mut stdout, mut stderr) = (unit.stdout.take().unwrap(), unit.stderr.take().unwrap());
        // It has written more than a pipe holds only when it has been read.
        let mut first = [0; 1];
        soon("the first byte", stdout.read_exact(&mut first)).await.unwrap();
        let held = tokio::time::timeout(Duration::from_millis(500), stderr.read_u8()).await;
        assert!(held.is_err(), "{transport}: it was not held up");
        assert!(unit.try_wait().unwrap().is_none(), "{transport}");
        let mut text = String::from_utf8(first.into()).unwrap();
        soon("the rest", stdout.read_to_string(&mut text)).await.unwrap();
        assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=30000), "{transport}");
        let mut done = String::new();
        soon("the other", stderr.read_to_string(&mut done)).await.unwrap();
        assert_eq!(done, "done\n", "{transport}");
        assert!(soon("the exit", unit).await.unwrap().success(), "{transport}");
    }
}

/// A program that does not read what is written to it.
#[tokio::test]
async fn a_program_that_does_not_read() {
    for (transport, manager) in managers().await {
        for remain in [false, true] {
            let mut unit = start(&manager, Command::from("/bin/true").collect(true).remain_after_exit(remain)).await;
            let mut stdin = unit.stdin.take().unwrap();
            let written = soon("the writer", stdin.write_all(&vec![0; 1 << 20])).await;
            assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{transport}: {remain}");
            assert!(soon("the exit", unit.wait()).await.unwrap().success(), "{transport}");
            // And so it stays.
            assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe, "{transport}: {remain}");
            stop(unit, remain).await;
        }
    }
}

/// Stops a unit that remains.
async fn stop(unit: Unit, remains: bool) {
    if remains {
        let mut systemctl = tokio::process::Command::new("systemctl");
        let status = systemctl.args([support::scope(), "stop", unit.name()]).status().await.unwrap();
        assert!(status.success());
    }
}

/// What a program closes before its end the manager still has open: here it ends with the unit.
#[tokio::test]
async fn a_program_that_closes_its_streams() {
    for (transport, manager) in managers().await {
        let mut unit = start(&manager, &mut shell("exec <&- >&-; echo closed >&2; exec 2>&-; exec sleep 0.3")).await;
        let mut stdin = unit.stdin.take().unwrap();
        let (mut out, mut err) = (unit.stdout.take().unwrap(), unit.stderr.take().unwrap());
        let mut text = String::new();
        let (written, read, rest, exit) = soon("all ends", async {
            tokio::join!(stdin.write_all(&[0; 1 << 20]), out.read_u8(), err.read_to_string(&mut text), unit.wait())
        })
        .await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{transport}");
        assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{transport}");
        assert_eq!((rest.unwrap(), &*text), (7, "closed\n"), "{transport}");
        assert!(exit.unwrap().success(), "{transport}");
    }
}

/// The ends outlive the unit: what is left is read, what is written fails; and they do not hold its exit up.
#[tokio::test]
async fn after_the_unit_is_gone() {
    for (transport, manager) in managers().await {
        let mut unit = start(&manager, &mut shell("echo one; echo two >&2")).await;
        let stdin = unit.stdin.take().unwrap();
        let (stdout, stderr) = (unit.stdout.take(), unit.stderr.take());
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(exit.success(), "{transport}");
        drop(unit);
        let mut text = String::new();
        soon("stdout", stdout.unwrap().read_to_string(&mut text)).await.unwrap();
        soon("stderr", stderr.unwrap().read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "one\ntwo\n", "{transport}");
        let mut stdin = stdin;
        let written = stdin.write(b"late").await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{transport}");
    }
}

/// Waiting, reading and writing at once, from tasks of their own; the input ends while the wait is pending.
#[tokio::test]
async fn waiting_beside_reading_and_writing() {
    for (transport, manager) in managers().await {
        let mut unit = start(&manager, &mut shell("while read -r line; do echo got $line; done; exit 7")).await;
        let mut stdin = unit.stdin.take().unwrap();
        let mut lines = BufReader::new(unit.stdout.take().unwrap()).lines();
        let waiting = tokio::spawn(async move { unit.wait().await.unwrap() });
        for number in 0..100 {
            stdin.write_all(format!("{number}\n").as_bytes()).await.unwrap();
            let line = soon("an answer", lines.next_line()).await.unwrap();
            assert_eq!(line.unwrap(), format!("got {number}"), "{transport}");
        }
        assert!(!waiting.is_finished(), "{transport}");
        drop(stdin);
        assert_eq!(soon("the end of file", lines.next_line()).await.unwrap(), None, "{transport}");
        assert_eq!(soon("the exit", waiting).await.unwrap().code(), Some(7), "{transport}");
    }
}

/// A pipe is there before the connection is, and ends when the start comes to nothing.
#[test]
fn before_there_is_a_connection() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let mut unit = shell("cat; exit 4").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Nothing was awaited yet: what is written waits in the pipe.
        unit.stdin.take().unwrap().write_all(b"early").await.unwrap();
        let output = soon("the output", unit.wait_with_output()).await.unwrap();
        assert_eq!((&*output.stdout, output.status.code()), (&b"early"[..], Some(4)));
    });
    // A runtime that goes away before it was connected.
    let mut unit = runtime().block_on(async { start_unsent() });
    runtime().block_on(async {
        assert!(matches!(soon("the wait", unit.wait()).await, Err(Error::RuntimeGone)));
        drop(unit.stdin.take());
    });
}

fn start_unsent() -> Unit {
    shell("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Refused by systemd, or given up: the pipes end.
#[tokio::test]
async fn starts_that_come_to_nothing() {
    for remain in [false, true] {
        let mut command = shell("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).remain_after_exit(remain);
        let mut unit = command.extra("SdrunNothing", 1u32).spawn().unwrap();
        let mut stdout = unit.stdout.take().unwrap();
        assert_eq!(soon("end of file", stdout.read_to_end(&mut Vec::new())).await.unwrap(), 0);
        let written = unit.stdin.as_mut().unwrap().write(b"x").await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let refused = soon("the refusal", unit.wait_with_output()).await;
        assert!(matches!(&refused, Err(Error::Call { .. })), "{refused:?}");

        // Dropped at once, on its way or already accepted; the readers are held.
        for turns in [0, 1, 100] {
            let mut command = shell("exec sleep 1000");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).remain_after_exit(remain).kill_on_drop(true);
            let mut unit = command.spawn().unwrap();
            let mut stdout = unit.stdout.take().unwrap();
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            drop(unit);
            assert_eq!(soon("end of file", stdout.read_to_end(&mut Vec::new())).await.unwrap(), 0);
        }
    }
}

/// The manager keeps the pipes of a unit that remains: here they end with the main process.
#[tokio::test]
async fn units_that_remain() {
    for (transport, manager) in managers().await {
        // By either way to say so, read line by line.
        for own in [true, false] {
            let mut command = shell("for n in 1 2 3; do echo line $n; done; printf last");
            match own {
                true => command.remain_after_exit(true),
                false => command.extra("RemainAfterExit", true),
            };
            let mut unit = start(&manager, &mut command).await;
            let mut lines = BufReader::new(unit.stdout.take().unwrap()).lines();
            for expected in ["line 1", "line 2", "line 3", "last"] {
                assert_eq!(soon("a line", lines.next_line()).await.unwrap().unwrap(), expected, "{transport}");
            }
            assert_eq!(soon("end of file", lines.next_line()).await.unwrap(), None, "{transport}");
            assert_eq!(soon("end of file", lines.next_line()).await.unwrap(), None, "{transport}: again");
            stop(unit, true).await;
        }
        // More than a pipe holds, so that the end is seen before all is read.
        let mut unit = start(&manager, shell("seq 1 100000").remain_after_exit(true)).await;
        let name = unit.name().to_owned();
        let mut stdout = unit.stdout.take().unwrap();
        let mut text = String::new();
        soon("all of it", stdout.read_to_string(&mut text)).await.unwrap();
        assert!(text.lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=100000), "{transport}");
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(exit.success() && unit.get("SubState").await.unwrap() == "exited".into(), "{transport}: {name}");
        stop(unit, true).await;
    }
}

/// One whose main process leaves another behind, that goes on writing: the end of file is the main process's end.
#[tokio::test]
async fn units_that_remain_with_a_child() {
    for (transport, manager) in managers().await {
        let script = "(while echo child; do sleep 0.01; done) & echo main";
        let mut unit = start(&manager, shell(script).remain_after_exit(true)).await;
        let mut text = String::new();
        soon("end of file", unit.stdout.take().unwrap().read_to_string(&mut text)).await.unwrap();
        assert!(text.contains("main\n"), "{transport}: {text}");
        assert!(soon("the exit", unit.wait()).await.unwrap().success(), "{transport}");
        stop(unit, true).await;
    }
}

/// The readers of a unit that remains learn of its end also when its handle is gone.
#[tokio::test]
async fn units_that_remain_without_a_handle() {
    for (transport, manager) in managers().await {
        let mut unit = start(&manager, shell("read -r line; echo $line").remain_after_exit(true)).await;
        let (mut stdin, mut stdout) = (unit.stdin.take().unwrap(), unit.stdout.take().unwrap());
        let name = unit.name().to_owned();
        drop(unit);
        stdin.write_all(b"a line\n").await.unwrap();
        let mut text = String::new();
        soon("end of file", stdout.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "a line\n", "{transport}");
        let written = stdin.write_all(b"more").await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{transport}");
        let mut systemctl = tokio::process::Command::new("systemctl");
        assert!(systemctl.args([support::scope(), "stop", &name]).status().await.unwrap().success());

        // One that is to go with its handle goes, and its readers see it.
        let mut command = shell("echo up; exec sleep 1000");
        let mut unit = start(&manager, command.remain_after_exit(true).kill_on_drop(true)).await;
        let mut stdout = BufReader::new(unit.stdout.take().unwrap());
        soon("a line", stdout.read_line(&mut String::new())).await.unwrap();
        drop(unit);
        assert_eq!(soon("end of file", stdout.read_to_end(&mut Vec::new())).await.unwrap(), 0, "{transport}");
    }
}

/// A unit that is started again: systemd 252 has lost the pipes by then, 262 has not. Either way they end.
#[tokio::test]
async fn restarts() {
    for (transport, manager) in managers().await {
        let counter = std::env::temp_dir().join(format!("sdrun-pipes-{transport}-{}", std::process::id()));
        let script = format!("echo >>{0}; n=$(wc -l <{0}); echo run $n; test $n -ge 3", counter.display());
        let mut command = shell(&script);
        command.extra("Restart", "on-failure").extra("RestartUSec", 1000u64).stdout(Stdio::piped());
        let unit = command.start(&manager).await.unwrap();
        let output = soon("the output", unit.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{transport}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(["run 1\n", "run 1\nrun 2\nrun 3\n"].contains(&&*text), "{transport}: {text}");
        assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), 3, "{transport}");
        std::fs::remove_file(counter).unwrap();
    }
}
