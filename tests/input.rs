//! Bad input from the caller: it is refused by a name, before anything is sent, or carried out exactly. Nothing is cut, and
//! what is outstanding on the connection stays.

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{
    Command, Error, Exec, Exit, Manager, Outcome, Result, Scope, Signature, Status, Stdio, TimerUnit, Unit, Value,
};
use support::{Folder, is_root, managers, shell, soon, systemctl};
use tokio::io::AsyncWriteExt;

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

const MIB: usize = 1 << 20;

/// Longest argument, and longest variable with its name, that Linux passes on.
const LONGEST: usize = 131_071;

/// A manager with a unit outstanding, which is not lost whatever is refused meanwhile.
struct Beside {
    manager: Manager,
    transport: &'static str,
    unit: Unit,
}

impl Beside {
    async fn all() -> Vec<Beside> {
        let mut all = Vec::new();
        for (transport, manager) in managers().await {
            let unit = shell("read -r status; exit $status").stdin(Stdio::piped()).start(&manager).await.unwrap();
            all.push(Beside { manager, transport, unit });
        }
        all
    }

    /// The connection is as good as before.
    async fn goes_on(&self, what: &str) {
        let started = Command::new("/bin/true").collect(true).start(&self.manager).await;
        let unit = started.unwrap_or_else(|error| panic!("{}: after {what}: {error}", self.transport));
        assert!(soon("a later run", unit.wait()).await.unwrap().success(), "{}: after {what}", self.transport);
        assert!(self.unit.try_wait().unwrap().is_none(), "{}: after {what}", self.transport);
    }

    /// This is refused as bad input, with this in the text.
    async fn refuses<T>(&self, what: &str, part: &str, result: Result<T>) {
        let Err(error) = result else { panic!("{}: {what} is accepted", self.transport) };
        let by_name = matches!(error, Error::Invalid { .. } | Error::Property { .. });
        let text = error.to_string();
        assert!(by_name && text.contains(part), "{}: {what}: {part:?} is not in {error:?}", self.transport);
        assert!(text.len() < 600, "{}: {what}: {text}", self.transport);
        self.goes_on(what).await;
    }

    async fn start_refused(&self, what: &str, part: &str, command: &mut Command) {
        let result = soon(what, command.start(&self.manager)).await;
        self.refuses(what, part, result).await;
    }

    /// The outstanding unit ends as it should.
    async fn end(mut self) {
        self.unit.stdin.take().unwrap().write_all(b"7\n").await.unwrap();
        assert_eq!(soon("the exit", self.unit.wait()).await.unwrap().code(), Some(7), "{}", self.transport);
    }

    /// What the command wrote, and how it ended.
    async fn output(&self, command: &mut Command) -> (Exit, Vec<u8>) {
        let started = command.collect(true).stdout(Stdio::piped()).start(&self.manager).await;
        let unit = started.unwrap_or_else(|error| panic!("{}: {error}", self.transport));
        let output = soon("the output", unit.wait_with_output()).await.unwrap();
        (output.status, output.stdout)
    }

    /// What the kernel has as the arguments of a program that is given these.
    async fn arguments(&self, arguments: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut command = Command::from("/bin/cat /proc/self/cmdline");
        command.arg("--").args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
        // They name no files: only the first is read.
        command.ignore_failure(true).stderr(Stdio::null());
        let (_, out) = self.output(&mut command).await;
        let out = out.strip_suffix(b"\0").unwrap_or(&out);
        out.split(|byte| *byte == 0).skip(3).map(Vec::from).collect()
    }

    /// What the kernel has as the environment, as far as these begin a name.
    async fn environment(&self, command: &mut Command, prefix: &str) -> Vec<Vec<u8>> {
        let (exit, out) = self.output(command).await;
        assert_eq!(exit.status, Some(Status::Exited(0)), "{}: {exit:?}", self.transport);
        let variables = out.split(|byte| *byte == 0).filter(|variable| variable.starts_with(prefix.as_bytes()));
        variables.map(Vec::from).collect()
    }
}

fn environ() -> Command {
    Command::from("/bin/cat /proc/self/environ")
}

