//! A thread with a runtime and a connection of its own, so that what it costs is that of sdrun alone.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc;
use nix::time::{ClockId, clock_gettime};
use sdrun::{Command, Manager, Unit};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::{PROGRAM, Result, Way, allocations};

/// Where units are that are held: they go with it.
const SLICE: &str = "sdrunbenchcost.slice";

pub struct Worker {
    thread: u32,
    orders: Option<UnboundedSender<Order>>,
    answers: mpsc::Receiver<Result<u64>>,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// Has so many units be outstanding.
    Hold(usize),
    /// Runs so many, with so many in flight. The answer is how many allocations that took.
    Run(usize, usize),
    /// Stops those that are held.
    Stop,
}

impl Worker {
    /// `starting` units are in flight at most, between start and `JobRemoved`.
    pub fn spawn(way: Way, starting: usize) -> Result<Self> {
        let (orders, received) = unbounded_channel();
        let (answer, answers) = mpsc::channel();
        let handle = std::thread::Builder::new().name("worker".into()).spawn(move || {
            let thread = nix::unistd::gettid().as_raw() as u64;
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(answer.send(Err(error.into()))),
            };
            runtime.block_on(async {
                let builder = Manager::builder().transport(way.transport()).most_starting(starting);
                match builder.connect().await {
                    Ok(manager) => {
                        let _ = answer.send(Ok(thread));
                        work(&manager, received, &answer).await;
                    }
                    Err(error) => drop(answer.send(Err(error.into()))),
                }
            });
        })?;
        let mut worker = Worker { thread: 0, orders: Some(orders), answers, handle: Some(handle) };
        worker.thread = u32::try_from(worker.answer()?)?;
        Ok(worker)
    }

    fn answer(&self) -> Result<u64> {
        self.answers.recv_timeout(Duration::from_secs(580)).map_err(|_| "the worker gives no answer")?
    }

    fn order(&self, order: Order) -> Result<u64> {
        self.orders.as_ref().ok_or("no worker")?.send(order).map_err(|_| "no worker")?;
        self.answer()
    }

    pub fn hold(&self, units: usize) -> Result<()> {
        self.order(Order::Hold(units)).map(drop)
    }

    pub fn stop(&self) -> Result<()> {
        self.order(Order::Stop).map(drop)
    }

    /// Runs units and gives the CPU time in µs and the allocations per unit.
    pub fn run(&self, units: usize, in_flight: usize) -> Result<(f64, f64)> {
        let before = self.cpu()?;
        let allocations = self.order(Order::Run(units, in_flight))?;
        let cpu = self.cpu()? - before;
        Ok((cpu.as_secs_f64() * 1e6 / units as f64, allocations as f64 / units as f64))
    }

    /// Has all be read that has come.
    pub fn settle(&self) -> Result<()> {
        self.order(Order::Run(1, 1))?;
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    /// The CPU time of its thread so far.
    pub fn cpu(&self) -> Result<Duration> {
        // The kernel's number of the CPU clock of a thread (`CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED`).
        let clock = (!(self.thread as libc::clockid_t) << 3) | 6;
        Ok(clock_gettime(ClockId::from_raw(clock))?.into())
    }

    /// How often it went to sleep so far, and so was woken.
    pub fn sleeps(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", self.thread))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        Ok(line.ok_or("no count of context switches")?.trim().parse()?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(handle) = self.handle.take() {
            // Its panic was printed.
            let _ = handle.join();
        }
    }
}

async fn work(manager: &Manager, mut orders: UnboundedReceiver<Order>, answers: &mpsc::Sender<Result<u64>>) {
    let mut held = Vec::new();
    while let Some(order) = orders.recv().await {
        let answer = match order {
            Order::Hold(units) => hold(manager, units, &mut held).await,
            Order::Run(units, in_flight) => run(manager, units, in_flight).await,
            Order::Stop => {
                held.clear();
                stop(manager).await
            }
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

async fn hold(manager: &Manager, units: usize, held: &mut Vec<Unit>) -> Result<u64> {
    held.reserve_exact(units.saturating_sub(held.len()));
    let more = units.saturating_sub(held.len());
    let mut tasks = JoinSet::new();
    for number in 0..more {
        // No more tasks than can start: the memory of those that wait is not the handles'.
        if number >= 64 {
            held.push(tasks.join_next().await.ok_or("no task")???);
        }
        let manager = manager.clone();
        tasks.spawn(
            async move { Command::new("/bin/sleep").arg("1000").slice(SLICE).collect(true).start(&manager).await },
        );
    }
    while let Some(unit) = tasks.join_next().await {
        held.push(unit??);
    }
    Ok(held.len() as u64)
}

async fn stop(manager: &Manager) -> Result<u64> {
    manager.unit(SLICE).await?.stop().await?;
    Ok(0)
}

/// Runs units on a manager; how many allocations that took.
pub async fn run(manager: &Manager, units: usize, in_flight: usize) -> Result<u64> {
    let before = allocations::count();
    if in_flight == 1 {
        for _ in 0..units {
            one(manager).await?;
        }
        return Ok(allocations::count() - before);
    }
    let mut tasks = JoinSet::new();
    for _ in 0..units {
        let manager = manager.clone();
        tasks.spawn(async move { one(&manager).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(allocations::count() - before)
}

async fn one(manager: &Manager) -> Result<()> {
    let exit = Command::new(PROGRAM).collect(true).start(manager).await?.wait().await?;
    if exit.success() { Ok(()) } else { Err(format!("{exit}").into()) }
}

/// Runs units in this process, for whoever measures it from outside.
pub fn run_alone(way: Way, units: usize, in_flight: usize) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let manager = Manager::builder().transport(way.transport()).most_starting(in_flight).connect().await?;
        run(&manager, units, in_flight).await.map(drop)
    })
}

/// The resident memory of this process, in bytes.
pub fn resident() -> Result<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("statm")?.parse()?;
    // SAFETY: it only reads a number.
    Ok(pages * u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })?)
}
