//! What is done when signals may have been lost: the connection was, or the manager has left the bus for a moment.
//!
//! What is outstanding stays so. As soon as the manager can be asked, each unit is looked up: one that runs is followed
//! on, one that has ended and is loaded still has its exit. What was unloaded meanwhile the journal is asked about, and
//! what nobody knows is [`Error::Lost`].
//!
//! A question may itself get lost. Each round of them has a number, and only the answers of the last one count.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::awaited::{InFlight, JobId, Told};
use super::calls::{get_all, is_absent, is_not_loaded, manager_call, refused, stop_call};
use super::connect::Scope;
use super::entry::{Entry, Fate};
use super::hindsight::{self, Home, Query};
use super::jobs::Places;
use super::registry::Registry;
use super::signals;
use super::tickets::{Given, Obligation, Released, Ticket};
use crate::bus::{Context, ENDED, Message, Outstanding, Refusal};
use crate::error::{Error, Result};
use crate::journal::Remembered;
use crate::unit::Exit;
use crate::unit::exit::ServiceState;
use crate::unit::name::label;
use crate::unit::tracked::Tracked;

const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// Between two rounds of questions that nobody answers, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How long a gap may last at most, where nobody says.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// The state of a connection's recovery.
#[derive(Debug)]
pub(super) struct Recovery {
    pub home: Option<Home>,
    pub patience: Duration,
    /// The manager's process, where its end would be the end of all of its units.
    pub process: Option<(u32, OwnedFd)>,
    /// There is no connection: what is to be sent waits.
    pub gap: bool,
    /// The number of the last round of questions.
    round: u32,
    /// Since when the manager does not answer.
    since: Option<Instant>,
    /// When to ask again.
    pub retry: Option<Instant>,
    pause: Duration,
    /// Units whose start was given up, and that are to be stopped.
    to_undo: Vec<(Given, Obligation)>,
    /// Stops to be asked for again.
    to_stop: Vec<(Box<str>, JobId)>,
}

/// That a unit is in doubt.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// Whether it was ever started.
    pub start: bool,
    /// Whether a signal has come of it since.
    pub heard: bool,
    /// What was said of its service when it was looked up.
    pub service: Option<ServiceState>,
    /// The round in which the journal was asked.
    pub journal: Option<u32>,
}

/// A question about a unit that is in doubt.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    tracked: Arc<Tracked>,
    stage: Stage,
    round: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unit,
    /// Of one that is at its end: of its service, and then once more whether it is still loaded.
    Service,
    Again,
}

/// What an answer about a unit in doubt comes to.
#[derive(Debug)]
pub(super) enum Looked {
    Done(Fate),
    /// It is at its end, of which more is to be asked.
    AtEnd,
    /// It is not there any more.
    Gone,
    /// There is another one of its name, from before its start.
    Other,
}

impl Default for Recovery {
    fn default() -> Self {
        Recovery {
            home: None,
            patience: PATIENCE,
            process: None,
            gap: false,
            round: 0,
            since: None,
            retry: None,
            pause: PAUSE.0,
            to_undo: Vec::new(),
            to_stop: Vec::new(),
        }
    }
}

impl Recovery {
    /// The manager's process has ended.
    fn has_ended(&self) -> bool {
        let Some((_, process)) = &self.process else { return false };
        poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// The manager is there: it has answered.
    pub fn answered(&mut self) {
        self.since = None;
        self.pause = PAUSE.0;
    }

    /// A copy of what is readable when that has happened.
    pub fn guard(&self) -> Option<OwnedFd> {
        self.process.as_ref().and_then(|(_, process)| process.try_clone().ok())
    }
}

impl Registry {
    /// Whether what was lost can be found again: a connection that ends for good never is.
    pub(super) fn recovers(&self) -> bool {
        self.recovery.home.is_some()
    }

    /// What there is to know for the time after a gap.
    pub fn settle_in(&mut self, home: Home, patience: Duration, scope: &Scope, cx: &mut Context<'_, Self>) {
        self.recovery.home = Some(home);
        self.recovery.patience = patience;
        // PID 1 does not end. What is in a container, or somewhere at an address, has no number here.
        self.watches_process = scope.is_user() && scope.is_here() && scope.is_certain() && !self.direct;
        if self.direct && !matches!(scope, Scope::System) {
            if let Some(process) = cx.bus.peer() {
                self.note_process(process);
            }
        }
    }

