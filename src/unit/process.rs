//! The process that something belongs to.

use nix::errno::Errno;

use crate::error::{Error, Result};

/// The process that this was made in. A fork has a copy of all that waits there, and nobody who reads the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Default for Process {
    fn default() -> Self {
        Process(std::process::id())
    }
}

impl Process {
    /// Refuses to wait in another process, where nothing would ever come.
    pub fn check(self) -> Result<()> {
        if std::process::id() == self.0 {
            return Ok(());
        }
        Err(Error::system("use a handle of the process before the fork", Errno::ECHILD))
    }
}
