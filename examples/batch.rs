//! `batch`: runs a list of shell commands, so many at a time, each as a unit with limits of its own.
//!
//! ```sh
//! cargo build --release --example batch
//! target/release/examples/batch -j 4 -m 512M -c 50 jobs.txt
//! find . -name '*.wav' -printf 'flac "%p"\n' | target/release/examples/batch -p RuntimeMaxSec=1min -p PrivateNetwork=yes
//! ```
//!
//! - A line of the file, or of standard input, is a job: what `/bin/sh -c` takes. Empty lines and those that begin with
//!   `#` are none.
//! - `-m` is the memory that each may use (`MemoryMax=`), `-c` the CPU time in percent of one CPU (`CPUQuota=`), `-p` any
//!   setting that `systemd-run -p` takes.
//! - On a terminal a bar shows how far it is. In the end there is a table of how each ended, how long it took, and the
//!   CPU time and the memory that it used, where the kernel and systemd (256, for the memory) count that.
//! - What a job prints is in the journal, under the name of its unit.
//! - It goes on when systemd is updated and executes itself anew, or the bus is restarted, meanwhile. ^C stops the jobs.
//!
//! The exit status is 0 when all jobs succeeded, 1 when not, 2 when the arguments are wrong.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::{FutureExt, Shared};
use futures::{Future, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use sdrun::{Command, Exit, Manager, Outcome};

const USAGE: &str = "usage: batch [-j JOBS-AT-ONCE] [-m MEMORY] [-c CPU-PERCENT] [-p NAME=VALUE]… [FILE]";

struct Batch {
    jobs: Vec<Job>,
    /// How many run at once.
    at_once: usize,
}

struct Job {
    number: usize,
    line: String,
    command: Command,
}

/// How a job ended, or why it cannot be said.
type End = Result<Exit, String>;

#[tokio::main]
async fn main() -> ExitCode {
    let batch = match parse(std::env::args().skip(1)) {
        Ok(batch) => batch,
        Err(problem) => {
            eprintln!("batch: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let manager = match Manager::shared().await {
        Ok(manager) => manager,
        Err(error) => {
            eprintln!("batch: {error}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let bar = ProgressBar::new(batch.jobs.len() as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed:>4} {bar:40.green} {pos}/{len} {msg:.red}").expect("is one"));
    bar.enable_steady_tick(Duration::from_millis(200));

    // Every job looks at it.
    let interrupted = tokio::signal::ctrl_c().map(drop).boxed().shared();
    let mut failed = 0;
    let mut ends: Vec<(Job, End)> = futures::stream::iter(batch.jobs)
        .map(|mut job| {
            let (manager, interrupted) = (&manager, interrupted.clone());
            async move {
                let end = run(&mut job.command, manager, interrupted).await;
                (job, end)
            }
        })
        .buffer_unordered(batch.at_once)
        .inspect(|(job, end)| {
            if let Some(why) = failure(end) {
                failed += 1;
                let unit = end.as_ref().map_or("", |exit| &exit.unit);
                bar.suspend(|| eprintln!("{}: {why} {unit}", job.line));
                bar.set_message(format!("{failed} failed"));
            }
            bar.inc(1);
        })
        .collect()
        .await;
    bar.finish();
    // Nothing is wanted of it but the answer, for which the connection stays: what kept the last units for their exits to be
    // told is let go of meanwhile.
    let _ = manager.unit("-.slice").await;

    // They came in the order in which they ended.
    ends.sort_by_key(|(job, _)| job.number);
    print!("\n{}", table(&ends));
    println!("{} jobs: {} ok, {failed} failed, in {}", ends.len(), ends.len() - failed, seconds(begun.elapsed()));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a job to its end, or, when it is interrupted, stops it.
async fn run(command: &mut Command, manager: &Manager, interrupted: Shared<impl Future<Output = ()>>) -> End {
    if interrupted.clone().now_or_never().is_some() {
        return Err("not started".into());
    }
    let unit = command.start(manager).await.map_err(|error| error.to_string())?;
    tokio::select! {
        exit = unit.wait() => return exit.map_err(|error| error.to_string()),
        () = interrupted => {}
    }
    // That it cannot be stopped, since it has ended by itself just now, is nothing to tell: its exit tells all.
    let _ = unit.stop().await;
    unit.wait().await.map_err(|error| error.to_string())
}

/// Why a job has not done its work, if so.
fn failure(end: &End) -> Option<String> {
    let exit = match end {
        // To systemd a service that SIGTERM has ended is a success; to whoever waits for its work it is none.
        Ok(exit) if exit.check().is_ok() => return None,
        Ok(exit) => exit,
        Err(error) => return Some(error.clone()),
    };
    Some(match (&exit.result, exit.status) {
        // The status says more.
        (Outcome::Success | Outcome::ExitCode | Outcome::Signal, Some(status)) => status.to_string(),
        (result, _) => result.to_string(),
    })
}

/// A line for each job.
fn table(ends: &[(Job, End)]) -> String {
    let mut table = format!("{:>9}  {:>9}  {:>9}  {:<28}  JOB\n", "RUNTIME", "CPU", "MEMORY", "RESULT");
    for (job, end) in ends {
        let exit = end.as_ref().ok();
        let usage = exit.and_then(|exit| exit.usage).unwrap_or_default();
        // What was not counted is unknown, and not 0.
        let or_dash = |figure: Option<String>| figure.unwrap_or_else(|| "-".into());
        let runtime = or_dash(exit.and_then(|exit| exit.runtime).map(seconds));
        let (cpu, memory) = (or_dash(usage.cpu.map(seconds)), or_dash(usage.memory_peak.map(mebibytes)));
        let result = failure(end).unwrap_or_else(|| "ok".into());
        let line: String = job.line.chars().take(60).collect();
        table += &format!("{runtime:>9}  {cpu:>9}  {memory:>9}  {result:<28}  {line}\n");
    }
    table
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Batch, String> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut at_once, mut settings, mut file) = (processors, Vec::new(), None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "-j" => {
                let jobs = value()?;
                let number = jobs.parse().ok().filter(|jobs| *jobs > 0);
                at_once = number.ok_or_else(|| format!("-j {jobs}: not a number of jobs"))?;
            }
            "-m" => settings.push(format!("MemoryMax={}", value()?)),
            "-c" => settings.push(format!("CPUQuota={}%", value()?.trim_end_matches('%'))),
            "-p" => settings.push(value()?),
            option if option.starts_with('-') && option != "-" => return Err(format!("unknown option {option}")),
            path => file = Some(path.to_owned()).filter(|path| path != "-"),
        }
    }
    let text = match &file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}")),
        None => std::io::read_to_string(std::io::stdin()).map_err(|error| format!("standard input: {error}")),
    };
    let text = text?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let jobs = lines.enumerate().map(|(number, line)| job(number, line, &settings));
    // A setting that is none is found before anything runs, and the error says what is wrong with it.
    Ok(Batch { jobs: jobs.collect::<Result<_, _>>().map_err(|error| error.to_string())?, at_once })
}

fn job(number: usize, line: &str, settings: &[String]) -> sdrun::Result<Job> {
    let mut command = Command::from(["/bin/sh", "-c", line]);
    // Its end is known whatever happens meanwhile (`durable`), and with it what it has used (`usage`).
    command.description(format!("batch: job {}", number + 1)).durable(true).usage(true).collect(true);
    command.current_dir(".");
    for setting in settings {
        command.property(setting)?;
    }
    Ok(Job { number, line: line.to_owned(), command })
}
