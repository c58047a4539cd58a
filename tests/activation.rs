//! `activated()` resolves when the start has come to what it should, not before, and fails when it has not.

mod support;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use sdrun::{Command, Error, Exit, Manager, Outcome, Result, Signature, Status, Unit, Value};
use support::{exec_line, managers, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// The start's verdict and the unit's exit; asked for before and after the end.
async fn verdict(command: &mut Command, manager: &Manager) -> (Result<()>, Exit) {
    let unit = command.start(manager).await.unwrap();
    let activated = soon("the activation", unit.activated()).await;
    let exit = soon("the exit", unit.wait()).await.unwrap();
    let again = soon("the activation again", unit.activated()).await;
    assert_eq!(activated.is_ok(), again.is_ok(), "{exit:?}");
    if let Err(error) = &activated {
        let Error::Failed { exit: inner } = error else { panic!("{error:?}") };
        assert_eq!(**inner, exit);
        assert_eq!(std::io::Error::from(error.clone()).kind(), std::io::ErrorKind::Other);
        assert!(error.to_string().contains(unit.name()), "{error}");
    }
    (activated, exit)
}

async fn activates(command: &mut Command, manager: &Manager) -> Exit {
    let (activated, exit) = verdict(command, manager).await;
    assert!(activated.is_ok(), "{activated:?}");
    exit
}

async fn fails(command: &mut Command, manager: &Manager) -> Exit {
    let (activated, exit) = verdict(command, manager).await;
    assert!(activated.is_err(), "{exit:?}");
    exit
}

/// A FIFO that a script reads from, and so waits at.
struct Gate(PathBuf);

impl Gate {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sdrun-gate-{name}-{}", std::process::id()));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Gate(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until somebody is at the gate.
    async fn reached(&self) -> File {
        let path = self.0.clone();
        let opened = tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(path));
        soon("the gate", opened).await.unwrap().unwrap()
    }

    /// Lets whoever waits pass, once somebody does.
    async fn open(&self) {
        self.reached().await.write_all(b"go\n").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[tokio::test]
async fn notify_is_activated_at_ready_and_not_before() {
    for (transport, manager) in managers().await {
        let (before, after) = (Gate::new(&format!("before-{transport}")), Gate::new(&format!("after-{transport}")));
        let script = format!(
            "read x <{}; systemd-notify --ready; read x <{}; exit 4",
            before.path().display(),
            after.path().display()
        );
        let mut command = shell(&script);
        command.extra("Type", "notify").extra("NotifyAccess", "all");
        let unit = command.start(&manager).await.unwrap();
        // A property that is read comes after every signal that was sent before it.
        let mut gate = before.reached().await;
        assert_eq!(unit.get("ActiveState").await.unwrap(), "activating".into(), "{transport}");
        assert!(unit.activated().now_or_never().is_none(), "{transport}: it is not ready");
        gate.write_all(b"go\n").unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        assert!(unit.try_wait().unwrap().is_none(), "{transport}: it runs");
        assert_eq!(unit.get("ActiveState").await.unwrap(), "active".into(), "{transport}");
        after.open().await;
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(4)), "{transport}");
        unit.activated().now_or_never().expect("it was").unwrap();
    }
}

#[tokio::test]
async fn notify_that_is_never_ready() {
    for (_, manager) in managers().await {
        let exit = fails(shell("exit 0").extra("Type", "notify"), &manager).await;
        assert_eq!(exit.result, Outcome::Protocol);
        let exit = fails(shell("exit 6").extra("Type", "notify"), &manager).await;
        assert_eq!(exit.status, Some(Status::Exited(6)));
    }
}

#[tokio::test]
async fn programs_that_cannot_be_executed() {
    for (transport, manager) in managers().await {
        let mut missing = Command::new("/nonexistent/program");
        let exit = fails(missing.collect(true).extra("Type", "exec"), &manager).await;
        assert_eq!(exit.status, Some(Status::Exited(203)), "{transport}");
        // A simple service is up before it is tried.
        let exit = activates(Command::new("/nonexistent/program").collect(true), &manager).await;
        assert_eq!(exit.status, Some(Status::Exited(203)), "{transport}");
        // One that fails at once may have failed before systemd heard that it was executed.
        let gate = Gate::new(&format!("exec-{transport}"));
        let script = format!("read x <{}; exit 3", gate.path().display());
        let unit = shell(&script).extra("Type", "exec").start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        gate.open().await;
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(3)), "{transport}");
    }
}

#[tokio::test]
async fn simple_services_that_end_at_once() {
    for (_, manager) in managers().await {
        for _ in 0..50 {
            let exit = activates(&mut shell("exit 3"), &manager).await;
            assert_eq!(exit.status, Some(Status::Exited(3)));
        }
    }
}