    /// The connection was lost, and is about to be made again.
    pub(super) fn on_interruption(
        &mut self,
        error: &Error,
        Outstanding { unsent, unanswered }: Outstanding<Ticket>,
        cx: &mut Context<'_, Self>,
    ) {
        self.recovery.gap = true;
        self.tell_all(&mut cx.after.wakers);
        self.listening = self.direct;
        self.hears_scopes = false;
        self.forget_narrow();
        self.manager = None;
        self.look_again = None;
        self.recovery.retry = None;
        self.recovery.since.get_or_insert_with(Instant::now);
        for (label, mut entries) in std::mem::take(&mut self.units) {
            let jobs = self.jobs.clone();
            entries.retain_mut(|entry| entry.interrupted(&jobs, cx) == Fate::Keep);
            if !entries.is_empty() {
                self.units.insert(label, entries);
            }
        }
        unsent.into_iter().for_each(|ticket| self.unanswered(ticket, false, error, cx));
        unanswered.into_iter().for_each(|ticket| self.unanswered(ticket, true, error, cx));
        // Whatever becomes of these jobs nobody will say: they are asked for, or stopped, again.
        for InFlight { id, method, .. } in self.awaited.in_flight() {
            match self.awaited.told(&id) {
                Some(Told::Keeper { .. }) => self.keep_again(&id),
                Some(Told::Undone) => self.undone_without_us(&id),
                _ if method == "StartTransientUnit" => self.drop_job(&id, error, cx),
                _ => {}
            }
        }
        self.recovery.to_undo.extend(self.undone.drain(..));
    }

    /// A call will never be answered. `sent` where the manager may have got it.
    pub(super) fn unanswered(&mut self, ticket: Ticket, sent: bool, error: &Error, cx: &mut Context<'_, Self>) {
        match ticket {
            Ticket::Start(tracked) if sent => self.with_entry(&tracked, cx, |entry, _| {
                entry.doubt.get_or_insert_default().start = true;
                Fate::Keep
            }),
            Ticket::Start(tracked) => self.unsent(&tracked, cx),
            Ticket::Stop { id, given_up: None, .. } => self.keep_again(&id),
            Ticket::Stop { id, given_up: Some(given_up), .. } => {
                self.undone_without_us(&id);
                self.recovery.to_undo.push(given_up);
            }
            Ticket::Triggered(label) => self.triggered_unanswered(&label),
            Ticket::Job { method: "StopUnit", unit, id, .. } => self.recovery.to_stop.push((unit, id)),
            Ticket::Job { id, .. } => self.drop_job(&id, error, cx),
            Ticket::Call(_, _, read) => {
                let act = read(Err(error.clone()));
                cx.after.deferred.push(act);
            }
            Ticket::Question(tracked, _) => self.with_entry(&tracked, cx, |entry, _| {
                entry.unanswered();
                Fate::Keep
            }),
            // All of these are asked again for each unit, or for each connection.
            Ticket::Listen(_)
            | Ticket::Narrow(_)
            | Ticket::Process
            | Ticket::Unit(_)
            | Ticket::Service(_)
            | Ticket::Usage(_)
            | Ticket::Unheard(_)
            | Ticket::Look(_)
            | Ticket::TriggeredService(_)
            | Ticket::JobThere(_) => {}
        }
    }

    /// A call was answered by who says that the manager is not there. The ticket comes back where that is nothing to
    /// recover from.
    pub(super) fn absent(
        &mut self,
        ticket: Ticket,
        refusal: Refusal<'_>,
        cx: &mut Context<'_, Self>,
    ) -> Option<Ticket> {
        let Some(sent) = is_absent(refusal.name).filter(|_| self.recovers() && self.was_there) else {
            return Some(ticket);
        };
        tracing::debug!(error = refusal.name, "the service manager is not on its bus");
        let error = Error::Disconnected { reason: refusal.text.into() };
        self.unanswered(ticket, sent, &error, cx);
        self.ask_later();
        None
    }

    /// Has everything looked up in a moment.
    pub(super) fn ask_later(&mut self) {
        let now = Instant::now();
        self.recovery.since.get_or_insert(now);
        if self.recovery.retry.is_none() {
            self.recovery.retry = Some(now + self.recovery.pause);
            self.recovery.pause = (self.recovery.pause * 2).min(PAUSE.1);
        }
    }

