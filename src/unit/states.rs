//! What becomes of a unit, change by change.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use futures::Stream;

use super::Unit;
use super::exit::InvocationId;
use super::tracked::Tracked;
use crate::error::{Error, Result};
use crate::manager::Manager;

/// A unit's state at one time, as `systemctl status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// The state in terms that all units have in common (`ActiveState`).
    pub active: ActiveState,
    /// The state in terms of this type of unit (`SubState`), for instance `running`, `start-pre` or `auto-restart`.
    pub sub: Box<str>,
    /// The run of the unit that it is in, if any (`InvocationID`).
    pub invocation_id: Option<InvocationId>,
    /// Since when it is in this state (`StateChangeTimestamp`); `None` where it was never in another.
    pub since: Option<SystemTime>,
}

/// The state of a unit in terms that all units have in common (`ActiveState`, org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActiveState {
    /// It is up (`active`).
    Active,
    /// It is up, and loads its configuration again (`reloading`).
    Reloading,
    /// It is not up (`inactive`).
    Inactive,
    /// It is not up, because it failed (`failed`).
    Failed,
    /// It is being started, or waits to be restarted (`activating`).
    Activating,
    /// It is being stopped (`deactivating`).
    Deactivating,
    /// It is being maintained, as a mount is that is cleaned (`maintenance`).
    Maintenance,
    /// It is up, and its mounts are renewed (`refreshing`).
    Refreshing,
    /// Something that this version of sdrun does not know; the text is systemd's.
    Other(Box<str>),
}

impl ActiveState {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "active" => ActiveState::Active,
            "reloading" => ActiveState::Reloading,
            "inactive" => ActiveState::Inactive,
            "failed" => ActiveState::Failed,
            "activating" => ActiveState::Activating,
            "deactivating" => ActiveState::Deactivating,
            "maintenance" => ActiveState::Maintenance,
            "refreshing" => ActiveState::Refreshing,
            other => ActiveState::Other(other.into()),
        }
    }

    /// systemd's word for it.
    pub fn as_str(&self) -> &str {
        match self {
            ActiveState::Active => "active",
            ActiveState::Reloading => "reloading",
            ActiveState::Inactive => "inactive",
            ActiveState::Failed => "failed",
            ActiveState::Activating => "activating",
            ActiveState::Deactivating => "deactivating",
            ActiveState::Maintenance => "maintenance",
            ActiveState::Refreshing => "refreshing",
            ActiveState::Other(text) => text,
        }
    }
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl State {
    /// That of a unit that is not loaded.
    pub(crate) fn gone() -> Self {
        State { active: ActiveState::Inactive, sub: "dead".into(), invocation_id: None, since: None }
    }
}

impl fmt::Display for State {
    /// As systemctl writes it: `active (running)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.active, self.sub)
    }
}

/// The states of a unit: see [`Unit::states`].
#[must_use = "streams do nothing unless they are polled"]
pub struct States {
    tracked: Arc<Tracked>,
    /// Which of the unit's streams it is.
    number: u32,
    /// Keeps the connection open.
    manager: Arc<OnceLock<Manager>>,
}

impl Unit {
    /// The unit's states, from now on: first the present one, then every change that the manager reports, in order.
    /// None of the last 10,000 is dropped here, however slowly they are taken; the manager itself merges changes that
    /// follow each other closely. What is not taken is kept in memory.
    ///
    /// The stream ends after the state in which the unit has ended, as [`wait`](Unit::wait) sees it; that of a unit that
    /// remains (`RemainAfterExit=`) goes on until it is inactive or failed. Of a unit that has ended before and is not
    /// loaded any more it gives `inactive (dead)`.
    ///
    /// It outlives the handle. Dropping it costs nothing, and a unit without streams pays nothing.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// use futures::StreamExt;
    ///
    /// let unit = sdrun::run("/bin/sleep 1").await?;
    /// let mut states = unit.states();
    /// while let Some(state) = states.next().await {
    ///     println!("{}", state?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The last item is an error when the connection was lost, or when the start was refused: as with
    /// [`wait`](Unit::wait).
    pub fn states(&self) -> States {
        let states =
            States { tracked: self.tracked.clone(), number: self.tracked.watch(), manager: self.manager.clone() };
        // Where the start was not sent yet the first state is asked for when it is accepted.
        if let Some(manager) = self.manager.get() {
            manager.look(&self.tracked);
        } else if let Some(Err(error)) = self.tracked.try_ended() {
            self.tracked.close_now(&error);
        }
        states
    }
}

impl Stream for States {
    type Item = Result<State>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<State>>> {
        self.tracked.poll_state(self.number, cx)
    }
}

impl Drop for States {
    fn drop(&mut self) {
        self.tracked.unwatch(self.number);
        if let Some(manager) = self.manager.get() {
            manager.unused(&self.tracked);
        }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("unit", &self.tracked.name()).finish_non_exhaustive()
    }
}

/// How many states a stream keeps for whoever does not take them.
const MOST_STATES: usize = 10_000;

/// The streams of one unit.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Vec<Queue>,
    next: u32,
}

/// What one stream has still to give.
#[derive(Debug)]
pub(super) struct Queue {
    number: u32,
    states: VecDeque<Result<State>>,
    /// The last state that was put in.
    last: Option<State>,
    closed: bool,
    waker: Option<Waker>,
}

impl Streams {
    pub fn add(&mut self) -> u32 {
        self.next += 1;
        let queue = Queue { number: self.next, states: VecDeque::new(), last: None, closed: false, waker: None };
        self.all.push(queue);
        self.next
    }

    /// Takes a stream out. What is in it, a waker among it, is to be dropped after the lock.
    pub fn remove(&mut self, number: u32) -> Option<Queue> {
        let at = self.all.iter().position(|queue| queue.number == number);
        at.map(|at| self.all.swap_remove(at))
    }

    /// Whether one of them waits for more.
    pub fn are_open(&self) -> bool {
        self.all.iter().any(|queue| !queue.closed)
    }

    pub fn push(&mut self, state: &State, wakers: &mut Vec<Waker>) {
        for queue in self.all.iter_mut().filter(|queue| !queue.closed && queue.last.as_ref() != Some(state)) {
            queue.last = Some(state.clone());
            if queue.states.len() == MOST_STATES {
                queue.states.pop_front();
            }
            queue.states.push_back(Ok(state.clone()));
            wakers.extend(queue.waker.take());
        }
    }

    pub fn close(&mut self, error: Option<&Error>, wakers: &mut Vec<Waker>) {
        for queue in self.all.iter_mut().filter(|queue| !queue.closed) {
            queue.closed = true;
            queue.states.extend(error.cloned().map(Err));
            wakers.extend(queue.waker.take());
        }
    }

    pub fn poll(&mut self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<State>>> {
        let Some(queue) = self.all.iter_mut().find(|queue| queue.number == number) else { return Poll::Ready(None) };
        match queue.states.pop_front() {
            Some(state) => Poll::Ready(Some(state)),
            None if queue.closed => Poll::Ready(None),
            None => {
                match &mut queue.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}
