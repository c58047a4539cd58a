//! The runs of a service that another unit triggers, on their way from the connection to whoever wants to know of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::process::Process;
use super::tracked::Tracked;
use crate::error::{Error, Result};

/// What the connection's side and the streams of a trigger share.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    queue: Mutex<Queue>,
    process: Process,
}

/// How many runs are kept for whoever does not take them.
const MOST_RUNS: usize = 10_000;

#[derive(Debug, Default)]
struct Queue {
    /// Each with a handle that is counted already.
    runs: VecDeque<Result<Arc<Tracked>>>,
    closed: bool,
    /// By the number of the stream that waits.
    waiting: Vec<(u32, Waker)>,
    next: u32,
}

impl Runs {
    /// A run has begun: there is a handle to it now.
    pub fn push(&self, run: Arc<Tracked>, wakers: &mut Vec<Waker>) {
        let mut queue = self.lock();
        if !queue.closed {
            run.hold();
            queue.runs.push_back(Ok(run));
            if queue.runs.len() > MOST_RUNS {
                if let Some(Ok(oldest)) = queue.runs.pop_front() {
                    oldest.release();
                }
            }
            wakers.extend(queue.waiting.drain(..).map(|(_, waker)| waker));
        }
    }

    /// There will be no more of them.
    pub fn close(&self, error: Option<&Error>, wakers: &mut Vec<Waker>) {
        let mut queue = self.lock();
        if !std::mem::replace(&mut queue.closed, true) {
            queue.runs.extend(error.cloned().map(Err));
            wakers.extend(queue.waiting.drain(..).map(|(_, waker)| waker));
        }
    }

    /// The number of a new stream.
    pub fn add(&self) -> u32 {
        let mut queue = self.lock();
        queue.next += 1;
        queue.next
    }

    /// A stream is gone.
    pub fn remove(&self, number: u32) {
        let mut queue = self.lock();
        let at = queue.waiting.iter().position(|(other, _)| *other == number);
        // A waker's Drop is foreign code: let it run after the lock. What it might have been woken for is for another.
        let removed = at.map(|at| queue.waiting.swap_remove(at));
        drop(queue);
        drop(removed);
    }

    pub fn poll(&self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Arc<Tracked>>>> {
        let mut queue = self.lock();
        match queue.runs.pop_front() {
            Some(run) => Poll::Ready(Some(run)),
            None if queue.closed => Poll::Ready(None),
            None => {
                if let Err(error) = self.process.check() {
                    queue.closed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                match queue.waiting.iter_mut().find(|(other, _)| *other == number) {
                    Some((_, waker)) => waker.clone_from(cx.waker()),
                    None => queue.waiting.push((number, cx.waker().clone())),
                }
                Poll::Pending
            }
        }
    }

    /// What nobody has taken.
    pub fn drain(&self) -> Vec<Arc<Tracked>> {
        self.lock().runs.drain(..).filter_map(Result::ok).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic is done under it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