#[tokio::test]
async fn odd_texts_are_refused_or_arrive() {
    let bad: [(&str, &[u8]); 4] = [
        ("NUL", b"a\0b"),
        ("UTF-8", b"a\xff"),
        ("UTF-8", b"a\xed\xa0\x80"), // half of a surrogate pair
        ("U+FFFF", "a\u{ffff}".as_bytes()),
    ];
    let good: [&[u8]; 6] = [b"\n", b"a\nb\n\n", b"\r\n", b"\x01\x1b\x7f", "\u{85}\u{2028}é".as_bytes(), b""];
    for beside in Beside::all().await {
        let command = || Command::new("/bin/true");
        for (part, bytes) in bad {
            let text = OsStr::from_bytes(bytes);
            let path = [b"/", bytes].concat();
            let path = OsStr::from_bytes(&path);
            beside.start_refused("program", part, &mut Command::new(path)).await;
            beside.start_refused("argument", part, command().arg(text)).await;
            beside.start_refused("arg0", part, command().arg0(text)).await;
            beside.start_refused("line", part, command().start_pre(Exec::new("/bin/true").arg(text))).await;
            beside.start_refused("variable", part, command().env("A", text)).await;
            beside.start_refused("variable's name", "environment variable", command().env(text, "A")).await;
            beside.start_refused("removed variable", "variable", command().env_remove(text)).await;
            beside.start_refused("directory", part, command().current_dir(path)).await;
            beside.start_refused("file", part, command().stdout(Stdio::file(path))).await;
            beside.start_refused("path", part, command().read_only_path(path)).await;
            beside.start_refused("credential's file", part, command().load_credential("a", path)).await;
            let Ok(text) = std::str::from_utf8(bytes) else { continue };
            beside.start_refused("name", "may not contain", command().name(text)).await;
            beside.start_refused("slice", "may not contain", command().slice(text)).await;
            beside.start_refused("description", part, command().description(text)).await;
            beside.start_refused("user", part, command().user(text)).await;
            beside.start_refused("group", part, command().group(text)).await;
            beside.start_refused("credential", "may not contain", command().set_credential(text, "x")).await;
            beside.start_refused("property's name", "property name", command().extra(text, 1u32)).await;
            beside.start_refused("property", "Description", command().extra("Description", text)).await;
            beside.refuses("assignment", "Description=", command().property(format!("Description={text}"))).await;
            beside.refuses("setting", "a", command().property(format!("{text}=1"))).await;
            beside.refuses("set_property", "Description", beside.unit.set_property("Description", text).await).await;
        }
        assert_eq!(beside.arguments(&good).await, good, "{}", beside.transport);
        let mut command = environ();
        for (number, value) in good.iter().enumerate() {
            command.env(format!("ODD_{number}"), OsStr::from_bytes(value));
        }
        let expected: Vec<_> =
            good.iter().enumerate().map(|(n, value)| [format!("ODD_{n}=").as_bytes(), value].concat()).collect();
        let mut seen = beside.environment(&mut command, "ODD_").await;
        seen.sort();
        assert_eq!(seen, expected, "{}", beside.transport);
        beside.end().await;
    }
}

