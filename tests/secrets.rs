//! No one gets in: secrets are shown nowhere, descriptors are no one else's, and what is refused says what to do.

mod support;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::os::fd::AsFd;
use std::process::Stdio as Std;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use sdrun::{
    Command, Error, Manager, Properties, Scope, Signature, Stdio, TimerUnit, Transport, UnitType, Value, Whom,
};
use support::{managers, on_bus, shell, sleeping, soon};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The tests that look at what a program gets, again as an ordinary user.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// What must be seen nowhere.
const SECRET: &str = "hush-4711-hush";

/// Everything that is logged, at every level, from every crate.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>, Arc<AtomicU64>);

impl Log {
    fn add(&self, line: impl FnOnce(&mut String)) {
        line(&mut self.0.lock().unwrap());
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.add(|text| {
            write!(text, "\nspan {}", span.metadata().name()).unwrap();
            span.record(&mut Line(text));
        });
        Id::from_u64(self.1.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        self.add(|text| values.record(&mut Line(text)));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.add(|text| {
            write!(text, "\n{} {}", event.metadata().level(), event.metadata().target()).unwrap();
            event.record(&mut Line(text));
        });
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// All that can be seen of what is shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, what: &impl Debug) {
        write!(self.0, "\n{what:?}\n{what:#?}").unwrap();
    }

    fn error(&mut self, error: &Error) {
        self.debug(error);
        let io = std::io::Error::from(error.clone());
        write!(self.0, "\n{error}\n{error:#}\n{io}\n{io:?}\n{:?}", error.source()).unwrap();
    }

    fn result<T: Debug>(&mut self, result: &sdrun::Result<T>) {
        match result {
            Ok(value) => self.debug(value),
            Err(error) => self.error(error),
        }
    }
}

/// Nowhere in the text.
#[track_caller]
fn hidden(text: &str) {
    if let Some(at) = text.find(SECRET) {
        let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
        panic!("the secret is shown: {}", text[line..].lines().next().unwrap());
    }
}

/// A program that has the secret in every way, and says how often it found it.
fn secretive(found: &str) -> Command {
    let look = "n=0; for x in \"$A\" \"$B\" \"$C\" \"$(cat)\" \"$(cat \"$CREDENTIALS_DIRECTORY\"/one)\" \
                \"$(cat \"$CREDENTIALS_DIRECTORY\"/two)\" \"$(cat \"$CREDENTIALS_DIRECTORY\"/three)\"; do \
                [ \"$x\" = \"$EXPECTED\" ] && n=$((n + 1)); done; ";
    let mut command = Command::from(["/bin/sh", "-c", &format!("{look}{found}")]);
    let bytes = Value::Bytes(SECRET.into());
    let third = Value::Struct(vec!["three".into(), bytes]);
    command.env("A", SECRET).env("EXPECTED", SECRET).collect(true);
    command.property(format!("Environment=B={SECRET}")).unwrap();
    command.extra("Environment", Value::from(vec![format!("C={SECRET}")]));
    command.set_credential("one", SECRET);
    command.property(format!("SetCredential=two:{SECRET}")).unwrap();
    command.extra("SetCredential", Value::Array(Signature::new("(say)").unwrap(), vec![third]));
    command.property("StandardInput=data").unwrap().property(format!("StandardInputText={SECRET}")).unwrap();
    command
}

/// Every way to give a secret so that it is refused: here, or by systemd.
fn refused() -> Vec<Command> {
    let nul = format!("{SECRET}\0");
    let odd = format!("{SECRET}\u{ffff}");
    let long = format!("{SECRET}{}", "x".repeat(131_072));
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Command)| {
        let mut command = Command::new("/bin/true");
        change(&mut command);
        all.push(command);
    };
    for value in [&nul, &odd, &long] {
        with(&|command| _ = command.env("A", value));
    }
    for value in [&nul, &odd] {
        with(&|command| _ = command.extra("Environment", Value::from(vec![format!("A={value}")])));
        with(&|command| _ = command.extra("StandardInputText", value.as_str()));
        with(&|command| _ = command.auxiliary("sdrun-a.service", [("Environment", Value::from(vec![value.clone()]))]));
    }
    with(&|command| _ = command.set_credential("a/b", SECRET));
    with(&|command| _ = command.set_credential("one", vec![0; 70 << 20]).set_credential("two", SECRET));
    // What only systemd refuses: types, names, and what there is no setting for.
    with(&|command| _ = command.extra("Environment", SECRET));
    with(&|command| _ = command.extra("Environment", Value::from(vec![format!("1A={SECRET}")])));
    with(&|command| _ = command.extra("Environment", Value::from(vec![SECRET.to_owned()])));
    with(&|command| _ = command.extra("SetCredential", SECRET));
    with(&|command| _ = command.extra("SetCredential", Value::from(vec![SECRET.to_owned()])));
    with(&|command| _ = command.extra("StandardInputText", SECRET));
    with(&|command| _ = command.extra("NoSuchThing", SECRET));
    with(&|command| _ = command.property(format!("Enviroment=A={SECRET}")));
    with(&|command| _ = command.property(format!("SetCredentail=a:{SECRET}")));
    let wrong = Value::Array(Signature::new("u").unwrap(), vec![Value::from(SECRET)]);
    with(&|command| _ = command.extra("Environment", wrong.clone()));
    all
}

