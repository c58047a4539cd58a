//! What the benchmarks are made of. Each program uses a part of it.
#![allow(dead_code)]

pub mod allocations;
pub mod batch;
pub mod flood;
pub mod floor;
pub mod instructions;
pub mod part;
pub mod plots;
pub mod raw;
pub mod stats;
pub mod streams;
pub mod timeline;
pub mod warm;
pub mod whole;
pub mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sdrun::Transport;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// What every unit runs.
pub const PROGRAM: &str = "/bin/true";

/// Which of a program's benchmarks are to be run, as `cargo bench -- FILTER…` asks for them. There is nothing to be done where
/// it gives none.
pub fn chosen<S: AsRef<str>>(program: &str, arguments: &[String], all: impl IntoIterator<Item = S>) -> Option<Vec<S>> {
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    if flag("--list") {
        all.into_iter().for_each(|name| println!("{}: benchmark", name.as_ref()));
        return None;
    }
    if !flag("--bench") {
        // So do `cargo test --benches` and `cargo test --all-targets`.
        println!("{program}: not run without --bench; `cargo bench` gives it");
        return None;
    }
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let chosen: Vec<_> = all.into_iter().filter(|name| wanted(name.as_ref())).collect();
    if chosen.is_empty() {
        println!("{program}: no such benchmark; --list names them");
        return None;
    }
    Some(chosen)
}

/// What `SDRUN_BENCH_N` says, if anything.
pub fn asked_for() -> Result<Option<u32>> {
    let Ok(text) = std::env::var("SDRUN_BENCH_N") else { return Ok(None) };
    Ok(Some(text.parse().ok().filter(|&n| n > 0).ok_or("SDRUN_BENCH_N is no number above 0")?))
}

/// Says what went wrong.
pub fn exit(program: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    /// On a busy machine there are fewer rounds rather than that it takes longer.
    pub at_most: Duration,
}

impl Plan {
    /// This, unless so many rounds are asked for: then one in a second.
    pub fn unless_asked(self) -> Result<Self> {
        Ok(match asked_for()? {
            Some(rounds) => Plan { rounds: rounds as usize, at_most: Duration::from_secs(1) * rounds },
            None => self,
        })
    }

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
