//! Unit by unit in one process: sdrun on a warm connection, and the floor twice, for the noise.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sdrun::{Command, Manager};
use tokio::runtime::Builder;

use super::floor::Floor;
use super::part::{Part, Target, micros, ratio};
use super::stats::{Contender, Cost, Meter, Order, Samples, Scope};
use super::{PROGRAM, Plan, Result, Way, plots};

/// Rounds that are not counted.
const WARM_UP: usize = 10;

/// The runtime that sdrun runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    CurrentThread,
    /// A multi-thread runtime, from a task spawned on it.
    SpawnedTask,
}

impl Runtime {
    pub fn name(self) -> &'static str {
        match self {
            Runtime::CurrentThread => "current_thread",
            Runtime::SpawnedTask => "spawned task",
        }
    }

    /// What the names of its figures end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Runtime::CurrentThread => "",
            Runtime::SpawnedTask => "_spawned",
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Warm {
    pub sdrun: Contender,
    pub floor: Contender,
    /// The floor on another connection.
    pub again: Contender,
}

/// Which of a contender's samples.
type Of = fn(&Contender) -> &Samples;

/// Puts it into the part.
pub fn report(part: &mut Part, all: &[(Way, Runtime, Warm)]) {
    part.paragraph(
        "Warm: one process, unit by unit, times in µs. `floor` is libsystemd called directly; `noise` is the floor against \
         itself on another connection.",
    );
    let row = |of: Of| {
        move |(way, runtime, warm): &(Way, Runtime, Warm)| {
            let [sdrun, floor, again] = [&warm.sdrun, &warm.floor, &warm.again].map(of);
            let mut row = vec![way.name().into(), runtime.name().into(), sdrun.len().to_string()];
            row.extend([sdrun.p50(), sdrun.p90(), floor.p50(), floor.p90()].map(micros));
            row.extend(
                [(sdrun, 0.5), (sdrun, 0.9), (again, 0.5), (again, 0.9)].map(|(who, q)| ratio(who.over(floor, q))),
            );
            row
        }
    };
    part.table(HEAD, &all.iter().map(row(|contender| &contender.latency)).collect::<Vec<_>>());
    part.paragraph(
        "Of these, from the unit's end by the manager's clock (`InactiveEnterTimestamp`) to the future resolved, and to the \
         floor's callback.",
    );
    part.table(HEAD, &all.iter().map(row(|contender| &contender.notice)).collect::<Vec<_>>());
    part.paragraph(
        "What a unit cost this process between its start and its end: CPU time in µs, sleeps (voluntary context switches), \
         allocations by Rust code; of the floor in brackets.",
    );
    let costs = all.iter().map(|(way, runtime, warm)| {
        let [sdrun, floor] = [&warm.sdrun, &warm.floor].map(Contender::cost_per_unit);
        let mut row = vec![way.name().into(), runtime.name().into()];
        let pairs = [0, 1, 1].iter().zip(sdrun.iter().zip(&floor));
        row.extend(pairs.map(|(&digits, (sdrun, floor))| format!("{sdrun:.digits$} ({floor:.digits$})")));
        row
    });
    part.table(&["transport", "runtime", "CPU", "sleeps", "allocations"], &costs.collect::<Vec<_>>());
    for (way, runtime, warm) in all {
        let Warm { sdrun, floor, again } = warm;
        let bus = if *way == Way::Bus { "_bus" } else { "" };
        let spawned = if *runtime == Runtime::SpawnedTask { "_spawned" } else { "" };
        let mut figure = |name: &str, of: Of, q, target| {
            let [sdrun, floor, again] = [sdrun, floor, again].map(of);
            part.figure(name, sdrun.over(floor, q), "x", target, Some(again.over(floor, q)));
        };
        let latency: Of = |contender| &contender.latency;
        let notice: Of = |contender| &contender.notice;
        figure(&format!("warm{bus}_over_floor_p50{spawned}"), latency, 0.5, Target::AtMost(1.03));
        let p90 = if *way == Way::Private { Target::AtMost(1.05) } else { Target::None };
        figure(&format!("warm{bus}_over_floor_p90{spawned}"), latency, 0.9, p90);
        figure(&format!("notice{bus}_over_floor_p50{spawned}"), notice, 0.5, Target::AtMost(1.1));
        let curves = [("sdrun", sdrun), ("floor", floor), ("floor again", again)];
        let curves = curves.map(|(name, contender)| (name, contender.latency.millis()));
        let title = format!("One unit at a time, {} transport, {}", way.name(), runtime.name());
        let name = format!("warm{bus}{spawned}").replace('_', "-");
        part.plot(&name, &title, plots::cdf(&title, "ms", &curves));
    }
}