/// Assignments that are refused at once.
fn assignments() -> Vec<String> {
    [
        format!("Environment=A={SECRET}\0"),
        format!("Environment=1A={SECRET}"),
        format!("Environment=\"A={SECRET}"),
        format!("Environment={SECRET}"),
        format!("Environment A={SECRET}"),
        format!("environment.A={SECRET}"),
        format!("=Environment=A={SECRET}"),
        format!("SetCredential={SECRET}"),
        format!("SetCredential=:{SECRET}"),
        format!("SetCredential=a/b:{SECRET}"),
        format!("SetCredential:a:{SECRET}"),
        format!("SetCredential=a:\\x{SECRET}"),
        format!("SetCredentialEncrypted=a:{SECRET}"),
        format!("SetCredentialOfTheFuture=a:{SECRET}\0"),
        format!("StandardInputData={SECRET}"),
        format!("StandardInputText=\\x{SECRET}"),
    ]
    .into()
}

alone! {
    /// A log at the most detailed level, what `Debug` shows of everything, and every error, over starts that succeed, fail
    /// and are refused: the planted secret is in none of it.
    fn secrets_are_shown_nowhere() {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut shown = Shown::default();
        runtime.block_on(async {
            for (transport, manager) in managers().await {
                shown.debug(&manager);
                // It succeeds, and had all of them; it fails; it cannot be executed.
                let mut missing = secretive("");
                missing.start_pre(["/no/such"]);
                let commands = [
                    (secretive("exit $n"), 7),
                    (secretive("kill -9 $$"), 0),
                    (missing, 0),
                    (secretive("exit 1").raise_on_fail(true).clone(), 0),
                ];
                for (mut command, code) in commands {
                    shown.debug(&command);
                    let unit = command.start(&manager).await;
                    shown.result(&unit);
                    let unit = unit.unwrap();
                    let exit = soon("the exit", unit.wait()).await;
                    shown.result(&exit);
                    shown.debug(&unit);
                    if code > 0 {
                        assert_eq!(exit.unwrap().code(), Some(code), "{transport}");
                    }
                    shown.debug(&command.scope());
                }
                // One that is there already, one that is given up, and one that is killed when it is dropped.
                let mut named = secretive("sleep 1000");
                named.name(format!("sdrun-secret-{}-{transport}", std::process::id())).kill_on_drop(true);
                let first = named.start(&manager).await.unwrap();
                shown.result(&named.start(&manager).await);
                shown.result(&first.set_property("Environment", SECRET).await);
                shown.result(&first.set_property("SetCredential", format!("{SECRET}\0")).await);
                for assignment in assignments() {
                    shown.result(&first.set(&assignment).await);
                }
                drop(first);
                drop(soon("nothing", futures::future::poll_immediate(named.start(&manager))).await);

                for mut command in refused() {
                    shown.debug(&command);
                    let refused = soon("the refusal", command.start(&manager)).await;
                    let error = refused.expect_err("it is refused");
                    shown.error(&error);
                    if let Ok(unit) = command.spawn() {
                        shown.result(&soon("the refusal", unit.wait()).await);
                    }
                    let mut timer = TimerUnit::new();
                    timer.on_active(Duration::from_secs(1000));
                    shown.error(&timer.start(&manager, &command).await.expect_err("it is refused"));
                }
                let mut scope = Scope::new();
                scope.extra("Environment", SECRET).property(format!("NoSuchThing={SECRET}")).unwrap();
                shown.debug(&scope);
                shown.result(&scope.spawn(std::process::Command::new("/bin/true"), &manager).await.map(drop));
            }
            for assignment in assignments() {
                shown.result(&Command::new("/bin/true").property(&assignment).map(drop));
                let mut properties = Properties::new(UnitType::Service);
                shown.result(&properties.set(&assignment).map(drop));
            }
            let mut properties = Properties::new(UnitType::Service);
            properties.set(format!("Environment=A={SECRET}")).unwrap();
            shown.debug(&properties);
        });
        drop(runtime);
        let log = log.0.lock().unwrap();
        for part in ["start accepted", "start refused", "ended"] {
            assert!(log.contains(part), "{part:?} is not in the log: is there one?");
        }
        hidden(&log);
        hidden(&shown.0);
        // What is shown is there: this looked at the right things.
        for part in ["SetCredential=…", "A=…", "Environment=…: ", "StartTransientUnit failed"] {
            assert!(shown.0.contains(part), "{part:?} is not shown");
        }
    }
}

