//! Units of all kinds, whose end is decided before they start.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sdrun::{Command, Error, Exit, Manager, Outcome, Scope, ServiceType, Status, Stdio, Unit, Whom};
use tokio::io::AsyncReadExt;

use crate::journal::{self, Ended};
use crate::random::Random;
use crate::support::{DEADLINE, Folder, is_root, scope, systemctl};
use crate::tally::{Counters, Tally, count};

/// How many ends there is room for, from the beginning, so that remembering them is no growth.
const MANY: usize = 400_000;

pub struct Load {
    /// Each with whether one of the faults cuts it.
    managers: Vec<(Manager, bool)>,
    folder: Folder,
    next: AtomicU64,
    counters: Counters,
    verbose: bool,
    /// More than all of it takes that works: a gap, and a busy machine.
    hangs: Duration,
    /// What was told, to be compared with the journal.
    ended: Mutex<Vec<Ended>>,
}

/// What happens to a unit.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// It ends by itself.
    Ends,
    Oneshot,
    /// It writes into a pipe.
    Pipe,
    /// It runs on a terminal.
    Terminal,
    Scope,
    /// It is stopped through its handle.
    Stop,
    /// It is sent a signal through its handle.
    Kill,
    /// Its start is dropped half-way, or when it is done.
    Cancel,
    /// Its handle is dropped, which stops it.
    Drop,
}

const DEEDS: [Deed; 14] = [
    Deed::Ends,
    Deed::Ends,
    Deed::Ends,
    Deed::Ends,
    Deed::Oneshot,
    Deed::Oneshot,
    Deed::Pipe,
    Deed::Pipe,
    Deed::Terminal,
    Deed::Scope,
    Deed::Stop,
    Deed::Kill,
    Deed::Cancel,
    Deed::Drop,
];

/// A unit, and what is known of it beforehand.
struct Plan {
    deed: Deed,
    name: String,
    status: Status,
    /// Its program writes a line to it when it starts.
    ran: PathBuf,
    /// Whether its end is never to be unknown.
    durable: bool,
    /// Whether its connection may be cut.
    cut: bool,
    /// Whether the journal says nothing of it.
    silent: bool,
    at: &'static str,
}

impl Load {
    pub fn new(managers: Vec<Manager>, plan: &crate::Plan) -> Self {
        let ended = vec![Ended::default(); MANY]; // written to, so that it is there
        let mut load = Load {
            managers: managers
                .into_iter()
                .map(|manager| (manager.clone(), plan.faults.cut(manager.is_private())))
                .collect(),
            folder: Folder::new(),
            next: AtomicU64::new(0),
            counters: Counters::default(),
            verbose: plan.verbose,
            hangs: plan.patience + Duration::from_secs(60),
            ended: Mutex::new(ended),
        };
        load.ended.get_mut().unwrap().clear();
        load
    }

    pub fn tally(&self) -> Tally {
        Tally::of(&self.counters)
    }

    /// For whoever floods it: the one on the bus.
    pub fn spare(&self) -> Manager {
        self.managers[0].0.clone()
    }

    /// One unit after the other, until it is over.
    pub async fn work(self: Arc<Self>, mut random: Random, over: Arc<AtomicBool>) {
        while !over.load(Ordering::SeqCst) {
            let (manager, plan) = self.plan(&mut random);
            count(&self.counters.units);
            let what = plan.to_string();
            match tokio::time::timeout(self.hangs, self.carry_out(&manager, plan, &mut random)).await {
                Ok(()) => {}
                Err(_) => {
                    println!("soak: LOST: {what}: nothing was told within {:?}", self.hangs);
                    count(&self.counters.lost);
                }
            }
        }
    }

