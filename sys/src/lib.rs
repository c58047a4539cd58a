//! libsystemd in C: everything that libsystemd-sys declares, corrected where it differs from
//! libsystemd's headers, and what it lacks of sd-bus, sd-journal, sd-login, sd-daemon and
//! sd-id128. All names are at the root, as they are in C.
//!
//! What came after libsystemd 246 is there when the libsystemd that the crate is built for is new
//! enough; each item says which one brought it. The build script of a crate that depends on this one
//! finds that libsystemd's version in the environment variable `DEP_SDRUN_SYS_VERSION`.
//!
//! Each item names its manual page. Nothing here is safe to call without having read it: whether
//! a pointer may be null, who frees a result and how long a string lives is said there and
//! nowhere else. Functions that take a `va_list` are left out, for Rust has none.
//!
//! A test compares every declaration with the installed headers. The public modules are something else: calls
//! that sdrun needs, in safe functions.

#![allow(non_camel_case_types)]
#![allow(
    clippy::missing_safety_doc,
    reason = "what a function demands is said in its manual page, which each item names"
)]

mod bus;
mod constants;
mod daemon;
pub mod hold;
mod id128;
mod journal;
pub mod local_time;
mod login;
pub mod mount;
pub mod process;
pub mod reader;
pub mod terminal;

pub use libc::FILE;
pub use libsystemd_sys::event::*;
pub use libsystemd_sys::{
    c_char, c_int, c_uint, c_void, clockid_t, const_iovec, gid_t, iovec, pid_t, siginfo_t, signalfd_siginfo, size_t,
    uid_t,
};

pub use self::bus::*;
pub use self::constants::*;
pub use self::daemon::*;
pub use self::id128::*;
pub use self::journal::*;
pub use self::login::*;
