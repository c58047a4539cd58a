//! What a process can do to itself, in safe functions.

use std::io;

/// Sets this process's nice level, from -20 to 19. setpriority(2)
pub fn set_nice(level: i32) -> io::Result<()> {
    // SAFETY: numbers, and it is this process that is changed.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, level) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
