//! `sdrun`: runs a command as a transient systemd service, with the options and the exit status of systemd-run(1).
//!
//! ```sh
//! cargo build --release --example sdrun
//! target/release/examples/sdrun --wait --collect -E NAME=world /bin/sh -c 'test "$NAME" = world'
//! target/release/examples/sdrun --user --unit=nap --same-dir sleep 60 # then: systemctl --user status nap
//! target/release/examples/sdrun --help
//! ```
//!
//! (`cargo run --example sdrun -- …` works too; for root it boots a private systemd, see `tests/sandbox/run`.)
//!
//! As with systemd-run, the program is looked for in this process's `$PATH`, and the unit is one of the system manager
//! unless `--user` is given. What differs:
//!
//! - Arguments reach the program as they are. systemd-run has systemd expand `$NAME` in them.
//! - It ends as soon as systemd has accepted the start (as with `--no-block`) or, with `--wait`, when the unit has
//!   ended. systemd-run also waits until the start itself is done.
//! - Where there is no bus daemon, `--wait` works over the manager's private socket.
//! - The summary leaves out what cannot be read of a unit that is gone: CPU time, memory and traffic.
//!
//! # Exit status
//!
//! Without `--wait` and `--pipe` 0, with them that of systemd-run of systemd 257 and later:
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
use std::fmt::Display;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use options::{Asked, HELP, Options};
use sdrun::{Command, Manager, ManagerBuilder, Transport};

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
        let unit = command.start(&manager).await?;
        if !options.quiet {
            match unit.invocation_id() {
                Some(id) => say(format_args!("Running as unit: {}; invocation ID: {id}", unit.name())),
                None => say(format_args!("Running as unit: {}", unit.name())),
            }
        }
        if !options.wait && !options.pipe {
            return Ok(ExitCode::SUCCESS);
        }
        let exit = unit.await?;
        if options.wait && !options.quiet {
            summary::lines(&exit).for_each(say);
        }
        // Also with --quiet: the exit status does not say it.
        if let Some(reason) = summary::why_not_run(&exit) {
            say(format_args!("sdrun: {} was not run: {reason}", options.command[0].to_string_lossy()));
        }
        Ok(summary::exit_code(&exit).into())
    })
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
        let name = name::mangle(unit)?;
        if !options.quiet && !name.as_bytes().starts_with(unit.as_encoded_bytes()) {
            say(format_args!("Invalid unit name \"{}\" escaped as \"{name}\".", unit.to_string_lossy()));
        }
        command.name(name);
    }
    if let Some(description) = &options.description {
        command.description(description);
    }
    if options.pipe {
        let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        command
            .extra("StandardInputFileDescriptor", input.as_fd().try_clone_to_owned()?)
            .extra("StandardOutputFileDescriptor", output.as_fd().try_clone_to_owned()?)
            .extra("StandardErrorFileDescriptor", error.as_fd().try_clone_to_owned()?);
    }
    if let Some(directory) = &options.directory {
        command.current_dir(directory);
    }
    Ok(command)
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