#[tokio::test]
async fn long_texts_arrive_whole_or_are_refused() {
    let longest = "x".repeat(LONGEST);
    let [over, mebibyte] = [LONGEST + 1, MIB].map(|length| "y".repeat(length));
    for beside in Beside::all().await {
        let command = || Command::new("/bin/true");
        assert!(beside.arguments(&[longest.as_bytes()]).await == [longest.as_bytes()], "{}", beside.transport);
        let seen = beside.environment(environ().env("LONG", &longest[5..]), "LONG=").await;
        assert!(seen.len() == 1 && seen[0] == ["LONG=", &longest[5..]].concat().as_bytes(), "{}", beside.transport);
        for long in [&over, &mebibyte] {
            let length = format!("is {} bytes long", long.len());
            beside.start_refused("argument", &format!("(number 2) {length}"), command().arg("a").arg(long)).await;
            beside.start_refused("arg0", &length, command().arg0(long)).await;
            beside.start_refused("program", "bytes long", &mut Command::new(format!("/{long}"))).await;
            beside.start_refused("line", &length, command().stop_post(Exec::new("/bin/true").arg(long))).await;
            let variable = format!("is {} bytes long", long.len() + 2);
            beside.start_refused("variable", &variable, command().env("A", long)).await;
            let named = command().env(long, "").start(&beside.manager).await;
            beside.refuses("variable's name", "bytes long", named).await;
            // The other ways to start say the same.
            let spawned = command().arg(long).spawn();
            beside.refuses("spawn", &length, spawned).await;
            let status = command().env("A", long).status().await;
            beside.refuses("status", &variable, status).await;
            let scope = command().arg(long).scope().start(&beside.manager).await;
            beside.refuses("scope", &length, scope).await;
            let scope = command().env("A", long).scope().start(&beside.manager).await;
            beside.refuses("scope", &variable, scope).await;
            let timer = TimerUnit::new().on_active(Duration::MAX).start(&beside.manager, command().arg(long)).await;
            beside.refuses("timer", &length, timer).await;
            beside.start_refused("name", "bytes long", command().name(long)).await;
            beside.start_refused("credential", "255 bytes", command().set_credential(long, "x")).await;
        }
        beside.end().await;
    }
}

/// A hundred thousand arguments arrive. So many variables would keep systemd from everything else for minutes, so that they
/// are refused; a tenth of them arrive.
#[tokio::test]
async fn a_hundred_thousand_arguments_and_variables() {
    let numbers: Vec<_> = (100_000..200_000).map(|n| n.to_string()).collect();
    for beside in Beside::all().await {
        let words: Vec<_> = numbers.iter().map(String::as_bytes).collect();
        assert!(beside.arguments(&words).await == words, "{}", beside.transport);
        beside.goes_on("100,000 arguments").await;
        for count in [100_000, 10_001] {
            let mut command = Command::new("/bin/true");
            command.envs(numbers[..count].iter().map(|number| (format!("V{number}"), "")));
            beside.start_refused("variables", &format!("environment has {count} variables"), &mut command).await;
            let spawned = command.spawn();
            beside.refuses("spawn", "variables", spawned).await;
            let mut command = Command::new("/bin/true");
            command.env("ONE", "1");
            let variables = numbers[1..count].iter().fold(String::new(), |all, number| all + " V" + number + "=");
            command.property(format!("Environment={variables}")).unwrap();
            beside.start_refused("variables", &format!("environment has {count} variables"), &mut command).await;
            let mut timer = TimerUnit::new();
            let timer = timer.on_active(Duration::from_secs(1000)).start(&beside.manager, &command).await;
            beside.refuses("timer", "variables", timer).await;
        }
        if !beside.manager.is_private() {
            beside.end().await;
            continue; // once is long enough
        }
        let most = &numbers[..10_000];
        let mut command = environ();
        command.envs(most.iter().map(|number| (format!("V{number}"), "")));
        let mut seen = beside.environment(&mut command, "V1").await;
        seen.sort();
        let expected: Vec<_> = most.iter().map(|number| format!("V{number}=").into_bytes()).collect();
        assert!(seen == expected, "{}: {} variables", beside.transport, seen.len());
        beside.goes_on("10,000 variables").await;
        beside.end().await;
    }
}

/// More in all than Linux takes: an exit that says so, and the program has not run with less.
#[tokio::test]
async fn more_than_linux_takes_is_an_exit() {
    let folder = Folder::new();
    let long = "x".repeat(LONGEST);
    for beside in Beside::all().await {
        let ran = folder.path(beside.transport);
        let command = || Command::from(["/bin/sh", "-c", "echo > \"$1\"", "sh", &ran]);
        let mut arguments = command();
        arguments.args(std::iter::repeat_n(&long, 20));
        let mut variables = command();
        variables.envs((10..30).map(|number| (format!("V{number}"), &long[4..])));
        for (what, mut command) in [("arguments", arguments), ("variables", variables)] {
            let unit = command.collect(true).start(&beside.manager).await.unwrap();
            let exit = soon("the exit", unit.wait()).await.unwrap();
            let named = exit.result == Outcome::Resources || exit.status == Some(Status::Exited(203));
            assert!(named && !exit.success(), "{}: {what}: {exit:?}", beside.transport);
            assert!(!std::fs::exists(&ran).unwrap(), "{}: {what}", beside.transport);
            beside.goes_on(what).await;
        }
        beside.end().await;
    }
}

