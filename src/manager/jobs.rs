//! How many start jobs may be in flight.
//!
//! The manager's own connection to the bus daemon pays for each job that a client waits for with a match rule, of
//! which a stock system bus allows it 512, and each call in flight counts among the 128 replies that may be
//! pending on ours. Past either, exits are lost. So a start needs a place, and what finds none waits in order.
//!
//! All clients of the manager share those 512. What one process may have there at most, all kinds of jobs together, is
//! [`SHARE`], so that three of them at full load are no danger to each other. Nobody tells a client what others have.
//!
//! There are two kinds, so that slow starts do not hold up quick ones: the job of a `Type=simple` service is over
//! as soon as its process exists, that of a oneshot only when it has ended. The jobs of stops, restarts and reloads have
//! places of their own: units that are being started must not keep anyone from stopping them.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Error, Result};

/// Quick starts between call and `JobRemoved`, lasting ones between call and reply.
pub(crate) const STARTING: usize = 48;
/// Lasting starts between reply and `JobRemoved`, on a system bus.
const LASTING_ON_SYSTEM_BUS: usize = 60;
/// Stops, restarts and reloads between call and `JobRemoved`, on a system bus.
const CONTROLLING_ON_SYSTEM_BUS: usize = 20;
/// Stops that nobody waits for, between call and `JobRemoved`, on a system bus: of slices that kept a unit loaded, and of
/// units that were given up. Handles have their exits before that, and the runtime may end then: what is not sent stays.
const STOPPING_ON_SYSTEM_BUS: usize = 12;
const UNDOING_ON_SYSTEM_BUS: usize = 16;
/// What all that comes to. A manager has some rules of its own besides, one for each bus name that a service is to have.
#[cfg(test)]
const SHARE: usize = 512 / 3 - 14;
/// The same where no limit of the bus daemon is near.
const LASTING_ELSEWHERE: usize = 16 * 1024;
const CONTROLLING_ELSEWHERE: usize = 16 * 1024;
const STOPPING_ELSEWHERE: usize = 64;
const UNDOING_ELSEWHERE: usize = 16 * 1024;
/// Units that are referenced. Each costs the manager's connection a match rule too, so that on a system bus each takes
/// the place of a lasting start: of those that there are, half at most.
const REFERENCED: usize = 128;
/// Slices that keep a unit, while they are started and from when they are to be stopped. The manager's work for each unit
/// grows with the slices that there are, so that no more are started while many are still to be stopped. What has its
/// slice takes no place: units that run for long hold up nobody.
const KEEPERS: usize = 32;
/// Processes that are held until their scopes are there. Each is a thread, and as long as one is held it has copies of all
/// descriptors, so that other programs of this process that start at the same time are waited for as long.
const HELD: usize = 32;

/// How long a unit's start job takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Until the process exists.
    Quick,
    /// Until the program says that it is ready, or has ended.
    Lasting,
}

impl Pace {
    /// The pace of a service's start, by its `Type=` (`systemd.service(5)`).
    pub fn of_service_type(service_type: &str) -> Self {
        match service_type {
            "simple" | "exec" | "idle" => Pace::Quick,
            _ => Pace::Lasting,
        }
    }
}

/// How many there may be, where it is not for this file to say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Most {
    pub starting: Option<usize>,
    pub lasting: Option<usize>,
}

impl Most {
    /// Nothing would ever be started with a bound of nothing.
    pub fn check(self) -> Result<Self> {
        for (what, most) in [("most_starting", self.starting), ("most_lasting", self.lasting)] {
            if most == Some(0) {
                return Err(Error::invalid(what, "0", "would let nothing be started"));
            }
        }
        Ok(self)
    }
}

#[derive(Debug)]
pub(crate) struct Jobs {
    starting: Semaphore,
    lasting: Semaphore,
    controlling: Semaphore,
    referenced: Semaphore,
    keepers: Semaphore,
    held: Semaphore,
    stopping: usize,
    undoing: usize,
    /// Slices to be stopped that found no place, since that cannot wait: the next places that are given back are theirs.
    owed: AtomicUsize,
}

/// Places that a start has been given. They are given back when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    starting: SemaphorePermit<'a>,
    lasting: Option<SemaphorePermit<'a>>,
}

/// The place of a stop, restart or reload, given back when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct ControlAdmission<'a>(SemaphorePermit<'a>);

