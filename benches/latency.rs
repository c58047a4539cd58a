//! How long it takes to run a unit and to learn of its end: sdrun against the least that any client can do, and
//! against what one would use otherwise.
//!
//! `cargo bench` (or `make bench`) runs it. Only its ratios mean anything, and only within one run; each has the
//! noise beside it, which is the ratio of one thing to itself. `SDRUN_BENCH_N` sets how many units each gets (300, and
//! a third of it for whole processes; fewer on a machine so busy that it would take minutes).

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::allocations::Counting;
use support::part::Part;
use support::timeline;
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
const TIMELINE: &str = "latency/timeline";
const CALLS: &str = "latency/calls";
const OTHERS: [&str; 3] = [WHOLE, TIMELINE, CALLS];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    if flag("--list") {
        WARM.iter().map(|(name, ..)| *name).chain(OTHERS).for_each(|name| println!("{name}: benchmark"));
        return ExitCode::SUCCESS;
    }
    if !flag("--bench") {
        // So do `cargo test --benches` and `cargo test --all-targets`.
        println!("latency: not run without --bench; `cargo bench` gives it");
        return ExitCode::SUCCESS;
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--traced") {
        return match timeline::traced(&arguments[at + 1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("latency: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if !WARM.iter().map(|(name, ..)| *name).chain(OTHERS).any(wanted) {
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
    let mut part = Part::new("latency", "One unit at a time");
    let mut warm = Vec::new();
    for (name, way, runtime) in WARM {
        if wanted(name) {
            eprintln!("{name} …");
            warm.push((way, runtime, warm::measure(way, runtime, plan)?));
        }
    }
    if !warm.is_empty() {
        warm::report(&mut part, &warm);
    }
    let mut code = ExitCode::SUCCESS;
    if wanted(WHOLE) {
        eprintln!("{WHOLE} …");
        let mut programs = Programs::find();
        let measured = whole::measure(&mut programs, plan.third())?;
        whole::report(&mut part, &measured);
        programs.notes.iter().for_each(|note| part.paragraph(&format!("NOTE: {note}")));
        if programs.example.is_none() {
            code = ExitCode::FAILURE;
        }
    }
    if wanted(TIMELINE) {
        eprintln!("{TIMELINE} …");
        timeline::report(&mut part, Way::Private)?;
        timeline::report(&mut part, Way::Bus)?;
    }
    if wanted(CALLS) {
        eprintln!("{CALLS} …");
        // Where tracing is not allowed, say.
        if let Err(error) = timeline::report_calls(&mut part) {
            part.paragraph(&format!("NOTE: system calls are not counted: {error}"));
        }
    }
    part.finish()?;
    Ok(code)
}