    /// The start was not sent: whoever waits for it sends it again.
    fn unsent(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        self.forget_to_trigger(tracked);
        self.with_entry(tracked, cx, |_, _| Fate::Remove);
        tracked.unsent(&mut cx.after.wakers);
    }

    /// A slice of ours is to be stopped once more.
    fn keep_again(&mut self, id: &JobId) {
        if let Some((unit, _, places)) = self.awaited.take(id) {
            self.stopping = self.stopping.saturating_sub(1);
            self.keepers.push_back((unit, places));
        }
    }

    /// The stop of a unit is not followed any more.
    fn undone_without_us(&mut self, id: &JobId) {
        if self.awaited.take(id).is_some() {
            self.undoing = self.undoing.saturating_sub(1);
        }
    }

    fn drop_job(&mut self, id: &JobId, error: &Error, cx: &mut Context<'_, Self>) {
        if let Some((_, told, places)) = self.awaited.take(id) {
            cx.after.give_back(&self.jobs, places);
            cx.after.tell(told, Err(error.clone()));
        }
    }

    /// The manager can be asked, perhaps: everything that is outstanding is looked up.
    pub(super) fn ask_all(&mut self, cx: &mut Context<'_, Self>) {
        self.recovery.retry = None;
        self.recovery.round += 1;
        if self.recovery.has_ended() {
            return self.fail_all(&Error::Disconnected { reason: ENDED.into() }, cx);
        }
        let patience = self.recovery.patience;
        if self.recovery.since.is_some_and(|since| since.elapsed() > patience) {
            let reason = format!("for {patience:?} the service manager has not answered");
            return self.fail_all(&Error::Disconnected { reason: reason.into() }, cx);
        }
        for (given, obligation) in std::mem::take(&mut self.recovery.to_undo) {
            let tracked = given.tracked();
            let label = label(tracked.name());
            let start = tracked.invocation_id().is_none();
            let mut entry = Entry::new(tracked, false, Places::default());
            entry.give_up_later(obligation);
            entry.doubt = Some(Box::new(Doubt { start, ..Doubt::default() }));
            self.units.entry(label.into()).or_default().push(entry);
        }
        if let Err(error) = self.ask_about_everything(cx) {
            // A broken connection, which the driver will notice too.
            tracing::debug!(%error, "cannot ask about the units");
        }
    }

    fn ask_about_everything(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        let (destination, round) = (self.destination(), self.recovery.round);
        if self.is_idle() && self.recovery.to_stop.is_empty() && self.keepers.is_empty() {
            self.recovery.since = None;
            return Ok(());
        }
        self.listen(cx)?;
        self.widen(cx)?;
        let scope = self.units.values().flatten().find(|entry| entry.tracked.name().ends_with(".scope"));
        if let Some(scope) = scope.map(|entry| entry.tracked.clone()) {
            self.listen_to(scope.name(), cx)?;
        }
        let triggered = &self.triggered;
        for (label, entries) in &mut self.units {
            for entry in entries.iter_mut() {
                entry.read_unread(cx);
                let tracked = entry.tracked.clone();
                if entry.awaits_usage() {
                    entry.ask_usage_again(destination, cx);
                } else if entry.is_adopting() {
                    entry.adopt_again();
                    super::registry::ask_to_adopt(&tracked, destination, cx)?;
                } else if !(entry.is_run() && triggered.contains_key(label)) {
                    let unknown = entry.is_unknown();
                    let doubt = entry.doubt.get_or_insert_default();
                    doubt.start |= unknown;
                    doubt.journal = None;
                    ask(&tracked, Stage::Unit, round, destination, cx)?;
                }
            }
        }
        self.ask_about_triggered(cx)?;
        for (unit, id) in std::mem::take(&mut self.recovery.to_stop) {
            self.stop_again(unit, id, cx)?;
        }
        for InFlight { id, unit, method, job } in self.awaited.in_flight() {
            if method == "StopUnit" {
                self.stop_again(unit, id, cx)?;
            } else {
                let mut message = manager_call(cx, destination, c"GetJob")?;
                message.append(job)?;
                cx.call(message, Ticket::JobThere(id))?;
            }
        }
        self.stop_keepers(cx);
        Ok(())
    }

