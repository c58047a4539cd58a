//! What the connection's side and the handle's side of a unit share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::exit::{Exit, InvocationId};
use super::name::label;
use super::process::Process;
use super::states::{State, Streams};
use crate::error::{Error, Result};

/// A unit that is being started, runs, or has ended. Written to as signals come in; awaited through a handle.
#[derive(Debug)]
pub(crate) struct Tracked {
    name: Box<str>,
    /// The last element of its object path.
    label: Box<str>,
    /// How many hold a handle.
    handles: AtomicUsize,
    /// Whether someone wants to know of every change.
    watched: AtomicBool,
    /// When it began to be followed, or the run of another one's unit began, in µs of the monotonic clock. All that the
    /// unit has logged since is its own.
    since: AtomicU64,
    /// The process that it belongs to.
    process: Process,
    /// Another run of the unit is none of its handles' business.
    one_run: bool,
    progress: Mutex<Progress>,
}

/// The monotonic clock, in µs.
fn now() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_micros()).unwrap_or(0)
}

/// Of a unit that is started again and again the last are remembered.
const MOST_PROCESSES: usize = 16;

#[derive(Debug)]
struct Progress {
    phase: Phase,
    /// That of the first run that was seen, and of the last.
    runs: Option<(InvocationId, InvocationId)>,
    /// Its processes, as far as the manager has named them.
    processes: Vec<u32>,
    /// Whether the start has come to what it should.
    activated: bool,
    /// The start was never sent, and can be sent again.
    unsent: bool,
    /// The end is known, and is not to be told yet.
    withheld: bool,
    waiting: Vec<Waiting>,
    next: u32,
    /// Rare, so elsewhere.
    streams: Option<Box<Streams>>,
}

/// Who waits, by a number of its own.
#[derive(Debug)]
struct Waiting {
    number: u32,
    milestone: Milestone,
    waker: Waker,
}

/// What is waited for: what comes later wakes those too who wait for something earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Milestone {
    Started,
    Activated,
    Ended,
}

#[derive(Debug)]
enum Phase {
    /// systemd has not said yet that it accepts the start.
    Starting,
    Started,
    /// Boxed: of those that are outstanding none has it.
    Over(Box<Result<Exit>>),
}

impl Tracked {
    pub fn new(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        Tracked {
            label: label(&name).into(),
            name,
            handles: AtomicUsize::new(1),
            watched: AtomicBool::new(false),
            since: now().into(),
            process: Process::default(),
            one_run: false,
            progress: Mutex::new(Progress {
                phase: Phase::Starting,
                runs: None,
                processes: Vec::new(),
                activated: false,
                unsent: false,
                withheld: false,
                waiting: Vec::new(),
                next: 0,
                streams: None,
            }),
        }
    }

    /// What it ends with is its end, and what is started anew under its name something else.
    pub fn of_one_run(self) -> Self {
        Tracked { one_run: true, ..self }
    }

    pub fn is_of_one_run(&self) -> bool {
        self.one_run
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// There is another handle.
    pub fn hold(&self) {
        self.handles.fetch_add(1, Ordering::AcqRel);
    }

    /// A handle is gone.
    pub fn release(&self) {
        let _ = self.handles.fetch_update(Ordering::AcqRel, Ordering::Acquire, |handles| handles.checked_sub(1));
    }

    /// Whether nobody holds a handle any more.
    pub fn is_released(&self) -> bool {
        self.handles.load(Ordering::Acquire) == 0
    }

    pub fn invocation_id(&self) -> Option<InvocationId> {
        self.lock().runs.map(|(_, last)| last)
    }

    pub fn set_invocation_id(&self, id: InvocationId) {
        let mut progress = self.lock();
        progress.runs = Some((progress.runs.map_or(id, |(first, _)| first), id));
    }

    /// The IDs of the first run that was seen, and of the last.
    pub fn runs(&self) -> Option<(InvocationId, InvocationId)> {
        self.lock().runs
    }

    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }

    /// It runs since this time, if any, whoever has started it.
    pub fn runs_since(&self, time: u64) {
        if time > 0 {
            self.since.fetch_min(time, Ordering::Relaxed);
        }
    }

