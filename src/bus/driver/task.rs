//! The task of a connection: reads it, and makes it again.

use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Poll, ready};
use std::time::Instant;

use tokio::io::Interest as Readiness;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

use super::{After, Receiver, Shared, Turn};
use crate::bus::Bus;
use crate::bus::child::lost;
use crate::bus::connecting::{Way, reconnect};
use crate::bus::connection::duplicate;
use crate::bus::watch::watch;
use crate::error::{Error, Result};

/// The task that reads a connection, and makes it again. It holds no strong reference while it waits.
pub(super) struct Driver<R: Receiver> {
    pub shared: Weak<Shared<R>>,
    /// How the connection is made again.
    pub way: Option<Way>,
    pub phase: Phase,
    pub after: R::After,
}

/// What a driver is at.
pub(super) enum Phase {
    Reading(Reading),
    /// Finds out why the connection is over.
    Ending(Pin<Box<dyn Future<Output = Error> + Send>>),
    /// Makes it again.
    Returning(Pin<Box<dyn Future<Output = Result<Connected>> + Send>>),
    /// Waits until somebody asks for the connection.
    Away,
}

type Connected = (Bus, AsyncFd<OwnedFd>);

/// What a connection is awaited with.
pub(super) struct Reading {
    readable: AsyncFd<OwnedFd>,
    /// Present while sd-bus has something unwritten.
    writable: Option<AsyncFd<OwnedFd>>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// How reading has ended.
enum Over {
    /// The connection broke.
    Broken(Error),
    /// Nothing can be waited for any more.
    Failed(Error),
    /// The connection was lost before.
    Known,
}

impl Phase {
    pub fn reading(readable: AsyncFd<OwnedFd>) -> Self {
        Phase::Reading(Reading { readable, writable: None, timer: None })
    }
}

// Nothing in it is pinned but what is in a box of its own.
impl<R: Receiver> Unpin for Driver<R> {}

impl<R: Receiver> Future for Driver<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Driver { shared, way, phase, after } = &mut *self;
        let Some(shared) = shared.upgrade() else { return Poll::Ready(()) };
        shared.nudge.register(cx.waker());
        loop {
            match phase {
                Phase::Reading(reading) => match ready!(reading.poll(&shared, after, cx)) {
                    Over::Broken(error) => {
                        let patience = way.as_ref().and_then(|way| Some((way.clone(), way.patience?)));
                        match (shared.close(disconnected(&error)), patience) {
                            (Ok(asking), _) => *phase = Phase::Ending(Box::pin(asking)),
                            (Err(error), None) => return Self::end(&shared, error, after),
                            (Err(error), Some((way, patience))) => {
                                let guard = shared.interrupt(error, after);
                                after.run();
                                *phase = Phase::Returning(Box::pin(reconnect(way, patience, false, guard)));
                            }
                        }
                    }
                    Over::Failed(error) => return Self::end(&shared, error, after),
                    Over::Known => return Poll::Ready(()),
                },
                Phase::Ending(ending) => {
                    let error = ready!(ending.as_mut().poll(cx));
                    return Self::end(&shared, error, after);
                }
                Phase::Returning(returning) => {
                    *phase = match ready!(returning.as_mut().poll(cx)) {
                        Ok((bus, fd)) => {
                            shared.resume(bus, after);
                            shared.nudge.again();
                            Phase::reading(fd)
                        }
                        Err(error @ (Error::RuntimeGone | Error::NoRuntime)) => {
                            return Self::end(&shared, error, after);
                        }
                        Err(error) => {
                            shared.stay_away(error, after);
                            Phase::Away
                        }
                    };
                    after.run();
                }
                Phase::Away => match way.as_ref().and_then(|way| Some((way, way.patience?))) {
                    Some((way, patience)) if shared.is_asked_for() => {
                        *phase = Phase::Returning(Box::pin(reconnect(way.clone(), patience, true, None)));
                    }
                    _ => return Poll::Pending,
                },
            }
        }
    }
}

impl Reading {
    /// Reads until the connection is over.
    fn poll<R: Receiver>(
        &mut self,
        shared: &Arc<Shared<R>>,
        after: &mut R::After,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Over> {
        let Reading { readable, writable, timer } = self;
        loop {
            // The guard comes before reading and is cleared only after sd-bus has seen EAGAIN: what arrives
            // between the two sets it again.
            let ready = match readable.poll_read_ready(cx) {
                Poll::Ready(Ok(guard)) => Some(guard),
                Poll::Ready(Err(_)) => return Poll::Ready(Over::Failed(Error::RuntimeGone)),
                Poll::Pending => None,
            };
            let can_write = match writable.as_ref().map(|fd| fd.poll_write_ready(cx)) {
                Some(Poll::Ready(Ok(mut guard))) => {
                    guard.clear_ready();
                    true
                }
                Some(Poll::Ready(Err(_))) => return Poll::Ready(Over::Failed(Error::RuntimeGone)),
                Some(Poll::Pending) | None => false,
            };
            let due = timer.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
            if due {
                *timer = None;
            }
            let nudged = shared.nudge.take();
            if ready.is_none() && !can_write && !due && !nudged {
                return Poll::Pending;
            }
            let turn = shared.turn(after);
            after.run();
            match turn {
                Turn::More => {
                    shared.nudge.again();
                    // Unlike a waker this has the runtime look at timers and descriptors first.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                Turn::Wait { write, until } => {
                    if let Some(mut guard) = ready {
                        guard.clear_ready();
                    }
                    if write != writable.is_some() {
                        *writable = match write.then(|| watch_too(readable, Readiness::WRITABLE)) {
                            Some(Err(error)) => return Poll::Ready(Over::Failed(error)),
                            Some(Ok(fd)) => Some(fd),
                            None => None,
                        };
                    }
                    if timer.as_ref().map(|(at, _)| *at) != until {
                        *timer = until.map(|at| (at, Box::pin(tokio::time::sleep_until(at.into()))));
                    }
                }
                Turn::Lost(error) => return Poll::Ready(Over::Broken(error)),
                Turn::Over => return Poll::Ready(Over::Known),
            }
        }
    }
}

impl<R: Receiver> Driver<R> {
    fn end(shared: &Shared<R>, error: Error, after: &mut R::After) -> Poll<()> {
        shared.lose(error, after);
        after.run();
        Poll::Ready(())
    }
}

/// A runtime that is shut down drops its tasks, this one too: who waits on another runtime is told.
impl<R: Receiver> Drop for Driver<R> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lose(Error::RuntimeGone, &mut self.after);
            self.after.run();
        }
    }
}

fn disconnected(error: &Error) -> Error {
    Error::Disconnected { reason: lost(error).into() }
}

/// The same descriptor for something else; the runtime takes none twice.
fn watch_too(fd: &AsyncFd<OwnedFd>, interest: Readiness) -> Result<AsyncFd<OwnedFd>> {
    watch(duplicate(fd.get_ref().as_fd())?, interest)
}
