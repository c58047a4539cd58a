//! What a unit costs the program that runs it: CPU time, instructions, allocations, memory, wake-ups.
//!
//! `cargo bench --bench cost` (or `make bench`) runs it; filters choose, as in `cargo bench --bench cost -- cpu`.
//! `SDRUN_BENCH_N` sets how many rounds each gets, instead of 20.

mod support;

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sdrun::Manager;
use support::allocations::Counting;
use support::flood::Flood;
use support::instructions::{self, Who};
use support::part::{Part, Target};
use support::stats::Order;
use support::worker::{self, Worker, resident};
use support::{Result, Way};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What can be chosen by a filter.
const ALL: [(&str, Measure); 5] = [
    ("cost/cpu", cpu),
    ("cost/instructions", instructions),
    ("cost/allocations", allocations),
    ("cost/outstanding", outstanding),
    ("cost/foreign", foreign),
];
type Measure = fn(&mut Part, usize) -> Result<()>;

/// As many as the figures are for.
const IN_FLIGHT: usize = 32;
/// Units in a row of one contender.
const BATCH: usize = 96;
const MANY: usize = 5000;
const FEW: usize = 50;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    support::exit("cost", run(&arguments))
}

fn run(arguments: &[String]) -> Result<()> {
    if let [first, who, in_flight, units] = arguments {
        if first == "--child" {
            return child(who, in_flight.parse()?, units.parse()?);
        }
    }
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    if flag("--bench") && flag("--check-instructions") {
        return instructions::check(flag("--keep"));
    }
    let Some(chosen) = support::chosen("cost", arguments, ALL.iter().map(|(name, _)| *name)) else { return Ok(()) };
    let rounds = support::asked_for()?.unwrap_or(20) as usize;
    let mut part = Part::new("cost", "What a unit costs the client");
    for (name, measure) in ALL.into_iter().filter(|(name, _)| chosen.contains(name)) {
        eprintln!("{name} …");
        measure(&mut part, rounds)?;
    }
    part.finish()
}

/// A process that is measured from outside, or whose units are those of somebody else.
fn child(who: &str, in_flight: usize, units: usize) -> Result<()> {
    match who {
        "sdrun" => worker::run_alone(Way::Bus, units, in_flight),
        "floor" => Flood::open("c")?.run(units, in_flight),
        _ => Err(format!("nobody is called {who}").into()),
    }
}

/// Units that another process starts.
fn start_foreign(units: usize, in_flight: usize) -> Result<()> {
    let ran = Command::new(std::env::current_exe()?)
        .args(["--child", "floor", &in_flight.to_string(), &units.to_string()])
        .stdin(Stdio::null())
        .status()?;
    if ran.success() { Ok(()) } else { Err(format!("another process: {ran}").into()) }
}

fn thread_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How much the values differ: the median of how far each is from the median, over that.
fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>()) / middle
}

/// User and system time per unit, batch by batch in one process.
fn cpu(part: &mut Part, rounds: usize) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for in_flight in [IN_FLIGHT, 1] {
        let manager = Manager::builder().transport(Way::Bus.transport()).most_starting(in_flight);
        let manager = runtime.block_on(manager.connect())?;
        let mut floors = [Flood::open("a")?, Flood::open("b")?];
        let mut taken = [const { Vec::new() }; 3];
        let mut order = Order::of(3);
        for round in 0..=rounds {
            for who in order.next_round() {
                runtime.block_on(worker::run(&manager, 1, 1))?;
                floors.iter().try_for_each(Flood::settle)?;
                runtime.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
                let before = thread_cpu()?;
                match who {
                    0 => drop(runtime.block_on(worker::run(&manager, BATCH, in_flight))?),
                    which => floors[which - 1].run(BATCH, in_flight)?,
                }
                let cpu = thread_cpu()? - before;
                if round > 0 {
                    taken[who].push(cpu.as_secs_f64() * 1e6 / BATCH as f64);
                }
            }
        }
        let [sdrun, floor, again] = &taken.map(|values| median(&values));
        if in_flight == IN_FLIGHT {
            part.figure("client_cpu_over_floor", sdrun / floor, "ratio", Target::AtMost(1.0), Some(again / floor));
        }
        rows.push([in_flight as f64, *sdrun, *floor, *again].iter().map(|value| format!("{value:.0}")).collect());
    }
    part.paragraph("CPU time in µs per unit, user and system, on the bus:");
    part.table(&["in flight", "sdrun", "floor", "floor again"], &rows);
    Ok(())
}

