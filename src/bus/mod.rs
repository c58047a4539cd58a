//! sd-bus made safe: connections, messages, values, and the bridge into tokio.
//!
//! All `unsafe` of the crate is in this folder. What C allocates is owned by [`Bus`] and [`Message`] and
//! freed when they are dropped. sd-bus's reference counts are not atomic and a message shares its bus's,
//! so a `Message` borrows its `Bus` and neither leaves the lock that the bus is behind.
#![allow(unsafe_code)]

mod child;
mod connecting;
mod connection;
mod driver;
mod foreign;
mod message;
mod nudge;
#[cfg(any(test, fuzzing))]
pub(crate) mod raw;
mod room;
#[cfg(sdrun_helgrind)]
mod shown;
mod signature;
#[cfg(test)]
pub(crate) mod tests;
mod value;
mod watch;

pub(crate) use child::{NO_DBUS, Program, SILENT, TIMED_OUT};
pub(crate) use connecting::{ENDED, Way};
#[cfg(any(test, fuzzing))]
pub(crate) use connection::Step;
pub(crate) use connection::{Bus, Parked, Target};
pub(crate) use driver::{After, Context, Link, Outstanding, Receiver, Refusal, WeakLink};
pub(crate) use foreign::Foreign;
pub(crate) use message::{Container, Message, Took};
pub use signature::Signature;
pub use value::Value;
pub(crate) use watch::watch;

use nix::errno::Errno;

use crate::error::{Error, Result};

/// What [`nudge`] is made of; tests/loom has loom's in their place.
mod atomic {
    pub use std::sync::atomic::{AtomicBool, Ordering};

    pub use futures::task::AtomicWaker;
}

/// Turns sd-bus's "negative errno" into an error that says what was being done.
fn check(operation: &'static str, result: libc_int) -> Result<libc_int> {
    if result < 0 { Err(Error::system(operation, Errno::from_raw(-result))) } else { Ok(result) }
}

#[allow(non_camel_case_types)]
type libc_int = std::ffi::c_int;
