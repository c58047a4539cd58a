//! Mounts that are passed as descriptors, in a safe function.

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// A copy of the mounts at and below this path, attached nowhere. open_tree(2) of Linux 5.2, `OPEN_TREE_CLONE`; it needs
/// `CAP_SYS_ADMIN`.
pub fn clone_tree(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: a string that ends with NUL, and numbers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    match RawFd::try_from(fd) {
        // SAFETY: a descriptor that was just made, and belongs to nobody else.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_an_error() {
        let error = clone_tree(c"/nonexistent").unwrap_err();
        // Who may not do it is told that first.
        assert!(matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EPERM)), "{error}");
    }
}
