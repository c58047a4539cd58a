//! The jobs that someone waits for: those of stops, restarts, reloads.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use tokio::sync::oneshot;

use super::jobs::Places;
use super::tickets::Obligation;
use crate::error::Result;
use crate::unit::machine::JobResult;
use crate::unit::name::label;

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
    unit: Box<str>,
    /// The method that was called.
    method: &'static str,
    /// Known from the reply on.
    job: Option<u32>,
    /// Jobs of the unit that were removed before that: ours may be among them.
    removed: Vec<(u32, JobResult)>,
    told: Told,
    places: Places,
}

/// A job that was asked for, and that the manager has.
#[derive(Debug)]
pub(super) struct InFlight {
    pub id: JobId,
    pub unit: Box<str>,
    /// The method that was called.
    pub method: &'static str,
    pub job: u32,
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
    pub fn ask(&mut self, unit: &str, method: &'static str, told: Told, places: Places) -> JobId {
        self.next += 1;
        let (number, unit_name) = (self.next, unit.into());
        let waiter = Waiter { number, unit: unit_name, method, job: None, removed: Vec::new(), told, places };
        let label: Box<str> = label(unit).into();
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

    /// What was to be stopped is not there any more.
    pub fn gone(&mut self, id: &JobId) -> Option<Settled> {
        self.take(id).map(|(_, told, places)| Settled { told, places, result: Ok(JobResult::Done) })
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

    /// The jobs that are in flight. Signals of their ends may have been lost.
    pub fn in_flight(&self) -> Vec<InFlight> {
        let all = self.units.iter().flat_map(|(label, waiters)| waiters.iter().map(move |waiter| (label, waiter)));
        let known = all.filter_map(|(label, waiter)| {
            Some(InFlight {
                id: JobId { label: label.clone(), number: waiter.number },
                unit: waiter.unit.clone(),
                method: waiter.method,
                job: waiter.job?,
            })
        });
        known.collect()
    }

    /// The job is asked for once more: it will be another one.
    pub fn ask_again(&mut self, id: &JobId) {
        let waiters = self.units.get_mut(&id.label).map_or(&mut [][..], Vec::as_mut_slice);
        if let Some(waiter) = waiters.iter_mut().find(|waiter| waiter.number == id.number) {
            waiter.job = None;
            waiter.removed.clear();
        }
    }

    /// Who is told of this one.
    pub fn told(&self, id: &JobId) -> Option<&Told> {
        let waiters = self.units.get(&id.label).map_or(&[][..], Vec::as_slice);
        waiters.iter().find(|waiter| waiter.number == id.number).map(|waiter| &waiter.told)
    }

    /// Takes this one out.
    pub fn take(&mut self, id: &JobId) -> Option<(Box<str>, Told, Places)> {
        let waiters = self.units.get_mut(&id.label)?;
        let at = waiters.iter().position(|waiter| waiter.number == id.number)?;
        let Waiter { unit, told, places, .. } = waiters.swap_remove(at);
        if waiters.is_empty() {
            self.units.remove(&id.label);
        }
        Some((unit, told, places))
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
        (awaited.ask("a", "StopUnit", Told::Future(told), Places::default()), answer)
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
