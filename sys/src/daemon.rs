//! sd-daemon: what a service tells its manager.

use crate::c_int;
#[cfg(libsystemd_254)]
use crate::pid_t;

pub use libsystemd_sys::daemon::*;

unsafe extern "C" {
    /// Waits until the manager has taken every notification sent so far. Since 246; `sd_notify(3)`.
    pub fn sd_notify_barrier(unset_environment: c_int, timeout: u64) -> c_int;
    /// `sd_notify_barrier` on behalf of another process. Since 254; `sd_notify(3)`.
    #[cfg(libsystemd_254)]
    pub fn sd_pid_notify_barrier(pid: pid_t, unset_environment: c_int, timeout: u64) -> c_int;
    /// Gets the number that no other process has before the next boot. Since 258;
    /// `sd_pidfd_get_inode_id(3)`.
    #[cfg(libsystemd_258)]
    pub fn sd_pidfd_get_inode_id(pidfd: c_int, ret: *mut u64) -> c_int;
}