    fn plan(&self, random: &mut Random) -> (Manager, Plan) {
        const SIGNALS: [i32; 6] = [1, 2, 9, 10, 14, 15];
        let (manager, cut) = &self.managers[random.below(self.managers.len() as u64) as usize];
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let deed = random.of(&DEEDS);
        let status = match deed {
            Deed::Stop | Deed::Cancel | Deed::Drop => Status::Killed(15),
            Deed::Kill => Status::Killed(random.of(&SIGNALS)),
            Deed::Pipe | Deed::Terminal | Deed::Scope => Status::Exited(random.below(256) as u8),
            _ if random.one_in(4) => Status::Killed(random.of(&SIGNALS)),
            _ if random.one_in(2) => Status::Exited(0),
            _ => Status::Exited(random.below(256) as u8),
        };
        let suffix = if matches!(deed, Deed::Scope) { "scope" } else { "service" };
        let ends = matches!(deed, Deed::Ends | Deed::Oneshot | Deed::Pipe | Deed::Terminal | Deed::Stop | Deed::Kill);
        let plan = Plan {
            deed,
            name: format!("soak-{number}.{suffix}"),
            status,
            ran: self.folder.path(&number.to_string()).into(),
            durable: ends && random.one_in(2),
            cut: *cut,
            silent: ends && random.one_in(16),
            at: if manager.is_private() { "private" } else { "bus" },
        };
        (manager.clone(), plan)
    }

    async fn carry_out(&self, manager: &Manager, plan: Plan, random: &mut Random) {
        match plan.deed {
            Deed::Scope => self.scope(manager, plan, random).await,
            _ => self.service(manager, plan, random).await,
        }
    }

    async fn service(&self, manager: &Manager, plan: Plan, random: &mut Random) {
        let ran = plan.ran.display();
        let end = match plan.status {
            Status::Exited(code) => format!("exit {code}"),
            Status::Killed(signal) | Status::Dumped(signal) => format!("kill -{signal} $$"),
        };
        let pause = if random.one_in(3) { format!("sleep 0.{:02}; ", random.below(50)) } else { String::new() };
        let lines = random.below(20_000);
        let action = match plan.deed {
            Deed::Ends | Deed::Oneshot | Deed::Scope => format!("{pause}{end}"),
            Deed::Pipe => format!("seq {lines}; {pause}{end}"),
            Deed::Terminal => format!("echo began; {pause}echo over; {end}"),
            Deed::Stop | Deed::Kill | Deed::Cancel | Deed::Drop => "exec sleep 1000".into(),
        };
        let mut command = Command::from(["/bin/sh", "-c", &format!("echo $INVOCATION_ID >>{ran}; {action}")]);
        command.name(&plan.name).collect(true);
        match plan.deed {
            Deed::Oneshot => drop(command.service_type(ServiceType::Oneshot)),
            Deed::Pipe => drop(command.stdout(Stdio::piped())),
            Deed::Terminal => drop(command.env("TERM", "dumb").pty()),
            Deed::Drop => drop(command.kill_on_drop(true)),
            _ => {}
        }
        command.durable(plan.durable);
        if plan.silent {
            command.property("LogLevelMax=err").expect("a property");
        }
        let start = command.start(manager);
        let started = match plan.deed {
            Deed::Cancel => match tokio::time::timeout(Duration::from_millis(random.below(20)), start).await {
                Ok(started) => started,
                Err(_) => {
                    // Whether it ran or not, it may not stay: `left` says so. It is done with when nobody has it.
                    count(&self.counters.given_up);
                    return;
                }
            },
            _ => start.await,
        };
        let mut unit = match started {
            Ok(unit) => unit,
            Err(error) => return self.unanswered(&plan, &error).await,
        };
        drop(command); // it has the other ends of pipes
        match plan.deed {
            Deed::Stop | Deed::Cancel => {
                until_it_runs(&plan).await;
                insist(None, &unit).await;
            }
            Deed::Kill => {
                let Status::Killed(signal) = plan.status else { unreachable!("it is killed") };
                until_it_runs(&plan).await;
                insist(Some(signal), &unit).await;
            }
            Deed::Drop => {
                until_it_runs(&plan).await;
                drop(unit);
                count(&self.counters.given_up);
                return;
            }
            Deed::Pipe => {
                let mut output = String::new();
                unit.stdout.take().expect("a pipe").read_to_string(&mut output).await.expect("it can be read");
                let expected: usize = (1..=lines).map(|line| line.to_string().len() + 1).sum();
                if output.len() != expected {
                    self.wrong(&plan, &format!("wrote {} bytes of {expected}", output.len()));
                }
            }
            Deed::Terminal => {
                let mut output = String::new();
                let mut terminal = unit.pty.take().expect("a terminal");
                terminal.read_to_string(&mut output).await.expect("it can be read");
                if output != "began\r\nover\r\n" {
                    self.wrong(&plan, &format!("wrote {output:?}"));
                }
            }
            Deed::Ends | Deed::Oneshot | Deed::Scope => {}
        }
        let told = unit.wait().await;
        self.judge(&plan, &told);
    }

