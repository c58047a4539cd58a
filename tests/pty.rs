//! Units on a terminal of their own.

#[path = "pty/handle.rs"]
mod handle;
#[path = "pty/machined.rs"]
mod machined;
#[path = "pty/sent.rs"]
mod sent;
mod support;

use std::fs::File;
use std::os::fd::AsFd;

use sdrun::{Command, Error, Manager, Pty, Status, Stdio, Value, WindowSize};
use support::container::Container;
use support::{managers, shell, soon};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Held by the tests that need systemd-machined to run, or not to.
static MACHINED: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How often the tests of known faults try: 200 times, or as the environment says where the whole file is looped.
fn rounds() -> u32 {
    std::env::var("ROUNDS").map_or(200, |rounds| rounds.parse().expect("a number"))
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
        let mut unit = shell(script).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        let output = all(unit.pty.as_mut().unwrap()).await;
        let lines: Vec<_> = output.split("\r\n").collect();
        assert!(lines[0].starts_with("/dev/pts/"), "{name}: {output:?}");
        assert_eq!(lines, [lines[0], lines[0], "dumb", ""], "{name}: {output:?}");
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(5)));
    }
}

/// What systemd-run sends is compared in `sent::what_is_sent`; here is what the program sees.
#[tokio::test]
async fn term_is_that_of_the_caller() {
    let own = std::env::var("TERM").ok().filter(|term| !term.is_empty());
    for (_, manager) in managers().await {
        let mut unit = shell("echo $TERM").pty().start(&manager).await.unwrap();
        assert_eq!(all(unit.pty.as_mut().unwrap()).await.trim_end(), own.as_deref().unwrap_or("vt220"));
    }
}

#[tokio::test]
async fn written_read_and_resized() {
    for (name, manager) in managers().await {
        // A signal may interrupt the shell's `read`, which then fails as at the end of the input.
        let script = "trap 'changed=1; stty size' WINCH; echo ready
            while word= changed=; read word || test $changed; do test -z \"$word\" || echo got $word; done; echo over";
        let mut unit = shell(script).env("TERM", "dumb").pty().start(&manager).await.unwrap();
        let (reader, mut writer) = unit.pty.take().unwrap().into_split();
        assert_eq!(writer.size().unwrap(), WindowSize::default());
        let mut lines = BufReader::new(reader).lines();
        let mut next = async || soon("a line", lines.next_line()).await.unwrap().unwrap();
        assert_eq!(next().await, "ready", "{name}");
        writer.write_all(b"one\n").await.unwrap();
        assert_eq!([next().await, next().await], ["one", "got one"], "{name}");
        writer.resize(WindowSize::new(33, 101)).unwrap();
        // The shell runs the trap when its `read` is over, one way or the other.
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
        for round in 0..rounds() {
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
        for round in 0..rounds() {
            let mut command = shell("echo main");
            command.extra("ExecStartPre", line("echo before")).extra("ExecStopPost", line("echo after"));
            let mut unit = command.env("TERM", "dumb").pty().start(&manager).await.unwrap();
            let output = all(unit.pty.as_mut().unwrap()).await;
            assert_eq!(output, "before\r\nmain\r\nafter\r\n", "{name}, round {round}");
            assert!(soon("the exit", unit.wait()).await.unwrap().success());
        }
    }
}

async fn none_is_left_open() {
    for (name, manager) in managers().await {
        // The first ones make what is kept, the signal handling of tokio for instance.
        let mut before = 0;
        for round in 0..rounds() + 3 {
            if round == 3 {
                before = support::descriptors();
            }
            // Not executable: 203.
            let mut command = Command::new("/nonexistent/program");
            let mut unit = command.env("TERM", "dumb").collect(true).pty().start(&manager).await.unwrap();
            all(unit.pty.as_mut().unwrap()).await;
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(203)), "{name}, round {round}");
            drop(unit);
            // Refused by systemd.
            let mut command = shell("true");
            command.extra("NoSuchProperty", true).pty();
            let error = command.start(&manager).await.unwrap_err();
            assert!(matches!(error, Error::Call { .. }), "{name}: {error:?}");
            // The same where the handle is there before.
            let mut unit = command.spawn().unwrap();
            assert_eq!(all(unit.pty.as_mut().unwrap()).await, "");
            soon("the error", unit.wait()).await.unwrap_err();
            drop(unit);
        }
        let left = async {
            // The task of a spawned start has its own descriptors until it has ended.
            while support::descriptors() > before {
                tokio::task::yield_now().await;
            }
        };
        let limit = std::time::Duration::from_secs(10);
        let left = tokio::time::timeout(limit, left).await;
        assert!(left.is_ok(), "{name}: {before} before, now {:#?}", support::list_descriptors());
    }
}