/// User instructions per unit, one at a time.
fn instructions(part: &mut Part, _: usize) -> Result<()> {
    if !instructions::is_possible() {
        part.paragraph("Instructions are not counted here: there is no valgrind.");
        return Ok(());
    }
    let mut rows = Vec::new();
    for in_flight in [1, IN_FLIGHT] {
        let mut counted = [const { Vec::new() }; 2];
        for _ in 0..3 {
            for (at, who) in [Who::Sdrun, Who::Floor].into_iter().enumerate() {
                counted[at].push(instructions::per_unit(who, in_flight)?);
            }
        }
        let [sdrun, floor] = &counted;
        if in_flight == 1 {
            let noise = floor[0] / floor[1];
            let ratio = median(sdrun) / median(floor);
            part.figure("client_instructions_over_floor", ratio, "ratio", Target::AtMost(0.55), Some(noise));
            part.figure("client_instructions", median(sdrun), "instructions", Target::None, Some(sdrun[0] / sdrun[1]));
        }
        let cells = [median(sdrun), spread(sdrun), median(floor), spread(floor)];
        let mut row = vec![in_flight.to_string()];
        row.extend(cells.chunks(2).flat_map(|pair| [format!("{:.0}", pair[0]), format!("{:.1} %", pair[1] * 100.0)]));
        rows.push(row);
    }
    part.paragraph("User instructions per unit, on the bus, by callgrind:");
    part.table(&["in flight", "sdrun", "spread", "floor", "spread"], &rows);
    Ok(())
}

/// Allocations of Rust code per unit.
fn allocations(part: &mut Part, _: usize) -> Result<()> {
    let mut rows = Vec::new();
    for way in [Way::Bus, Way::Private] {
        let worker = Worker::spawn(way, IN_FLIGHT)?;
        let mut row = vec![way.name().to_owned()];
        for in_flight in [1, IN_FLIGHT] {
            worker.run(2 * IN_FLIGHT, in_flight)?;
            let (_, first) = worker.run(200, in_flight)?;
            let (_, second) = worker.run(200, in_flight)?;
            if (way, in_flight) == (Way::Bus, 1) {
                part.figure("allocations_per_unit", first, "allocations", Target::AtMost(40.0), Some(second / first));
            }
            row.push(format!("{first:.1}"));
        }
        rows.push(row);
    }
    part.paragraph("Allocations per unit, the caller's own `Command` and future among them (and a task each, of 32):");
    part.table(&["", "one at a time", "32 in flight"], &rows);
    Ok(())
}

/// What units cost that are there and do nothing.
fn outstanding(part: &mut Part, rounds: usize) -> Result<()> {
    // Without the bus daemon in between it takes minutes less until they are there.
    let way = Way::Private;
    let workers = [Worker::spawn(way, 48)?, Worker::spawn(way, 48)?, Worker::spawn(way, 48)?];
    for worker in &workers {
        worker.hold(FEW)?;
        worker.run(BATCH, IN_FLIGHT)?;
    }
    let begun = Instant::now();
    let before = resident()?;
    workers[0].hold(MANY)?;
    let bytes = (resident()? - before) as f64 / (MANY - FEW) as f64;
    eprintln!("{MANY} units after {:?}, {bytes:.0} bytes each", begun.elapsed());
    part.figure("handle_bytes", bytes, "bytes", Target::AtMost(2048.0), None);
    let mut taken = [const { Vec::new() }; 3];
    let mut order = Order::of(3);
    // With so many units the manager takes several times as long for each.
    for round in 0..=rounds.div_ceil(4) {
        for who in order.next_round() {
            workers.iter().try_for_each(Worker::settle)?;
            let (cpu, _) = workers[who].run(BATCH, IN_FLIGHT)?;
            if round > 0 {
                taken[who].push(cpu);
            }
        }
    }
    let [many, few, again] = &taken.map(|values| median(&values));
    part.figure("growth_cpu", many / few, "ratio", Target::AtMost(1.2), Some(again / few));
    workers[0].stop()
}

/// What the units of others cost.
fn foreign(part: &mut Part, rounds: usize) -> Result<()> {
    let worker = Worker::spawn(Way::Bus, IN_FLIGHT)?;
    worker.run(1, 1)?;
    // Until it has stopped listening.
    std::thread::sleep(Duration::from_secs(5));
    let before = worker.sleeps()?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = worker.sleeps()?;
    start_foreign(1000, IN_FLIGHT)?;
    let wakeups = (worker.sleeps()? - idle) as f64;
    part.figure("foreign_wakeups", wakeups, "wakeups", Target::AtMost(0.0), Some((idle - before) as f64));
    worker.hold(1)?;
    let mut rows = Vec::new();
    for in_flight in [1, IN_FLIGHT] {
        let mut taken = [const { Vec::new() }; 3];
        let mut order = Order::of(3);
        for round in 0..=rounds {
            for who in order.next_round() {
                worker.settle()?;
                let cpu = match who {
                    0 => {
                        let before = worker.cpu()?;
                        start_foreign(BATCH, in_flight)?;
                        std::thread::sleep(Duration::from_millis(5));
                        (worker.cpu()? - before).as_secs_f64() * 1e6 / BATCH as f64
                    }
                    _ => worker.run(BATCH, in_flight)?.0,
                };
                if round > 0 {
                    taken[who].push(cpu);
                }
            }
        }
        let [foreign, own, again] = &taken.map(|values| median(&values));
        if in_flight == 1 {
            let target = Target::AtMost(0.5);
            part.figure("foreign_cpu_over_own", foreign / own, "ratio", target, Some(again / own));
        }
        rows.push([in_flight as f64, *foreign, *own].iter().map(|value| format!("{value:.0}")).collect());
    }
    part.paragraph("CPU time in µs per unit, with one unit outstanding:");
    part.table(&["in flight", "a unit of others", "a unit of our own"], &rows);
    worker.stop()
}
