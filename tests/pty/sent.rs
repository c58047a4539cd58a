//! What is set of a unit's terminal, compared with what systemd-run sets.
//!
//! systemd-run passes the three streams as descriptors, beside the path, and leaves the words for them as they are. Here
//! they are words: systemd 252 forgets the descriptors when it restarts the unit.

use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sdrun_sys::terminal;

use crate::support::{self, managers, soon, systemctl};

/// What belongs to a terminal, of all properties of a service.
const PREFIXES: [&str; 12] = [
    "Standard",
    "TTY",
    "Environment",
    "PassEnvironment",
    "UnsetEnvironment",
    "Utmp",
    "PAMName",
    "IgnoreSIGPIPE",
    "SendSIGHUP",
    "KillMode",
    "KillSignal",
    "SetLoginEnvironment",
];

const STREAMS: [&str; 3] = ["StandardInput=", "StandardOutput=", "StandardError="];

/// The words for the three streams, then those others of a unit, with the number of its terminal left out.
fn properties(unit: &str) -> (Vec<String>, Vec<String>) {
    let all = systemctl(&["show", "--all", unit]);
    let mut lines: Vec<_> = all
        .lines()
        .filter(|line| PREFIXES.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| line.trim_end_matches(|c: char| c.is_ascii_digit() && line.starts_with("TTYPath=")).to_owned())
        .collect();
    lines.sort();
    // Without one of its own systemd-run sends none, and we what systemd would take it for.
    lines.retain(|line| !line.starts_with("Environment=") || std::env::var_os("TERM").is_some());
    lines.into_iter().partition(|line| STREAMS.iter().any(|stream| line.starts_with(stream)))
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_is_sent() {
    let theirs = format!("sdrun-sent-{}-{}.service", std::process::id(), support::scope().trim_matches('-'));
    let master = terminal::open_master().unwrap();
    let slave = terminal::open_peer(master.as_fd()).unwrap();
    let end = || Stdio::from(slave.try_clone().unwrap());
    let mut systemd_run = Command::new("systemd-run");
    systemd_run.args([support::scope(), "--pty", "--quiet", "--collect", "--unit", &theirs, "/bin/sleep", "1000"]);
    let mut child = Killed(systemd_run.stdin(end()).stdout(end()).spawn().unwrap());
    let active = async {
        let is_active = || {
            let state = Command::new("systemctl").args([support::scope(), "is-active", "--quiet", &theirs]).status();
            state.unwrap().success()
        };
        while !is_active() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("systemd-run's unit", active).await;
    let (_, expected) = properties(&theirs);
    assert!(expected.contains(&"TTYPath=/dev/pts/".to_owned()), "{expected:#?}");
    systemctl(&["kill", "--signal=KILL", &theirs]);
    // It ends with the unit; were it killed before, systemd would take the path of its terminal for another's.
    let ended = async {
        while child.0.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the end of systemd-run", ended).await;
    for (name, manager) in managers().await {
        let mut command = sdrun::Command::new("/bin/sleep");
        let unit = command.arg("1000").collect(true).kill_on_drop(true).pty().start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        let (words, rest) = properties(unit.name());
        assert_eq!(words, ["StandardError=tty", "StandardInput=tty", "StandardOutput=tty"], "{name}");
        assert_eq!(rest, expected, "{name}");
    }
}
