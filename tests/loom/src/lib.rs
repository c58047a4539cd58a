//! What the driver of a connection and its callers do to each other (src/bus/driver.rs), over loom's atomics: the
//! nudge is the crate's own source, the rest a model of it that has the same steps in the same order. A wake-up that is lost
//! in any order of the threads' steps is a deadlock here, which loom reports.
#![cfg(test)]

mod atomic {
    use loom::sync::Mutex;
    pub use loom::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    /// What futures' `AtomicWaker` promises. (loom's own prints every step.)
    pub struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub fn new() -> Self {
            AtomicWaker(Mutex::new(None))
        }

        pub fn register(&self, waker: &Waker) {
            *self.0.lock().unwrap() = Some(waker.clone());
        }

        pub fn wake(&self) {
            let waker = self.0.lock().unwrap().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

#[path = "../../../src/bus/nudge.rs"]
mod nudge;

use std::task::Poll;

/// All orders, but for those with more involuntary switches between threads than this: four threads have too many.
const SWITCHES: usize = 2;

fn model(threads: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(SWITCHES);
    builder.check(threads);
}

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use nudge::Nudge;

/// `driver::Shared`, with the count of its links, which is `Arc`'s there.
struct Shared {
    state: Mutex<State>,
    nudge: Nudge,
    strong: AtomicUsize,
}

/// `driver::State`: what callers want of the driver, and what that has done.
#[derive(Default)]
struct State {
    /// The earliest time at which the receiver wants to be called.
    deadline: Option<u32>,
    /// What the driver's timer is set to.
    armed: Option<u32>,
    /// What sd-bus could not write at once, and how much the driver has seen to.
    unwritten: u32,
    written: u32,
}

impl Shared {
    fn new(links: usize) -> Arc<Self> {
        Arc::new(Shared { state: Mutex::default(), nudge: Nudge::new(), strong: AtomicUsize::new(links) })
    }

    /// `Link::with`.
    fn with(&self, act: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        act(&mut state);
        let unwritten = state.unwritten > 0;
        let sooner = match (state.deadline, state.armed) {
            (Some(wanted), Some(armed)) => wanted < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(state);
        if unwritten || sooner {
            self.nudge.nudge();
        }
    }

    /// `Weak::upgrade`.
    fn upgrade(&self) -> bool {
        let mut strong = self.strong.load(Ordering::Relaxed);
        while strong > 0 {
            match self.strong.compare_exchange(strong, strong + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => strong = now,
            }
        }
        false
    }

    /// A `Link`, or what `upgrade` gave, is dropped; with the last one `Shared` is.
    fn release(&self) {
        if self.strong.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.nudge.wake();
        }
    }

    /// `Shared::turn`; `budget` is how much it writes at a time. Whether there is more to do, or `None` when it is `done`.
    fn turn(&self, budget: u32, done: impl Fn(&State) -> bool) -> Option<bool> {
        let mut state = self.state.lock().unwrap();
        let now = state.unwritten.min(budget);
        state.unwritten -= now;
        state.written += now;
        if state.unwritten > 0 {
            return Some(true);
        }
        state.armed = state.deadline;
        (!done(&state)).then_some(false)
    }

    /// `Driver::poll`, of which no descriptor and no timer is ever ready: `Ready` when `Shared` is gone, or when `done`.
    fn poll(&self, budget: u32, cx: &mut std::task::Context<'_>, done: impl Fn(&State) -> bool) -> Poll<()> {
        if !self.upgrade() {
            return Poll::Ready(());
        }
        self.nudge.register(cx.waker());
        let poll = loop {
            if !self.nudge.take() {
                break Poll::Pending;
            }
            let more = self.turn(budget, &done);
            // For the tests alone.
            let Some(more) = more else { break Poll::Ready(()) };
            if more {
                self.nudge.again();
                cx.waker().wake_by_ref();
                break Poll::Pending;
            }
        };
        self.release();
        poll
    }

    fn drive(&self, budget: u32, done: impl Fn(&State) -> bool) {
        block_on(std::future::poll_fn(|cx| self.poll(budget, cx, &done)));
    }
}

/// A deadline that a caller brings in is armed, whenever it comes.
#[test]
fn a_deadline_is_armed() {
    model(|| {
        let shared = Shared::new(1);
        let caller = {
            let shared = shared.clone();
            thread::spawn(move || shared.with(|state| state.deadline = Some(5)))
        };
        shared.drive(1, |state| state.armed == Some(5));
        caller.join().unwrap();
    });
}

/// Of two callers' deadlines the sooner one is armed in the end.
#[test]
fn the_sooner_deadline_is_armed() {
    model(|| {
        let shared = Shared::new(2);
        let callers = [5, 3].map(|at| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.with(|state| state.deadline = Some(state.deadline.map_or(at, |before| before.min(at))));
            })
        });
        shared.drive(1, |state| state.armed == Some(3));
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

/// What callers could not write is written, also where it takes the driver more than one turn.
#[test]
fn everything_is_written() {
    for budget in [1, 3] {
        model(move || {
            let shared = Shared::new(2);
            let callers = [1, 2].map(|count| {
                let shared = shared.clone();
                thread::spawn(move || shared.with(|state| state.unwritten += count))
            });
            shared.drive(budget, |state| state.written == 3);
            callers.into_iter().for_each(|caller| caller.join().unwrap());
        });
    }
}

/// The driver ends when the last link is gone, wherever it is just then, and not before.
#[test]
fn it_ends_with_the_last_link() {
    model(|| {
        let shared = Shared::new(2);
        let callers = [1, 2].map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.with(|state| state.unwritten += 1);
                shared.release();
            })
        });
        shared.drive(1, |_| false);
        assert_eq!(shared.strong.load(Ordering::Relaxed), 0);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}