/// A message over the limit of the connection, by every way that there is to fill one. One that is within it arrives whole.
#[tokio::test]
async fn messages_over_the_limit_are_refused() {
    for beside in Beside::all().await {
        let (manager, transport) = (&beside.manager, beside.transport);
        let narrow = is_root() && !manager.is_private();
        // The most that passes, nearly, and more than does.
        let (most, over) = if narrow { (32 * MIB - 8192, 32 * MIB) } else { (64 * MIB - 8192, 64 * MIB) };
        let part = if narrow { "32 MiB" } else { "64 MiB" };
        let bytes = |length: usize| {
            let numbers: Vec<u8> = (0..251).collect();
            let mut bytes = numbers.repeat(length / 251 + 1);
            bytes.truncate(length);
            Value::Bytes(bytes)
        };

        // Standard input from the message. Where systemd cannot hand so much over it says so.
        let mut cat = Command::new("/bin/cat");
        cat.extra("StandardInput", "data").extra("StandardInputData", bytes(most));
        let (exit, out) = beside.output(&mut cat).await;
        if exit.result != Outcome::Resources || support::systemd_version() < 257 {
            assert!(exit.success(), "{transport}: {exit:?}");
            assert!(bytes(most) == Value::Bytes(out), "{transport}");
        }

        let big = |length: usize| {
            let mut command = Command::new("/bin/true");
            command.extra("StandardInputData", bytes(length));
            command
        };
        beside.start_refused("property", part, &mut big(over)).await;
        beside.start_refused("property of a unit whose usage is wanted", part, big(over).usage(true)).await;
        beside.start_refused("property and a pipe", part, big(over).stdout(Stdio::piped())).await;
        let auxiliary = [("StandardInputData", bytes(over))];
        let mut command = Command::new("/bin/true");
        beside.start_refused("auxiliary", part, command.auxiliary("sdrun-input.service", auxiliary)).await;
        let set = beside.unit.set_property("StandardInputData", bytes(over)).await;
        beside.refuses("set_property", part, set).await;
        let timer = TimerUnit::new().on_active(Duration::from_secs(1000)).start(manager, &big(over)).await;
        beside.refuses("timer", part, timer).await;
        let scope = Scope::new().extra("Nothing", bytes(over)).spawn(std::process::Command::new("/bin/true"), manager);
        beside.refuses("scope", part, scope.await).await;
        // Two arrays that each may be in a message, but not both.
        let mut command = big(60 * MIB);
        command.auxiliary("sdrun-a.service", [("StandardInputData", bytes(40 * MIB))]);
        command.auxiliary("sdrun-b.service", [("StandardInputData", bytes(40 * MIB))]);
        beside.start_refused("several", " MiB", &mut command).await;

        // A spawned one says it when it is awaited, and so does status().
        if transport == "bus" {
            let unit = big(over).spawn().unwrap();
            let end = soon("the refusal", unit.wait()).await;
            beside.refuses("spawn", part, end).await;
        }
        beside.end().await;
    }
}

