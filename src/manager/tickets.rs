//! What is waited for on a connection, and what is done about it once the lock is free.

use std::sync::Arc;
use std::task::Waker;

use super::awaited::{JobId, Told};
use super::jobs::{Jobs, Places};
use super::recovery::Look;
use crate::bus::{After, Message};
use crate::error::Result;
use crate::unit::InvocationId;
use crate::unit::machine::JobResult;
use crate::unit::tracked::Tracked;

/// What a reply is for.
pub(crate) enum Ticket {
    /// `Subscribe` or an `AddMatch`.
    Listen(&'static str),
    /// An `AddMatch` for one unit alone, and of which round that was.
    Narrow(u32),
    /// `StartTransientUnit`.
    Start(Arc<Tracked>),
    /// The `SubState` of a unit that may be about to restart.
    Question(Arc<Tracked>, u32),
    /// A `StopUnit` that nobody waits for, but that is followed to its end.
    Stop { unit: Box<str>, id: JobId, given_up: Option<(Given, Obligation)> },
    /// The `StopUnit` of a unit whose start was given up, where no signal will tell of its end.
    Unheard(Obligation),
    /// A question about a unit, asked because signals may have been lost.
    Look(Look),
    /// `GetJob`: whether a job is still there.
    JobThere(JobId),
    /// `GetConnectionUnixProcessID` of the manager.
    Process,
    /// `GetAll` of the unit interface of a unit that is adopted, or whose streams begin.
    Unit(Arc<Tracked>),
    /// `GetAll` of the service interface of a unit that has ended.
    Usage(Arc<Tracked>),
    /// `GetAll` of the service interface of a unit that is adopted.
    Service(Arc<Tracked>),
    /// `GetAll` of the unit interface of the service with this label, when the unit that triggers it has ended.
    Triggered(Box<str>),
    /// The same of its service interface, where signals may have been lost.
    TriggeredService(Box<str>),
    /// A call that is answered with a job, which is waited for.
    Job { method: &'static str, unit: Box<str>, id: JobId, again: bool },
    /// Any other call, about a unit, perhaps: reads the reply and gives what is to be done once the lock is free.
    Call(&'static str, Option<Box<str>>, ReadReply),
}

/// A unit whose start was given up. Whoever started it has forgotten it.
#[derive(Debug)]
pub(super) struct Given {
    pub unit: Box<str>,
    since: u64,
    run: Option<InvocationId>,
}

impl Given {
    pub fn of(tracked: &Tracked) -> Self {
        Given { unit: tracked.name().into(), since: tracked.since(), run: tracked.invocation_id() }
    }

    /// To be followed once more.
    pub fn tracked(self) -> Arc<Tracked> {
        let tracked = Tracked::new(self.unit);
        tracked.runs_since(self.since);
        if let Some(run) = self.run {
            tracked.set_invocation_id(run);
        }
        tracked.release();
        Arc::new(tracked)
    }
}

/// Keeps the connection open as long as it exists, also when nobody else uses it.
pub(super) type Obligation = Arc<()>;

pub(super) type ReadReply = Box<dyn FnOnce(Result<&Message<'_>>) -> Deferred + Send>;
type Deferred = Box<dyn FnOnce() + Send>;

/// What is done once the lock is free.
#[derive(Default)]
pub(crate) struct Released {
    pub wakers: Vec<Waker>,
    /// Those who wait for nothing but that a start was accepted: their units are at work.
    pub patient: Vec<Waker>,
    pub(super) deferred: Vec<Deferred>,
    /// Calls that will not be answered: dropping them tells whoever waits.
    pub(super) unanswered: Vec<Ticket>,
    places: Places,
    jobs: Option<Arc<Jobs>>,
}

impl Released {
    pub(super) fn tell(&mut self, told: Told, result: Result<JobResult>) {
        match told {
            // Whoever waited may have given up, and the receiver with it.
            Told::Future(told) => self.deferred.push(Box::new(move || drop(told.send(result)))),
            Told::Keeper { .. } | Told::Undone => {}
        }
    }

    pub fn give_back(&mut self, jobs: &Arc<Jobs>, places: Places) {
        if places != Places::default() {
            self.places.add(places);
            self.jobs.get_or_insert_with(|| jobs.clone());
        }
    }
}

impl After for Released {
    fn is_urgent(&self) -> bool {
        !self.wakers.is_empty()
    }

    fn run(&mut self) {
        if let Some(jobs) = &self.jobs {
            jobs.give_back(std::mem::take(&mut self.places));
        }
        self.wakers.drain(..).chain(self.patient.drain(..)).for_each(Waker::wake);
        self.deferred.drain(..).for_each(|act| act());
        self.unanswered.clear();
    }
}
