//! Forwarding to what is no terminal.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sdrun::{Command, Error, Forwarded, Unit};

use crate::support::{managers, soon};

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

async fn start(manager: &sdrun::Manager, script: &str) -> Unit {
    let mut command = Command::from(["/bin/sh", "-c", script]);
    command.env("TERM", "dumb").collect(true).pty().start(manager).await.unwrap()
}

async fn forwarded(unit: &mut Unit, stdin: impl AsFd, stdout: impl AsFd) {
    let end = soon("the end of the forwarding", unit.forward_terminal(stdin, stdout)).await.unwrap();
    assert!(matches!(end, Forwarded::Ended), "{end:?}");
}

fn read_all(fd: OwnedFd) -> String {
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn the_end_of_the_input_is_passed_on() {
    for (name, manager) in managers().await {
        for (input, expected) in [
            ("hi\n", "hi\r\nhi\r\nover\r\n"),
            // In the middle of a line the terminal needs to be told twice.
            ("hi", "hihiover\r\n"),
            ("", "over\r\n"),
            // Nobody has pressed these.
            ("\x1d\x1d\x1d\n", "^]^]^]\r\n\x1d\x1d\x1d\r\nover\r\n"),
        ] {
            let (reading, writing) = pipe();
            File::from(writing).write_all(input.as_bytes()).unwrap();
            let (stdout, theirs) = pipe();
            let mut unit = start(&manager, "cat; echo over").await;
            forwarded(&mut unit, &reading, &theirs).await;
            assert!(!is_nonblocking(&reading) && !is_nonblocking(&theirs), "{name}");
            drop(theirs);
            assert_eq!(read_all(stdout), expected, "{name}: {input:?}");
            assert!(soon("the exit", unit.wait()).await.unwrap().success());
        }
    }
}

#[tokio::test]
async fn between_files_sockets_and_nothing() {
    for (name, manager) in managers().await {
        // Files, whose position is shared with whoever has them open.
        let mut input = tempfile();
        input.write_all(b"skipped\nline\n").unwrap();
        input.seek(std::io::SeekFrom::Start(8)).unwrap();
        let mut output = tempfile();
        output.write_all(b"before\n").unwrap();
        let mut unit = start(&manager, "cat; echo over").await;
        forwarded(&mut unit, &input, &output).await;
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(exit.success(), "{name}: {exit}");
        output.write_all(b"after\n").unwrap();
        let mut text = String::new();
        output.rewind().unwrap();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "before\nline\r\nline\r\nover\r\nafter\n", "{name}");

        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"line\n").unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let mut unit = start(&manager, "cat; echo over").await;
        forwarded(&mut unit, &theirs, &theirs).await;
        assert!(!is_nonblocking(&theirs), "{name}");
        drop(theirs);
        assert_eq!(read_all(ours.into()), "line\r\nline\r\nover\r\n", "{name}");

        let null = File::options().read(true).write(true).open("/dev/null").unwrap();
        let mut unit = start(&manager, "cat; seq 10000").await;
        forwarded(&mut unit, &null, &null).await;
        assert!(soon("the exit", unit.wait()).await.unwrap().success(), "{name}");
        let error = unit.forward_terminal(&null, &null).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("Command::pty"), "{error}");
    }
}

/// On a runtime of one thread: had that blocked on the full pipe, nobody would read it.
#[tokio::test]
async fn a_reader_that_stops_holds_up_nobody_and_loses_nothing() {
    for (name, manager) in managers().await {
        let (stdout, theirs) = pipe();
        let mut unit = start(&manager, "seq 100000").await;
        let input = File::open("/dev/null").unwrap();
        let forward = tokio::spawn(unit.forward_terminal(&input, &theirs));
        // The pipe is full; the runtime turns.
        let full = async {
            while is_writable(&theirs) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        soon("a full pipe", full).await;
        drop(theirs);
        assert!(!forward.is_finished(), "{name}");
        let text = soon("the output", tokio::task::spawn_blocking(|| read_all(stdout))).await.unwrap();
        let expected: String = (1..=100_000).map(|number| format!("{number}\r\n")).collect();
        assert!(text == expected, "{name}: {} bytes of {}", text.len(), expected.len());
        assert!(matches!(forward.await.unwrap().unwrap(), Forwarded::Ended));
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_an_error() {
    for (_, manager) in managers().await {
        let (stdout, theirs) = pipe();
        drop(stdout);
        let mut unit = start(&manager, "seq 1000; sleep 1000").await;
        let input = File::open("/dev/null").unwrap();
        let error = soon("the error", unit.forward_terminal(&input, &theirs)).await.unwrap_err();
        assert!(error.to_string().contains("standard output"), "{error}");
        // The terminal is hung up, of which the program dies.
        soon("the exit", unit.wait()).await.unwrap();
    }
}

fn is_writable(pipe: &OwnedFd) -> bool {
    poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO).unwrap() > 0
}

fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("sdrun-{}-{:?}", std::process::id(), std::thread::current().id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}
