//! What a command is made from.

use std::ffi::OsStr;

use super::environment::Environment;
use super::pty::Terminal;
use super::service::Service;
use super::{Command, Exec};
use crate::property::{Properties, UnitType};
use crate::unit::Habits;

/// A command that runs this command line.
impl From<Exec> for Command {
    fn from(main: Exec) -> Self {
        Command {
            main,
            environment: Environment::default(),
            directory: None,
            description: None,
            stdio: [None, None, None],
            terminal: Terminal::default(),
            service: Service::default(),
            extra: Properties::new(UnitType::Service),
            habits: Habits::default(),
            problem: None,
        }
    }
}

/// One string is split into words as a shell does it; no shell is involved, and nothing is expanded.
impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Exec::from(line).into()
    }
}

/// As from `&str`: split into words.
impl From<String> for Command {
    fn from(line: String) -> Self {
        Exec::from(line).into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<&[S]> for Command {
    fn from(words: &[S]) -> Self {
        Exec::from(words).into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>, const N: usize> From<[S; N]> for Command {
    fn from(words: [S; N]) -> Self {
        Exec::from(words).into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<Vec<S>> for Command {
    fn from(words: Vec<S>) -> Self {
        Exec::from(words).into()
    }
}

/// So that a chain of builder calls can be run: `run(Command::new("/bin/true").name("x"))`.
impl From<&mut Command> for Command {
    fn from(command: &mut Command) -> Self {
        command.clone()
    }
}
