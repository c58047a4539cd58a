//! Descriptors that the runtime watches.

use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Error, Result};

/// Registers a descriptor with the current runtime. Its description is left as it is: whoever reads or writes must
/// see to it that this does not block.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns the descriptor, so it stays open and the same as long as it is registered.
    unsafe { AsyncFd::register_with_interest(fd, interest) }
        .map_err(|error| Error::io("register a descriptor with tokio", &error.into()))
}
