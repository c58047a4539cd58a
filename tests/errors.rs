//! What is refused, and how it is said: bad input before anything is sent, and managers that cannot be reached.

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use sdrun::{Command, Error, Manager, Transport, Value};
use support::{managers, on_bus, soon};

/// The message of the error that starting this command gives, on a manager that would run it.
async fn refusal(manager: &Manager, command: &mut Command) -> String {
    let started = soon("the refusal", command.start(manager)).await;
    let error = started.expect_err("bad input is refused");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    // The other ways to start say the same.
    assert_eq!(command.spawn().unwrap_err().to_string(), error.to_string());
    assert_eq!(command.status().await.unwrap_err().to_string(), error.to_string());
    let io = std::io::Error::from(error.clone());
    assert_eq!(io.kind(), std::io::ErrorKind::InvalidInput);
    error.to_string()
}

#[tokio::test]
async fn bad_input_is_refused_by_name() {
    for (_, manager) in managers().await {
        let command = || Command::new("/bin/true");
        let manager = &manager;
        let empty: [&str; 0] = [];
        assert_eq!(
            refusal(manager, &mut Command::from(empty)).await,
            "command may not be empty: it begins with the program"
        );
        assert!(refusal(manager, &mut Command::from("")).await.contains("may not be empty"));
        assert!(refusal(manager, &mut Command::from("/bin/echo 'a")).await.contains("never closed"));
        assert!(refusal(manager, &mut Command::new("")).await.contains("program may not be empty"));
        assert!(refusal(manager, &mut Command::new("/bin/a\0b")).await.contains("NUL byte"));
        assert!(refusal(manager, command().arg("a").arg("b\0c")).await.starts_with("argument \"b\\0c\" (number 2)"));
        assert!(refusal(manager, command().arg(OsStr::from_bytes(b"\xff"))).await.contains("not UTF-8"));
        assert!(refusal(manager, command().name("a/b.service")).await.starts_with("unit name \"a/b.service\" may not"));
        assert!(refusal(manager, command().name("")).await.contains("empty"));
        assert!(refusal(manager, command().name("x".repeat(300))).await.contains("308 bytes long"));
        assert!(refusal(manager, command().name("a@")).await.contains("template"));
        assert!(refusal(manager, command().env("1A", "x")).await.contains("environment variable \"1A\""));
        assert!(refusal(manager, command().env("", "x")).await.contains("empty name"));
        assert!(refusal(manager, command().env("A=B", "x")).await.contains("invalid name"));
        let secret = refusal(manager, command().env("A", "hush\0")).await;
        assert!(secret.contains("\"A\"") && !secret.contains("hush"), "{secret}");
        assert!(refusal(manager, command().current_dir("")).await.contains("directory"));
        assert!(refusal(manager, command().current_dir("/a\0")).await.contains("NUL byte"));
        assert!(refusal(manager, command().description("a\0")).await.contains("description"));
        assert!(
            refusal(
                manager,
                command().extra("Nice", Value::Array(sdrun::Signature::new("s").unwrap(), vec![Value::U32(1)]))
            )
            .await
            .contains("array of \"s\"")
        );
        // The first problem is the one that is reported.
        assert!(refusal(manager, Command::new("").arg("a\0")).await.contains("may not be empty"));
    }
}

#[tokio::test]
async fn a_name_in_use_is_refused_by_systemd() {
    for (transport, manager) in managers().await {
        let name = format!("sdrun-taken-{transport}-{}", std::process::id());
        // Failed and not collected, it stays loaded.
        let first = Command::new("/bin/false").name(&name).start(&manager).await.unwrap();
        assert_eq!(soon("the exit", first.wait()).await.unwrap().code(), Some(1));
        let again = Command::new("/bin/true").name(&name).start(&manager).await;
        match again {
            Err(Error::UnitExists { name: taken, message }) => {
                assert_eq!(*taken, format!("{name}.service"));
                assert!(!message.is_empty());
            }
            other => panic!("{other:?}"),
        }
        // A spawned one says it when it is awaited.
        let unit = Command::new("/bin/true").name(&name).spawn().unwrap();
        let end = soon("the refusal", unit.wait()).await;
        assert!(matches!(end, Err(Error::UnitExists { .. })), "{end:?}");
        systemctl(&["reset-failed", &format!("{name}.service")]);
    }
}

