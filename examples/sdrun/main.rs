//! `sdrun`: systemd-run(1) on the library: its options, as of systemd 262, and its exit status.
//!
//! ```sh
//! cargo build --release --example sdrun
//! target/release/examples/sdrun --wait --collect -E NAME=world /bin/sh -c 'test "$NAME" = world'
//! target/release/examples/sdrun --user --unit=nap --same-dir sleep 60 # then: systemctl --user status nap
//! target/release/examples/sdrun --shell
//! target/release/examples/sdrun --scope -p MemoryMax=2G make -j8
//! target/release/examples/sdrun --on-calendar=daily --unit=clean-up rm -rf /var/tmp/builds
//! target/release/examples/sdrun -v --host=root@web1.example.org systemctl --version
//! target/release/examples/sdrun --help
//! ```
//!
//! (`cargo run --example sdrun -- …` works too; for root it boots a private systemd, see `tests/sandbox/run`.)
//!
//! As with systemd-run, the program is looked for in this process's `$PATH`, and the unit is one of the system manager
//! unless `--user` is given. `$NAME` in the arguments is expanded by systemd unless `--expand-environment=no` is given. What
//! differs:
//!
//! - There is no `--background`, nothing is coloured, and polkit's agent is not started (one that runs is asked, unless
//!   `--no-ask-password` is given).
//! - Messages begin with `sdrun: `; those about properties and values say what would be right.
//! - `--root-directory` on systemd before 259, and for who may not copy mounts, is the manager's directory of that path.
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

mod combinations;
mod expand;
mod flags;
mod getopt;
mod help;
mod log;
mod name;
mod numbers;
mod options;
mod program;
mod say;
mod scope;
mod service;
mod size;
mod summary;
mod timespan;
mod trigger;
mod verbose;

use std::ffi::OsStr;
use std::process::ExitCode;

use options::{Asked, Options, Place};
use say::say;
use sdrun::{Manager, Transport};

fn main() -> ExitCode {
    let code = match options::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Text(text)) => {
            say::print(text);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Asked::Run(options)) if options.scope => scope::run(&options),
        Ok(Asked::Run(options)) => match options.trigger() {
            Some(trigger) => trigger::run(&options, trigger),
            None => service::run(&options),
        },
        Err(error) => Err(error.into()),
    };
    code.unwrap_or_else(|error| {
        say(format_args!("sdrun: {error}"));
        ExitCode::FAILURE
    })
}

/// Connects to the manager that the options name.
async fn connect(options: &Options) -> sdrun::Result<Manager> {
    let builder = Manager::builder();
    let builder = match (&options.place, options.user) {
        (Place::Here, false) => builder.system(),
        (Place::Here, true) => builder.user(),
        (Place::Host(host), _) => builder.remote(host),
        (Place::Machine(machine), false) => builder.machine(machine),
        (Place::Machine(machine), true) => builder.user_machine(machine),
        (Place::Capsule(name), _) => builder.capsule(name),
    };
    let transport = if options.private { Transport::Private } else { Transport::Auto };
    builder.transport(transport).interactive(!options.no_ask_password).connect().await
}

/// The text as the name of a unit.
fn mangled(text: &OsStr, wanted: &str, options: &Options) -> Result<String, String> {
    let name = name::mangle(text, wanted)?;
    if !options.quiet && !name.as_bytes().starts_with(text.as_encoded_bytes()) {
        say(format_args!("Invalid unit name \"{}\" escaped as \"{name}\".", text.to_string_lossy()));
    }
    Ok(name)
}
