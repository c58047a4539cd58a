//! Where the program is.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, User, access, getuid};

/// Where to look when there is no `$PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The absolute path of a program: with a "/" in its name that file, else the first of that name in `$PATH`.
pub fn find(program: &OsStr) -> Result<PathBuf, Errno> {
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        return match check(path) {
            // The manager may be allowed to run it. If not, that is for the exit status to say (203).
            Err(Errno::EACCES) if path.is_absolute() => Ok(path.into()),
            Err(errno) => Err(errno),
            Ok(()) => std::path::absolute(path).map_err(|_| Errno::last()),
        };
    }
    let directories = env::var_os("PATH").unwrap_or(DEFAULT_PATH.into());
    env::split_paths(&directories)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| check(path).is_ok())
        .ok_or(Errno::ENOENT)
}

/// Whether this is a file that may be executed.
fn check(path: &Path) -> Result<(), Errno> {
    match SFlag::from_bits_truncate(stat(path)?.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => access(path, AccessFlags::X_OK),
        SFlag::S_IFDIR => Err(Errno::EISDIR),
        _ => Err(Errno::EBADFD),
    }
}

/// The user's shell: `$SHELL`, or else the one that the user database has.
pub fn shell() -> OsString {
    let own = env::var_os("SHELL").map(PathBuf::from).filter(|shell| shell.is_absolute());
    let shell = own.or_else(|| User::from_uid(getuid()).ok().flatten().map(|user| user.shell));
    shell.filter(|shell| shell.is_absolute()).unwrap_or("/bin/sh".into()).into()
}
