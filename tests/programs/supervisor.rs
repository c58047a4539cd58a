//! `examples/supervisor.rs`.

use nix::sys::signal::Signal;

use super::program::{Program, Stopped, calm, property};
use super::support::{Folder, systemctl, until};

/// Services for one test, with names that no other has.
struct Services {
    folder: Folder,
    names: Vec<String>,
    _stopped: Stopped,
}

impl Services {
    /// From a name and a script for each.
    fn new(services: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let full = |name: &str| format!("{name}-{}", std::process::id());
        let line = |(name, script): &(&str, &str)| {
            let script = script.replace("FOLDER", &folder.path(""));
            format!("{} /bin/sh -c '{script}'\n", full(name))
        };
        let lines: String = services.iter().map(line).collect();
        std::fs::write(folder.path("services"), format!("# NAME COMMAND\n\n{lines}")).unwrap();
        let names: Vec<_> = services.iter().map(|(name, _)| full(name)).collect();
        let stopped = Stopped(names.iter().map(|name| unit(name)).collect());
        Services { folder, names, _stopped: stopped }
    }

    fn supervise(&self, options: &[&str]) -> Program {
        Program::start("supervisor", &[options, &[&self.folder.path("services")]].concat())
    }

    /// One that has adopted them all from one that was killed, and in which run each was then.
    async fn supervised_anew(&self) -> (Program, Vec<String>) {
        let mut supervisor = self.supervise(&[]);
        supervisor.lines(&self.all("is ready")).await;
        let before = self.runs();
        supervisor.signal(Signal::SIGKILL);
        supervisor.end().await;
        let mut supervisor = self.supervise(&[]);
        supervisor.lines(&self.all("adopted supervised-")).await;
        (supervisor, before)
    }

    /// This said of each.
    fn all(&self, what: &str) -> Vec<String> {
        self.names.iter().map(|name| format!("{name}: {what}")).collect()
    }

    /// Which run each is in.
    fn runs(&self) -> Vec<String> {
        self.names.iter().map(|name| property(&unit(name), "InvocationID")).collect()
    }
}

fn unit(name: &str) -> String {
    format!("supervised-{name}.service")
}

/// Ready at once, and says goodbye when it is stopped.
const GOOD: &str =
    r#"trap "echo bye >>FOLDER/bye; exit 0" TERM; systemd-notify --ready; while :; do sleep 1000 & wait; done"#;

#[tokio::test]
async fn one_that_is_killed_is_started_again() {
    let _calm = calm().await;
    let services = Services::new(&[("killed", GOOD), ("other", GOOD)]);
    let mut supervisor = services.supervise(&[]);
    supervisor.lines(&services.all("is ready")).await;
    let before = services.runs();
    let name = &services.names[0];
    systemctl(&["kill", "--signal=KILL", &unit(name)]);
    let ended = supervisor.line(&format!("{name}: ended")).await;
    assert_eq!(ended, format!("{name}: ended: signal (main process killed, signal 9 (SIGKILL)); again in 100ms"));
    supervisor.line(&format!("{name}: started")).await;
    supervisor.line(&format!("{name}: is ready")).await;
    // In a new run, and the other was left alone.
    let after = services.runs();
    assert!(before[0] != after[0] && before[1] == after[1], "{before:?} {after:?}");
    assert_eq!(property(&unit(name), "Slice"), "supervised.slice");
    supervisor.signal(Signal::SIGINT);
    assert!(supervisor.end().await.0.success());
}

#[tokio::test]
async fn it_is_killed_and_finds_them_again_and_stops_them() {
    let _calm = calm().await;
    let services = Services::new(&[("one", GOOD), ("two", GOOD), ("three", GOOD)]);
    let (supervisor, before) = services.supervised_anew().await;
    supervisor.signal(Signal::SIGTERM);
    let (status, said) = supervisor.end().await;
    assert!(status.success(), "{status}");
    assert!(!said.iter().any(|line| line.ends_with(": started")), "{said:?}");
    for stopped in services.all("stopped: success (main process exited, status 0)") {
        assert!(said.contains(&stopped), "{stopped}: {said:?}");
    }
    // They were the same all the time, each could end in its own way, and they are gone.
    assert_eq!(services.folder.read("bye"), "bye\n".repeat(3));
    for (name, run) in services.names.iter().zip(before) {
        assert_eq!(run.len(), 32, "{run}");
        assert_eq!(property(&unit(name), "LoadState"), "not-found");
    }
}

#[tokio::test]
async fn adopted_ones_are_kept_up_in_the_same_run() {
    let _calm = calm().await;
    let services = Services::new(&[("adopted", GOOD)]);
    let (mut supervisor, before) = services.supervised_anew().await;
    supervisor.lines(&services.all("is ready")).await;
    assert_eq!(services.runs(), before);
    systemctl(&["kill", "--signal=KILL", &unit(&services.names[0])]);
    supervisor.lines(&services.all("ended: signal")).await;
    supervisor.lines(&services.all("is ready")).await;
    assert_ne!(services.runs(), before);
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.end().await.0.success());
}

#[tokio::test]
async fn it_is_ready_when_it_says_so() {
    let _calm = calm().await;
    let services = Services::new(&[(
        "slow",
        "touch FOLDER/runs; until [ -e FOLDER/gate ]; do sleep 0.02; done; systemd-notify --ready; sleep 1000",
    )]);
    let mut supervisor = services.supervise(&[]);
    supervisor.lines(&services.all("started")).await;
    until("it runs", || std::path::Path::new(&services.folder.path("runs")).exists()).await;
    let unit = unit(&services.names[0]);
    assert_eq!([property(&unit, "ActiveState"), property(&unit, "Type")], ["activating", "notify"]);
    std::fs::write(services.folder.path("gate"), "").unwrap();
    supervisor.lines(&services.all("is ready")).await;
    assert_eq!(property(&unit, "ActiveState"), "active");
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.end().await.0.success());
}

#[tokio::test]
async fn one_that_is_silent_is_killed_and_one_that_fails_waits_longer_each_time() {
    let _calm = calm().await;
    let services = Services::new(&[("mute", "systemd-notify --ready; sleep 1000"), ("failing", "exit 3")]);
    let mut supervisor = services.supervise(&["--watchdog", "0.5"]);
    let [mute, failing] = &services.names[..] else { unreachable!() };
    let why = "ended: exit-code (main process exited, status 3); again in";
    let waits = ["100ms", "200ms", "400ms", "800ms"].map(|wait| format!("{failing}: {why} {wait}"));
    let watchdog = ["100ms", "200ms"]
        .map(|wait| format!("{mute}: ended: watchdog (main process killed, signal 6 (SIGABRT)); again in {wait}"));
    supervisor.lines(&[&waits[..], &watchdog[..]].concat()).await;
    supervisor.signal(Signal::SIGTERM);
    let (status, said) = supervisor.end().await;
    assert!(status.success(), "{status}: {said:?}");
    for name in [mute, failing] {
        assert_eq!(property(&unit(name), "LoadState"), "not-found", "{said:?}");
    }
}
