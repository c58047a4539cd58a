//! `supervisor`: keeps services up, as units, and finds them again when it was restarted itself.
//!
//! ```sh
//! cat >services <<END
//! # NAME COMMAND, split into words as a shell does it
//! web   /usr/bin/web --port 80
//! queue /usr/bin/queue '/srv/the queue'
//! END
//! cargo build --release --example supervisor
//! target/release/examples/supervisor --watchdog 10 services
//! ```
//!
//! - A service is up when it says so (`READY=1`, `sd_notify(3)`), and with `--watchdog` it has to say that it is alive
//!   (`WATCHDOG=1`) at least so often, or systemd kills it.
//! - One that has ended, however it did, is started again: after 0.1 s, then 0.2 s, and so on up to 30 s. When it was up
//!   for that long the count begins anew.
//! - The services belong to systemd. When the supervisor is killed they go on, and the next one adopts them.
//! - On SIGTERM or SIGINT all of them are stopped, each as gracefully as it can, and then it ends.
//!
//! Each service is the unit `supervised-NAME.service` in `supervised.slice`: `systemctl status supervised.slice` shows
//! them all, `journalctl -u supervised-web` what one of them has to say.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sdrun::{Command, Error, Exit, Manager, ServiceType, Unit};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: supervisor [--watchdog SECONDS] FILE";

/// How long it waits after the first failure, and at most.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

struct Service {
    name: String,
    command: Command,
}

#[tokio::main]
async fn main() -> ExitCode {
    let services = match parse(std::env::args().skip(1)) {
        Ok(services) => services,
        Err(problem) => {
            eprintln!("supervisor: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match supervise(&services).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn supervise(services: &[Service]) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything is started: a signal that comes early must not end this process and leave half of them running.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let manager = Manager::shared().await?;
    tokio::select! {
        _ = join_all(services.iter().map(|service| service.keep_up(&manager))) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The futures that keep them up are gone, at whatever they were: sdrun lets each be dropped at any time, and a start
    // that systemd has not accepted yet is given up. So there is no flag to be looked at everywhere.
    println!("stopping");
    let stopped = join_all(services.iter().map(|service| service.stop(&manager))).await;
    Ok(stopped.into_iter().collect::<Result<(), Error>>()?)
}

impl Service {
    fn unit(&self) -> String {
        format!("supervised-{}.service", self.name)
    }

    fn say(&self, what: impl std::fmt::Display) {
        println!("{}: {what}", self.name);
    }

    /// Runs it again and again.
    async fn keep_up(&self, manager: &Manager) {
        let mut delay = FIRST_DELAY;
        loop {
            let begun = Instant::now();
            // An error is one of the call or the connection: it may be another one next time.
            let why = match self.run(manager).await {
                Ok(exit) => format!("ended: {exit}"),
                Err(error) => format!("cannot be run: {error}"),
            };
            if begun.elapsed() >= LONGEST_DELAY {
                delay = FIRST_DELAY;
            }
            self.say(format_args!("{why}; again in {delay:?}"));
            tokio::time::sleep(delay).await;
            delay = LONGEST_DELAY.min(delay * 2);
        }
    }

    /// Runs it once, to its end.
    async fn run(&self, manager: &Manager) -> Result<Exit, Error> {
        let unit = self.start(manager).await?;
        match unit.activated().await {
            Ok(()) => self.say("is ready"),
            // It ended before it was ready; `wait` says how.
            Err(Error::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
        unit.wait().await
    }

    /// Starts it, unless it runs already: then an earlier supervisor has.
    async fn start(&self, manager: &Manager) -> Result<Unit, Error> {
        loop {
            match self.command.clone().start(manager).await {
                Err(Error::UnitExists { .. }) => {}
                started => return started.inspect(|_| self.say("started")),
            }
            match manager.unit(self.unit()).await {
                // It has ended just now, and its name is free.
                Err(Error::NoSuchUnit { .. }) => {}
                found => return found.inspect(|unit| self.say(format_args!("adopted {}", unit.name()))),
            }
        }
    }

    /// Stops it where it runs: SIGTERM, and SIGKILL when that takes too long.
    async fn stop(&self, manager: &Manager) -> Result<(), Error> {
        let stopped = async {
            let unit = manager.unit(self.unit()).await?;
            unit.stop().await?;
            unit.wait().await
        };
        match stopped.await {
            Ok(exit) => self.say(format_args!("stopped: {exit}")),
            Err(Error::NoSuchUnit { .. }) => self.say("does not run"),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Vec<Service>, String> {
    let (mut file, mut watchdog) = (None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--watchdog" => {
                let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                watchdog = Some(seconds.ok_or("--watchdog needs a number of seconds")?);
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            path => file = Some(path.to_owned()),
        }
    }
    let file = file.ok_or("which services?")?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| service(line, watchdog)).collect()
}

fn service(line: &str, watchdog: Option<Duration>) -> Result<Service, String> {
    let (name, command) = line.split_once(char::is_whitespace).ok_or_else(|| format!("{line}: no command"))?;
    let mut service = Service { name: name.to_owned(), command: Command::from(command.trim()) };
    let unit = service.unit();
    service
        .command
        .name(unit)
        .slice("supervised")
        .service_type(ServiceType::Notify)
        .timeout_stop(Duration::from_secs(10))
        // Also one that failed is forgotten, and can be started again under its name.
        .collect(true)
        // Whatever a script runs may speak for it: `systemd-notify --ready` is a process of its own.
        .property("NotifyAccess=all")
        .map_err(|error| error.to_string())?;
    if let Some(longest) = watchdog {
        service.command.watchdog(longest);
    }
    Ok(service)
}
