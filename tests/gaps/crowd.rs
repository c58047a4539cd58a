//! Units that end when they are told to, each in a way of its own, and count how often they ran.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use sdrun::{Error, Exit, Manager, Outcome, Result, ServiceType, Status, Unit};

use crate::support::{Folder, scope, soon, systemctl, until};

/// How much of a unit is left when it has ended, so how much of it can be learnt after a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unloaded at once.
    Collected,
    /// Where it failed, it stays loaded.
    Kept,
    /// Stays loaded until its exit was told.
    Durable,
    /// Unloaded at once, and nothing in the journal.
    Silent,
    /// Its start job lasts as long as its process. Unloaded at once.
    Oneshot,
    /// Stays `active` after its end.
    Remains,
}

pub const KINDS: [Kind; 6] = [Kind::Collected, Kind::Kept, Kind::Durable, Kind::Silent, Kind::Oneshot, Kind::Remains];

/// What a handle has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// How it ended, from the manager.
    Exit,
    /// How it ended, from the journal.
    Journal,
    /// That it cannot be known.
    Lost,
}

/// A program that waits, and what it will do then.
pub struct Case {
    pub kind: Kind,
    pub name: String,
    pub status: Status,
    /// The file that it writes a line to when it starts.
    ran: String,
}

pub struct Waiting {
    pub case: Case,
    pub unit: Unit,
}

/// Holds programs until it is opened.
pub struct Gate {
    number: usize,
    path: String,
    /// As long as it is open, who reads the FIFO waits.
    held: Option<File>,
}

pub struct Crowd {
    folder: Folder,
    prefix: String,
    gates: AtomicUsize,
    cases: AtomicUsize,
}

impl Crowd {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("gap-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Crowd { folder: Folder::new(), prefix, gates: AtomicUsize::new(0), cases: AtomicUsize::new(0) }
    }

    pub fn gate(&self) -> Gate {
        let number = self.gates.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.fifo(&format!("gate-{number}"));
        // For both, so that neither this nor a reader waits to open it.
        let held = File::options().read(true).write(true).open(&path).unwrap();
        Gate { number, path, held: Some(held) }
    }

    /// A program that ends when the gate is opened: each with another code, each eighth by a signal.
    pub fn command(&self, gate: &Gate, kind: Kind) -> (sdrun::Command, Case) {
        const SIGNALS: [i32; 6] = [9, 15, 1, 2, 10, 14];
        let number = self.cases.fetch_add(1, Ordering::Relaxed);
        let status = match number % 8 {
            7 => Status::Killed(SIGNALS[number / 8 % SIGNALS.len()]),
            _ => Status::Exited((number % 256) as u8),
        };
        self.numbered(number, gate, kind, status)
    }

    /// A program that ends in this way.
    pub fn command_that(&self, gate: &Gate, kind: Kind, status: Status) -> (sdrun::Command, Case) {
        self.numbered(self.cases.fetch_add(1, Ordering::Relaxed), gate, kind, status)
    }

    fn numbered(&self, number: usize, gate: &Gate, kind: Kind, status: Status) -> (sdrun::Command, Case) {
        let ran = self.folder.path(&format!("ran-{number}"));
        let end = match status {
            Status::Exited(code) => format!("exit {code}"),
            Status::Killed(signal) | Status::Dumped(signal) => format!("kill -{signal} $$"),
        };
        let script = format!("echo $INVOCATION_ID >>{ran}; read x <{}; {end}", gate.path);
        let mut command = sdrun::Command::from(["/bin/sh", "-c", &script]);
        let name = format!("{}-g{}-{number}.service", self.prefix, gate.number);
        command.name(&name).collect(kind != Kind::Kept);
        match kind {
            Kind::Collected | Kind::Kept => {}
            Kind::Durable => drop(crate::durable(&mut command)),
            Kind::Silent => drop(command.property("LogLevelMax=err").unwrap()),
            Kind::Oneshot => drop(command.service_type(ServiceType::Oneshot)),
            Kind::Remains => drop(command.remain_after_exit(true)),
        }
        (command, Case { kind, name, status, ran })
    }

    /// Starts so many of each kind.
    pub async fn start(&self, manager: &Manager, gate: &Gate, kinds: &[Kind], of_each: usize) -> Vec<Waiting> {
        let begin = async |kind| {
            let (mut command, case) = self.command(gate, kind);
            let unit = command.start(manager).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            Waiting { case, unit }
        };
        let all = (0..of_each).flat_map(|_| kinds).map(|kind| begin(*kind));
        soon("the starts", join_all(all)).await
    }

    /// Waits until each of them has started its program.
    pub async fn runs(&self, crowd: &[Waiting]) {
        until("the programs run", || crowd.iter().all(|waiting| !waiting.case.runs().is_empty())).await;
    }

    /// Lets the programs end, and waits until the manager knows that they have. (It is asked over its private socket.)
    pub async fn ended(&self, gate: &mut Gate) {
        gate.open();
        let pattern = format!("{}-g{}-*.service", self.prefix, gate.number);
        until("the units end", || !self.are_there(&pattern)).await;
    }

