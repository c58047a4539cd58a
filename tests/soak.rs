//! Random load under random faults, for as long as wanted, and then the reckoning: `make soak`.
//!
//! As root it loads the system manager, over the bus and over its private socket, and has itself run once more as the
//! ordinary user, who loads the user manager. What each unit does is decided before it starts. At the end what was told
//! is compared with the journal: started = ended = reported, once each, with the right status.
//!
//! | variable | |
//! |---|---|
//! | `SOAK_SECONDS` | how long (600) |
//! | `SEED` | of the random numbers; it is printed |
//! | `SOAK_FAULTS` | which faults, of those in `soak/faults.rs`: names, `all` (the default) or `none` |
//! | `SOAK_WORKERS` | how many units at once, for each manager (12) |
//! | `SOAK_PATIENCE` | how many seconds a gap may last (240); a minute more without an answer is a hang |
//! | `SOAK_VERBOSE` | each fault is printed |
//!
//! The last line says all: `soak: units N faults N lost 0 wrong 0 duplicated 0 fd_growth 0 rss_growth_kb X`. The lines before
//! it, one for each manager, say more:
//!
//! - `unknown`: told to be unknown (`Error::Lost`), of units that had not asked for better (`Command::durable`). Where no
//!   fault cuts a connection, that is `lost`.
//! - `unanswered`: starts of which it is unknown whether they were made. They ran once at most.
//! - `left`: units that nobody has any more, and that are still loaded.
//! - `unlogged`: exits that the journal should have and has not.

#[path = "soak/faults.rs"]
mod faults;
#[path = "soak/journal.rs"]
mod journal;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/random.rs"]
mod random;
mod support;
#[path = "soak/tally.rs"]
mod tally;

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faults::Faults;
use load::Load;
use random::Random;
use sdrun::{Manager, Transport};
use tally::Tally;

struct Plan {
    seconds: u64,
    seed: u64,
    workers: usize,
    verbose: bool,
    faults: Faults,
    /// How long a gap may last. Longer than the minute and a half for which a user manager hangs when its bus was killed:
    /// it connects to the bus that it is itself to start, and waits until that times out.
    patience: Duration,
}

impl Plan {
    fn new() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64 % 1_000_000;
        Plan {
            seconds: number("SOAK_SECONDS").unwrap_or(600),
            seed: number("SEED").unwrap_or_else(clock),
            workers: number("SOAK_WORKERS").unwrap_or(12) as usize,
            verbose: std::env::var_os("SOAK_VERBOSE").is_some(),
            patience: Duration::from_secs(number("SOAK_PATIENCE").unwrap_or(240)),
            faults: Faults::named(&std::env::var("SOAK_FAULTS").unwrap_or_else(|_| "all".into())),
        }
    }
}

/// Each manager's part is a process of its own, which may be stopped: whoever waits for this one would stop too.
fn main() -> ExitCode {
    let plan = Plan::new();
    if let Ok(part) = std::env::var("SOAK_PART") {
        return run_part(&plan, &part);
    }
    println!("soak: SEED={} SOAK_SECONDS={}", plan.seed, plan.seconds);
    let mut parts = Vec::new();
    if support::is_root() {
        journal::without_limits();
        parts.push(("system", std::process::Command::new("/proc/self/exe"), plan.seed));
        parts.push(("user", support::as_user(&[]), plan.seed + 1));
    } else {
        parts.push(("user", std::process::Command::new("/proc/self/exe"), plan.seed));
    }
    let start = |(part, mut command, seed): (&'static str, std::process::Command, u64)| {
        command.env("SOAK_PART", part).env("SEED", seed.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program can be run");
        // What it says is shown at once: it may be the last that is heard of it.
        std::thread::spawn(move || {
            let mut tally = None;
            for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
                let line = line.expect("text");
                println!("{line}");
                tally = Tally::of_line(&line).or(tally);
            }
            tally
                .ok_or_else(|| format!("soak: the part of the {part} manager ended without a word: {:?}", child.wait()))
        })
    };
    let running: Vec<_> = parts.into_iter().map(start).collect();
    let (mut all, mut well) = (Tally::default(), true);
    for part in running {
        match part.join().expect("it reads") {
            Ok(tally) => all.add(&tally),
            Err(how) => {
                println!("{how}");
                well = false;
            }
        }
    }
    println!("{}", all.summary());
    if well && all.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_part(plan: &Plan, part: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut tally = runtime.block_on(soak(plan));
    println!("{}", tally.line(part));
    ExitCode::SUCCESS
}

async fn soak(plan: &Plan) -> Tally {
    let mut managers = Vec::new();
    for transport in [Transport::Bus, Transport::Private] {
        managers
            .push(Manager::builder().transport(transport).patience(plan.patience).connect().await.expect("a manager"));
    }
    let load = Arc::new(Load::new(managers, plan));
    let mut random = Random::new(plan.seed);
    // Until everything has been done that is done once, and all memory was used that is used again.
    let warm = Duration::from_secs((plan.seconds / 10).clamp(2, 30));
    run(plan, &load, &mut random, warm, &Faults::named("none")).await;
    let (descriptors, memory) = (support::descriptors(), memory());

    let faults = run(plan, &load, &mut random, Duration::from_secs(plan.seconds) - warm, &plan.faults).await;
    load.settle().await;
    let mut tally = load.tally();
    tally.faults = faults;
    let more = support::descriptors() as i64 - descriptors as i64;
    tally.fd_growth = more;
    if more > 0 {
        println!("soak: {descriptors} descriptors before, now:\n{}", support::list_descriptors().join("\n"));
    }
    tally.rss_growth_kb = self::memory() - memory;
    load.reckon(&mut tally).await;
    tally
}

/// So many seconds of load, and of faults, until all of it has ended. How many faults there were.
async fn run(plan: &Plan, load: &Arc<Load>, random: &mut Random, how_long: Duration, faults: &Faults) -> u64 {
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        (0..plan.workers).map(|_| tokio::spawn(load.clone().work(random.fork(), over.clone()))).collect();
    let troubles = tokio::spawn(faults.clone().happen(random.fork(), over.clone(), load.spare(), plan.verbose));
    tokio::time::sleep(how_long).await;
    over.store(true, Ordering::SeqCst);
    let count = troubles.await.expect("the faults were made good again");
    for worker in workers {
        worker.await.expect("a worker does not fail");
    }
    count
}

/// In KiB, as it is now (the greatest that there ever was survives exec).
fn memory() -> i64 {
    let pages: i64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4
}
