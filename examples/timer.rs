//! `timer`: has systemd run a command again and again, and tells of each run.
//!
//! ```sh
//! cargo build --release --example timer
//! target/release/examples/timer -n 3 1 /bin/date
//! target/release/examples/timer --keep 'Mon..Fri *-*-* 10:00' /usr/bin/backup --all
//! ```
//!
//! When is a number of seconds, from one run's end to the next one's start, or a calendar event (`systemd.time(7)`).
//! What each run writes to its log is printed, and how it ended. After `-n` runs, or ^C, the timer is stopped, unless it
//! is to be kept: systemd needs nobody to be there for a timer to elapse. The units are `NAME.timer` and `NAME.service`,
//! with the name that is printed first.
//!
//! The exit status is 0 when each run that it saw was a success, 1 when not, 2 when the arguments are wrong.

use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{Command, Manager, TimerUnit, Trigger};

const USAGE: &str = "usage: timer [-n RUNS] [--keep] SECONDS|CALENDAR-EVENT COMMAND [ARGUMENT…]";

struct Task {
    timer: TimerUnit,
    command: Command,
    runs: usize,
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let task = match parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("timer: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&task).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("timer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(task: &Task) -> sdrun::Result<bool> {
    let manager = Manager::shared().await?;
    let trigger = task.timer.start(&manager, &task.command).await?;
    println!("{}", trigger.unit().name());
    let mut all_good = true;
    tokio::select! {
        followed = follow(&trigger, task.runs, &mut all_good) => followed?,
        _ = tokio::signal::ctrl_c() => {}
    }
    if !task.keep {
        trigger.unit().stop().await?;
    }
    Ok(all_good)
}

/// Tells of so many runs.
async fn follow(trigger: &Trigger, runs: usize, all_good: &mut bool) -> sdrun::Result<()> {
    // Each is there once, from the first on, and as a handle like that of a unit that was started here.
    let mut activations = trigger.activations().take(runs).enumerate();
    while let Some((number, run)) = activations.next().await {
        let run = run?;
        let mut log = run.logs();
        while let Some(entry) = log.next().await {
            println!("run {}: {}", number + 1, entry?.message());
        }
        let exit = run.await?;
        println!("run {}: {exit}, after {:.1?}", number + 1, exit.runtime.unwrap_or_default());
        *all_good &= exit.success();
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let (mut runs, mut keep) = (usize::MAX, false);
    let when = loop {
        let argument = arguments.next().ok_or("when, and what?")?;
        match argument.as_str() {
            "-n" => runs = arguments.next().and_then(|runs| runs.parse().ok()).ok_or("-n needs a number of runs")?,
            "--keep" => keep = true,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => break argument,
        }
    };
    let words: Vec<String> = arguments.collect();
    if words.is_empty() {
        return Err("no command".into());
    }
    let mut timer = TimerUnit::new();
    match when.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        // The first run is at once: by itself `on_unit_inactive` would wait for one that has ended.
        Some(span) => timer.on_active(Duration::ZERO).on_unit_inactive(span),
        None => timer.on_calendar(when).map_err(|error| error.to_string())?,
    };
    // Otherwise systemd may take a minute more, to wake the machine up less often.
    timer.accuracy(Duration::from_millis(10));
    let mut command = Command::from(words);
    // More often than five times in ten seconds is what was asked for.
    command.collect(true).start_limit(1, Duration::ZERO);
    Ok(Task { timer, command, runs, keep })
}