#[tokio::test]
async fn oneshots_have_run() {
    for (transport, manager) in managers().await {
        let exit = activates(shell("exit 0").extra("Type", "oneshot"), &manager).await;
        assert!(exit.success(), "{transport}");
        let exit = fails(shell("exit 9").extra("Type", "oneshot"), &manager).await;
        assert_eq!(exit.status, Some(Status::Exited(9)), "{transport}");
        let gate = Gate::new(&format!("oneshot-{transport}"));
        let script = format!("read x <{}", gate.path().display());
        let unit = shell(&script).extra("Type", "oneshot").start(&manager).await.unwrap();
        let mut open = gate.reached().await;
        assert_eq!(unit.get("ActiveState").await.unwrap(), "activating".into(), "{transport}");
        assert!(unit.activated().now_or_never().is_none(), "{transport}: it has not run");
        open.write_all(b"go\n").unwrap();
        soon("the activation", unit.activated()).await.unwrap();
    }
}

#[tokio::test]
async fn starts_that_fail_or_are_skipped() {
    for (transport, manager) in managers().await {
        let pre = exec_line(&["/bin/sh", "-c", "exit 2"]);
        let exit = fails(shell("exit 0").extra("ExecStartPre", pre.clone()), &manager).await;
        assert_eq!(exit.result, Outcome::ExitCode, "{transport}: {exit:?}");
        let post = fails(shell("sleep 1000").extra("ExecStartPost", pre.clone()), &manager).await;
        assert_eq!(post.result, Outcome::ExitCode, "{transport}");
        let exit = fails(shell("exit 0").extra("ExecCondition", pre), &manager).await;
        assert_eq!(exit.result, Outcome::ExecCondition, "{transport}");
        for (property, outcome) in [("Conditions", Outcome::Condition), ("Asserts", Outcome::Assert)] {
            let name = format!("{}PathExists", property.trim_end_matches('s'));
            let fields = vec![name.as_str().into(), false.into(), false.into(), "/nonexistent".into()];
            let conditions = Value::Array(Signature::new("(sbbs)").unwrap(), vec![Value::Struct(fields)]);
            let exit = fails(shell("exit 0").extra(property, conditions), &manager).await;
            assert_eq!(exit.result, outcome, "{transport}");
        }
    }
}

#[tokio::test]
async fn units_that_remain() {
    for (transport, manager) in managers().await {
        let mut command = shell("exit 0");
        let unit = command.extra("RemainAfterExit", true).start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        assert!(soon("the exit", unit.wait()).await.unwrap().success());
        soon("the activation", unit.activated()).await.unwrap();
        assert_eq!(unit.get("SubState").await.unwrap(), "exited".into(), "{transport}");
        unit.stop().await.unwrap();
        unit.activated().await.unwrap();
    }
}

/// The first attempts fail; a later one is ready.
#[tokio::test]
async fn a_later_attempt_that_succeeds() {
    for (transport, manager) in managers().await {
        for kind in ["notify", "oneshot"] {
            let counter = std::env::temp_dir().join(format!("sdrun-try-{transport}-{kind}-{}", std::process::id()));
            let script = format!(
                "echo >>{0}; test $(wc -l <{0}) -ge 3 || exit 5; systemd-notify --ready; exit 0",
                counter.display()
            );
            let mut command = shell(&script);
            command.extra("Type", kind).extra("NotifyAccess", "all");
            command.extra("Restart", "on-failure").extra("RestartUSec", 1000u64);
            let exit = activates(&mut command, &manager).await;
            assert!(exit.success(), "{transport}, {kind}: {exit:?}");
            assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), 3);
            std::fs::remove_file(counter).unwrap();
        }
    }
}

#[tokio::test]
async fn starts_that_are_refused() {
    for (_, manager) in managers().await {
        drop(manager);
        let unit = Command::new("/bin/true").extra("NoSuchProperty", 1u32).spawn().unwrap();
        assert!(matches!(soon("the activation", unit.activated()).await, Err(Error::Call { .. })));
    }
}

/// Many wait for one activation, and some of them give up.
#[tokio::test]
async fn many_wait() {
    for (transport, manager) in managers().await {
        let gate = Gate::new(&format!("many-{transport}"));
        let script = format!("read x <{}; systemd-notify --ready; sleep 1000", gate.path().display());
        let mut command = shell(&script);
        let unit: Unit = command.extra("Type", "notify").extra("NotifyAccess", "all").start(&manager).await.unwrap();
        for _ in 0..10 {
            assert!(unit.activated().now_or_never().is_none());
            assert!(unit.wait().now_or_never().is_none());
        }
        let all = futures::future::join_all((0..10).map(|_| unit.activated()));
        let (activated, ()) = soon("all", futures::future::join(all, gate.open())).await;
        assert!(activated.iter().all(Result::is_ok));
        unit.stop().await.unwrap();
        assert!(soon("the exit", unit.wait()).await.unwrap().check().is_err());
    }
}
