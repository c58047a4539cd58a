//! sd-login: what unit, slice, session and user a process belongs to.

#[cfg(libsystemd_253)]
use crate::{c_char, c_int, uid_t};

pub use libsystemd_sys::login::*;

#[cfg(libsystemd_253)]
unsafe extern "C" {
    /// Gets the session of a process, by its descriptor. Since 253; `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_session(pidfd: c_int, ret_session: *mut *mut c_char) -> c_int;
    /// Gets the user whose session or user manager a process belongs to, by its descriptor. Since
    /// 253; `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_owner_uid(pidfd: c_int, ret_uid: *mut uid_t) -> c_int;
    /// Gets the system unit of a process, by its descriptor. Since 253; `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_unit(pidfd: c_int, ret_unit: *mut *mut c_char) -> c_int;
    /// Gets the user manager's unit of a process, by its descriptor. Since 253;
    /// `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_user_unit(pidfd: c_int, ret_unit: *mut *mut c_char) -> c_int;
    /// Gets the slice of a process, by its descriptor. Since 253; `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_slice(pidfd: c_int, ret_slice: *mut *mut c_char) -> c_int;
    /// Gets the user manager's slice of a process, by its descriptor. Since 253;
    /// `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_user_slice(pidfd: c_int, ret_slice: *mut *mut c_char) -> c_int;
    /// Gets the machine that a process runs in, by its descriptor. Since 253;
    /// `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_machine_name(pidfd: c_int, ret_machine: *mut *mut c_char) -> c_int;
    /// Gets the control group of a process, by its descriptor. Since 253; `sd_pid_get_session(3)`.
    pub fn sd_pidfd_get_cgroup(pidfd: c_int, ret_cgroup: *mut *mut c_char) -> c_int;
}
