//! Where the standard streams of a unit come from and go to: descriptors that are handed over, files, the journal.

mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio as StdStdio;
use std::sync::Arc;

use sdrun::{Command, Error, Exit, Manager, Outcome, Status, Stdio, Value};
use support::{managers, shell, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn output(manager: &Manager, command: &mut Command) -> (Exit, String, String) {
    let unit = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start(manager).await.unwrap();
    let output = soon("the output", unit.wait_with_output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status, text(output.stdout), text(output.stderr))
}

async fn run(manager: &Manager, command: &mut Command) -> Exit {
    soon("the exit", command.start(manager).await.unwrap()).await.unwrap()
}

/// A folder of this test's own, removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sdrun-stdio-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn output_is_told_apart() {
    for (transport, manager) in managers().await {
        let (exit, out, err) = output(&manager, &mut shell("echo out; echo err >&2; exit 3")).await;
        assert_eq!((exit.code(), &*out, &*err), (Some(3), "out\n", "err\n"), "{transport}");
    }
}

#[tokio::test]
async fn null_and_what_nothing_is_said_of() {
    for (transport, manager) in managers().await {
        let links = "for fd in 0 1 2; do all=\"$all$(readlink /proc/$$/fd/$fd) \"; done; echo $all >&2";
        let mut command = shell(links);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let err = soon("its end", command.start(&manager).await.unwrap().wait_with_output()).await.unwrap().stderr;
        let err = String::from_utf8(err).unwrap();
        assert!(err.starts_with("/dev/null /dev/null pipe:"), "{transport}: {err}");

        // Standard error does not follow standard output, as it would if systemd were told nothing of it.
        let mut command = shell("readlink /proc/$$/fd/0; readlink /proc/$$/fd/2; echo lost >&2");
        let unit = command.stdout(Stdio::piped()).start(&manager).await.unwrap();
        let out = String::from_utf8(soon("its end", unit.wait_with_output()).await.unwrap().stdout).unwrap();
        assert!(out.starts_with("/dev/null\nsocket:") && !out.contains("lost"), "{transport}: {out}");
        // Nor where both words are the same to systemd.
        for (stdio, place) in [(Stdio::null(), "/dev/null"), (Stdio::journal(), "socket:")] {
            let mut command = shell("readlink /proc/$$/fd/2");
            let unit = command.stdout(Stdio::piped()).stderr(stdio).start(&manager).await.unwrap();
            let out = String::from_utf8(soon("its end", unit.wait_with_output()).await.unwrap().stdout).unwrap();
            assert!(out.starts_with(place), "{transport}: {out}");
        }
        // And the other way round.
        let unit =
            shell("out=$(readlink /proc/$$/fd/1); echo $out >&2").stderr(Stdio::piped()).start(&manager).await.unwrap();
        let err = String::from_utf8(soon("its end", unit.wait_with_output()).await.unwrap().stderr).unwrap();
        assert!(err.starts_with("socket:"), "{transport}: {err}");
    }
}

