//! `fleet`: runs one command on many hosts at once, over ssh, as a transient unit on each.
//!
//! ```sh
//! cargo build --release --example fleet
//! target/release/examples/fleet web1 web2 root@db1.example.org:2222 -- /bin/systemctl is-system-running
//! target/release/examples/fleet -j 8 -o IdentityFile=~/.ssh/fleet web1/container machine:build -- apt-get -y upgrade
//! ```
//!
//! A host is `[user@]host[:port][/machine]` (see `Manager::remote`), `machine:NAME` for a container of this host, or
//! `.host` for this host itself.
//!
//! - A line tells of each start and each end. A host that cannot be reached, or where the command fails, does not keep
//!   the others from it. The summary comes last.
//! - What the command prints is in the journal of its host, under the name of the unit that the lines give.
//! - The command goes on where it was started, also when `fleet` is interrupted or a connection is lost meanwhile.
//! - ssh asks nothing (`BatchMode=yes`) and does not wait for a host longer than ten seconds, unless `-o` says otherwise.
//!
//! The exit status is 0 when the command succeeded everywhere, 1 when it did not, 2 when the arguments are wrong.

use std::env::args;
use std::process::ExitCode;
use std::time::Instant;

use futures::StreamExt;
use sdrun::{Command, Error, Manager};

const USAGE: &str = "usage: fleet [-j HOSTS-AT-ONCE] [-o SSH-OPTION]… HOST… -- COMMAND [ARGUMENT…]";

/// What is to be done.
struct Task {
    /// On how many hosts at once.
    jobs: usize,
    /// For ssh, as after its own `-o`.
    ssh_options: Vec<String>,
    hosts: Vec<String>,
    command: Vec<String>,
}

/// What came of it on one host.
enum Outcome {
    Ok,
    /// The command ran, or was to run, and failed.
    Failed(String),
    /// Nobody can say how it ended, if it ever began.
    Unreachable(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    let task = match parse(args().skip(1)) {
        Ok(task) => task,
        Err(problem) => {
            eprintln!("fleet: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let task = &task;
    // Each future is one host's; so many of them are under way.
    let outcomes: Vec<(&str, Outcome)> = futures::stream::iter(&task.hosts)
        .map(|host| async move { (host.as_str(), run_on(host, task).await) })
        .buffer_unordered(task.jobs)
        .collect()
        .await;
    summarize(&outcomes)
}

/// Runs the command on one host, and tells of it.
async fn run_on(host: &str, task: &Task) -> Outcome {
    let begun = Instant::now();
    println!("{host}: connecting");
    let outcome = match run(host, task).await {
        Ok(()) => Outcome::Ok,
        Err(error @ (Error::Unavailable { .. } | Error::Disconnected { .. })) => {
            Outcome::Unreachable(error.to_string())
        }
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let seconds = begun.elapsed().as_secs_f64();
    match &outcome {
        Outcome::Ok => println!("{host}: ok after {seconds:.1} s"),
        Outcome::Failed(why) => println!("{host}: failed after {seconds:.1} s: {why}"),
        Outcome::Unreachable(why) => println!("{host}: unreachable after {seconds:.1} s: {why}"),
    }
    outcome
}

async fn run(host: &str, task: &Task) -> Result<(), Error> {
    let manager = connect(host, task).await?;
    let mut command = Command::from(&task.command[..]);
    let unit = command.description(format!("fleet: {}", task.command.join(" "))).collect(true).start(&manager).await?;
    println!("{host}: started {}", unit.name());
    unit.wait().await?.check()?;
    Ok(())
}

async fn connect(host: &str, task: &Task) -> Result<Manager, Error> {
    if host == ".host" {
        return Manager::system().await;
    }
    if let Some(machine) = host.strip_prefix("machine:") {
        return Manager::machine(machine).await;
    }
    let mut builder = Manager::builder().remote(host);
    // The first of the same name counts.
    for option in task.ssh_options.iter().map(String::as_str).chain(["BatchMode=yes", "ConnectTimeout=10"]) {
        builder = builder.ssh_option(option);
    }
    builder.connect().await
}

fn summarize(outcomes: &[(&str, Outcome)]) -> ExitCode {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, outcome)| is(outcome)).count();
    let (ok, failed) = (count(|o| matches!(o, Outcome::Ok)), count(|o| matches!(o, Outcome::Failed(_))));
    let unreachable = outcomes.len() - ok - failed;
    println!("\n{} hosts: {ok} ok, {failed} failed, {unreachable} unreachable", outcomes.len());
    for (host, outcome) in outcomes {
        match outcome {
            Outcome::Ok => {}
            Outcome::Failed(why) => println!("  failed       {host}: {why}"),
            Outcome::Unreachable(why) => println!("  unreachable  {host}: {why}"),
        }
    }
    if ok == outcomes.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut task = Task { jobs: 32, ssh_options: Vec::new(), hosts: Vec::new(), command: Vec::new() };
    while let Some(argument) = arguments.next() {
        // The value of an option is the next argument, or joined to it.
        let mut value = |option: &str| match &argument[option.len()..] {
            "" => arguments.next().ok_or_else(|| format!("{option} needs a value")),
            joined => Ok(joined.to_owned()),
        };
        match argument.as_str() {
            "--" => {
                task.command = arguments.collect();
                break;
            }
            option if option.starts_with("-j") => {
                let jobs = value("-j")?;
                let number = jobs.parse().ok().filter(|jobs| *jobs > 0);
                task.jobs = number.ok_or_else(|| format!("-j {jobs}: not a number of hosts"))?;
            }
            option if option.starts_with("-o") => task.ssh_options.push(value("-o")?),
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            host => task.hosts.push(host.to_owned()),
        }
    }
    if task.hosts.is_empty() {
        return Err("no hosts".to_owned());
    }
    if task.command.is_empty() {
        return Err("no command (it stands behind \"--\")".to_owned());
    }
    Ok(task)
}
