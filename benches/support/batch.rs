//! Units by the batch, some of them in flight at any time: who is compared takes turns, a batch each.

use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use sdrun::{Command, Manager};
use tokio::runtime::Builder;

use super::floor::Floor;
use super::part::{Part, Target, ratio};
use super::stats::{Order, Samples};
use super::warm::{Gate, Runtime, gated, settle};
use super::{PROGRAM, Plan, Result, Way, on_user_manager, plots};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// Units in a batch.
    pub size: usize,
    /// Units in all, for each that is compared.
    pub units: usize,
    /// Units started and not ended.
    pub in_flight: usize,
    pub at_most: Duration,
}

impl Batches {
    fn plan(self) -> Plan {
        Plan { rounds: self.units.div_ceil(self.size), at_most: self.at_most }
    }

    /// Units per second.
    fn rate(self, took: Duration) -> f64 {
        self.size as f64 / took.as_secs_f64()
    }
}

/// How long the batches took.
#[derive(Debug, Default)]
pub struct Throughput {
    pub sdrun: Samples,
    pub floor: Samples,
    /// The floor on another connection.
    pub again: Samples,
}

pub fn against_floor(way: Way, runtime: Runtime, batches: Batches) -> Result<Throughput> {
    let gate = Arc::new(Gate::default());
    let passing = (runtime == Runtime::SpawnedTask).then(|| gate.clone());
    let all = async move {
        let alternate = alternate(way, &gate, batches);
        tokio::time::timeout(batches.plan().overdue(), alternate).await?
    };
    match passing {
        None => Builder::new_current_thread().enable_all().build()?.block_on(all),
        Some(gate) => {
            let runtime = gated(gate)?;
            runtime.block_on(runtime.spawn(all))?
        }
    }
}

async fn alternate(way: Way, gate: &Gate, batches: Batches) -> Result<Throughput> {
    let manager = Manager::builder().transport(way.transport()).connect().await?;
    let mut floors = [Floor::open(way, "a")?, Floor::open(way, "b")?];
    let mut result = Throughput::default();
    let mut order = Order::of(3);
    for counts in batches.plan().rounds(1) {
        for who in order.next_round() {
            settle(&manager, &mut floors).await?;
            let took = match who {
                0 => sdrun(&manager, batches).await?.0,
                which => {
                    let _shut = gate.shut();
                    let begun = Instant::now();
                    floors[which - 1].run_many(batches.size, batches.in_flight)?;
                    begun.elapsed()
                }
            };
            if counts {
                match who {
                    0 => result.sdrun.push(took),
                    1 => result.floor.push(took),
                    _ => result.again.push(took),
                }
            }
        }
    }
    Ok(result)
}

/// One batch by sdrun, and how long each of its units took.
async fn sdrun(manager: &Manager, batches: Batches) -> Result<(Duration, Vec<Duration>)> {
    let begun = Instant::now();
    let latencies = stream::iter(0..batches.size)
        .map(async |_| {
            let begun = Instant::now();
            let unit = Command::new(PROGRAM).collect(true).start(manager).await?;
            let exit = unit.wait().await?;
            let took = begun.elapsed();
            if exit.success() { Ok(took) } else { Err(super::Error::from(format!("{}: {exit}", unit.name()))) }
        })
        .buffer_unordered(batches.in_flight)
        .try_collect()
        .await?;
    Ok((begun.elapsed(), latencies))
}