    /// Asks once more for a unit to be stopped: nobody knows whether it was.
    fn stop_again(&mut self, unit: Box<str>, id: JobId, cx: &mut Context<'_, Self>) -> Result<()> {
        let message = stop_call(cx, self.destination(), &unit)?;
        self.awaited.ask_again(&id);
        cx.call(message, Ticket::Job { method: "StopUnit", unit, id, again: true })
    }

    /// An answer about a unit in doubt.
    pub(super) fn looked(&mut self, look: Look, reply: Result<&Message<'_>, Refusal<'_>>, cx: &mut Context<'_, Self>) {
        let Look { tracked, stage, round } = look;
        if round != self.recovery.round {
            return;
        }
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        let mut looked = Looked::Done(Fate::Keep);
        let mut known = false;
        self.with_entry(&tracked, cx, |entry, cx| {
            known = true;
            let answer = match reply {
                Ok(message) if stage == Stage::Service => signals::service_state(message).map(|state| {
                    if let Some(doubt) = &mut entry.doubt {
                        doubt.service = Some(state);
                    }
                    Looked::Done(Fate::Keep)
                }),
                Ok(message) => signals::unit_details(message)
                    .map(|found| entry.looked(found, stage == Stage::Again, destination, &jobs, cx)),
                Err(refusal) if is_not_loaded(refusal.name) => Ok(Looked::Gone),
                Err(refusal) => Err(refused("GetAll", Some(tracked.name()), refusal)),
            };
            match answer {
                Ok(Looked::Done(fate)) => fate,
                Ok(other) => {
                    looked = other;
                    Fate::Keep
                }
                Err(error) => entry.conclude(Err(error), cx),
            }
        });
        if !known {
            return;
        }
        match looked {
            Looked::Done(_) => {
                if tracked.is_running() {
                    self.trigger_accepted(&tracked, cx);
                }
            }
            Looked::AtEnd => {
                let asked = ask(&tracked, Stage::Service, round, destination, cx)
                    .and_then(|()| ask(&tracked, Stage::Again, round, destination, cx));
                if let Err(error) = asked {
                    tracing::debug!(%error, "cannot ask about the unit");
                }
            }
            Looked::Gone => self.vanished(&tracked, cx),
            Looked::Other => self.with_entry(&tracked, cx, |entry, cx| {
                let message = "it was there before this start, of which systemd's answer was lost".into();
                entry.conclude(Err(Error::UnitExists { name: tracked.name().into(), message }), cx)
            }),
        }
        self.look_at_triggers(tracked.label(), cx);
    }

    /// A unit is not loaded any more.
    pub(super) fn vanished(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        let round = self.recovery.round;
        let home = self.recovery.home.clone();
        let process = self.recovery.process.as_ref().map(|(process, _)| *process);
        let mut again = false;
        self.with_entry(tracked, cx, |entry, cx| {
            entry.read_unread(cx);
            let doubt = entry.doubt.get_or_insert_default();
            let (start, heard) = (doubt.start, doubt.heard);
            if entry.is_over() || (entry.tracked.is_released() && !entry.tracked.is_watched()) {
                return Fate::Remove;
            }
            if start && entry.is_kept() {
                // What keeps it would have kept it: it was never started.
                again = true;
                return Fate::Keep;
            }
            if !start && heard && entry.vanish(destination, &jobs, cx) {
                return Fate::Remove;
            }
            entry.give_back_places(&jobs, cx);
            let query = Query {
                tracked: entry.tracked.clone(),
                round,
                run: entry.tracked.invocation_id().filter(|_| !entry.restarts()),
                left: entry.left().filter(|_| !entry.restarts()),
                start,
            };
            match home.as_ref().filter(|home| home.has_journal(&query)) {
                Some(home) => {
                    if let Some(doubt) = &mut entry.doubt {
                        doubt.journal = Some(round);
                    }
                    hindsight::ask(home, process, query);
                    Fate::Keep
                }
                None => entry.conclude(Err(query.lost("nobody here can read the journal of its manager")), cx),
            }
        });
        if again {
            self.unsent(tracked, cx);
        }
    }

