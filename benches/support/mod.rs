//! What the benchmarks are made of. Each program uses a part of it.
#![allow(dead_code)]

pub mod allocations;
pub mod batch;
pub mod flood;
pub mod floor;
pub mod instructions;
pub mod part;
pub mod plots;
pub mod stats;
pub mod streams;
pub mod timeline;
pub mod warm;
pub mod whole;
pub mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sdrun::Transport;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// What every unit runs.
pub const PROGRAM: &str = "/bin/true";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    /// On a busy machine there are fewer rounds rather than that it takes longer.
    pub at_most: Duration,
}

impl Plan {
    /// What takes longer is done less often.
    pub fn third(self) -> Self {
        Plan { rounds: self.rounds.div_ceil(3), ..self }
    }

    /// The rounds that there is time for. Each says whether it counts: the first few do not.
    pub fn rounds(self, warm_up: usize) -> impl Iterator<Item = bool> {
        let until = Instant::now() + self.at_most;
        let rounds = (0..warm_up + self.rounds).map(move |round| round >= warm_up);
        let mut counted = 0;
        rounds.take_while(move |&counts| {
            let enough = counted > 0 && Instant::now() > until;
            counted += usize::from(counts);
            !enough
        })
    }

    /// After how long there is something wrong: the end of a unit that was not reported, say.
    pub fn overdue(self) -> Duration {
        self.at_most + Duration::from_secs(60)
    }
}

/// The way to the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Private,
    Bus,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Way::Private => "private",
            Way::Bus => "bus",
        }
    }

    /// What the names of its figures end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Way::Private => "_private",
            Way::Bus => "",
        }
    }

    pub fn transport(self) -> Transport {
        match self {
            Way::Private => Transport::Private,
            Way::Bus => Transport::Bus,
        }
    }
}

/// Whether it is the user manager that units run on: as `Manager::builder` decides it.
pub fn on_user_manager() -> bool {
    !nix::unistd::geteuid().is_root()
}

/// The private socket of that manager.
pub fn private_socket() -> PathBuf {
    let run = if on_user_manager() { std::env::var_os("XDG_RUNTIME_DIR").unwrap_or_default() } else { "/run".into() };
    PathBuf::from(run).join("systemd/private")
}