/// Puts it into the part.
pub fn report_floor(part: &mut Part, batches: Batches, all: &[(Way, Runtime, Throughput)]) {
    let Batches { size, in_flight, .. } = batches;
    part.paragraph(&format!(
        "Batches of {size} units, {in_flight} started and not ended at any time, by turns in one process; units per second of \
         the median batch. `noise` is the floor against itself on another connection."
    ));
    let rows = all.iter().map(|(way, runtime, Throughput { sdrun, floor, again })| {
        let mut row = vec![way.name().into(), runtime.name().into(), (sdrun.len() * size).to_string()];
        row.extend([sdrun, floor].map(|samples| format!("{:.0}", batches.rate(samples.p50()))));
        row.extend([floor.over(sdrun, 0.5), floor.over(again, 0.5)].map(ratio));
        row
    });
    let head = ["transport", "runtime", "units", "sdrun", "floor", "sdrun/floor", "noise"];
    part.table(&head, &rows.collect::<Vec<_>>());
    for (way, runtime, Throughput { sdrun, floor, again }) in all {
        let bus = if *way == Way::Bus { "_bus" } else { "" };
        let spawned = if *runtime == Runtime::SpawnedTask { "_spawned" } else { "" };
        let noise = floor.over(again, 0.5);
        let name = format!("throughput{bus}_over_floor{spawned}");
        part.figure(&name, floor.over(sdrun, 0.5), "x", Target::AtLeast(0.97), Some(noise));
    }
}

/// How long the batches took.
#[derive(Debug, Default)]
pub struct AgainstProcesses {
    pub sdrun: Samples,
    pub spawned: Samples,
    pub systemd_run: Samples,
    /// The same once more, for the noise.
    pub again: Samples,
}

pub fn against_systemd_run(batches: Batches) -> Result<AgainstProcesses> {
    let multi = Builder::new_multi_thread().enable_all().build()?;
    let handle = multi.handle().clone();
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let connect = || Manager::builder().transport(Way::Bus.transport()).connect();
        let (manager, other) = (connect().await?, handle.spawn(connect()).await??);
        let mut result = AgainstProcesses::default();
        let mut order = Order::of(4);
        for counts in batches.plan().rounds(0) {
            for who in order.next_round() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let other = other.clone();
                let took = match who {
                    0 => sdrun(&manager, batches).await?.0,
                    1 => handle.spawn(async move { sdrun(&other, batches).await }).await??.0,
                    _ => processes(batches)?,
                };
                let samples = match who {
                    0 => &mut result.sdrun,
                    1 => &mut result.spawned,
                    2 => &mut result.systemd_run,
                    _ => &mut result.again,
                };
                if counts {
                    samples.push(took);
                }
            }
        }
        Ok(result)
    })
}

/// One batch by processes of systemd-run, as many at a time as may be in flight.
fn processes(batches: Batches) -> Result<Duration> {
    let user = if on_user_manager() { "--user" } else { "--system" };
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while next.fetch_add(1, Ordering::Relaxed) < batches.size {
                let mut command = Process::new("systemd-run");
                command.args([user, "--wait", "-q", "--collect", PROGRAM]).stdin(Stdio::null()).stdout(Stdio::null());
                let status = command.status()?;
                if !status.success() {
                    return Err(format!("systemd-run: {status}").into());
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..batches.in_flight).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a panic".into())))
    })?;
    Ok(begun.elapsed())
}

/// Puts it into the part.
pub fn report_systemd_run(part: &mut Part, batches: Batches, all: &AgainstProcesses) {
    let Batches { size, in_flight, .. } = batches;
    part.paragraph(&format!(
        "Batches of {size} units by {in_flight} processes of `systemd-run --wait` at a time, and by sdrun on the bus with \
         {in_flight} in flight; units per second of the median batch."
    ));
    let AgainstProcesses { sdrun, spawned, systemd_run, again } = all;
    let rows = [
        ("sdrun, current_thread", sdrun),
        ("sdrun, spawned task", spawned),
        ("`systemd-run --wait`", systemd_run),
        ("the same again", again),
    ];
    let rows = rows.map(|(name, samples)| {
        let over = ratio(systemd_run.over(samples, 0.5));
        vec![name.into(), samples.len().to_string(), format!("{:.0}", batches.rate(samples.p50())), over]
    });
    part.table(&["", "batches", "units/s", "over systemd-run"], &rows);
    let noise = systemd_run.over(again, 0.5);
    for (name, samples) in [("throughput_over_systemd_run", sdrun), ("throughput_over_systemd_run_spawned", spawned)] {
        part.figure(name, systemd_run.over(samples, 0.5), "x", Target::AtLeast(2.5), Some(noise));
    }
}