/// Text that would bring the manager itself down, and the system's the host: from 4 MiB of a setting on, as systemd writes it
/// down.
#[tokio::test]
async fn settings_that_systemd_would_not_survive_are_refused() {
    const PART: &str = "could be longer than 3 MiB";
    let long = "x".repeat(LONGEST);
    for beside in Beside::all().await {
        let command = || Command::new("/bin/true");
        for (filler, count) in [("x", 3 * MIB), ("%", 3 * MIB / 2), ("\u{1}", 3 * MIB / 4)] {
            let text = Value::from(filler.repeat(count));
            beside.start_refused("extra", PART, command().extra("Description", text)).await;
        }
        let text = "x".repeat(3 * MIB);
        beside.start_refused("description", PART, command().description(&text)).await;
        beside.start_refused("setting", PART, command().property(format!("Description={text}")).unwrap()).await;
        let auxiliary = [("Description", Value::from(&*text))];
        beside.start_refused("auxiliary", PART, command().auxiliary("sdrun-a.service", auxiliary)).await;
        beside.refuses("set_property", PART, beside.unit.set_property("Description", &*text).await).await;
        beside.refuses("set", PART, beside.unit.set(format!("Description={text}")).await).await;
        let mut scope = Scope::new();
        let scope = scope.extra("Description", text).spawn(std::process::Command::new("/bin/true"), &beside.manager);
        beside.refuses("scope", PART, scope.await).await;
        beside.start_refused("arguments", PART, command().args(std::iter::repeat_n(&long, 32))).await;
        let marks = "\u{1}".repeat(LONGEST);
        beside.start_refused("escaped arguments", PART, command().args(std::iter::repeat_n(&marks, 8))).await;
        let line = || (0..32).fold(Exec::new("/bin/true"), |mut line, _| line.arg(&long).clone());
        beside.start_refused("line", PART, command().stop_post(line())).await;
        let variables = (10..42).map(|number| (format!("V{number}"), &long[4..]));
        beside.start_refused("variables", PART, command().envs(variables)).await;
        let numbers = Value::Array(Signature::new("i").unwrap(), vec![Value::I32(-1); MIB]);
        beside.start_refused("numbers", PART, command().extra("SdrunNothing", numbers)).await;

        // As much as passes leaves the manager as it was.
        let text = "x".repeat(3 * MIB - 2048);
        let unit = command().collect(true).extra("Description", &*text).start(&beside.manager).await.unwrap();
        assert!(soon("the exit", unit.wait()).await.unwrap().success(), "{}", beside.transport);
        beside.unit.set_property("Description", &*text).await.unwrap();
        assert!(beside.unit.get("Description").await.unwrap() == text.into(), "{}", beside.transport);
        beside.unit.set_property("Description", "x").await.unwrap();
        beside.goes_on("the longest text").await;
        beside.end().await;
    }
}

#[tokio::test]
async fn three_hundred_descriptors_are_refused() {
    let fd: Arc<OwnedFd> = Arc::new(File::open("/dev/null").unwrap().into());
    let fds = |count: usize| {
        let one = |number: usize| Value::Struct(vec![Value::Fd(fd.clone()), Value::Str(format!("fd{number}"))]);
        Value::Array(Signature::new("(hs)").unwrap(), (0..count).map(one).collect())
    };
    for beside in Beside::all().await {
        let most = if beside.manager.is_private() { 253 } else { 16 };
        for count in [300, most + 1] {
            let mut command = Command::new("/bin/true");
            let part = format!("are {count}: one message carries {most} at most");
            beside.start_refused("descriptors", &part, command.extra("ExtraFileDescriptors", fds(count))).await;
            beside.refuses("set_property", &part, beside.unit.set_property("Description", fds(count)).await).await;
        }
        // As many as a message carries reach the program, where systemd knows how to hand them over.
        if support::systemd_version() >= 254 {
            let mut command = Command::from(["/bin/sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES"]);
            let (_, out) = beside.output(command.extra("ExtraFileDescriptors", fds(most - 1))).await;
            let names: Vec<_> = (0..most - 1).map(|number| format!("fd{number}")).collect();
            let expected = format!("{} {}\n", most - 1, names.join(":"));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{}", beside.transport);
        }
        beside.end().await;
    }
}

