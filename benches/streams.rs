//! What goes through a unit's pipes and its terminal, how soon a child is in its scope, and how soon a whole output is
//! there: sdrun against tokio's own and against the least that any client can do.
//!
//! `cargo bench --bench streams` (or `make bench`) runs it. Only its ratios mean anything, and only within one run; each
//! has the noise beside it, which is the ratio of one thing to itself. `SDRUN_BENCH_N` sets how many units or children
//! each gets (200, and a twenty-fifth of it where much is read; fewer on a machine so busy that it would take minutes).

mod support;

use std::process::ExitCode;
use std::time::Duration;

use support::part::Part;
use support::warm::Runtime;
use support::{Plan, Result, Way, streams};

/// What can be chosen by a filter, as in `cargo bench --bench streams -- scope/bus`.
#[derive(Debug, Clone, Copy)]
enum What {
    Pipe,
    Pty,
    Scope(Way),
    Output(Way),
}

const ALL: [(&str, What); 6] = [
    ("streams/pipe", What::Pipe),
    ("streams/pty", What::Pty),
    ("streams/scope/bus", What::Scope(Way::Bus)),
    ("streams/scope/private", What::Scope(Way::Private)),
    ("streams/output/bus", What::Output(Way::Bus)),
    ("streams/output/private", What::Output(Way::Private)),
];
const RUNTIMES: [(&str, Runtime); 2] =
    [("current_thread", Runtime::CurrentThread), ("spawned_task", Runtime::SpawnedTask)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, bytes] = &arguments[..] {
        if flag == streams::PRODUCE {
            // Who reads may have gone.
            let produced = bytes.parse().is_ok_and(|bytes| streams::produce(bytes).is_ok());
            return if produced { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    let all = ALL
        .iter()
        .flat_map(|(name, what)| RUNTIMES.iter().map(move |(of, runtime)| (format!("{name}/{of}"), *what, *runtime)));
    let all: Vec<_> = all.collect();
    match support::chosen("streams", &arguments, all.iter().map(|(name, ..)| name)) {
        Some(chosen) => support::exit("streams", bench(all.iter().filter(|(name, ..)| chosen.contains(&name)))),
        None => ExitCode::SUCCESS,
    }
}

fn bench<'a>(chosen: impl Iterator<Item = &'a (String, What, Runtime)>) -> Result<()> {
    let plan = Plan { rounds: 200, at_most: Duration::from_secs(60) }.unless_asked()?;
    let long = Plan { rounds: plan.rounds.div_ceil(25), at_most: plan.at_most / 2 };
    let mut part = Part::new("streams", "Streams and scopes");
    for &(ref name, what, runtime) in chosen {
        eprintln!("{name} …");
        match what {
            What::Pipe => streams::pipe::measure(&mut part, runtime, long)?,
            What::Pty => streams::pty::measure(&mut part, runtime, long)?,
            What::Scope(way) => streams::scope::measure(&mut part, way, runtime, plan)?,
            What::Output(way) => streams::output::measure(&mut part, way, runtime, plan)?,
        }
    }
    part.finish()
}
