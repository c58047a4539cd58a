//! Unit by unit in one process: sdrun on a warm connection, and the floor twice, for the noise.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use sdrun::{Command, Manager};
use tokio::runtime::Builder;

use super::floor::Floor;
use super::stats::{Contender, Cost, Meter, Order, Scope};
use super::{PROGRAM, Plan, Result, Way};

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
                let unpark = move || gate.wait_until_open();
                let runtime = Builder::new_multi_thread().enable_all().on_thread_unpark(unpark).build()?;
                runtime.block_on(runtime.spawn(all))?
            }
        }
    }
}

async fn alternate(way: Way, scope: Scope, gate: &Gate, plan: Plan) -> Result<Warm> {
    let manager = Manager::builder().transport(way.transport()).connect().await?;
    let mut floors = [Floor::open(way, "a")?, Floor::open(way, "b")?];
    let mut result = Warm::default();
    let mut order = Order::of(3);
    for counts in plan.rounds(WARM_UP) {
        for who in order.next_round() {
            settle(&mut floors).await?;
            let (took, cost) = match who {
                0 => sdrun(&manager, scope).await?,
                which => {
                    let _shut = gate.shut();
                    let meter = Meter::start(scope);
                    floors[which - 1].run()?;
                    meter.stop()
                }
            };
            if counts {
                [&mut result.sdrun, &mut result.floor, &mut result.again][who].add(took, cost);
            }
        }
    }
    Ok(result)
}

/// One unit by sdrun.
pub async fn sdrun(manager: &Manager, scope: Scope) -> Result<(Duration, Cost)> {
    let meter = Meter::start(scope);
    let unit = Command::new(PROGRAM).collect(true).start(manager).await?;
    let exit = unit.wait().await?;
    let measured = meter.stop();
    if !exit.success() {
        return Err(format!("{}: {exit}", unit.name()).into());
    }
    Ok(measured)
}

/// Lets the manager come to rest and every connection be read, sdrun's by its driver.
pub async fn settle(floors: &mut [Floor; 2]) -> Result<()> {
    floors[0].settle()?;
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