    async fn scope(&self, manager: &Manager, plan: Plan, random: &mut Random) {
        let Status::Exited(code) = plan.status else { unreachable!("its child ends by itself") };
        let script = format!("echo run >>{}; sleep 0.{:02}; exit {code}", plan.ran.display(), random.below(20));
        let mut command = tokio::process::Command::new("/bin/sh");
        command.args(["-c", &script]).kill_on_drop(true);
        match Scope::new().name(&plan.name).collect(true).spawn(command, manager).await {
            Ok(mut scoped) => {
                let child = scoped.child.wait().await.expect("a child");
                if child.code() != Some(code.into()) {
                    self.wrong(&plan, &format!("the child says {child}"));
                }
                let told = scoped.unit.wait().await;
                self.judge(&plan, &told);
            }
            Err(error) => self.unanswered(&plan, &error).await,
        }
    }

    /// The start failed, which it may only where nobody answered.
    async fn unanswered(&self, plan: &Plan, error: &Error) {
        // The manager asks the bus daemon who has sent a call; where that is silent for long its answer is none.
        // A user manager has the system's move the processes of a scope, and does not come back to a system bus that went.
        let immovable = !is_root()
            && matches!(plan.deed, Deed::Scope)
            && matches!(error, Error::Failed { exit } if exit.result == Outcome::Resources);
        if !matches!(error, Error::Lost { .. }) && !immovable {
            self.wrong(plan, &format!("cannot be started: {error}"));
        }
        if self.verbose {
            println!("soak: {plan}: {error}");
        }
        count(&self.counters.unanswered);
        // It may be running. Nobody else will stop it. (It is looked for in `left` too.)
        // (Not on this thread: a process that is held for its scope has the other end of a pipe, until this runtime goes on.)
        let _ = tokio::process::Command::new("systemctl").args([scope(), "--quiet", "stop", &plan.name]).status().await;
    }

    fn judge(&self, plan: &Plan, told: &sdrun::Result<Exit>) {
        let runs = self.runs(plan);
        match told {
            Ok(exit) => {
                let is_scope = matches!(plan.deed, Deed::Scope);
                let status = if is_scope { None } else { Some(plan.status) };
                let unsaid = exit.from_journal && exit.status.is_none() && exit.success();
                if exit.result != plan.outcome() || (exit.status != status && !unsaid) {
                    self.wrong(plan, &format!("{exit:?}"));
                }
                let id = exit.invocation_id.map(|id| id.to_string()).unwrap_or_default();
                match runs.as_slice() {
                    [run] if is_scope || *run == id => {}
                    [_, _, ..] => self.duplicated(plan, &runs),
                    _ => self.wrong(plan, &format!("ran as {runs:?}, not as {id}")),
                }
                if exit.from_journal {
                    count(&self.counters.from_journal);
                }
                self.remember(plan, exit);
            }
            Err(error) if matches!(error, Error::Lost { .. }) && plan.cut && !plan.durable => {
                count(&self.counters.unknown);
                if runs.len() > 1 {
                    self.duplicated(plan, &runs);
                }
            }
            Err(error) => {
                println!("soak: LOST: {plan}: {error}");
                count(&self.counters.lost);
            }
        }
    }

