//! What the connection's side and the handle's side of a unit share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::exit::{Exit, InvocationId};
use crate::error::{Error, Result};

/// A unit that is being started, runs, or has ended. Written to as signals come in; awaited through a handle.
#[derive(Debug)]
pub(crate) struct Tracked {
    name: Box<str>,
    /// Nobody holds a handle any more.
    released: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    phase: Phase,
    invocation_id: Option<InvocationId>,
    /// Who waits, by a number of its own.
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

#[derive(Debug)]
enum Phase {
    /// systemd has not said yet that it accepts the start.
    Starting,
    Started,
    Over(Result<Exit>),
}

impl Tracked {
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Tracked {
            name: name.into(),
            released: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                phase: Phase::Starting,
                invocation_id: None,
                waiting: Vec::new(),
                next: 0,
            }),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub fn invocation_id(&self) -> Option<InvocationId> {
        self.lock().invocation_id
    }

    pub fn set_invocation_id(&self, id: InvocationId) {
        self.lock().invocation_id = Some(id);
    }

    /// systemd has accepted the start. Whom that concerns is added to `wakers`.
    pub fn accepted(&self, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        if matches!(progress.phase, Phase::Starting) {
            progress.phase = Phase::Started;
            progress.wake(wakers);
        }
    }

    /// The unit has ended, or what became of it cannot be told. Only the first word counts.
    pub fn finish(&self, end: Result<Exit>, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        if !matches!(progress.phase, Phase::Over(_)) {
            progress.phase = Phase::Over(end);
            progress.wake(wakers);
        }
    }

    /// The same for whoever holds no lock, and so may wake at once.
    pub fn fail(&self, error: Error) {
        let mut wakers = Vec::new();
        self.finish(Err(error), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until systemd has accepted the start.
    pub async fn started(&self) -> Result<()> {
        self.until(|progress| match &progress.phase {
            Phase::Starting => None,
            Phase::Started | Phase::Over(Ok(_)) => Some(Ok(())),
            Phase::Over(Err(error)) => Some(Err(error.clone())),
        })
        .await
    }

    /// Waits until the unit has ended.
    pub async fn ended(&self) -> Result<Exit> {
        self.until(|progress| match &progress.phase {
            Phase::Starting | Phase::Started => None,
            Phase::Over(end) => Some(end.clone()),
        })
        .await
    }

    /// Whether there is an end to be had without waiting.
    pub fn try_ended(&self) -> Option<Result<Exit>> {
        match &self.lock().phase {
            Phase::Over(end) => Some(end.clone()),
            Phase::Starting | Phase::Started => None,
        }
    }

    async fn until<T>(&self, mut look: impl FnMut(&Progress) -> Option<T>) -> T {
        let mut place = Place { tracked: self, number: None };
        poll_fn(|cx| {
            let mut progress = self.lock();
            if let Some(found) = look(&progress) {
                return Poll::Ready(found);
            }
            let number = *place.number.get_or_insert_with(|| {
                progress.next += 1;
                progress.next
            });
            match progress.waiting.iter_mut().find(|(other, _)| *other == number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => progress.waiting.push((number, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing that can panic is done under it.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiting.drain(..).map(|(_, waker)| waker));
    }
}

/// The place of one future among those that wait, given up when it is dropped.
struct Place<'a> {
    tracked: &'a Tracked,
    number: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut progress = self.tracked.lock();
        let at = progress.waiting.iter().position(|(other, _)| *other == number);
        // A waker's Drop is foreign code: let it run after the lock.
        let waker = at.map(|at| progress.waiting.swap_remove(at));
        drop(progress);
        drop(waker);
    }
}

/// For a task that starts a unit: should it be dropped before systemd has said anything, the handle's waits end
/// with an error instead of never.
pub(crate) struct MustEnd<'a>(pub &'a Tracked);

impl Drop for MustEnd<'_> {
    fn drop(&mut self) {
        let starting = matches!(self.0.lock().phase, Phase::Starting);
        if starting {
            self.0.fail(Error::RuntimeGone);
        }
    }
}
