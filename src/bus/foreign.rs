//! Sockets in a folder of somebody else, who could put links there.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;

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
    /// Connects. Waits for a thread of its own, which acts as the owner for good.
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
use libc::{SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{SYS_setgroups32 as SETGROUPS, SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID};

/// Has this thread, and it alone, act as a user. (The C library's functions would have all threads.)
///
/// Its real and its saved user stay root: the kernel asks those who may send it a signal, and a signal to one thread can end
/// the whole process. Only a socket that takes nobody's connection is needed to have a thread wait in there.
fn become_user(uid: u32, gid: u32) -> std::io::Result<()> {
    const KEEP: libc::c_int = -1;
    let check = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: no list, of no length; it changes nothing but the credentials of the calling thread.
    check(unsafe { libc::syscall(SETGROUPS, 0, std::ptr::null::<libc::gid_t>()) })?;
    for (call, id) in [(SETRESGID, gid), (SETRESUID, uid)] {
        // SAFETY: takes three numbers, and changes nothing but the credentials of the calling thread.
        check(unsafe { libc::syscall(call, KEEP, id, KEEP) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It may do what the user may, and the user may do nothing to it.
    #[test]
    fn a_thread_acts_as_a_user_and_is_none_of_theirs() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let status = || std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let before = status();
        let inside = std::thread::spawn(move || become_user(4712, 4713).map(|()| status())).join().unwrap().unwrap();
        let line = |name: &str| {
            let line = inside.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        // Real, effective, saved, and that for files.
        assert_eq!(line("Uid:"), "0 4712 0 4712");
        assert_eq!(line("Gid:"), "0 4713 0 4713");
        assert_eq!(line("Groups:"), "");
        assert_eq!(u64::from_str_radix(&line("CapEff:"), 16), Ok(0));
        let of = |status: &str| status.lines().filter(|line| line.starts_with("Uid:")).collect::<String>();
        assert_eq!(of(&status()), of(&before), "the other threads are as they were");
    }
}
