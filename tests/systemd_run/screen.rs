//! A scripted terminal, before which a program sits.
#![allow(dead_code)] // each test file uses its part

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sdrun_sys::terminal::{self, Window};

use crate::support::DEADLINE;

/// Longer than any program needs to say the rest when it has ended: the terminal has it already.
const REST: Duration = Duration::from_millis(20);

pub struct Screen {
    master: File,
    /// Kept open, so that reading does not fail when the program has ended.
    slave: OwnedFd,
    child: Child,
    /// All that came, and how much of it was looked at.
    pub seen: String,
    at: usize,
    /// The terminal's modes before the program was started.
    pub before: String,
}

impl Screen {
    /// Runs the program with this terminal as its controlling one and as its three streams.
    pub fn run(command: &Command) -> Self {
        Self::run_with(command, None)
    }

    /// As `run`, with another standard input.
    pub fn run_with(command: &Command, input: Option<Stdio>) -> Self {
        let master = terminal::open_master().unwrap();
        let slave = terminal::open_peer(master.as_fd()).unwrap();
        terminal::set_window(master.as_fd(), Window { rows: 31, columns: 113, width: 0, height: 0 }).unwrap();
        let before = modes(&slave);
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut session = Command::new("setsid");
        // It takes its own standard input for the terminal.
        match input {
            None => session.arg("--ctty").stdin(end()),
            Some(input) => session.stdin(input),
        };
        session.arg(command.get_program()).args(command.get_args()).stdout(end()).stderr(end());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            session.current_dir(folder);
        }
        let child = session.spawn().unwrap();
        Screen { master: master.into(), slave, child, seen: String::new(), at: 0, before }
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text to appear after the one before, and returns what came up to its end.
    pub fn expect(&mut self, text: &str) -> String {
        assert!(self.wait_for(text, DEADLINE), "no {text:?} in {:?}, all: {:?}", &self.seen[self.at..], self.seen);
        let from = self.at;
        self.at += self.seen[from..].find(text).unwrap() + text.len();
        self.seen[from..self.at].into()
    }

    fn wait_for(&mut self, text: &str, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while !self.seen[self.at..].contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap()) {
                Ok(0) => return false,
                Err(Errno::EINTR) => continue,
                result => drop(result.unwrap()),
            }
            let mut bytes = [0; 4096];
            let length = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        true
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        terminal::set_window(self.master.as_fd(), Window { rows, columns, width: 0, height: 0 }).unwrap();
    }

    pub fn modes(&self) -> String {
        modes(&self.slave)
    }

    /// Waits for the program to end, and reads what it said.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // What it says last must be read for it to end.
            self.wait_for("\0never\0", REST);
            if let Some(status) = self.child.try_wait().unwrap() {
                self.wait_for("\0never\0", REST);
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end: {:?}", self.seen);
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All modes of a terminal, in one line.
fn modes(terminal: &OwnedFd) -> String {
    let stty = Command::new("stty").arg("-g").stdin(terminal.try_clone().unwrap()).output().unwrap();
    assert!(stty.status.success(), "{stty:?}");
    String::from_utf8(stty.stdout).unwrap()
}
