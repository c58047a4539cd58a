//! How many units there are in a second when many are in flight: sdrun against the floor, batch by batch in one process,
//! and against as many `systemd-run --wait` in parallel; and how that depends on how many are in flight.
//!
//! `cargo bench --bench throughput -- FILTER`. `SDRUN_BENCH_N` sets how many units each gets in all (3000).

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::Way;
use support::batch::{self, Batches};
use support::part::Part;
use support::warm::Runtime;

#[global_allocator]
static ALLOCATOR: support::allocations::Counting = support::allocations::Counting;

const FLOOR: [(&str, Way, Runtime); 4] = [
    ("throughput/floor/private/current_thread", Way::Private, Runtime::CurrentThread),
    ("throughput/floor/private/spawned_task", Way::Private, Runtime::SpawnedTask),
    ("throughput/floor/bus/current_thread", Way::Bus, Runtime::CurrentThread),
    ("throughput/floor/bus/spawned_task", Way::Bus, Runtime::SpawnedTask),
];
const SYSTEMD_RUN: &str = "throughput/systemd_run";
const KNEE: [(&str, Way); 2] = [("throughput/knee/private", Way::Private), ("throughput/knee/bus", Way::Bus)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = FLOOR.iter().map(|(name, ..)| *name).chain([SYSTEMD_RUN]).chain(KNEE.iter().map(|(name, _)| *name));
    match support::chosen("throughput", &arguments, all) {
        Some(chosen) => support::exit("throughput", bench(|name| chosen.contains(&name))),
        None => ExitCode::SUCCESS,
    }
}

fn bench(wanted: impl Fn(&'static str) -> bool) -> support::Result<()> {
    let units = support::asked_for()?.unwrap_or(3000) as usize;
    let batches = Batches { size: 250.min(units), units, in_flight: 32, at_most: Duration::from_secs(60) };
    let mut part = Part::new("throughput", "Many units at a time");
    let mut floor = Vec::new();
    for (name, way, runtime) in FLOOR {
        if wanted(name) {
            eprintln!("{name} …");
            floor.push((way, runtime, batch::against_floor(way, runtime, batches)?));
        }
    }
    if !floor.is_empty() {
        batch::report_floor(&mut part, batches, &floor);
    }
    if wanted(SYSTEMD_RUN) {
        eprintln!("{SYSTEMD_RUN} …");
        let batches = Batches { units: units.div_ceil(3), ..batches };
        batch::report_systemd_run(&mut part, batches, &batch::against_systemd_run(batches)?);
    }
    let mut knees = Vec::new();
    for (name, way) in KNEE {
        if wanted(name) {
            eprintln!("{name} …");
            let batches = Batches { units: units.div_ceil(3), ..batches };
            knees.push((way, batch::knee(way, batches)?));
        }
    }
    if !knees.is_empty() {
        batch::report_knee(&mut part, batches, &knees);
    }
    part.finish()
}