alone! {
    /// systemd issue 3915: a terminal that is left open when the program cannot be started.
    fn when_the_program_cannot_be_started() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // The default manager's connection is made.
            soon("a first unit", sdrun::run("/bin/true").await.unwrap()).await.unwrap();
            none_is_left_open().await;
        });
    }
}

#[tokio::test]
async fn streams_that_are_given_are_not_the_terminal() {
    for (name, manager) in managers().await {
        let script = "test -t 0 && test -t 2 && ! test -t 1 && echo to the pipe && echo to the terminal >&2";
        let mut command = shell(script);
        let mut unit = command.env("TERM", "dumb").pty().stdout(Stdio::piped()).start(&manager).await.unwrap();
        let mut piped = String::new();
        let (mut pty, mut stdout) = (unit.pty.take().unwrap(), unit.stdout.take().unwrap());
        let both = async { tokio::join!(all(&mut pty), stdout.read_to_string(&mut piped)) };
        let (shown, read) = soon("both", both).await;
        read.unwrap();
        assert_eq!((&*shown, &*piped), ("to the terminal\r\n", "to the pipe\n"), "{name}");
        assert!(soon("the exit", unit.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn a_terminal_of_the_callers_own() {
    use sdrun_sys::terminal;

    for (name, manager) in managers().await {
        let master = terminal::open_master().unwrap();
        let path = format!("/dev/pts/{}", terminal::peer_number(master.as_fd()).unwrap());
        // With the master in the handle.
        let mut command = shell("tty");
        command.env("TERM", "dumb").pty_path(&path).pty_master(master.try_clone().unwrap());
        let mut unit = command.start(&manager).await.unwrap();
        assert_eq!(all(unit.pty.as_mut().unwrap()).await, format!("{path}\r\n"), "{name}");
        soon("the exit", unit.wait()).await.unwrap();
        drop((unit, command));
        // And without.
        let slave = terminal::open_peer(master.as_fd()).unwrap();
        let mut command = shell("tty; sleep 0");
        let unit = command.env("TERM", "dumb").pty_path(&path).start(&manager).await.unwrap();
        assert!(unit.pty.is_none());
        assert!(soon("the exit", unit.wait()).await.unwrap().success());
        let mut bytes = [0; 64];
        let length = std::io::Read::read(&mut File::from(master), &mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes[..length]), format!("{path}\r\n"), "{name}");
        drop(slave);

        let error = shell("true").pty_master(File::open("/dev/null").unwrap()).start(&manager).await.unwrap_err();
        assert!(error.to_string().contains("pty_path"), "{error}");
        let error = shell("true").pty_path("pts/3").start(&manager).await.unwrap_err();
        assert!(error.to_string().contains("absolute"), "{error}");
    }
}

/// Neither a restart nor a hang-up from outside ends the terminal.
#[tokio::test]
async fn open_until_the_last_end() {
    for (name, manager) in managers().await {
        for (property, value) in [("TTYVHangup", true), ("TTYReset", true), ("SendSIGHUP", true)] {
            // Not counted by StartLimitBurst=: a reload of the manager, by some other test, has it count anew.
            let folder = support::Folder::new();
            let script = format!("echo run; echo >> {0}; test $(wc -l < {0}) -ge 3", folder.path("runs"));
            let mut command = shell(&script);
            command.extra("Restart", "on-failure").extra("RestartUSec", 1000u64);
            let mut unit = command.env("TERM", "dumb").extra(property, value).pty().start(&manager).await.unwrap();
            let output = all(unit.pty.as_mut().unwrap()).await;
            assert!(unit.try_wait().unwrap().is_some(), "{name}, {property}: it ended before the unit");
            // What a reset or a hang-up throws away is systemd's affair.
            if property == "SendSIGHUP" {
                assert_eq!(output, "run\r\n".repeat(3), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_unit_that_remains_after_its_exit_ends_its_terminal() {
    for (name, manager) in managers().await {
        let mut command = shell("echo main");
        let mut unit = command.env("TERM", "dumb").remain_after_exit(true).pty().start(&manager).await.unwrap();
        assert_eq!(all(unit.pty.as_mut().unwrap()).await, "main\r\n", "{name}");
        unit.stop().await.unwrap();
    }
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_unaltered() {
    const LENGTH: u64 = 64 << 20;

    let manager = support::on_bus().await;
    let script = format!("stty raw -echo; echo ready; exec head -c {LENGTH}");
    let mut unit = shell(&script).env("TERM", "dumb").pty().start(&manager).await.unwrap();
    let (mut reader, mut writer) = unit.pty.take().unwrap().into_split();
    let mut ready = [0; 6];
    soon("the program", reader.read_exact(&mut ready)).await.unwrap();
    assert_eq!(&ready, b"ready\n");
    // Every byte value, in an order that does not repeat with any buffer's length.
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    let write = async {
        let mut at = 0;
        while at < LENGTH {
            let bytes: Vec<u8> = (at..(at + 4096).min(LENGTH)).map(byte).collect();
            writer.write_all(&bytes).await.unwrap();
            at += bytes.len() as u64;
        }
    };
    let read = async {
        let (mut at, mut buffer) = (0, vec![0; 4096]);
        loop {
            let length = reader.read(&mut buffer).await.unwrap();
            if length == 0 {
                return at;
            }
            let wrong = buffer[..length].iter().zip(at..).find(|(is, at)| **is != byte(*at));
            assert_eq!(wrong, None, "after {at} bytes");
            at += length as u64;
        }
    };
    let ((), length) = soon("64 MiB there and back", async { tokio::join!(write, read) }).await;
    assert_eq!(length, LENGTH);
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
}

/// In a machine the terminal is one of the machine's own.
#[tokio::test]
async fn in_a_machine() {
    if !support::is_root() {
        return; // only root may enter a machine
    }
    let _alone = MACHINED.lock().await;
    let container = Container::boot();
    let mut managers = vec![("container", Manager::machine(container.name()).await.unwrap(), true)];
    managers.push((".host", Manager::machine(".host").await.unwrap(), false));
    if cfg!(libsystemd_248) {
        let name = format!("tester@{}", container.name());
        managers.push(("user in the container", Manager::user_machine(name).await.unwrap(), true));
        managers.push(("user of this host", Manager::user_machine("tester@.host").await.unwrap(), false));
    }
    for (name, manager, inside) in managers {
        // So many are open here that a path of this host would not be one of the container's.
        let _others: Vec<_> = (0..20)
            .map(|_| {
                let master = sdrun_sys::terminal::open_master().unwrap();
                (sdrun_sys::terminal::open_peer(master.as_fd()).unwrap(), master)
            })
            .collect();
        let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo three; read line < /dev/tty; echo \"got $line\"";
        let mut unit = soon("the start", shell(script).env("TERM", "dumb").pty().start(&manager)).await.unwrap();
        let (reader, mut writer) = unit.pty.take().unwrap().into_split();
        let mut lines = BufReader::new(reader).lines();
        let mut next = async || soon("a line", lines.next_line()).await.unwrap();
        let tty = next().await.unwrap();
        let number: u32 = tty.strip_prefix("/dev/pts/").unwrap_or_else(|| panic!("{name}: {tty}")).parse().unwrap();
        assert_eq!(number < 20, inside, "{name}: {tty}");
        assert_eq!(next().await.unwrap(), "three", "{name}");
        writer.write_all(b"this\n").await.unwrap();
        assert_eq!([next().await.unwrap(), next().await.unwrap()], ["this", "got this"], "{name}");
        assert_eq!(next().await, None, "{name}");
        assert!(soon("the exit", unit.wait()).await.unwrap().success());
    }
}

#[test]
fn as_user() {
    support::again_as_user();
}