/// Places that a job in flight holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub starting: usize,
    pub lasting: usize,
    pub controlling: usize,
    pub referenced: usize,
    pub keepers: usize,
}

impl Jobs {
    pub fn new(on_system_bus: bool, most: Most) -> Self {
        let (lasting, controlling, stopping, undoing) = if on_system_bus {
            (LASTING_ON_SYSTEM_BUS, CONTROLLING_ON_SYSTEM_BUS, STOPPING_ON_SYSTEM_BUS, UNDOING_ON_SYSTEM_BUS)
        } else {
            (LASTING_ELSEWHERE, CONTROLLING_ELSEWHERE, STOPPING_ELSEWHERE, UNDOING_ELSEWHERE)
        };
        let bounded = |most: Option<usize>, default: usize| most.unwrap_or(default).min(Semaphore::MAX_PERMITS);
        let lasting = bounded(most.lasting, lasting);
        Jobs {
            starting: Semaphore::new(bounded(most.starting, STARTING)),
            lasting: Semaphore::new(lasting),
            controlling: Semaphore::new(controlling),
            referenced: Semaphore::new(REFERENCED.min(lasting / 2)),
            stopping,
            undoing,
            keepers: Semaphore::new(KEEPERS),
            held: Semaphore::new(HELD),
            owed: AtomicUsize::new(0),
        }
    }

    /// Waits, in order, for a place. Cancel-safe: giving up gives up the place in the queue.
    pub async fn admit(&self, pace: Pace) -> Admission<'_> {
        let lasting = match pace {
            Pace::Quick => None,
            Pace::Lasting => Some(self.lasting.acquire().await.expect("never closed")),
        };
        Admission { lasting, starting: self.starting.acquire().await.expect("never closed") }
    }

    /// Waits, in order, for a place of a stop, restart or reload. Cancel-safe as `admit`.
    pub async fn admit_control(&self) -> ControlAdmission<'_> {
        ControlAdmission(self.controlling.acquire().await.expect("never closed"))
    }

    /// Waits, in order, for the place of a process that is held. Cancel-safe as `admit`.
    pub async fn admit_held(&self) -> SemaphorePermit<'_> {
        self.held.acquire().await.expect("never closed")
    }

    /// The places of a unit that is referenced, where there are any.
    pub fn try_reference(&self) -> Option<Places> {
        let referenced = self.referenced.try_acquire().ok()?;
        let lasting = self.lasting.try_acquire().ok()?;
        referenced.forget();
        lasting.forget();
        Some(Places { lasting: 1, referenced: 1, ..Places::default() })
    }

    /// Waits, in order, for the place of a slice that is started.
    pub async fn admit_keeper(&self) -> KeeperAdmission<'_> {
        KeeperAdmission(self.keepers.acquire().await.expect("never closed"))
    }

    /// How many stops of slices may be in flight.
    pub fn stopping(&self) -> usize {
        self.stopping
    }

    /// How many stops of units that were given up may be.
    pub fn undoing(&self) -> usize {
        self.undoing
    }

    /// The place of a slice that is to be stopped: it has one in any case.
    pub fn keeper_to_stop(&self) -> Places {
        if self.keepers.forget_permits(1) == 0 {
            self.owed.fetch_add(1, Ordering::Relaxed);
        }
        Places { keepers: 1, ..Places::default() }
    }

    pub fn give_back(&self, places: Places) {
        for _ in 0..places.keepers {
            let paid = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1));
            self.keepers.add_permits(usize::from(paid.is_err()));
        }
        self.starting.add_permits(places.starting);
        self.lasting.add_permits(places.lasting);
        self.controlling.add_permits(places.controlling);
        self.referenced.add_permits(places.referenced);
    }
}

impl Admission<'_> {
    /// Keeps the places until [`Jobs::give_back`].
    pub fn keep(self) -> Places {
        self.starting.forget();
        let lasting = self.lasting.map(SemaphorePermit::forget).map_or(0, |()| 1);
        Places { starting: 1, lasting, ..Places::default() }
    }
}

/// The place of a slice that is started, given back when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct KeeperAdmission<'a>(SemaphorePermit<'a>);

impl KeeperAdmission<'_> {
    /// Keeps the place until [`Jobs::give_back`].
    pub fn keep(self) -> Places {
        self.0.forget();
        Places { keepers: 1, ..Places::default() }
    }
}