    /// Waits until the manager answers on this connection, which may be on its way back.
    pub async fn is_answered(&self, manager: &Manager) {
        let ask = async {
            while manager.unit("-.slice").await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("an answer", ask).await;
    }

    /// Waits until the manager has forgotten all of them.
    pub async fn until_unloaded(&self) {
        let pattern = format!("{}-*", self.prefix);
        let left = || systemctl(&["list-units", "--all", "--plain", "--no-legend", &pattern]);
        until("the units are unloaded", || left().is_empty()).await;
    }

    fn are_there(&self, pattern: &str) -> bool {
        let listed = systemctl(&["list-units", "--all", "--plain", "--no-legend", pattern]);
        // UNIT LOAD ACTIVE SUB DESCRIPTION
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        listed.lines().map(words).any(|words| {
            !matches!(words[2].as_str(), "inactive" | "failed") && words[3] != "exited" // it remains
        })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let pattern = format!("{}-*", self.prefix);
        for verb in ["stop", "reset-failed"] {
            let _ = Command::new("systemctl").args([scope(), verb, &pattern]).output();
        }
    }
}

impl Gate {
    pub fn open(&mut self) {
        // Who opens it later finds an empty file.
        let empty = format!("{}-open", self.path);
        File::create(&empty).unwrap();
        std::fs::rename(empty, &self.path).unwrap();
        self.held = None;
    }

    pub fn open_if_closed(&mut self) {
        if self.held.is_some() {
            self.open();
        }
    }

    /// Lets go who waits now; whoever comes later is held by the other one.
    pub fn open_and_hold(&mut self, other: &mut Gate) {
        std::fs::rename(&other.path, &self.path).unwrap();
        self.held = None;
    }

    /// A command that ends when it is opened.
    pub fn waiter(&self) -> sdrun::Exec {
        sdrun::Exec::from(["/bin/sh", "-c", &format!("read x <{}; exit 0", self.path)])
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // What waits still is to end, not to be stopped with a time limit.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Case {
    /// The invocation ID of each run of the program.
    pub fn runs(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.ran).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Whether it is a success to systemd, which then unloads it, if nothing keeps it.
    pub fn ends_well(&self) -> bool {
        self.outcome() == Outcome::Success
    }

    /// systemd's own verdict of such an end.
    fn outcome(&self) -> Outcome {
        match self.status {
            Status::Exited(0) => Outcome::Success,
            Status::Exited(_) => Outcome::ExitCode,
            // SIGHUP, SIGINT, SIGPIPE and SIGTERM are a success, but to a oneshot.
            Status::Killed(1 | 2 | 13 | 15) if self.kind != Kind::Oneshot => Outcome::Success,
            Status::Killed(_) => Outcome::Signal,
            Status::Dumped(_) => Outcome::CoreDump,
        }
    }

    /// What was told, which must be the truth. The program has run once, or, where that is not known, never.
    pub fn judge(&self, told: &Result<Exit>) -> Told {
        let Case { kind, name, status, .. } = self;
        let runs = self.runs();
        match told {
            Ok(exit) => {
                let is = format!("{kind:?} {name} {status:?}: {exit:?}, runs: {runs:?}");
                assert_eq!(runs.len(), 1, "{is}");
                assert_eq!(&*exit.unit, name, "{is}");
                assert_eq!(exit.invocation_id.map(|id| id.to_string()), Some(runs[0].clone()), "{is}");
                assert_eq!(exit.result, self.outcome(), "{is}");
                if !crate::is_from_journal(exit) {
                    assert_eq!(exit.status, Some(*status), "{is}");
                    return Told::Exit;
                }
                // Of a success it knows no more than that.
                let unsaid = exit.status.is_none() && exit.success();
                assert!(exit.status == Some(*status) || unsaid, "{is}");
                Told::Journal
            }
            Err(error) => {
                assert!(crate::is_lost(error), "{kind:?} {name}: {error:?}");
                assert!(runs.len() <= 1, "{kind:?} {name}: {error:?}, runs: {runs:?}");
                Told::Lost
            }
        }
    }
}

impl Waiting {
    /// Its end, which it tells again and again.
    pub async fn told(&self) -> (&Case, Told) {
        let told = soon(&self.case.name, self.unit.wait()).await;
        let verdict = self.case.judge(&told);
        for again in
            [soon(&self.case.name, self.unit.wait()).await, self.unit.try_wait().map(|end| end.expect("ended"))]
        {
            match (&told, &again) {
                (Ok(told), Ok(again)) => assert_eq!(told, again),
                (Err(told), Err(again)) => assert_eq!(told.to_string(), again.to_string()),
                _ => panic!("{told:?}, then {again:?}"),
            }
        }
        if let Err(error) = &told {
            assert!(names_what_is_known(error, &self.unit), "{error}");
        }
        (&self.case, verdict)
    }
}

/// Whether the error says of which unit it is, and of which run.
fn names_what_is_known(error: &Error, unit: &Unit) -> bool {
    matches!(error, Error::Lost { unit: name, invocation_id, .. }
        if **name == *unit.name() && *invocation_id == unit.invocation_id())
}

/// All ends. Each is the truth, and those that may be unknown were told to be so.
pub async fn all_told(crowd: &[Waiting]) -> Vec<(&Case, Told)> {
    soon("all exits", join_all(crowd.iter().map(Waiting::told))).await
}

/// All ends, of which none may be unknown.
pub async fn all_exits(what: &str, crowd: &[Waiting]) {
    for (case, told) in all_told(crowd).await {
        assert_eq!(told, Told::Exit, "{what}: {:?} {} {:?}", case.kind, case.name, case.status);
    }
}