alone! {
    /// A descriptor that something else has closed. In a process of its own: its number must stay free.
    fn a_closed_descriptor_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for beside in Beside::all().await {
                let takes: [fn(&mut Command, OwnedFd); 4] = [
                    |command, fd| _ = command.stdin(fd),
                    |command, fd| _ = command.stdout(fd),
                    |command, fd| _ = command.extra("StandardOutputFileDescriptor", fd),
                    |command, fd| {
                        _ = command.auxiliary("sdrun-a.service", [("StandardOutputFileDescriptor", Value::from(fd))]);
                    },
                ];
                for take in takes {
                    let fd = OwnedFd::from(File::open("/dev/null").unwrap());
                    let number = fd.as_raw_fd();
                    let mut command = Command::new("/bin/true");
                    take(&mut command, fd);
                    nix::unistd::close(number).unwrap();
                    let refused = command.start(&beside.manager).await;
                    // Its owner closes it once more, and would not survive finding it closed.
                    let null = File::open("/dev/null").unwrap().into_raw_fd();
                    if null != number {
                        dup_to(null, number);
                    }
                    drop(command);
                    beside.refuses("a closed descriptor", &format!("descriptor \"{number}\" is not open"), refused).await;
                }
                beside.end().await;
            }
        });
    }
}

/// Has this number be the descriptor, too, which is closed under the other.
fn dup_to(from: i32, number: i32) {
    // SAFETY: nothing owns the number: it is closed.
    #[allow(unsafe_code)]
    let done = unsafe { nix::libc::dup3(from, number, nix::libc::O_CLOEXEC) };
    assert_eq!(done, number);
    nix::unistd::close(from).unwrap();
}

/// Every character in a unit's name: a unit of just that name, or an error.
#[tokio::test]
async fn names_with_every_odd_character() {
    for beside in Beside::all().await {
        let (manager, transport) = (&beside.manager, beside.transport);
        let mut taken = String::new();
        let odd = ['\0', '\u{85}', '\u{2028}', '\u{feff}', '日', '\u{1f600}', '\u{ffff}', '\u{10ffff}'];
        for character in ('\u{1}'..='\u{17f}').chain(odd) {
            let name = format!("sdrun-input{character}{transport}");
            let started = Command::new("/bin/true").collect(true).name(&name).start(manager).await;
            match started {
                Ok(unit) => {
                    taken.push(character);
                    let Ok(exit) = soon("the exit", unit.wait()).await else { panic!("{transport}: {name:?}") };
                    assert!(exit.success() && *exit.unit == *format!("{name}.service"), "{transport}: {exit:?}");
                }
                Err(Error::Invalid { what: "unit name", reason, .. }) => {
                    assert!(reason.contains(&format!("{:?}", character.to_string())), "{transport}: {reason}");
                }
                Err(error) => panic!("{transport}: {name:?}: {error:?}"),
            }
            // A slice's takes the same, but no instances.
            let named = taken.ends_with(character);
            let slice = format!("sdruninput{character}{transport}");
            let mut command = Command::new("/bin/true");
            let started = command.collect(true).slice(&slice).start(manager).await;
            assert_eq!(started.is_ok(), named && character != '@', "{transport}: {slice:?}");
            if let Ok(unit) = started {
                assert!(soon("the exit", unit.wait()).await.unwrap().success(), "{transport}: {slice:?}");
            }
        }
        for bad in ["a/b", "a b", "é"] {
            let scope = Scope::new().name(bad).spawn(std::process::Command::new("/bin/true"), manager).await;
            beside.refuses(bad, "unit name", scope).await;
        }
        assert_eq!(taken, "-.0123456789:@ABCDEFGHIJKLMNOPQRSTUVWXYZ\\_abcdefghijklmnopqrstuvwxyz");
        // The longest name, and one byte more.
        let longest = format!("{:x<247}", format!("sdrun-input-{transport}"));
        let unit = Command::new("/bin/true").collect(true).name(&longest).start(manager).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(exit.success() && exit.unit.len() == 255, "{transport}: {exit:?}");
        beside.start_refused("name", "256 bytes long", Command::new("/bin/true").name(longest + "x")).await;
        for bad in [".service", "@.service", "a@.service", "@a", "..", "a.scope.b/"] {
            let refused = Command::new("/bin/true").name(bad).start(manager).await;
            match refused {
                Ok(unit) if bad == ".." => assert!(soon("the exit", unit.wait()).await.unwrap().success()),
                refused => beside.refuses(bad, "unit name", refused).await,
            }
        }
        beside.end().await;
    }
}

