//! `sdrun`: runs a command as a transient systemd service, with the options and the exit status of systemd-run(1).
//!
//! ```sh
//! cargo build --release --example sdrun
//! target/release/examples/sdrun --wait --collect -E NAME=world /bin/sh -c 'test "$NAME" = world'
//! target/release/examples/sdrun --user --unit=nap --same-dir sleep 60 # then: systemctl --user status nap
//! target/release/examples/sdrun --shell
//! target/release/examples/sdrun --help
//! ```
//!
//! (`cargo run --example sdrun -- …` works too; for root it boots a private systemd, see `tests/sandbox/run`.)
//!
//! As with systemd-run, the program is looked for in this process's `$PATH`, and the unit is one of the system manager
//! unless `--user` is given. What differs:
//!
//! - Arguments reach the program as they are. systemd-run has systemd expand `$NAME` in them, unless
//!   `--expand-environment=no` is given (254 and later); here `--expand-environment=yes` asks for that.
//! - `--remain-after-exit` goes with none of `--wait`, `--pty` and `--pipe`, as with systemd 262. Older ones wait until
//!   somebody stops the unit.
//! - A start that failed is told in other words, and with `--wait`, `--pty` and `--pipe` it is an end like any other, as
//!   with systemd 257 and later.
//! - With `--pty` nothing is written to the terminal but what the command writes. Newer systemd-runs add escape sequences
//!   (a window title, a background).
//! - Where there is no bus daemon, `--wait` works over the manager's private socket.
//! - What the unit used is counted where the summary is to say it (`--wait` without `--quiet`); systemd-run shows what the
//!   manager counts of itself, and only on a bus.
//! - The summary goes on in the last line of a command on a terminal (`--pty`) that does not end it.
//!
//! # Exit status
//!
//! With `--no-block` 0 when systemd has accepted the start; without it 1 when the start fails, else 0. With `--pty`
//! that is left by pressing `^]` three times 0. With `--wait`, `--pty` and `--pipe` that of systemd-run of systemd 257
//! and later:
//!
//! | | |
//! |---|---|
//! | 0 | systemd calls it a success: the program returned 0, or SIGHUP, SIGINT, SIGTERM or SIGPIPE ended it |
//! | what the program returned | any other code; 200 to 243 also come from systemd, when it cannot execute the program |
//! | 255 | another signal ended the program |
//! | 1 | anything else: a time limit, a core dump, a wrong option, a start that systemd refused |
//! | 0, and a line on stderr | the program was never run: an unmet condition or assertion, a cancelled job, a failed dependency |

mod name;
mod options;
mod program;
mod summary;
mod timespan;

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use options::{Asked, HELP, Options, Streams};
use sdrun::{Command, Error as SdrunError, Exit, Forwarded, Manager, ManagerBuilder, Outcome, Stdio, Transport, Unit};

fn main() -> ExitCode {
    let code = match options::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Help) => print(HELP),
        Ok(Asked::Version) => print(concat!("sdrun ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Asked::Run(options)) => run(&options),
        Err(error) => Err(error.into()),
    };
    code.unwrap_or_else(|error| {
        say(format_args!("sdrun: {error}"));
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut command = command(options)?;
    // One connection and one unit: more threads than this one would have nothing to do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let manager = manager(options).connect().await?;
        let mut unit = command.start(&manager).await?;
        let waits = options.wait || options.streams() != Streams::Service;
        if !waits && !options.no_block {
            if let Some(code) = failed_start(&unit, options).await? {
                return Ok(code);
            }
        }
        if !options.quiet {
            match unit.invocation_id() {
                Some(id) => say(format_args!("Running as unit: {}; invocation ID: {id}", unit.name())),
                None => say(format_args!("Running as unit: {}", unit.name())),
            }
        }
        // Kept until the end: closed, it would hang the command's terminal up.
        let mut _terminal = None;
        if options.streams() == Streams::Pty {
            if !options.quiet {
                say("Press ^] three times within 1s to disconnect TTY.");
            }
            match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await? {
                Forwarded::Ended => {}
                Forwarded::Disconnected(terminal) if options.wait => _terminal = Some(terminal),
                Forwarded::Disconnected(_) => return Ok(ExitCode::SUCCESS),
            }
        }
        if !waits {
            return Ok(ExitCode::SUCCESS);
        }
        let exit = unit.await?;
        if options.wait && !options.quiet {
            summary::lines(&exit).for_each(say);
        }
        // Also with --quiet: the exit status does not say it.
        not_run(&exit, options);
        Ok(summary::exit_code(&exit).into())
    })
}

