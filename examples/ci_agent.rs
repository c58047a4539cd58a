//! `ci_agent`: runs a build step that nobody trusts, and keeps what it made.
//!
//! ```sh
//! cargo build --release --example ci_agent
//! target/release/examples/ci_agent -t 600 nightly-42 /srv/checkout -- /bin/sh -c 'make -C "$SOURCE" DESTDIR="$PWD" install'
//! ```
//!
//! The step of this name may read one folder, which it finds at `$SOURCE`, and runs
//!
//! - as a user that exists only as long as it runs (`DynamicUser=`), so nothing on the host is its own;
//! - without network and devices, with a `/tmp` of its own, and sees nothing in `/home` and `/root`;
//! - with limits of memory, processes and time (`-t`; by default an hour);
//! - in an empty folder, `/var/lib/ci/NAME` (`StateDirectory=`): what it writes there are its artefacts, which stay when
//!   it has ended and its user is gone.
//!
//! Its log is printed as it is written, and what systemd says of it with `systemd:` before; the artefacts are listed at
//! the end. ^C stops it. It takes root, since only the system's manager can make up users.
//!
//! The exit status is the step's own, 124 when its time was up, 1 for any other failure, 2 when the arguments are wrong.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{Command, Manager, Outcome, ProtectHome, ProtectSystem, Unit};

const USAGE: &str = "usage: ci_agent [-t SECONDS] NAME SOURCE -- COMMAND [ARGUMENT…]";

/// Where the step finds the source: below its own `/tmp`, so that the host needs no such folder.
const SOURCE: &str = "/tmp/source";

struct Step {
    name: String,
    source: String,
    time: Duration,
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let step = match parse(std::env::args().skip(1)) {
        Ok(step) => step,
        Err(problem) => {
            eprintln!("ci_agent: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match build(&step).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("ci_agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn build(step: &Step) -> Result<u8, Box<dyn std::error::Error>> {
    let artefacts = Path::new("/var/lib/ci").join(&step.name);
    if artefacts.exists() {
        return Err(format!("{} is there already: each run needs a name of its own", artefacts.display()).into());
    }
    let manager = Manager::system().await?;
    let unit = sandboxed(step)?.start(&manager).await?;
    tokio::select! {
        printed = print_log(&unit) => printed?,
        _ = tokio::signal::ctrl_c() => unit.stop().await?,
    }
    let exit = unit.wait().await?;
    println!("{exit}, after {:.1?}", exit.runtime.unwrap_or_default());
    // Where it could not even be set up there is no folder.
    if artefacts.exists() {
        list(&artefacts)?;
    }
    Ok(match (&exit.result, exit.code()) {
        (Outcome::Timeout, _) => 124,
        (_, Some(code)) => u8::try_from(code)?,
        _ => 1,
    })
}

/// The step, with everything that keeps it in.
fn sandboxed(step: &Step) -> sdrun::Result<Command> {
    let mut command = Command::from(&step.command[..]);
    command
        .name(format!("ci-{}", step.name))
        .description(format!("ci_agent: {}", step.name))
        .collect(true)
        .env("SOURCE", SOURCE)
        // Its user, and what that user cannot do.
        .dynamic_user(true)
        .no_new_privileges(true)
        .private_network(true)
        .private_devices(true)
        .private_tmp(true)
        .protect_system(ProtectSystem::Strict)
        .protect_home(ProtectHome::Yes)
        .property(format!("BindReadOnlyPaths={}:{SOURCE}", step.source))?
        // The one place that it can write to.
        .property(format!("StateDirectory=ci/{}", step.name))?
        .property(format!("WorkingDirectory=/var/lib/ci/{}", step.name))?
        // What it can use up.
        .runtime_max(step.time)
        .timeout_stop(Duration::from_secs(10))
        .memory_max(2 << 30)
        .tasks_max(512);
    Ok(command)
}

/// Prints what the step writes, until it has ended.
async fn print_log(unit: &Unit) -> sdrun::Result<()> {
    let mut log = unit.logs();
    while let Some(entry) = log.next().await {
        let entry = entry?;
        // The manager's own lines are in a unit's log too.
        let by_systemd = entry.get("_PID") == Some(b"1");
        println!("{}{}", if by_systemd { "systemd: " } else { "" }, entry.message());
    }
    Ok(())
}

/// Lists the files in this folder and below it.
fn list(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Nothing is followed: a step can make links to anywhere.
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            list(&path)?;
        } else if kind.is_file() {
            println!("artefact: {} ({} bytes)", path.display(), entry.metadata()?.len());
        }
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Step, String> {
    let (mut time, mut words) = (Duration::from_secs(3600), Vec::new());
    loop {
        let argument = arguments.next().ok_or("no command (it stands behind \"--\")")?;
        match argument.as_str() {
            "--" => break,
            "-t" => {
                let seconds = arguments.next().and_then(|seconds| seconds.parse().ok());
                let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                time = seconds.filter(|time| !time.is_zero()).ok_or("-t needs a number of seconds")?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            word => words.push(word.to_owned()),
        }
    }
    let [name, source] = words.try_into().map_err(|_| "a name and a folder are needed")?;
    // Both become part of settings, where some characters mean something.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(is_plain) || name.starts_with('.') || name.is_empty() {
        return Err(format!("{name}: not a name (letters, digits, \"-\", \"_\" and \".\")"));
    }
    let source = std::fs::canonicalize(&source).map_err(|error| format!("{source}: {error}"))?;
    let source = source.to_str().filter(|path| path.chars().all(|c| is_plain(c) || c == '/'));
    let source = source.ok_or("the folder's path has characters other than those of a name")?.to_owned();
    Ok(Step { name, source, time, command: arguments.collect() })
}