#[tokio::test]
async fn what_systemd_refuses_comes_in_its_own_words() {
    for (_, manager) in managers().await {
        let mut wrong_type = Command::new("/bin/true");
        let refused = wrong_type.extra("Nice", "high").start(&manager).await;
        assert!(matches!(refused, Err(Error::Call { method: "StartTransientUnit", .. })), "{refused:?}");
        let unknown = Command::new("/bin/true").extra("NoSuchThing", 1u32).start(&manager).await;
        let Err(Error::Call { name, message, .. }) = &unknown else { panic!("{unknown:?}") };
        assert!(message.contains("NoSuchThing"), "{name} {message}");
        let unit = Command::new("/bin/true").extra("Requires", ["sdrun-no-such.service"]).start(&manager).await;
        assert!(
            matches!(&unit, Err(Error::Call { name, .. }) if &**name == "org.freedesktop.systemd1.NoSuchUnit"),
            "{unit:?}"
        );
        // More refusals than there are places for starts: each has given its place back.
        for _ in 0..200 {
            assert!(Command::new("/bin/true").extra("Nice", "high").start(&manager).await.is_err());
        }
        let exit = soon("a later run", Command::new("/bin/true").collect(true).start(&manager).await.unwrap()).await;
        assert!(exit.unwrap().success());
    }
}

#[tokio::test]
async fn properties_that_do_not_exist() {
    let manager = on_bus().await;
    let unit = Command::new("/bin/sleep").arg("1000").collect(true).start(&manager).await.unwrap();
    assert_eq!(unit.get("Type").await.unwrap(), "simple".into());
    assert!(matches!(unit.get("Id").await, Ok(Value::Str(name)) if name == unit.name()));
    let missing = unit.get("NoSuchThing").await;
    assert!(matches!(&missing, Err(Error::Call { method: "Get", .. })), "{missing:?}");
    systemctl(&["stop", unit.name()]);
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
}

#[test]
fn outside_of_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(Command::new("/bin/true").spawn(), Err(Error::NoRuntime)));
    assert!(matches!(futures::executor::block_on(Manager::system()), Err(Error::NoRuntime)));
    assert!(matches!(futures::executor::block_on(sdrun::run("/bin/true")), Err(Error::NoRuntime)));
    // The runtime that drove the connection is gone.
    let manager = runtime().block_on(on_bus());
    let error = futures::executor::block_on(Command::new("/bin/true").start(&manager)).unwrap_err();
    assert!(matches!(error, Error::RuntimeGone), "{error:?}");
}

/// What a process is told that has no way to a manager. Each needs an environment of its own.
#[test]
fn managers_that_cannot_be_reached() {
    if !support::is_root() {
        return; // the cases below are set up by root
    }
    // (who, how the environment is changed, what is asked for, what the error says)
    type Prepare = fn(&mut std::process::Command) -> &mut std::process::Command;
    let cases: [(&str, Prepare, &str, &str); 5] = [
        (
            "a user",
            |c| c.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS"),
            "user",
            "XDG_RUNTIME_DIR",
        ),
        ("a user", |c| c, "private", "for root"),
        ("a user", |c| c, "start", "Manager::user()"),
        (
            "a user",
            |c| c.env("XDG_RUNTIME_DIR", "/nonexistent").env_remove("DBUS_SESSION_BUS_ADDRESS"),
            "user",
            "enable-linger",
        ),
        ("no systemd", |c| c, "system", "systemd does not run this machine"),
    ];
    for (who, prepare, wanted, says) in cases {
        let arguments = ["unreachable", "--exact", "--ignored", "--nocapture"];
        let mut command = if who == "a user" {
            support::as_user(&arguments)
        } else {
            // A view of the machine without anything of systemd's in /run.
            let mut command = std::process::Command::new("unshare");
            command.args(["--mount", "--", "sh", "-c", "mount -t tmpfs none /run && exec \"$@\"", "sh"]);
            command.arg(std::env::current_exe().unwrap()).args(arguments);
            command
        };
        prepare(&mut command).env("SDRUN_TEST_WANTED", wanted).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{who}, {wanted}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(says), "{who}, {wanted}: {says:?} is not in {text}");
    }
}

#[test]
#[ignore = "run by `managers_that_cannot_be_reached`, in an environment of its own"]
fn unreachable() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        match std::env::var("SDRUN_TEST_WANTED").unwrap().as_str() {
            "user" => Manager::user().await.unwrap_err(),
            "system" => Manager::system().await.unwrap_err(),
            "private" => Manager::builder().system().transport(Transport::Private).connect().await.unwrap_err(),
            "start" => {
                let manager = Manager::system().await.expect("anyone may connect");
                let error = Command::new("/bin/true").start(&manager).await.unwrap_err();
                assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
                error
            }
            other => panic!("{other}"),
        }
    });
    println!("{error}");
}

fn systemctl(arguments: &[&str]) {
    let status = std::process::Command::new("systemctl").arg(support::scope()).args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}
