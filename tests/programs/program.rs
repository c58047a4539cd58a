//! An example that runs, and what can be seen of its units from outside.

use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::built;
use super::support::{soon, systemctl};

/// Whoever asks systemctl has this, so that a manager does not execute itself anew meanwhile: systemctl does not wait.
static MANAGER: RwLock<()> = RwLock::const_new(());

pub async fn calm() -> RwLockReadGuard<'static, ()> {
    MANAGER.read().await
}

pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    MANAGER.write().await
}

/// An example that was started, and what it writes to standard output, line by line.
pub struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    seen: Vec<String>,
}

impl Program {
    pub fn start<S: AsRef<str>>(name: &str, arguments: &[S]) -> Self {
        let mut command = Command::new(built::example(name));
        command.args(arguments.iter().map(AsRef::as_ref)).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Program { child, lines, seen: Vec::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a line that begins so, after those that were waited for before, and returns it.
    pub async fn line(&mut self, start: &str) -> String {
        loop {
            let line = soon(start, self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("no {start:?} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// Waits for these lines, in any order.
    pub async fn lines(&mut self, starts: &[String]) {
        let mut left = starts.to_vec();
        while !left.is_empty() {
            let line = self.line("").await;
            left.retain(|start| !line.starts_with(start));
        }
    }

    /// Waits for its end. What it wrote is all that it ever did, with a line each.
    pub async fn end(mut self) -> (ExitStatus, Vec<String>) {
        while let Some(line) = soon("the last line", self.lines.next_line()).await.unwrap() {
            self.seen.push(line);
        }
        (soon("the program's end", self.child.wait()).await.unwrap(), self.seen)
    }
}

/// A property, as systemctl shows it.
pub fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", unit, "--value", "--property", name]).trim().to_owned()
}

/// Units that are stopped when the test has ended, however it does.
pub struct Stopped(pub Vec<String>);

impl Drop for Stopped {
    fn drop(&mut self) {
        let stop =
            std::process::Command::new("systemctl").arg(super::support::scope()).arg("stop").args(&self.0).output();
        drop(stop);
    }
}
