//! Sockets in a folder of somebody else, who could put links there.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;

use super::libc_int;
use crate::error::{Error, Result};

/// A socket below a folder: who connects there does it as the folder's owner. Root would otherwise follow a link of theirs
/// to where the owner may not go, and a bus takes nobody but its owner anyway.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    /// The folder. It is not theirs to replace.
    pub directory: PathBuf,
    /// The socket in it.
    pub socket: &'static str,
    /// Whether it is a peer's, with no bus daemon between.
    pub direct: bool,
}

impl Foreign {
    /// Connects. Waits for a thread of its own, which takes on the owner's identity for good.
    pub(super) fn connect(&self) -> Result<UnixStream> {
        let failed = |error| Error::io("connect", &error);
        let metadata = self.directory.symlink_metadata().map_err(failed)?;
        if !metadata.is_dir() {
            return Err(Error::system("connect", Errno::ENOTDIR));
        }
        let path = self.directory.join(self.socket);
        if !nix::unistd::geteuid().is_root() || metadata.uid() == 0 {
            return UnixStream::connect(path).map_err(failed);
        }
        let connecting = std::thread::Builder::new().name("sdrun-connect".into()).spawn(move || {
            become_user(metadata.uid(), metadata.gid())?;
            UnixStream::connect(path)
        });
        let connected = connecting.map_err(failed)?.join();
        connected.map_err(|_| Error::system("connect", Errno::EIO))?.map_err(failed)
    }
}

#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID};

/// Gives this thread, and it alone, the identity of a user. (The C library's functions would give it to all threads.)
fn become_user(uid: u32, gid: u32) -> std::io::Result<()> {
    for (call, id) in [(SETRESGID, gid), (SETRESUID, uid)] {
        // SAFETY: takes three numbers, and changes nothing but the credentials of the calling thread.
        if unsafe { libc::syscall(call, id, id, id) } as libc_int != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