const HEAD: &[&str] = &[
    "transport",
    "runtime",
    "units",
    "sdrun p50",
    "p90",
    "floor p50",
    "p90",
    "sdrun/floor p50",
    "p90",
    "noise p50",
    "p90",
];

pub fn measure(way: Way, runtime: Runtime, plan: Plan) -> Result<Warm> {
    let scope = match runtime {
        Runtime::CurrentThread => Scope::Thread,
        Runtime::SpawnedTask => Scope::Process,
    };
    runtime.run(plan.overdue(), move |gate| async move { alternate(way, scope, &gate, plan).await })
}

impl Runtime {
    /// Runs this on such a runtime, of whose gate it is told. It must not take longer than that.
    pub fn run<T, F>(self, overdue: Duration, work: impl FnOnce(Arc<Gate>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let gate = Arc::new(Gate::default());
        let work = work(gate.clone());
        let all = async move { tokio::time::timeout(overdue, work).await? };
        match self {
            Runtime::CurrentThread => Builder::new_current_thread().enable_all().build()?.block_on(all),
            Runtime::SpawnedTask => {
                let runtime = gated(gate)?;
                runtime.block_on(runtime.spawn(all))?
            }
        }
    }
}

/// A multi-thread runtime that a gate can hold.
pub fn gated(gate: Arc<Gate>) -> std::io::Result<tokio::runtime::Runtime> {
    Builder::new_multi_thread().enable_all().on_thread_unpark(move || gate.wait_until_open()).build()
}

async fn alternate(way: Way, scope: Scope, gate: &Gate, plan: Plan) -> Result<Warm> {
    let manager = Manager::builder().transport(way.transport()).connect().await?;
    let mut floors = [Floor::open(way, "a")?, Floor::open(way, "b")?];
    let mut result = Warm::default();
    let mut order = Order::of(3);
    for counts in plan.rounds(WARM_UP) {
        for who in order.next_round() {
            settle(&manager, &mut floors).await?;
            let (took, cost, notice) = match who {
                0 => sdrun(&manager, scope).await?,
                which => {
                    let _shut = gate.shut();
                    let floor = &mut floors[which - 1];
                    let meter = Meter::start(scope);
                    floor.run()?;
                    let (took, cost) = meter.stop();
                    (took, cost, floor.notice())
                }
            };
            if counts {
                let contender = match who {
                    0 => &mut result.sdrun,
                    1 => &mut result.floor,
                    _ => &mut result.again,
                };
                contender.add(took, cost);
                contender.notice.push(notice);
            }
        }
    }
    Ok(result)
}

/// One unit by sdrun: how long it took, what it cost, and how long after its end that was known.
pub async fn sdrun(manager: &Manager, scope: Scope) -> Result<(Duration, Cost, Duration)> {
    let meter = Meter::start(scope);
    let unit = Command::new(PROGRAM).collect(true).start(manager).await?;
    let exit = unit.wait().await?;
    let (took, cost) = meter.stop();
    let now = SystemTime::now();
    if !exit.success() {
        return Err(format!("{}: {exit}", unit.name()).into());
    }
    let ended = exit.ended.ok_or("an exit without a time")?;
    Ok((took, cost, now.duration_since(ended).unwrap_or_default()))
}

/// Lets the manager come to rest and every connection be read, sdrun's by its driver: an answer comes after all that was
/// sent before it. While others run thousands of units it may be far behind, which is not to be made up for in its turn.
pub async fn settle(manager: &Manager, floors: &mut [Floor; 2]) -> Result<()> {
    // There is none, and so nothing is left of having asked.
    if manager.unit("sdrunbench.service").await.is_ok() {
        return Err("there is a unit sdrunbench.service".into());
    }
    floors.iter().try_for_each(|floor| floor.settle())?;
    tokio::time::sleep(Duration::from_millis(1)).await;
    floors.iter().try_for_each(|floor| floor.drain())
}

/// Holds the runtime's other threads while it is the floor's turn: sdrun's driver would read along, and take CPU time
/// from those that the floor waits for.
#[derive(Debug, Default)]
pub struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Until what this gives is dropped.
    pub fn shut(&self) -> Shut<'_> {
        self.set(true);
        Shut(self)
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.opened.notify_all();
    }

    fn wait_until_open(&self) {
        let shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(shut, |shut| *shut).unwrap_or_else(PoisonError::into_inner));
    }
}

/// The gate is shut as long as this lives.
pub struct Shut<'a>(&'a Gate);

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