    /// These are processes of the unit, where they are not 0.
    pub fn add_processes(&self, ids: [u32; 2]) {
        let mut progress = self.lock();
        for id in ids.into_iter().filter(|id| *id > 0) {
            // The last few: mostly there is one.
            if progress.processes.last() != Some(&id) {
                progress.processes.retain(|other| *other != id);
                if progress.processes.len() == MOST_PROCESSES {
                    progress.processes.remove(0);
                }
                if progress.processes.is_empty() {
                    progress.processes.reserve_exact(1);
                }
                progress.processes.push(id);
            }
        }
    }

    pub fn processes(&self) -> Vec<u32> {
        self.lock().processes.clone()
    }

    /// systemd has accepted the start. Whom that concerns is added to `wakers`.
    pub fn accepted(&self, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        if matches!(progress.phase, Phase::Starting) {
            progress.phase = Phase::Started;
            progress.wake(Milestone::Started, wakers);
        }
    }

    /// The start never came to systemd: whoever waits for that is to send it again.
    pub fn unsent(&self, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        if matches!(progress.phase, Phase::Starting) {
            progress.unsent = true;
            progress.wake(Milestone::Started, wakers);
        }
    }

    /// The start has come to what it should.
    pub fn activated(&self, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        progress.activated = true;
        progress.wake(Milestone::Activated, wakers);
    }

    /// The unit has ended, or what became of it cannot be told. Only the first word counts.
    pub fn finish(&self, end: Result<Exit>, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        if let Err(error) = &end {
            self.close_streams(&mut progress, Some(error), wakers);
        }
        if !matches!(progress.phase, Phase::Over(_)) {
            progress.phase = Phase::Over(Box::new(end));
            progress.wake(Milestone::Ended, wakers);
        }
    }

    /// Whoever waits for the end does so a little longer.
    pub fn withhold(&self) {
        self.lock().withheld = true;
    }

    /// That is over.
    pub fn tell(&self, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        progress.withheld = false;
        progress.wake(Milestone::Ended, wakers);
    }

