//! Where the program is.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};

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