/// What is tried.
const IN_FLIGHT: [usize; 9] = [1, 2, 4, 8, 16, 32, 48, 64, 128];

/// For each number of jobs in flight: units per second, and how long each unit took once its turn had come, and from the
/// beginning of the batch.
#[derive(Debug, Default)]
pub struct Knee {
    took: Vec<Duration>,
    unit: Samples,
}

impl Knee {
    /// How many times as fast as the other in the same round: the median.
    fn over(&self, other: &Knee) -> f64 {
        let pairs = self.took.iter().zip(&other.took);
        let mut ratios: Vec<_> = pairs.map(|(took, other)| other.as_secs_f64() / took.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    }

    fn median(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took.get(took.len() / 2).copied().unwrap_or_default()
    }
}

/// All units of a batch at once, paced by `ManagerBuilder::most_starting`.
pub fn knee(way: Way, batches: Batches) -> Result<Vec<(usize, Knee)>> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut managers = Vec::new();
        for in_flight in IN_FLIGHT {
            managers.push(Manager::builder().transport(way.transport()).most_starting(in_flight).connect().await?);
        }
        let mut knees: Vec<_> = IN_FLIGHT.map(|in_flight| (in_flight, Knee::default())).into();
        let mut order = Order::of(IN_FLIGHT.len());
        for counts in batches.plan().rounds(0) {
            for who in order.next_round() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let in_flight = IN_FLIGHT[who];
                let paced = Batches { in_flight: batches.size, ..batches };
                let (took, _) = sdrun(&managers[who], paced).await?;
                // The same number held by the caller: the time is then that of the unit alone.
                let held = Batches { in_flight, ..batches };
                let (_, latencies) = sdrun(&managers[who], held).await?;
                if counts {
                    knees[who].1.took.push(took);
                    latencies.into_iter().for_each(|latency| knees[who].1.unit.push(latency));
                }
            }
        }
        Ok(knees)
    })
}

/// Puts it into the part.
pub fn report_knee(part: &mut Part, batches: Batches, all: &[(Way, Vec<(usize, Knee)>)]) {
    part.paragraph(
        "What `ManagerBuilder::most_starting` does: all units of a batch are asked for at once, and so many of their start jobs \
         are in flight; units per second of the median batch, and that over what there was of 128 in the same round. `p50` and `p90`: how long one unit takes, in ms, when the caller \
         keeps so many outstanding.",
    );
    let mut rows = Vec::new();
    let mut rates = Vec::new();
    let mut latencies = Vec::new();
    for (way, knees) in all {
        let rate = |knee: &Knee| batches.rate(knee.median());
        for (in_flight, knee) in knees {
            let over = knees.last().map_or(0.0, |(_, most)| knee.over(most));
            let mut row = vec![way.name().into(), in_flight.to_string(), format!("{:.0}", rate(knee)), ratio(over)];
            row.extend([knee.unit.p50(), knee.unit.p90()].map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)));
            rows.push(row);
        }
        let points =
            |of: &dyn Fn(&Knee) -> f64| knees.iter().map(|(n, knee)| (*n as f64, of(knee))).collect::<Vec<_>>();
        rates.push((way.name(), points(&rate)));
        latencies.push((way.name(), points(&|knee| knee.unit.p50().as_secs_f64() * 1e3)));
    }
    part.table(&["transport", "in flight", "units/s", "over 128 in flight", "p50", "p90"], &rows);
    let title = "Throughput by start jobs in flight";
    part.plot("knee", title, plots::lines(title, "in flight", "units/s", &rates));
    let title = "How long one unit takes by units outstanding";
    part.plot("knee-latency", title, plots::lines(title, "outstanding", "ms (p50)", &latencies));
}