impl ControlAdmission<'_> {
    /// Keeps the place until [`Jobs::give_back`].
    pub fn keep(self) -> Places {
        self.0.forget();
        Places { controlling: 1, ..Places::default() }
    }
}

impl Places {
    /// Takes out what a lasting start need not hold once it was accepted.
    pub fn take_accepted(&mut self) -> Places {
        let starting = if self.lasting > 0 { std::mem::take(&mut self.starting) } else { 0 };
        Places { starting, ..Places::default() }
    }

    pub fn add(&mut self, other: Places) {
        self.starting += other.starting;
        self.lasting += other.lasting;
        self.controlling += other.controlling;
        self.referenced += other.referenced;
        self.keepers += other.keepers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn slow_starts_do_not_hold_up_quick_ones() {
        let jobs = Jobs::new(true, Most::default());
        let mut held = Vec::new();
        for _ in 0..LASTING_ON_SYSTEM_BUS {
            let mut places = jobs.admit(Pace::Lasting).now_or_never().expect("a place").keep();
            jobs.give_back(places.take_accepted());
            held.push(places);
        }
        assert!(jobs.admit(Pace::Lasting).now_or_never().is_none());
        let quick = jobs.admit(Pace::Quick).now_or_never().expect("a place for a quick one").keep();
        jobs.give_back(quick);
        jobs.give_back(held.pop().unwrap());
        assert!(jobs.admit(Pace::Lasting).now_or_never().is_some());
    }

    /// Three processes at full load are within what a stock system bus bears.
    #[test]
    fn one_process_has_its_share() {
        let starting = STARTING + LASTING_ON_SYSTEM_BUS;
        let others = CONTROLLING_ON_SYSTEM_BUS + STOPPING_ON_SYSTEM_BUS + UNDOING_ON_SYSTEM_BUS;
        assert!(starting + others <= SHARE, "{starting} and {others}");
    }

    #[test]
    fn bounds_are_settable() {
        let jobs = Jobs::new(true, Most { starting: Some(2), lasting: Some(3) });
        let held: Vec<_> = (0..2).map(|_| jobs.admit(Pace::Quick).now_or_never().expect("a place")).collect();
        assert!(jobs.admit(Pace::Quick).now_or_never().is_none());
        drop(held);
        let lasting = || {
            let mut places = jobs.admit(Pace::Lasting).now_or_never()?.keep();
            jobs.give_back(places.take_accepted());
            Some(places)
        };
        let held: Vec<_> = std::iter::from_fn(lasting).collect();
        assert_eq!(held.len(), 3);
        held.into_iter().for_each(|places| jobs.give_back(places));
        // Not all of them may be taken by what is outstanding for as long as it likes.
        assert!(jobs.try_reference().is_some());
        assert!(jobs.try_reference().is_none());
        assert!(Most { starting: Some(0), lasting: None }.check().is_err());
        assert!(Most { starting: None, lasting: Some(0) }.check().is_err());
        let _ = Jobs::new(false, Most { starting: Some(usize::MAX), lasting: Some(usize::MAX) }.check().unwrap());
    }

    #[test]
    fn slices_to_be_stopped_come_first() {
        let jobs = Jobs::new(false, Most::default());
        let free = || {
            let held: Vec<_> = std::iter::from_fn(|| jobs.admit_keeper().now_or_never()).collect();
            held.len()
        };
        let starting: Vec<_> =
            (0..KEEPERS).map(|_| jobs.admit_keeper().now_or_never().expect("a place").keep()).collect();
        let stopping: Vec<_> = (0..3 * KEEPERS).map(|_| jobs.keeper_to_stop()).collect();
        for (given_back, places) in starting.into_iter().chain(stopping).enumerate() {
            assert_eq!(free(), given_back.saturating_sub(3 * KEEPERS));
            jobs.give_back(places);
        }
        assert_eq!(free(), KEEPERS);
        let stopping = jobs.keeper_to_stop();
        assert_eq!(free(), KEEPERS - 1);
        jobs.give_back(stopping);
        assert_eq!(free(), KEEPERS);
    }

    #[test]
    fn whoever_gives_up_leaves_no_trace() {
        let jobs = Jobs::new(true, Most::default());
        for _ in 0..3 {
            let admitted: Vec<_> =
                (0..STARTING).map(|_| jobs.admit(Pace::Quick).now_or_never().expect("a place")).collect();
            assert!(jobs.admit(Pace::Quick).now_or_never().is_none());
            drop(admitted);
        }
    }
}
