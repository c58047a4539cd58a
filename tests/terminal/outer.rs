//! A scripted terminal, before which a process sits that forwards it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sdrun_sys::terminal::{self, Window};

use crate::support::{self, DEADLINE, systemctl};

/// The terminal that the helper runs on, and what stands before it.
pub struct Outer {
    master: File,
    slave: OwnedFd,
    child: Child,
    /// What came, and how much of it was looked at.
    pub seen: String,
    at: usize,
    /// The terminal's modes before the helper was started.
    pub before: String,
    /// Closed for the helper to go on.
    go: Option<OwnedFd>,
    _busy: RwLockReadGuard<'static, ()>,
}

/// Held by every helper, for `as_user` to wait for their end. A helper that ends before its unit gives the number of
/// the unit's terminal back, and at the unit's end systemd takes the path away from its owner, whose it is then. Root
/// does not mind, but the units of an ordinary user cannot open it any more.
pub static BUSY: RwLock<()> = RwLock::new(());

impl Outer {
    /// Runs one of the ignored tests of this program on a terminal.
    pub fn run(test: &str, arguments: &[(&str, &str)]) -> Self {
        Self::run_under(&[], test, arguments)
    }

    /// The same under a shell, say, which is given the helper's command line.
    pub fn run_under(shell: &[&str], test: &str, arguments: &[(&str, &str)]) -> Self {
        let busy = BUSY.read().unwrap_or_else(PoisonError::into_inner);
        let master = terminal::open_master().unwrap();
        let slave = terminal::open_peer(master.as_fd()).unwrap();
        terminal::set_window(master.as_fd(), Window { rows: 31, columns: 113, width: 0, height: 0 }).unwrap();
        let before = modes(&slave);
        let (waiting, go) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // Standard error is where the helper waits to be told to go on.
        let helper = support::helper(test);
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(shell)
            .arg(helper.get_program())
            .args(helper.get_args())
            .envs(arguments.iter().copied())
            .env("TERM", "dumb")
            .stdin(end())
            .stdout(end())
            .stderr(waiting)
            .spawn()
            .unwrap();
        Outer { master: master.into(), slave, child, seen: String::new(), at: 0, before, go: Some(go), _busy: busy }
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text to appear after the one before.
    pub fn expect(&mut self, text: &str) -> String {
        assert!(
            self.wait_for(text, DEADLINE),
            "no {text:?} in what came since:\n{}\nall:\n{}",
            &self.seen[self.at..],
            self.seen
        );
        let from = self.at;
        self.at += self.seen[from..].find(text).unwrap() + text.len();
        self.seen[from..self.at].into()
    }

    /// Whether a text appears after what was looked at, within this time.
    pub fn wait_for(&mut self, text: &str, within: std::time::Duration) -> bool {
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

    /// Lets the helper go on.
    pub fn go(&mut self) {
        self.go = None;
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        terminal::set_window(self.master.as_fd(), Window { rows, columns, width: 0, height: 0 }).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub fn modes(&self) -> String {
        modes(&self.slave)
    }

    /// Waits for the helper to end.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // What it says last must be read for it to end.
            self.wait_for("\0never\0", std::time::Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                self.wait_for("\0never\0", std::time::Duration::from_millis(20));
                return status;
            }
            assert!(Instant::now() < deadline, "the helper does not end:\n{}", self.seen);
        }
    }

    /// Waits for the helper to be ended by this signal.
    pub fn end_by(&mut self, signal: Signal) {
        let status = self.end();
        assert_eq!(status.signal(), Some(signal as i32), "{status}\n{}", self.seen);
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Nor does one whose helper ended before its unit: that was hung up.
        let pattern = format!("sdrun-{}x*", self.child.id());
        let deadline = Instant::now() + DEADLINE;
        while !systemctl(&["list-units", "--all", "--plain", "--no-legend", &pattern]).trim().is_empty() {
            if Instant::now() > deadline {
                eprintln!("units {pattern} do not end");
                break;
            }
        }
    }
}

/// All modes of a terminal, in one line: those of the input, the output, the hardware, the line, and the characters.
pub fn modes(terminal: &OwnedFd) -> String {
    let stty = Command::new("stty").arg("-g").stdin(terminal.try_clone().unwrap()).output().unwrap();
    assert!(stty.status.success(), "{stty:?}");
    String::from_utf8(stty.stdout).unwrap()
}
