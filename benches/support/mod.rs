//! What the benchmark is made of.

pub mod allocations;
pub mod floor;
pub mod report;
pub mod stats;
pub mod warm;
pub mod whole;

use std::path::PathBuf;

use sdrun::Transport;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// What every unit runs.
pub const PROGRAM: &str = "/bin/true";

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