/// A credential is read where systemd says, and is what it was, whatever is in it and in its name.
#[tokio::test]
async fn credentials_reach_the_program() {
    let folder = support::Folder::new();
    let every: Vec<u8> = (0..=255).collect();
    let files = ["plain", "a\"b'c", "%n$HOME${X}", "é", "x:y", "a\tb"];
    for (transport, manager) in managers().await {
        let script = "cd \"$CREDENTIALS_DIRECTORY\" && for f in *; do printf '%s\\0' \"$f\"; od -An -v -tx1 \"$f\" | tr -d ' \\n'; \
                      printf '\\0'; done";
        let mut command = shell(script);
        let mut expected = BTreeSet::new();
        for (number, file) in files.iter().enumerate() {
            let path = folder.path(file);
            let content = [&every[..], file.as_bytes()].concat();
            std::fs::write(&path, &content).unwrap();
            let name = format!("loaded-{number}");
            command.load_credential(&name, &path);
            expected.insert((name, content));
        }
        for name in ["a", "c=d", "%n", "$HOME", "\"q'", "#", "~", "a..", "e,f;g", &"x".repeat(255)] {
            let content = [name.as_bytes(), &every].concat();
            command.set_credential(name, &content);
            expected.insert((name.to_owned(), content));
        }
        command.set_credential("empty", "");
        expected.insert(("empty".into(), Vec::new()));
        let unit = command.stdout(Stdio::piped()).start(&manager).await.unwrap();
        let output = soon("the output", unit.wait_with_output()).await.unwrap();
        assert!(output.status.success(), "{transport}: {:?}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut parts = text.split_terminator('\0');
        let mut seen = BTreeSet::new();
        while let (Some(name), Some(hex)) = (parts.next(), parts.next()) {
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            seen.insert((name.to_owned(), hex.as_bytes().chunks(2).map(byte).collect::<Vec<_>>()));
        }
        assert_eq!(seen, expected, "{transport}");

        for bad in ["", ".", "..", "a/b", "a:b", "a b", " ", "a\\b", "é", "a\nb", "\u{7f}", &"x".repeat(256)] {
            for command in [shell(":").set_credential(bad, "x"), shell(":").load_credential(bad, "/etc/passwd")] {
                let error = command.start(&manager).await.unwrap_err();
                assert!(matches!(error, Error::Invalid { what: "credential", .. }), "{transport}: {bad:?}: {error:?}");
            }
        }
        for bad in ["relative", "", "/a\nSetCredential=x:y", "/a b", "/a ", "/a\\b", "/a\\"] {
            let error = shell(":").load_credential("a", bad).start(&manager).await.unwrap_err();
            assert!(matches!(error, Error::Invalid { what: "path", .. }), "{transport}: {bad:?}: {error:?}");
        }
        let missing = shell(":").load_credential("a", folder.path("no-such-file")).start(&manager).await.unwrap();
        let exit = soon("the exit", missing.wait()).await.unwrap();
        assert_eq!(exit.code(), Some(243), "{transport}: {exit:?}");
    }
}

/// The descriptors that a new process of this one's has, and what they are.
fn inherited() -> Vec<String> {
    let output =
        std::process::Command::new("/bin/ls").args(["-l", "/proc/self/fd"]).stdin(Std::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let links = text.lines().filter(|line| line.contains(" -> ")).map(|line| line.split_whitespace().skip(8));
    let links = links.map(|words| words.collect::<Vec<_>>().join(" "));
    // Its own output is another pipe each time, and so is the folder that it reads.
    links.filter(|link| !link.starts_with("1 ") && !link.starts_with("2 ") && !link.contains(" /proc/")).collect()
}

alone! {
    /// Other programs that this process starts meanwhile inherit nothing of what is open for units: neither connections nor
    /// pipes, terminals, journals or processes.
    fn descriptors_are_close_on_exec() {
        let before = inherited();
        let open_before = support::descriptors();
        let over = Arc::new(AtomicBool::new(false));
        let children = std::thread::spawn({
            let (over, before) = (over.clone(), before.clone());
            move || {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(inherited(), before);
                    count += 1;
                }
                count
            }
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut most = 0;
            for _ in 0..5 {
                for (transport, manager) in managers().await {
                    let mut piped = shell("cat");
                    piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                    let piped = piped.start(&manager).await.unwrap();
                    let file = std::fs::File::open("/dev/null").unwrap();
                    let given = sleeping().stdin(file.as_fd().try_clone_to_owned().unwrap()).start(&manager).await.unwrap();
                    let terminal = sleeping().pty().start(&manager).await.unwrap();
                    let mut logs = shell("echo a line").start(&manager).await.unwrap().logs();
                    let entry = soon("an entry", logs.next()).await.unwrap().unwrap();
                    assert!(!format!("{entry:?}").is_empty());
                    let mut child = std::process::Command::new("/bin/sleep");
                    child.arg("1000").stdout(Std::piped());
                    let mut scope = Scope::new();
                    let scoped = scope.kill_on_drop(true).collect(true).spawn(child, &manager).await.unwrap();
                    let timer = TimerUnit::new().on_active(Duration::from_secs(1000)).start(&manager, &shell(":")).await;
                    most = most.max(support::descriptors());
                    assert_eq!(tokio::task::spawn_blocking(inherited).await.unwrap(), before, "{transport}");
                    timer.unwrap().unit().stop().await.unwrap();
                    drop((piped, given, terminal, logs, scoped));
                }
            }
            // There was something to inherit.
            assert!(most > open_before + 10, "{most} open, {open_before} before");
        });
        over.store(true, Ordering::Relaxed);
        assert!(children.join().unwrap() > 0);
    }
}

/// What an ordinary user may not do to the system's units is refused by a name, with what to do about it.
#[test]
fn refusals_say_what_to_do() {
    if !support::is_root() {
        return; // a unit of root's is needed
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let manager = on_bus().await;
        let unit = sleeping().start(&manager).await.unwrap();
        unit.activated().await.unwrap();
        let mut child = support::as_user(&["refusals", "--exact", "--ignored", "--nocapture"]);
        child.env("SDRUN_TEST_UNIT", unit.name());
        let status = tokio::task::spawn_blocking(move || child.status().unwrap()).await.unwrap();
        assert!(status.success(), "{status}");
        assert!(unit.try_wait().unwrap().is_none(), "it goes on");
        assert_eq!(unit.get("FreezerState").await.unwrap(), "running".into());
        unit.stop().await.unwrap();
    });
}

