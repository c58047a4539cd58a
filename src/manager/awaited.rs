//! The jobs that someone waits for: those of stops, restarts, reloads.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use tokio::sync::oneshot;

use super::jobs::Places;
use super::tickets::Obligation;
use crate::error::Result;
use crate::unit::machine::JobResult;

/// A job that was asked for: the unit's label, and a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobId {
    pub label: Box<str>,
    number: u64,
}

/// Who is told what came of a job.
#[derive(Debug)]
pub(super) enum Told {
    Future(oneshot::Sender<Result<JobResult>>),
    /// Nobody: it is the stop of a unit whose start was given up.
    Undone,
    /// Nobody: it is the stop of a slice of our own that kept a unit loaded.
    Keeper {
        _connection: Obligation,
    },
}

/// All of them, by the label of their unit.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    units: HashMap<Box<str>, Vec<Waiter>>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// Known from the reply on.
    job: Option<u32>,
    /// Jobs of the unit that were removed before that: ours may be among them.
    removed: Vec<(u32, JobResult)>,
    told: Told,
    places: Places,
}

/// A job that is over, or was refused.
#[derive(Debug)]
pub(super) struct Settled {
    pub told: Told,
    pub places: Places,
    pub result: Result<JobResult>,
}

/// More removed jobs of one unit than that before the reply are not waited through.
const MOST_REMOVED: usize = 64;

impl Awaited {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub fn concerns(&self, label: &str) -> bool {
        self.units.contains_key(label)
    }

    /// A job is asked for.
    pub fn ask(&mut self, label: String, told: Told, places: Places) -> JobId {
        self.next += 1;
        let waiter = Waiter { number: self.next, job: None, removed: Vec::new(), told, places };
        let label: Box<str> = label.into();
        self.units.entry(label.clone()).or_insert_with(|| Vec::with_capacity(1)).push(waiter);
        JobId { label, number: self.next }
    }

    /// The manager has answered: with the job's number, or not. The job may be over already.
    pub fn answered(&mut self, id: &JobId, answer: Result<u32>) -> Option<Settled> {
        let Place::Occupied(mut place) = self.units.entry(id.label.clone()) else { return None };
        let waiters = place.get_mut();
        let at = waiters.iter().position(|waiter| waiter.number == id.number)?;
        let result = match answer {
            Err(error) => Err(error),
            Ok(job) => {
                let waiter = &mut waiters[at];
                waiter.job = Some(job);
                let removed = std::mem::take(&mut waiter.removed);
                Ok(removed.into_iter().find_map(|(other, result)| (other == job).then_some(result))?)
            }
        };
        let Waiter { told, places, .. } = waiters.swap_remove(at);
        if waiters.is_empty() {
            place.remove();
        }
        Some(Settled { told, places, result })
    }

    /// A job of the unit is over.
    pub fn removed(&mut self, label: &str, job: u32, result: &JobResult) -> Vec<Settled> {
        let Some(waiters) = self.units.get_mut(label) else { return Vec::new() };
        let mut settled = Vec::new();
        let mut at = 0;
        while at < waiters.len() {
            let waiter = &mut waiters[at];
            if waiter.job == Some(job) {
                let Waiter { told, places, .. } = waiters.swap_remove(at);
                settled.push(Settled { told, places, result: Ok(result.clone()) });
                continue;
            }
            if waiter.job.is_none() && waiter.removed.len() < MOST_REMOVED {
                waiter.removed.push((job, result.clone()));
            }
            at += 1;
        }
        if waiters.is_empty() {
            self.units.remove(label);
        }
        settled
    }

    /// Takes all of them out: none will be heard of any more.
    pub fn drain(&mut self) -> Vec<(Told, Places)> {
        self.units.drain().flat_map(|(_, waiters)| waiters).map(|waiter| (waiter.told, waiter.places)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn ask(awaited: &mut Awaited) -> (JobId, oneshot::Receiver<Result<JobResult>>) {
        let (told, answer) = oneshot::channel();
        (awaited.ask("a".into(), Told::Future(told), Places::default()), answer)
    }

    #[test]
    fn a_job_may_be_over_before_the_reply() {
        let mut awaited = Awaited::default();
        let (id, _answer) = ask(&mut awaited);
        assert!(awaited.removed("a", 7, &JobResult::Canceled).is_empty());
        assert!(awaited.removed("a", 8, &JobResult::Done).is_empty());
        assert!(awaited.removed("b", 8, &JobResult::Failed).is_empty());
        let settled = awaited.answered(&id, Ok(8)).unwrap();
        assert_eq!(settled.result.unwrap(), JobResult::Done);
        assert!(awaited.is_empty());
    }

    #[test]
    fn one_job_may_be_waited_for_twice() {
        let mut awaited = Awaited::default();
        let (one, _first) = ask(&mut awaited);
        let (two, _second) = ask(&mut awaited);
        let (three, _third) = ask(&mut awaited);
        assert!(awaited.answered(&one, Ok(5)).is_none());
        assert!(awaited.answered(&two, Ok(5)).is_none());
        assert!(awaited.removed("a", 4, &JobResult::Done).is_empty());
        assert_eq!(awaited.removed("a", 5, &JobResult::Timeout).len(), 2);
        assert!(awaited.concerns("a"));
        assert!(awaited.answered(&three, Err(Error::NoRuntime)).unwrap().result.is_err());
        assert!(awaited.is_empty());
    }
}