    fn remember(&self, plan: &Plan, exit: &Exit) {
        let Some(id) = exit.invocation_id.filter(|_| !plan.silent) else { return };
        let mut ended = self.ended.lock().unwrap();
        if ended.len() < MANY {
            ended.push(Ended::new(&id, exit.status, &exit.result));
        }
    }

    /// The invocation ID of each time that its program was run. Then they are forgotten, and any later run will show.
    fn runs(&self, plan: &Plan) -> Vec<String> {
        let text = std::fs::read_to_string(&plan.ran).unwrap_or_default();
        let _ = std::fs::remove_file(&plan.ran);
        text.lines().map(str::to_owned).collect()
    }

    fn wrong(&self, plan: &Plan, how: &str) {
        println!("soak: WRONG: {plan}: {how}");
        count(&self.counters.wrong);
    }

    fn duplicated(&self, plan: &Plan, runs: &[String]) {
        println!("soak: DUPLICATED: {plan}: {runs:?}");
        count(&self.counters.duplicated);
    }

    /// Waits until what was given up is gone.
    pub async fn settle(&self) {
        let gone = async {
            while !loaded().is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = tokio::time::timeout(DEADLINE, gone).await;
    }

    /// Looks for what should not be there, and compares what was told with the journal.
    pub async fn reckon(&self, tally: &mut Tally) {
        for line in loaded().lines() {
            println!("soak: LEFT: {line}");
            tally.left += 1;
        }
        for entry in std::fs::read_dir(self.folder.path("")).unwrap() {
            // Of those that were given up, or not answered, or that ran once more when they were over.
            let path = entry.unwrap().path();
            let runs = std::fs::read_to_string(&path).unwrap().lines().count();
            if runs > 1 {
                println!("soak: DUPLICATED: soak-{}: {runs} runs", path.file_name().unwrap().to_string_lossy());
                tally.duplicated += 1;
            }
        }
        let ended = std::mem::take(&mut *self.ended.lock().unwrap());
        journal::compare(ended, tally).await;
    }
}

/// The units of ours that are loaded.
fn loaded() -> String {
    systemctl(&["list-units", "--all", "--plain", "--no-legend", "soak-*", "sdrunkeep*"])
}

async fn until_it_runs(plan: &Plan) {
    while !std::fs::metadata(&plan.ran).is_ok_and(|file| file.len() > 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends it the signal, or stops it, until that is done, or the unit is over: in a gap a call may fail.
async fn insist(signal: Option<i32>, unit: &Unit) {
    loop {
        let called = match signal {
            Some(signal) => unit.kill(signal, Whom::Main).await,
            None => unit.stop().await,
        };
        if called.is_ok() || !matches!(unit.try_wait(), Ok(None)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Plan {
    /// systemd's own verdict of such an end.
    fn outcome(&self) -> Outcome {
        match (self.deed, self.status) {
            (Deed::Scope, _) | (_, Status::Exited(0)) => Outcome::Success,
            (_, Status::Exited(_)) => Outcome::ExitCode,
            // A success to systemd, but to a oneshot.
            (deed, Status::Killed(1 | 2 | 13 | 15)) if !matches!(deed, Deed::Oneshot) => Outcome::Success,
            (_, Status::Killed(_)) => Outcome::Signal,
            (_, Status::Dumped(_)) => Outcome::CoreDump,
        }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Plan { deed, name, status, durable, at, .. } = self;
        write!(f, "{name} ({deed:?}, {status:?}, durable: {durable}, {at})")
    }
}
