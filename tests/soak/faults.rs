//! What goes wrong, at random: to the bus daemon and the manager of this process, and to this process itself.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sdrun::Manager;

use crate::random::Random;
use crate::support::{DEADLINE, scope, shell};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `daemon-reload`.
    Reload,
    /// `daemon-reexec`: resets the private connection.
    Reexec,
    /// Another bus daemon.
    Restart,
    /// No bus for a while.
    Absence,
    /// SIGKILL to the bus daemon; the next one who connects starts another.
    Kill,
    /// SIGSTOP to the bus daemon, for a while.
    Pause,
    /// SIGSTOP to this process, for a while.
    Stop,
    /// The signals of some hundred units of somebody else.
    Flood,
}

const ALL: [(&str, Fault); 8] = [
    ("reload", Fault::Reload),
    ("reexec", Fault::Reexec),
    ("restart", Fault::Restart),
    ("absence", Fault::Absence),
    ("kill", Fault::Kill),
    ("pause", Fault::Pause),
    ("stop", Fault::Stop),
    ("flood", Fault::Flood),
];

#[derive(Clone)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// By their names, with commas or blanks between.
    pub fn named(names: &str) -> Self {
        let words = names.split([',', ' ']).filter(|word| !matches!(*word, "" | "none"));
        let mut faults = Vec::new();
        for word in words {
            match ALL.iter().find(|(name, _)| *name == word) {
                Some((_, fault)) => faults.push(*fault),
                None if word == "all" => faults.extend(ALL.map(|(_, fault)| fault)),
                None => panic!("SOAK_FAULTS: {word} is none of {:?}", ALL.map(|(name, _)| name)),
            }
        }
        Faults(faults)
    }

    /// Whether one of them closes the connection of this kind.
    pub fn cut(&self, private: bool) -> bool {
        let cuts = |fault: &Fault| match fault {
            Fault::Reexec => private,
            Fault::Restart | Fault::Absence | Fault::Kill => !private,
            Fault::Reload | Fault::Pause | Fault::Stop | Fault::Flood => false,
        };
        self.0.iter().any(cuts)
    }

    /// One after the other, until it is over. How many there were.
    pub async fn happen(self, mut random: Random, over: Arc<AtomicBool>, spare: Manager, verbose: bool) -> u64 {
        let mut count = 0;
        while !self.0.is_empty() {
            tokio::time::sleep(Duration::from_millis(200 + random.below(3000))).await;
            if over.load(Ordering::SeqCst) {
                break;
            }
            let fault = random.of(&self.0);
            let pause = Duration::from_millis(random.below(3000));
            let begun = std::time::Instant::now();
            match fault {
                Fault::Flood => flood(&spare).await,
                fault => tokio::task::spawn_blocking(move || happens(fault, pause)).await.unwrap(),
            }
            if verbose {
                println!("soak: {fault:?} {:?}", begun.elapsed());
            }
            count += 1;
        }
        count
    }
}

fn happens(fault: Fault, pause: Duration) {
    let both = ["dbus.socket", "dbus.service"];
    if matches!(fault, Fault::Restart | Fault::Absence | Fault::Kill) {
        // As often as we like: a limit of starts would keep it from coming back.
        let _ = systemctl(&["reset-failed", both[0], both[1]]);
    }
    match fault {
        Fault::Reload => insist(&["daemon-reload"]),
        Fault::Reexec => insist(&["daemon-reexec"]),
        Fault::Restart => insist(&["restart", "dbus.service"]),
        Fault::Absence => {
            insist(&["stop", both[0], both[1]]);
            std::thread::sleep(pause);
            insist(&["start", both[0], both[1]]);
        }
        Fault::Kill => drop(bus_daemon().map(|daemon| kill(daemon, Signal::SIGKILL))),
        Fault::Pause => {
            let Some(daemon) = bus_daemon() else { return };
            let _ = kill(daemon, Signal::SIGSTOP);
            std::thread::sleep(pause);
            let _ = kill(daemon, Signal::SIGCONT);
        }
        Fault::Stop => {
            // Somebody else has to make it go on again.
            let script = format!("kill -STOP {0}; sleep {1}; kill -CONT {0}", std::process::id(), pause.as_secs_f32());
            let status = Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell");
            assert!(status.success());
        }
        Fault::Flood => unreachable!("done elsewhere"),
    }
}

/// 300 units of another client, as fast as they go.
async fn flood(spare: &Manager) {
    let units = stream::iter(0..300).map(|_| async {
        // What becomes of them is of no interest.
        if let Ok(unit) = shell("exit 0").start(spare).await {
            let _ = tokio::time::timeout(DEADLINE, unit.wait()).await;
        }
    });
    units.buffer_unordered(64).collect::<Vec<_>>().await;
}

fn bus_daemon() -> Option<Pid> {
    let process = systemctl(&["show", "--value", "--property=MainPID", "dbus.service"])?;
    process.trim().parse().ok().filter(|process| *process > 0).map(Pid::from_raw)
}

/// It may be refused while the manager is busy with itself.
fn insist(arguments: &[&str]) {
    for _ in 0..100 {
        if systemctl(arguments).is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("systemctl {arguments:?} fails");
}

fn systemctl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("systemctl").arg(scope()).args(arguments).output().expect("systemctl runs");
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}
