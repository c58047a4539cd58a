//! The connection's lock where helgrind looks (tests/valgrind --helgrind): it knows pthread's mutexes, not std's, which are
//! atomics and system calls. So there is one of pthread's around std's, for it to see.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};

use nix::libc;

pub(super) struct Mutex<T> {
    inner: std::sync::Mutex<T>,
    /// In a place of its own, where it stays.
    shown: Box<Pthread>,
}

struct Pthread(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a pthread_mutex_t is for all threads, by way of pthread's functions, which alone are used on it.
unsafe impl Send for Pthread {}
// SAFETY: as above.
unsafe impl Sync for Pthread {}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        let mutex = Mutex {
            inner: std::sync::Mutex::new(value),
            shown: Box::new(Pthread(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))),
        };
        // Whoever locks it comes after what was done to the value before it was in there.
        drop(mutex.lock());
        mutex
    }

    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // SAFETY: an initialised mutex that is not moved.
        unsafe { libc::pthread_mutex_lock(self.shown.0.get()) };
        let shown = Shown(&self.shown);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(MutexGuard { inner, _shown: shown })
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // This comes after all who had it locked: by the count of an `Arc`, which helgrind does not follow.
        drop(self.lock());
    }
}

/// Lets go of std's lock first.
pub(super) struct MutexGuard<'a, T> {
    inner: std::sync::MutexGuard<'a, T>,
    _shown: Shown<'a>,
}

struct Shown<'a>(&'a Pthread);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread has locked it: the guard cannot go to another one, as std's in it cannot.
        unsafe { libc::pthread_mutex_unlock(self.0.0.get()) };
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

/// libsystemd remembers what process it is in, and more, in atomics that helgrind takes for races. What is written before
/// the first thread starts is none.
#[cfg(test)]
#[used]
#[unsafe(link_section = ".init_array")]
static FIRST: extern "C" fn() = {
    extern "C" fn first() {
        drop(super::Bus::pair());
    }
    first
};
