//! `pty_shell`: an interactive shell inside a unit, on this terminal: to look about in a sandbox from within.
//!
//! ```sh
//! cargo build --release --example pty_shell
//! target/release/examples/pty_shell -p PrivateNetwork=yes -p ProtectSystem=strict -p MemoryMax=500M
//! target/release/examples/pty_shell -p DynamicUser=yes -- /bin/bash --norc
//! ```
//!
//! The shell is `$SHELL`, or what stands behind `--`. It has a terminal of its own, to which this one is put through:
//! completion, `^C`, `^Z` and the size of the window work as ever. `-p` takes any setting that `systemd-run -p` does.
//! Pressing `^]` three times leaves it; the shell is hung up then.
//!
//! The exit status is the shell's own, 1 where it has none, 2 when the arguments are wrong.

use std::process::ExitCode;

use sdrun::{Command, Forwarded, Manager};

const USAGE: &str = "usage: pty_shell [-p NAME=VALUE]… [-- SHELL [ARGUMENT…]]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = match parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("pty_shell: {problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    run(command).await.unwrap_or_else(|error| {
        eprintln!("pty_shell: {error}");
        ExitCode::FAILURE
    })
}

async fn run(mut command: Command) -> sdrun::Result<ExitCode> {
    let manager = Manager::shared().await?;
    let mut unit = command.start(&manager).await?;
    println!("{}: press ^] three times to leave it", unit.name());
    // The terminal is in raw mode as long as this is awaited, and afterwards as it was, however it ends.
    match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await? {
        Forwarded::Ended => {
            let exit = unit.wait().await?;
            println!("{}: {exit}", unit.name());
            Ok(exit.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
        }
        // What is in it is the terminal: dropping it is what hangs the shell up.
        Forwarded::Disconnected(_) => {
            println!("{}: left", unit.name());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut settings = Vec::new();
    let mut shell = vec![std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into())];
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-p" => settings.push(arguments.next().ok_or("-p needs a setting")?),
            "--" => shell = arguments.by_ref().collect(),
            other => return Err(format!("{other}: neither an option nor behind \"--\"")),
        }
    }
    let mut command = Command::from(shell);
    command.pty().collect(true);
    // Which kind of terminal this is only this side knows.
    if let Ok(term) = std::env::var("TERM") {
        command.env("TERM", term);
    }
    for setting in settings {
        command.property(setting).map_err(|error| error.to_string())?;
    }
    Ok(command)
}