/// Waits until the start is done, and what to exit with when it has failed.
async fn failed_start(unit: &Unit, options: &Options) -> sdrun::Result<Option<ExitCode>> {
    let exit = match unit.activated().await {
        Ok(()) => return Ok(None),
        Err(SdrunError::Failed { exit }) => exit,
        Err(error) => return Err(error),
    };
    // Not started, as the condition wants it: to systemd-run too that is a success.
    if matches!(exit.result, Outcome::Condition | Outcome::ExecCondition) {
        not_run(&exit, options);
        return Ok(None);
    }
    if !options.quiet {
        say(format_args!("sdrun: the start of {} has failed: {exit}", unit.name()));
    }
    Ok(Some(ExitCode::FAILURE))
}

fn not_run(exit: &Exit, options: &Options) {
    if let Some(reason) = summary::why_not_run(exit) {
        say(format_args!("sdrun: {} was not run: {reason}", options.command[0].to_string_lossy()));
    }
}

fn manager(options: &Options) -> ManagerBuilder {
    let builder = Manager::builder();
    let builder = match (&options.machine, options.user) {
        (None, false) => builder.system(),
        (None, true) => builder.user(),
        (Some(machine), false) => builder.machine(machine),
        (Some(machine), true) => builder.user_machine(machine),
    };
    builder.transport(if options.private { Transport::Private } else { Transport::Auto })
}

fn command(options: &Options) -> Result<Command, Box<dyn Error>> {
    let (program, arguments) = options.command.split_first().ok_or("there is no command to run")?;
    let mut command = if options.is_on_this_host() {
        let path = program::find(program)
            .map_err(|errno| format!("Failed to find executable {}: {}", program.to_string_lossy(), errno.desc()))?;
        Command::new(path)
    } else {
        Command::new(program)
    };
    command.args(arguments).envs(options.environment.iter().map(|(key, value)| (key, value))).collect(options.collect);
    if let Some(unit) = &options.unit {
        command.name(mangled(unit, "service", options)?);
    }
    if let Some(description) = &options.description {
        command.description(description);
    }
    if let Some(user) = &options.uid {
        command.user(user);
    }
    if let Some(group) = &options.gid {
        command.group(group);
    }
    if let Some(level) = options.nice {
        command.nice(level);
    }
    if let Some(slice) = &options.slice {
        command.slice(mangled(slice, "slice", options)?);
    }
    if let Some(service_type) = &options.service_type {
        // As text: which there are is for systemd to say.
        command.extra("Type", service_type.as_str());
    }
    command
        .slice_inherit(options.slice_inherit)
        .remain_after_exit(options.remain_after_exit)
        .expand_environment(options.expand_environment)
        .usage(options.wait && !options.quiet);
    match options.streams() {
        Streams::Service => {}
        Streams::Pty => {
            command.pty();
        }
        Streams::Pipe => {
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
        }
    }
    if options.streams() != Streams::Service {
        pass_terminal_variables(&mut command, options);
    }
    if let Some(directory) = &options.directory {
        command.current_dir(directory);
    }
    Ok(command)
}

/// What a program wants to know of the terminal that it writes to.
fn pass_terminal_variables(command: &mut Command, options: &Options) {
    for name in ["TERM", "COLORTERM", "NO_COLOR"] {
        let is_set = options.environment.iter().any(|(key, _)| key == name);
        // What is not UTF-8 is no value that these have.
        if let (false, Ok(value)) = (is_set, std::env::var(name)) {
            command.env(name, value);
        }
    }
}

/// The text as the name of a unit.
fn mangled(text: &OsStr, wanted: &str, options: &Options) -> Result<String, String> {
    let name = name::mangle(text, wanted)?;
    if !options.quiet && !name.as_bytes().starts_with(text.as_encoded_bytes()) {
        say(format_args!("Invalid unit name \"{}\" escaped as \"{name}\".", text.to_string_lossy()));
    }
    Ok(name)
}

/// A line on stderr; where nobody reads it that is no reason to fail.
fn say(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Text on stdout; the same.
fn print(text: &str) -> Result<ExitCode, Box<dyn Error>> {
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}
