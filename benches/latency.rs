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
    let traced = arguments.iter().position(|argument| argument == "--traced");
    if let Some(at) = traced.filter(|_| arguments.iter().any(|argument| argument == "--bench")) {
        return support::exit("latency", timeline::traced(&arguments[at + 1..]));
    }
    let all = WARM.iter().map(|(name, ..)| *name).chain(OTHERS);
    match support::chosen("latency", &arguments, all) {
        Some(chosen) => support::exit("latency", bench(|name| chosen.contains(&name))),
        None => ExitCode::SUCCESS,
    }
}

fn bench(wanted: impl Fn(&'static str) -> bool) -> support::Result<()> {
    // Less than three minutes for all five.
    let plan = Plan { rounds: 300, at_most: Duration::from_secs(32) }.unless_asked()?;
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
    let mut whole = true;
    if wanted(WHOLE) {
        eprintln!("{WHOLE} …");
        let mut programs = Programs::find();
        let measured = whole::measure(&mut programs, plan.third())?;
        whole::report(&mut part, &measured);
        programs.notes.iter().for_each(|note| part.paragraph(&format!("NOTE: {note}")));
        whole = programs.example.is_some();
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
    if whole { Ok(()) } else { Err("sdrun as a new process was left out".into()) }
}