#[test]
#[ignore = "run by `refusals_say_what_to_do`, as an ordinary user"]
fn refusals() {
    let name = std::env::var("SDRUN_TEST_UNIT").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connect = |interactive| {
            let builder = Manager::builder().system().transport(Transport::Bus).interactive(interactive);
            async move { builder.connect().await.expect("anyone may connect") }
        };
        for interactive in [false, true] {
            let manager = connect(interactive).await;
            let check = |what: &str, result: Result<(), Error>| {
                let error = result.expect_err(what);
                assert!(matches!(error, Error::AccessDenied { .. }), "{what}: {error:?}");
                let text = error.to_string();
                for part in ["refused", "run as root", "polkit", "Manager::user()"] {
                    assert!(text.contains(part), "{what}: {part:?} is not in {text}");
                }
                let io = std::io::Error::from(error);
                assert_eq!(io.kind(), std::io::ErrorKind::PermissionDenied, "{what}");
            };
            // To look is allowed.
            let unit = manager.unit(&name).await.unwrap();
            assert_eq!(unit.get("ActiveState").await.unwrap(), "active".into());
            check("stop", unit.stop().await);
            check("restart", unit.restart().await);
            check("reload", unit.reload().await);
            check("kill", unit.kill(15, Whom::All).await);
            check("freeze", unit.freeze().await);
            check("thaw", unit.thaw().await);
            check("set_property", unit.set_property("CPUWeight", 5u64).await);
            check("set", unit.set("CPUWeight=5").await);
            check("reset_failed", unit.reset_failed().await);
            check("start", Command::new("/bin/true").start(&manager).await.map(drop));
            check("usage", Command::new("/bin/true").usage(true).start(&manager).await.map(drop));
            check("pty", Command::new("/bin/true").pty().start(&manager).await.map(drop));
            check("env_clear", Command::new("/bin/true").env_clear().start(&manager).await.map(drop));
            let child = std::process::Command::new("/bin/true");
            check("scope", Scope::new().spawn(child, &manager).await.map(drop));
            check("scope around", Scope::new().around([std::process::id()], &manager).await.map(drop));
            let mut timer = TimerUnit::new();
            timer.on_active(Duration::from_secs(1));
            check("timer", timer.start(&manager, &Command::new("/bin/true")).await.map(drop));
            // Forty refusals later the connection is as good as before, and nothing waits for a place.
            for _ in 0..40 {
                check("start", Command::new("/bin/true").start(&manager).await.map(drop));
            }
            assert_eq!(unit.get("ActiveState").await.unwrap(), "active".into());
            assert!(unit.try_wait().unwrap().is_none());
        }
    });
}