#[tokio::test]
async fn the_journal() {
    for (transport, manager) in managers().await {
        let mark = format!("sdrun-journal-{transport}-{}-{}", support::scope(), std::process::id());
        let mut command = shell(&format!("echo {mark}-out; echo {mark}-err >&2"));
        run(&manager, command.stdout(Stdio::journal()).stderr(Stdio::journal())).await;
        let written = async {
            loop {
                let journal =
                    tokio::process::Command::new("journalctl").args(["-q", "-o", "cat"]).output().await.unwrap();
                let journal = String::from_utf8_lossy(&journal.stdout).into_owned();
                let lines: Vec<_> = journal.lines().collect();
                if lines.contains(&&*format!("{mark}-out")) && lines.contains(&&*format!("{mark}-err")) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("the journal", written).await;
    }
}

/// Any owned descriptor.
#[tokio::test]
async fn descriptors_of_every_kind() {
    let folder = Folder::new("descriptors");
    for (transport, manager) in managers().await {
        // A file, at its offset, and one to read from.
        let path = folder.file(transport);
        let mut file = File::options().create(true).read(true).write(true).truncate(true).open(&path).unwrap();
        file.write_all(b"xx").unwrap();
        run(&manager, shell("echo written").stdout(file.try_clone().unwrap())).await;
        assert_eq!(text(&path), "xxwritten\n", "{transport}");
        file.seek(SeekFrom::Start(2)).unwrap();
        let (_, out, _) = output(&manager, shell("cat").stdin(file)).await;
        assert_eq!(out, "written\n", "{transport}");

        // A socket, both ways.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let unit = {
            let mut command = shell("read -r line; echo \"got $line\"");
            command.stdin(theirs.try_clone().unwrap()).stdout(theirs);
            command.start(&manager).await.unwrap()
        };
        ours.set_nonblocking(true).unwrap();
        let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
        ours.write_all(b"a line\n").await.unwrap();
        let mut answer = String::new();
        soon("end of file", ours.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, "got a line\n", "{transport}");
        assert!(soon("the exit", unit).await.unwrap().success());

        // The ends of a pipe, one unit on each.
        let (reading, writing) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let (writer, reader) =
            tokio::join!(async { run(&manager, shell("echo piped").stdout(writing)).await }, async {
                output(&manager, shell("cat").stdin(reading)).await
            });
        assert!(writer.success() && reader.1 == "piped\n", "{transport}: {reader:?}");

        // A child's stream, std's and tokio's.
        let mut child = std::process::Command::new("echo").arg("std").stdout(StdStdio::piped()).spawn().unwrap();
        let (_, out, _) = output(&manager, shell("cat").stdin(child.stdout.take().unwrap())).await;
        assert_eq!((&*out, child.wait().unwrap().success()), ("std\n", true), "{transport}");
        let mut child = tokio::process::Command::new("echo").arg("tokio").stdout(StdStdio::piped()).spawn().unwrap();
        let stream = child.stdout.take().unwrap().into_owned_fd().unwrap();
        let (_, out, _) = output(&manager, shell("cat").stdin(stream)).await;
        assert_eq!((&*out, child.wait().await.unwrap().success()), ("tokio\n", true), "{transport}");
        let mut child =
            std::process::Command::new("cat").stdin(StdStdio::piped()).stdout(StdStdio::piped()).spawn().unwrap();
        run(&manager, shell("echo back").stdout(child.stdin.take().unwrap())).await;
        assert_eq!(child.wait_with_output().unwrap().stdout, b"back\n", "{transport}");
    }
}

/// A pipeline of units, each end of a pipe made into another's stream.
#[tokio::test]
async fn pipelines() {
    for (transport, manager) in managers().await {
        let mut first = shell("cat; echo done >&2");
        first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut first = first.start(&manager).await.unwrap();
        let mut second = Command::new("/usr/bin/tr");
        second.args(["a-z", "A-Z"]).collect(true).stdout(Stdio::piped());
        second.stdin(Stdio::try_from(first.stdout.take().unwrap()).unwrap());
        let mut second = second.start(&manager).await.unwrap();
        let third: Stdio = second.stdout.take().unwrap().try_into().unwrap();
        let third = async { output(&manager, Command::from("/bin/cat").collect(true).stdin(third)).await };
        let last = Stdio::try_from(first.stderr.take().unwrap()).unwrap();
        let stdin = Stdio::try_from(first.stdin.take().unwrap()).unwrap();
        let feed = run(&manager, shell("echo into the pipeline").stdout(stdin)).await;
        let (_, out, _) = third.await;
        assert_eq!(out, "INTO THE PIPELINE\n", "{transport}");
        let (_, out, _) = output(&manager, shell("cat").stdin(last)).await;
        assert_eq!(out, "done\n", "{transport}");
        let exits = [feed, soon("the first", first).await.unwrap(), soon("the second", second).await.unwrap()];
        assert!(exits.iter().all(Exit::success), "{transport}: {exits:?}");
    }
}

/// Files that systemd opens.
#[tokio::test]
async fn files() {
    let folder = Folder::new("a folder");
    for (transport, manager) in managers().await {
        let path = folder.file(&format!("{transport} \"q\" 100%n 'ä' \\x20 $HOME #;"));
        let echo = |word: &str, stdio: Stdio| {
            let mut command = shell(&format!("echo {word}"));
            command.stdout(stdio);
            command
        };
        run(&manager, &mut echo("longest", Stdio::file(&path))).await;
        assert_eq!(text(&path), "longest\n", "{transport}");
        run(&manager, &mut echo("short", Stdio::file(&path))).await;
        assert_eq!(text(&path), "short\nt\n", "{transport}: overwritten, not emptied");
        run(&manager, &mut echo("more", Stdio::append(&path))).await;
        assert_eq!(text(&path), "short\nt\nmore\n", "{transport}");
        run(&manager, &mut echo("new", Stdio::truncate(&path))).await;
        assert_eq!(text(&path), "new\n", "{transport}");
        let (_, out, _) = output(&manager, shell("cat").stdin(Stdio::file(&path))).await;
        assert_eq!(out, "new\n", "{transport}");
        run(&manager, shell("echo to err >&2").stderr(Stdio::truncate(&path))).await;
        assert_eq!(text(&path), "to err\n", "{transport}");
        // What cannot be opened is an exit, with systemd's own code for the stream.
        let missing = folder.file("missing/file");
        for (command, code) in [
            (shell("true").stdin(Stdio::file(&missing)), 208),
            (shell("true").stdout(Stdio::file(&missing)), 209),
            (shell("true").stderr(Stdio::append(&missing)), 222),
        ] {
            assert_eq!(run(&manager, command).await.status, Some(Status::Exited(code)), "{transport}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let (_, manager) = managers().await.remove(0);
    let wrong = [
        (shell("true").stdin(Stdio::journal()).clone(), "stdin"),
        (shell("true").stdin(Stdio::append("/tmp/x")).clone(), "stdin"),
        (shell("true").stdin(Stdio::truncate("/tmp/x")).clone(), "stdin"),
        (shell("true").stdout(Stdio::file("/tmp/\0")).clone(), "file"),
        (shell("true").stdout(Stdio::file("/tmp/../tmp/x")).clone(), "file"),
        (shell("true").stderr(Stdio::append("../x")).clone(), "file"),
        (shell("true").stderr(Stdio::append(std::ffi::OsStr::from_bytes(b"/tmp/\xff"))).clone(), "file"),
        (shell("true").stderr(Stdio::append("")).clone(), "file"),
    ];
    for (mut command, input) in wrong {
        for refused in [command.start(&manager).await.err(), command.spawn().err(), command.output().await.err()] {
            assert!(matches!(&refused, Some(Error::Invalid { what, .. }) if *what == input), "{input}: {refused:?}");
        }
    }
}

/// The manual's example 4, without its machine: an environment, a nice level, and the output on a descriptor.
#[tokio::test]
async fn manual_example_4() {
    let folder = Folder::new("example-4");
    for (transport, manager) in managers().await {
        let path = folder.file(transport);
        let mut command = Command::new("/usr/bin/env");
        command.nice(3).env("SUPER_SECRET_PASSW", "1234").collect(true).stdout(File::create(&path).unwrap());
        let exit = run(&manager, &mut command).await;
        assert!(exit.success(), "{transport}: {exit}");
        let env = text(&path);
        let lines: Vec<_> = env.lines().collect();
        assert!(lines.contains(&"SUPER_SECRET_PASSW=1234"), "{transport}: {env}");
        let id = format!("INVOCATION_ID={}", exit.invocation_id.unwrap());
        assert!(lines.contains(&&*id) && lines.iter().any(|line| line.starts_with("PATH=")), "{transport}: {env}");
        run(&manager, shell("nice").nice(3).stdout(File::create(&path).unwrap())).await;
        assert_eq!(text(&path), "3\n", "{transport}");
    }
}

/// The manual's example 6: standard output and standard error to one open file.
#[tokio::test]
async fn manual_example_6() {
    let folder = Folder::new("example-6");
    for (transport, manager) in managers().await {
        let path = folder.file(transport);
        let out = Stdio::from(File::create(&path).unwrap());
        let mut command = Command::from(["/bin/echo", "omg!"]);
        run(&manager, command.collect(true).stdout(out.clone()).stderr(out)).await;
        assert_eq!(text(&path), "omg!\n", "{transport}");
        let out = File::create(&path).unwrap();
        let mut command = shell("for n in 1 2 3; do echo out $n; echo err $n >&2; done");
        run(&manager, command.stdout(out.try_clone().unwrap()).stderr(out)).await;
        assert_eq!(text(&path), "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n", "{transport}: in order");
    }
}

/// The streams of a unit of another user can be opened again through /dev.
#[tokio::test]
async fn another_user_can_reopen_its_streams() {
    if !support::is_root() {
        return; // only the system manager runs units as someone else
    }
    for (transport, manager) in managers().await {
        for (dynamic, user) in [(false, "tester"), (true, "sdrun-dynamic")] {
            let script = "id -u >/dev/stdout && cat </dev/stdin >/dev/stdout && echo err >/dev/stderr";
            let mut command = shell(script);
            command.user(user).extra("DynamicUser", dynamic).stdin(Stdio::piped());
            let mut unit = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start(&manager).await.unwrap();
            unit.stdin.take().unwrap().write_all(b"in\n").await.unwrap();
            let output = soon("the output", unit.wait_with_output()).await.unwrap();
            let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            let (id, rest) = out.split_once('\n').unwrap_or_default();
            assert_eq!((rest, &*err), ("in\n", "err\n"), "{transport}: {user}: {}", output.status);
            assert_ne!(id, "0", "{transport}: {user}");
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The streams of this process.
#[test]
fn inherited() {
    let mut child = support::helper("inheriting")
        .stdin(StdStdio::piped())
        .stdout(StdStdio::piped())
        .stderr(StdStdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"one\ntwo\nthree\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    for line in ["out one", "out two"] {
        assert!(out.lines().any(|other| other == line), "{out}\n{err}");
    }
    for line in ["err one", "err two"] {
        assert!(err.lines().any(|other| other == line), "{out}\n{err}");
    }
    assert!(output.status.success() && !out.contains("three"), "{out}\n{err}");
}

#[test]
#[ignore = "run by `inherited`, with streams of its own"]
fn inheriting() {
    block_on(async {
        for (transport, manager) in managers().await {
            // dash reads a pipe byte by byte, so the next line is for the next one.
            let mut command = shell("read -r line; echo out $line; echo err $line >&2");
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
            assert!(run(&manager, &mut command).await.success(), "{transport}");
        }
    });
}

/// The output comes to the caller's own stdout also when the caller waits for the start alone, and is gone itself.
#[test]
fn inherited_without_waiting_for_the_end() {
    let folder = Folder::new("inherit");
    let flag = folder.file("flag");
    let mut child = support::helper("leaving").env("FLAG", &flag).stdout(StdStdio::piped()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let mut out = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while text.matches("early").count() < 2 {
        let length = out.read(&mut buffer).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    assert!(!text.contains("late"), "{text}");
    File::create(&flag).unwrap();
    out.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("late").count(), 2, "{text}");
}

#[test]
#[ignore = "run by `inherited_without_waiting_for_the_end`"]
fn leaving() {
    block_on(async {
        let flag = std::env::var("FLAG").unwrap();
        for (_, manager) in managers().await {
            let mut command = shell(&format!("echo early; until test -e {flag}; do sleep 0.05; done; echo late"));
            drop(command.stdout(Stdio::inherit()).start(&manager).await.unwrap());
        }
    });
}

/// More descriptors than a message carries.
#[tokio::test]
async fn too_many_descriptors() {
    for (transport, manager) in managers().await {
        let fd: Arc<OwnedFd> = Arc::new(File::open("/dev/null").unwrap().into());
        let most = if manager.is_private() { 253 } else { 16 };
        let before = run(&manager, &mut shell("true")).await;
        assert!(before.success(), "{transport}");
        // A property that no systemd knows, so that the most that may be sent is refused by systemd, and no earlier.
        let with = |count: usize| {
            let fds = (0..count).map(|_| Value::Fd(fd.clone())).collect();
            let mut command = shell("true");
            command.extra("SdrunNothing", Value::Array(sdrun::Signature::new("h").unwrap(), fds));
            command
        };
        let refused = with(most + 1).start(&manager).await.unwrap_err();
        let named = matches!(&refused, Error::Invalid { what: "descriptors", .. });
        assert!(named && refused.to_string().contains(&most.to_string()), "{transport}: {refused}");
        let refused = with(most).stdout(Stdio::piped()).start(&manager).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid { what: "descriptors", .. }), "{transport}: {refused}");
        let auxiliary = [("StandardInputFileDescriptor", Value::Fd(fd.clone()))];
        let refused = with(most).auxiliary("sdrun-auxiliary.service", auxiliary).start(&manager).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid { what: "descriptors", .. }), "{transport}: {refused}");
        let refused = with(most).start(&manager).await.unwrap_err();
        assert!(matches!(&refused, Error::Call { .. }), "{transport}: {refused}");
        // The connection is as it was.
        assert!(run(&manager, &mut shell("true")).await.success(), "{transport}");
    }
}

/// Pipes need a runtime to be registered with; everything else can be started from anywhere.
#[test]
fn pipes_need_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let managers = runtime.block_on(managers());
    for (transport, manager) in managers {
        let refused = futures::executor::block_on(shell("true").stdout(Stdio::piped()).start(&manager));
        assert!(matches!(refused, Err(Error::NoRuntime)), "{transport}: {refused:?}");
        let unit = futures::executor::block_on(shell("true").stdout(Stdio::null()).start(&manager)).unwrap();
        let exit = futures::executor::block_on(unit.wait()).unwrap();
        assert_eq!(exit.result, Outcome::Success, "{transport}");
    }
}

alone! {
    /// What was handed over is closed here, whatever became of the start.
    fn descriptors_are_closed() {
        block_on(async {
            let managers = managers().await;
            // The default manager too, whose connection stays.
            assert!(sdrun::run("/bin/true").await.unwrap().await.unwrap().success());
            for (_, manager) in &managers {
                run(manager, &mut shell("true")).await;
            }
            let before = support::list_descriptors();
            for (transport, manager) in &managers {
                handed_over(transport, manager).await;
            }
            let closed = async {
                // The bus daemon's and our own queues may hold a message for a moment.
                while support::descriptors() > before.len() {
                    tokio::task::yield_now().await;
                }
            };
            if tokio::time::timeout(support::DEADLINE, closed).await.is_err() {
                panic!("{before:#?} became {:#?}", support::list_descriptors());
            }
        });
    }
}

/// Hands descriptors over in every way, and sees the other side get its end of file.
async fn handed_over(transport: &str, manager: &Manager) {
    let all = || {
        let (reading, writing) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let mut command = shell("cat >/dev/null; echo out");
        command
            .stdin(Stdio::piped())
            .stdout(writing)
            .stderr(Stdio::piped())
            .extra("StandardOutputFileDescriptor", Value::Fd(Arc::new(File::create("/dev/null").unwrap().into())));
        (reading, command)
    };
    // The reading ends are here: each is at its end once all copies of the writing end are gone.
    let ends = |reading: OwnedFd| async move {
        let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reading);
        let mut reader = reader.unwrap();
        let mut rest = Vec::new();
        soon("end of file", reader.read_to_end(&mut rest)).await.unwrap();
    };

    let (reading, mut command) = all();
    let unit = command.start(manager).await.unwrap();
    drop(command);
    assert!(soon("the exit", unit).await.unwrap().success(), "{transport}");
    ends(reading).await;

    let (reading, mut command) = all();
    let output = soon("the output", command.output()).await.unwrap();
    drop(command);
    assert!(output.status.success(), "{transport}");
    ends(reading).await;

    let (reading, mut command) = all();
    let mut unit = command.spawn().unwrap();
    drop(command);
    drop(unit.stdin.take());
    let mut err = unit.stderr.take().unwrap();
    soon("end of file", err.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(soon("the exit", unit).await.unwrap().success(), "{transport}");
    ends(reading).await;

    // Refused by systemd, by spawn too.
    let (reading, mut command) = all();
    command.extra("SdrunNothing", 1u32);
    command.start(manager).await.unwrap_err();
    let mut unit = command.spawn().unwrap();
    drop(command);
    ends(reading).await;
    let mut err = unit.stderr.take().unwrap();
    soon("end of file", err.read_to_end(&mut Vec::new())).await.unwrap();
    soon("the refusal", unit.wait()).await.unwrap_err();
    let mut stdin = unit.stdin.take().unwrap();
    let written = stdin.write_all(b"x").await;
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe, "{transport}");

    // Refused here.
    let (reading, mut command) = all();
    command.extra("", 1u32);
    command.start(manager).await.unwrap_err();
    command.spawn().unwrap_err();
    drop(command);
    ends(reading).await;

    // Given up, before it was sent and after.
    for polls in 0..3 {
        let (reading, mut command) = all();
        let mut start = Box::pin(command.start(manager));
        for _ in 0..polls {
            let _ = futures::poll!(start.as_mut());
            tokio::task::yield_now().await;
        }
        drop(start);
        drop(command);
        ends(reading).await;
    }

    // Inherited: copies of ours.
    let mut command = shell("true");
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    run(manager, &mut command).await;
    soon("the output", command.output()).await.unwrap();
}
