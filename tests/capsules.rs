//! Managers of capsules.

mod support;

use std::process::Command as Program;
use std::sync::atomic::{AtomicUsize, Ordering};

use sdrun::{Command, Error, Manager, Status, Stdio, Transport};
use support::{soon, systemd_version};
use tokio::io::AsyncReadExt;

/// The systemd that brought capsules.
const SINCE: u32 = 256;

/// Everything in this file again as an ordinary user.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// A capsule that runs, until this is dropped.
struct Capsule(String);

impl Capsule {
    fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let capsule = Capsule(format!("sdrun-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        assert!(capsule.systemctl("start").success());
        capsule
    }

    fn systemctl(&self, verb: &str) -> std::process::ExitStatus {
        Program::new("systemctl").args([verb, &format!("capsule@{}.service", self.0)]).status().unwrap()
    }
}

impl Drop for Capsule {
    fn drop(&mut self) {
        self.systemctl("stop");
    }
}

fn are_there() -> bool {
    support::is_root() && systemd_version() >= SINCE
}

#[tokio::test]
async fn commands_run_there() {
    if !are_there() {
        return;
    }
    let capsule = Capsule::start();
    for transport in [Transport::Auto, Transport::Bus, Transport::Private] {
        let manager = soon("the capsule", Manager::builder().capsule(&capsule.0).transport(transport).connect()).await;
        let manager = manager.unwrap_or_else(|error| panic!("{transport:?}: {error}"));
        assert_eq!(manager.is_private(), transport == Transport::Private);
        let script = format!("test $XDG_RUNTIME_DIR = /run/capsules/{} && test $(id -u) != 0 && exit 7", capsule.0);
        for _ in 0..3 {
            let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await.unwrap();
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(7)), "{transport:?}");
        }
        // Descriptors are passed: as a pipe, and as a terminal that its user could not open by name.
        let mut command = Command::from(["/bin/sh", "-c", "echo hello; exit 3"]);
        let mut unit = command.stdout(Stdio::piped()).collect(true).start(&manager).await.unwrap();
        let mut said = String::new();
        soon("the output", unit.stdout.take().unwrap().read_to_string(&mut said)).await.unwrap();
        assert_eq!(said, "hello\n");
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(3));
        let mut command = Command::from(["/bin/sh", "-c", "test -t 0 && test -t 1 && exit 5"]);
        let unit = command.pty().collect(true).start(&manager).await.unwrap();
        let output = soon("the exit", unit.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(5), "{transport:?}");
    }
    // It may also be named in a moment when nobody else has come yet.
    let shared = soon("the capsule", Manager::capsule(&capsule.0)).await.unwrap();
    drop(capsule);
    let later = soon("a later start", Command::new("/bin/true").start(&shared)).await;
    assert!(later.is_err(), "{later:?}");
}

/// Who is in a capsule may put links in the place of its sockets: root does not follow them to where they may not go.
#[tokio::test]
async fn links_lead_no_further_than_its_user_may_go() {
    if !are_there() {
        return;
    }
    let capsule = Capsule::start();
    let private = format!("/run/capsules/{}/systemd/private", capsule.0);
    std::fs::rename(&private, format!("{private}.away")).unwrap();
    std::os::unix::fs::symlink("/run/systemd/private", &private).unwrap();
    let manager =
        soon("the error", Manager::builder().capsule(&capsule.0).transport(Transport::Private).connect()).await;
    // Where the host's own manager was reached, this would be a root's command.
    assert!(manager.is_err(), "{manager:?}");
    std::fs::rename(format!("{private}.away"), &private).unwrap();
}

#[tokio::test]
async fn a_capsule_that_does_not_run() {
    let error = soon("the error", Manager::capsule("sdrun-none")).await.unwrap_err();
    let text = error.to_string();
    if systemd_version() < SINCE {
        assert!(matches!(error, Error::Unsupported { since: SINCE, .. }), "{error:?}");
        assert!(text.contains("needs systemd 256"), "{text}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Unsupported);
    } else {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(
            text.contains("\"sdrun-none\"") && text.contains("systemctl start capsule@sdrun-none.service"),
            "{text}"
        );
    }
}

/// The longest name that systemd takes, and one longer.
#[tokio::test]
async fn names() {
    for name in ["", "a b", "a/b", "../x", "a.b", "é", "a\0b", &"a".repeat(30)] {
        let error = soon("the error", Manager::capsule(name)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { what: "capsule name", .. }), "{name:?}: {error:?}");
    }
    if systemd_version() >= SINCE {
        for (length, is_name) in [(29, true), (30, false)] {
            let name = "a".repeat(length);
            let output = Program::new("systemd-run").args(["--capsule", &name, "/bin/true"]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(!said.contains("Invalid capsule name"), is_name, "{said}");
        }
    }
}