/// A unit that sleeps with these settings; what it has as a property.
async fn property(beside: &Beside, command: &mut Command, property: &str) -> Value {
    let started = command.collect(true).start(&beside.manager).await;
    let unit = started.unwrap_or_else(|error| panic!("{}: {property}: {error}", beside.transport));
    // While it is being started `WatchdogUSec` says that there is none.
    soon("the activation", unit.activated()).await.unwrap();
    let value = unit.get(property).await.unwrap();
    unit.stop().await.unwrap();
    value
}

#[tokio::test]
async fn durations_of_zero_and_without_end() {
    type Set = fn(&mut Command, Duration);
    let settings: [(&str, Set, &str); 6] = [
        ("RuntimeMaxUSec", |command, span| _ = command.runtime_max(span), "no time to run"),
        ("TimeoutStartUSec", |command, span| _ = command.timeout_start(span), "Duration::MAX"),
        ("TimeoutStopUSec", |command, span| _ = command.timeout_stop(span), "Duration::MAX"),
        ("WatchdogUSec", |command, span| _ = command.watchdog(span), "Duration::MAX"),
        ("RestartUSec", |command, span| _ = command.restart_delay(span), ""),
        ("StartLimitIntervalUSec", |command, span| _ = command.start_limit(3, span), ""),
    ];
    let spans = [
        (Duration::MAX, u64::MAX),
        (Duration::from_micros(u64::MAX), u64::MAX),
        (Duration::from_micros(u64::MAX - 1), u64::MAX - 1),
        (Duration::from_nanos(1), 1),
        (Duration::from_nanos(90_000_000_001), 90_000_001),
    ];
    for beside in Beside::all().await {
        for (name, set, zero) in settings {
            let command = |span| {
                let mut command = Command::from("/bin/sleep 1000");
                set(&mut command, span);
                command
            };
            for (span, microseconds) in spans {
                // What may end it before it is looked at.
                if microseconds == 1 && matches!(name, "RuntimeMaxUSec" | "WatchdogUSec") {
                    continue;
                }
                // What systemd's own parser does not read: 292,000 years and more.
                if microseconds == u64::MAX - 1 && name != "RuntimeMaxUSec" {
                    beside.start_refused(name, "is not a time span", &mut command(span)).await;
                    continue;
                }
                let seen = property(&beside, &mut command(span), name).await;
                assert_eq!(seen, microseconds.into(), "{}: {name} {span:?}", beside.transport);
            }
            match zero {
                "" => assert_eq!(property(&beside, &mut command(Duration::ZERO), name).await, 0u64.into()),
                reason => beside.start_refused(name, reason, &mut command(Duration::ZERO)).await,
            }
        }
        // The shortest time to run is no endless one.
        let mut command = Command::from("/bin/sleep 1000");
        let unit = command.runtime_max(Duration::from_nanos(1)).collect(true).start(&beside.manager).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(exit.result, Outcome::Timeout, "{}: {exit:?}", beside.transport);
        beside.start_refused("start_limit", "no start", Command::new("/bin/true").start_limit(0, Duration::MAX)).await;

        // Timers: at once, and never.
        for (span, elapses) in
            [(Duration::ZERO, true), (Duration::MAX, false), (Duration::from_micros(u64::MAX - 1), false)]
        {
            let mut timer = TimerUnit::new();
            let started = timer
                .on_active(span)
                .accuracy(span)
                .start(&beside.manager, Command::new("/bin/true").collect(true))
                .await;
            match started {
                Ok(trigger) if elapses => {
                    let run = soon("a run", trigger.activations().next()).await.unwrap().unwrap();
                    assert!(soon("its exit", run.wait()).await.unwrap().success(), "{}", beside.transport);
                }
                Ok(trigger) => {
                    let (_, next) =
                        (trigger.unit().name(), trigger.unit().get("NextElapseUSecMonotonic").await.unwrap());
                    assert_eq!(next, u64::MAX.into(), "{}: {span:?}", beside.transport);
                    trigger.unit().stop().await.unwrap();
                }
                Err(error) => panic!("{}: {span:?}: {error}", beside.transport),
            }
        }
        beside.end().await;
    }
}

