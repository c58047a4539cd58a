//! How callers have the driver look again: no word of theirs may be lost, or a unit would be waited for that ended.
//!
//! tests/loom builds this file once more, over loom's atomics, and tries every order in which threads can go through it.

use std::task::Waker;

use super::atomic::{AtomicBool, AtomicWaker, Ordering};

/// A flag with a bell. Who changes something that the driver must know of changes it under the connection's lock, lets
/// go of that, and then [`nudge`](Nudge::nudge)s. The driver [`register`](Nudge::register)s, [`take`](Nudge::take)s the flag,
/// and only then looks under the lock: what it does not see there was changed later, so that the nudge is still to come, and
/// wakes it.
pub(crate) struct Nudge {
    driver: AtomicWaker,
    wanted: AtomicBool,
}

impl Nudge {
    /// One that the driver is to look for itself the first time.
    pub fn new() -> Self {
        Nudge { driver: AtomicWaker::new(), wanted: AtomicBool::new(true) }
    }

    /// Has the driver look again.
    pub fn nudge(&self) {
        self.again();
        self.wake();
    }

    /// Has the driver be polled, for what it looks at anyway.
    pub fn wake(&self) {
        self.driver.wake();
    }

    /// The driver is polled, and is to be woken by this. Comes before all that it looks at.
    pub fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// The driver itself wants to look again when it is polled next.
    pub fn again(&self) {
        // A store would do. But loom does not know that nothing comes between an exchange's reading and its writing, and
        // takes such a store for one that can be missed.
        self.wanted.swap(true, Ordering::AcqRel);
    }

    /// Whether someone has nudged since the last time. Comes before the look under the lock.
    pub fn take(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }
}