    /// As `finish`, for whoever holds no lock, and so may wake at once.
    pub fn fail(&self, error: Error) {
        let mut wakers = Vec::new();
        self.finish(Err(error), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until systemd has accepted the start: whether it has. If not the start is to be sent again.
    pub async fn sent(&self) -> Result<bool> {
        let sent = self.until(Milestone::Started, |progress| match &progress.phase {
            Phase::Starting if progress.unsent => Some(Ok(false)),
            Phase::Starting => None,
            Phase::Started => Some(Ok(true)),
            Phase::Over(end) => Some(end.as_ref().as_ref().map(|_| true).map_err(Error::clone)),
        });
        let sent = sent.await;
        self.lock().unsent = false;
        sent
    }

    /// Waits until systemd has accepted the start.
    pub async fn started(&self) -> Result<()> {
        self.until(Milestone::Started, |progress| match &progress.phase {
            Phase::Starting => None,
            Phase::Started => Some(Ok(())),
            Phase::Over(end) => Some(end.as_ref().as_ref().map(drop).map_err(Error::clone)),
        })
        .await
    }

    /// Waits until the start has come to what it should, or has failed.
    pub async fn until_activated(&self) -> Result<()> {
        self.until(Milestone::Activated, |progress| match &progress.phase {
            _ if progress.activated => Some(Ok(())),
            Phase::Starting | Phase::Started => None,
            Phase::Over(end) => Some(Err(match end.as_ref() {
                Ok(exit) => Error::Failed { exit: Box::new(exit.clone()) },
                Err(error) => error.clone(),
            })),
        })
        .await
    }

    /// Waits until the unit has ended.
    pub async fn ended(&self) -> Result<Exit> {
        self.until(Milestone::Ended, Progress::told).await
    }

    /// The end, if whoever waits for it has it.
    pub fn try_told(&self) -> Option<Result<Exit>> {
        self.lock().told()
    }

    /// The end, as far as it is known.
    pub fn try_ended(&self) -> Option<Result<Exit>> {
        self.lock().end()
    }

    /// Whether it has ended, or what became of it cannot be told.
    pub fn is_over(&self) -> bool {
        matches!(self.lock().phase, Phase::Over(_))
    }

    /// Whether it was started, and has not ended.
    pub fn is_running(&self) -> bool {
        matches!(self.lock().phase, Phase::Started)
    }

    /// Whether someone wants to know of every change.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// Adds a stream: its number.
    pub fn watch(&self) -> u32 {
        let mut progress = self.lock();
        self.watched.store(true, Ordering::Release);
        progress.streams.get_or_insert_default().add()
    }

    /// A stream is gone.
    pub fn unwatch(&self, number: u32) {
        let mut progress = self.lock();
        let removed = progress.streams.as_mut().and_then(|streams| streams.remove(number));
        self.watched.store(progress.streams.as_ref().is_some_and(|streams| streams.are_open()), Ordering::Release);
        drop(progress);
        drop(removed);
    }

    /// The unit is in this state.
    pub fn push_state(&self, state: &State, wakers: &mut Vec<Waker>) {
        if let Some(streams) = &mut self.lock().streams {
            streams.push(state, wakers);
        }
    }

    /// The streams are at their end.
    pub fn close(&self, error: Option<&Error>, wakers: &mut Vec<Waker>) {
        let mut progress = self.lock();
        self.close_streams(&mut progress, error, wakers);
    }

    /// The streams end with an error; wakes at once.
    pub fn close_now(&self, error: &Error) {
        let mut wakers = Vec::new();
        self.close(Some(error), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn close_streams(&self, progress: &mut Progress, error: Option<&Error>, wakers: &mut Vec<Waker>) {
        if let Some(streams) = &mut progress.streams {
            streams.close(error, wakers);
            self.watched.store(false, Ordering::Release);
        }
    }

    pub fn process(&self) -> Process {
        self.process
    }

    pub fn poll_state(&self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<State>>> {
        let mut progress = self.lock();
        let Some(streams) = &mut progress.streams else { return Poll::Ready(None) };
        match (streams.poll(number, cx), self.process.check()) {
            (Poll::Pending, Err(error)) => {
                let removed = streams.remove(number);
                drop(progress);
                drop(removed);
                Poll::Ready(Some(Err(error)))
            }
            (polled, _) => polled,
        }
    }

    async fn until<T>(&self, milestone: Milestone, mut look: impl FnMut(&Progress) -> Option<Result<T>>) -> Result<T> {
        let mut place = Place { tracked: self, number: None };
        poll_fn(|cx| {
            let mut progress = self.lock();
            if let Some(found) = look(&progress) {
                return Poll::Ready(found);
            }
            self.process.check()?;
            let number = *place.number.get_or_insert_with(|| {
                progress.next += 1;
                progress.next
            });
            match progress.waiting.iter_mut().find(|waiting| waiting.number == number) {
                Some(waiting) => waiting.waker.clone_from(cx.waker()),
                None => progress.waiting.push(Waiting { number, milestone, waker: cx.waker().clone() }),
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
    /// The end, as far as it is known.
    fn end(&self) -> Option<Result<Exit>> {
        match &self.phase {
            Phase::Over(end) => Some(Result::clone(end)),
            Phase::Starting | Phase::Started => None,
        }
    }

    /// The same, where it is to be told.
    fn told(&self) -> Option<Result<Exit>> {
        if self.withheld { None } else { self.end() }
    }

    fn wake(&mut self, reached: Milestone, wakers: &mut Vec<Waker>) {
        let mut at = 0;
        while at < self.waiting.len() {
            if self.waiting[at].milestone <= reached {
                wakers.push(self.waiting.swap_remove(at).waker);
            } else {
                at += 1;
            }
        }
    }
}

/// The place of one future among those that wait, given up when it is dropped.
struct Place<'a> {
    tracked: &'a Tracked,
    number: Option<u32>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut progress = self.tracked.lock();
        let at = progress.waiting.iter().position(|waiting| waiting.number == number);
        // A waker's Drop is foreign code: let it run after the lock.
        let waker = at.map(|at| progress.waiting.swap_remove(at));
        drop(progress);
        drop(waker);
    }
}

/// For a task that starts a unit: should it be dropped before systemd has said anything, the handle's waits end
/// with an error instead of never.
pub(crate) struct MustEnd(pub Arc<Tracked>);

impl Drop for MustEnd {
    fn drop(&mut self) {
        let starting = matches!(self.0.lock().phase, Phase::Starting);
        if starting {
            self.0.fail(Error::RuntimeGone);
        }
    }
}