#[tokio::test]
async fn numbers_out_of_their_range() {
    let sleep = || Command::from("/bin/sleep 1000");
    for beside in Beside::all().await {
        for nice in [i32::MIN, -21, 20, i32::MAX] {
            beside.start_refused("nice", "between -20 and 19", sleep().nice(nice)).await;
            beside.refuses("Nice=", "Nice=", sleep().property(format!("Nice={nice}"))).await;
            // systemd's own word for it.
            let error = sleep().extra("Nice", nice).start(&beside.manager).await.unwrap_err();
            assert!(matches!(&error, Error::Call { message, .. } if message.contains("Nice")), "{error:?}");
            beside.goes_on("Nice").await;
        }
        for nice in [-20, 19] {
            let (exit, out) = beside.output(Command::new("/usr/bin/nice").nice(nice)).await;
            let seen = String::from_utf8(out).unwrap();
            // A user may not be favoured: systemd takes the nearest level that it may have, as `nice()` says.
            let nearest = if is_root() { nice } else { nice.max(0) };
            assert!(exit.success() && seen.trim() == nearest.to_string(), "{}: {nice}: {seen:?}", beside.transport);
        }
        for score in [i32::MIN, -1001, 1001, i32::MAX] {
            beside.start_refused("oom_score_adjust", "-1000 and 1000", sleep().oom_score_adjust(score)).await;
        }
        for signal in [i32::MIN, -1, 0, 65, i32::MAX] {
            beside.start_refused("kill_signal", "KillSignal", sleep().kill_signal(signal)).await;
            beside.refuses("kill", "signal", beside.unit.kill(signal, sdrun::Whom::Main).await).await;
        }
        for weight in [0, 10_001, u32::MAX] {
            beside.start_refused("cpu_weight", "CPUWeight", sleep().cpu_weight(weight)).await;
            beside.start_refused("io_weight", "IOWeight", sleep().io_weight(weight)).await;
        }
        beside.start_refused("cpu_quota", "CPUQuota", sleep().cpu_quota(0)).await;
        for mask in [0o10_000, u32::MAX] {
            beside.start_refused("umask", "UMask", sleep().umask(mask)).await;
        }
        beside.start_refused("cpu_quota", "CPUQuota", sleep().cpu_quota(u32::MAX)).await;
        for most in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let name = format!("{}: {most}", beside.transport);
            assert_eq!(property(&beside, sleep().tasks_max(most), "TasksMax").await, most.into(), "{name}");
            assert_eq!(property(&beside, sleep().memory_high(most), "MemoryHigh").await, most.into(), "{name}");
        }
        // No such user: by its number a unit ends for it, or systemd refuses it.
        let none = Command::new("/bin/true").collect(true).uid(u32::MAX).start(&beside.manager).await;
        assert!(matches!(&none, Err(Error::Call { message, .. }) if message.contains("User")), "{none:?}");
        beside.goes_on("uid").await;
        beside.end().await;
    }
}

/// What was sent stays what it is when systemd has read the unit anew, also where it fills lines that are longer than those
/// of unit files may be.
#[tokio::test]
async fn a_large_unit_survives_a_reload() {
    let words: Vec<_> = (0..12).map(|_| "x".repeat(LONGEST)).collect();
    for beside in Beside::all().await {
        let mut command = Command::from(["/bin/sh", "-c", "read -r status; exit $status", "sh"]);
        let mut unit = command.args(&words).collect(true).stdin(Stdio::piped()).start(&beside.manager).await.unwrap();
        unit.activated().await.unwrap();
        systemctl(&["daemon-reload"]);
        beside.goes_on("a reload").await;
        assert!(unit.try_wait().unwrap().is_none(), "{}", beside.transport);
        unit.stdin.take().unwrap().write_all(b"9\n").await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(exit.status, Some(Status::Exited(9)), "{}: {exit:?}", beside.transport);
        beside.end().await;
    }
}