    /// What the journal knows of a unit.
    pub(super) fn remembered(
        &mut self,
        query: &Query,
        answer: &Result<Option<Remembered>>,
        cx: &mut Context<'_, Self>,
    ) {
        let tracked = &query.tracked;
        let end = match answer {
            Ok(Some(found)) => match Exit::remembered(tracked.name(), found, query.left) {
                Some(exit) => Ok(exit),
                None => {
                    Err(query.lost("it has ended, and the journal does not say how: of successes it mostly does not"))
                }
            },
            Ok(None) => Err(query.lost("the journal has nothing of it")),
            Err(error) => Err(query.lost(&error.to_string())),
        };
        self.with_entry(tracked, cx, |entry, cx| {
            if entry.doubt.as_ref().is_none_or(|doubt| doubt.journal != Some(query.round)) {
                return Fate::Keep;
            }
            if let Ok(exit) = &end {
                if let Some(id) = exit.invocation_id {
                    entry.tracked.set_invocation_id(id);
                }
                tracing::debug!(unit = tracked.name(), result = exit.result.as_str(), "ended, as the journal has it");
            }
            entry.conclude(end, cx)
        });
        self.look_at_triggers(tracked.label(), cx);
    }

    /// Whether a job is there still whose end may have been missed.
    pub(super) fn job_there(&mut self, id: &JobId, there: Result<(), Refusal<'_>>, cx: &mut Context<'_, Self>) {
        let Err(refusal) = there else { return };
        if let Some((unit, told, places)) = self.awaited.take(id) {
            let reason = format!("its job ended while the manager could not be heard ({})", refusal.text);
            cx.after.give_back(&self.jobs, places);
            cx.after.tell(told, Err(Error::Lost { unit, invocation_id: None, reason: reason.into() }));
        }
    }

    /// Nothing more will be known of anything.
    pub(super) fn fail_all(&mut self, error: &Error, cx: &mut Context<'_, Self>) {
        self.forget_orders(error, cx.after);
        for mut entry in std::mem::take(&mut self.units).into_values().flatten() {
            entry.read_unread(cx);
            let lost = lost(&entry.tracked, &error.to_string());
            entry.fail(&lost, &mut cx.after.wakers);
            entry.discard(self.destination(), &self.jobs, cx);
        }
        self.rest();
    }

    /// The same where there is no connection any more.
    pub(super) fn on_loss(&mut self, error: &Error, outstanding: Vec<Ticket>, after: &mut Released) {
        after.unanswered.extend(outstanding);
        let gap = self.recovery.since.is_some();
        self.forget_orders(error, after);
        self.listening = self.direct;
        self.hears_scopes = false;
        self.forget_narrow();
        self.manager = None;
        self.look_again = None;
        for mut entry in self.units.drain().flat_map(|(_, entries)| entries) {
            after.give_back(&self.jobs, entry.places());
            let error = if gap { lost(&entry.tracked, &error.to_string()) } else { error.clone() };
            entry.fail(&error, &mut after.wakers);
        }
    }

    /// What was to be done, or to be looked up again, is not: whoever waits for that is told.
    fn forget_orders(&mut self, error: &Error, after: &mut Released) {
        self.tell_all(&mut after.wakers);
        self.recovery.retry = None;
        self.recovery.since = None;
        self.recovery.to_undo.clear();
        self.recovery.to_stop.clear();
        for (told, places) in self.awaited.drain() {
            after.give_back(&self.jobs, places);
            after.tell(told, Err(error.clone()));
        }
        for (_, places) in self.keepers.drain(..) {
            after.give_back(&self.jobs, places);
        }
        self.stopping = 0;
        self.undone.clear();
        self.undoing = 0;
        self.forget_triggered(error, &mut after.wakers);
    }

    /// The manager's process is known.
    pub(super) fn note_process(&mut self, process: u32) {
        match sdrun_sys::hold::open_process(process) {
            Ok(descriptor) => self.recovery.process = Some((process, descriptor)),
            Err(error) => tracing::debug!(%error, process, "cannot watch the service manager's process"),
        }
    }
}

/// That it cannot be known what became of a unit.
pub(super) fn lost(tracked: &Tracked, reason: &str) -> Error {
    Error::Lost { unit: tracked.name().into(), invocation_id: tracked.invocation_id(), reason: reason.into() }
}

fn ask(
    tracked: &Arc<Tracked>,
    stage: Stage,
    round: u32,
    destination: Option<&std::ffi::CStr>,
    cx: &mut Context<'_, Registry>,
) -> Result<()> {
    let interface = match stage {
        Stage::Unit | Stage::Again => UNIT,
        Stage::Service => crate::unit::name::interface(tracked.name()),
    };
    let look = Look { tracked: tracked.clone(), stage, round };
    get_all(cx, destination, tracked, interface, Ticket::Look(look))
}
