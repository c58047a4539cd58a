//! How long it takes to run a unit and to learn of its end: sdrun against the least that any client can do, and
//! against `systemd-run --wait`.
//!
//! `cargo bench` (or `make bench`) runs it. Only its ratios mean anything, and only within one run; each has the
//! noise beside it, which is the ratio of one thing to itself. `SDRUN_BENCH_N` sets how many units each gets (300, and
//! a third of it for whole processes; fewer on a machine so busy that it would take minutes), `SDRUN_BENCH_RESULTS`
//! names a file that the tables are written to.

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::allocations::Counting;
use support::floor::Floor;
use support::report::Report;
use support::warm::{self, Runtime};
use support::whole::{self, Programs};
use support::{Plan, Way};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What can be chosen by a filter, as in `cargo bench -- warm/bus`.
const WARM: [(&str, Way, Runtime); 4] = [
    ("latency/warm/private/current_thread", Way::Private, Runtime::CurrentThread),
    ("latency/warm/private/spawned_task", Way::Private, Runtime::SpawnedTask),
    ("latency/warm/bus/current_thread", Way::Bus, Runtime::CurrentThread),
    ("latency/warm/bus/spawned_task", Way::Bus, Runtime::SpawnedTask),
];
const WHOLE: &str = "latency/whole";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    if flag("--list") {
        WARM.iter().map(|(name, ..)| *name).chain([WHOLE]).for_each(|name| println!("{name}: benchmark"));
        return ExitCode::SUCCESS;
    }
    if !flag("--bench") {
        // So do `cargo test --benches` and `cargo test --all-targets`.
        println!("latency: not run without --bench; `cargo bench` gives it");
        return ExitCode::SUCCESS;
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if !WARM.iter().map(|(name, ..)| *name).chain([WHOLE]).any(wanted) {
        println!("latency: no such benchmark; --list names them");
        return ExitCode::SUCCESS;
    }
    match bench(wanted) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("latency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(wanted: impl Fn(&str) -> bool) -> support::Result<ExitCode> {
    let plan = match std::env::var("SDRUN_BENCH_N") {
        Ok(text) => {
            let rounds: u32 = text.parse().ok().filter(|&n| n > 0).ok_or("SDRUN_BENCH_N is no number above 0")?;
            Plan { rounds: rounds as usize, at_most: Duration::from_secs(1) * rounds }
        }
        // Less than three minutes for all five.
        Err(_) => Plan { rounds: 300, at_most: Duration::from_secs(32) },
    };
    let version = Floor::open(Way::Bus, "v")?.version()?;
    let cpus = std::thread::available_parallelism()?;
    let mut report = Report::new(format!("systemd {version}, {cpus} CPUs"));
    let mut code = ExitCode::SUCCESS;
    for (name, way, runtime) in WARM {
        if wanted(name) {
            eprintln!("{name} …");
            report.add_warm(way, runtime, warm::measure(way, runtime, plan)?);
        }
    }
    let mut notes = Vec::new();
    if wanted(WHOLE) {
        eprintln!("{WHOLE} …");
        let programs = Programs::find();
        report.add_whole(whole::measure(&programs, plan.third())?);
        if programs.example.is_none() {
            code = ExitCode::FAILURE;
        }
        notes = programs.notes;
    }
    println!("\n{}", report.text());
    notes.iter().for_each(|note| println!("NOTE: {note}"));
    print!("{}", report.lines());
    if let Some(file) = std::env::var_os("SDRUN_BENCH_RESULTS") {
        report.save(file.as_ref())?;
    }
    Ok(code)
}
