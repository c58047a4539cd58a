//! One outstanding unit: its state machine, and what is done at each turn of it.

mod gap;
mod unread;

use std::ffi::CStr;
use std::sync::Arc;
use std::task::Waker;

use super::calls::{get_all, manager_call, stop_call, unit_path};
use super::jobs::{Jobs, Places};
use super::recovery::Doubt;
use super::registry::Registry;
use super::signals::{self, Details};
use super::tickets::{Obligation, Ticket};
use super::triggers::Before;
use crate::bus::{Context, Message, Parked};
use crate::error::{Error, Result};
use crate::unit::exit::ServiceState;
use crate::unit::machine::{Event, Machine, UnitState, Verdict};
use crate::unit::tracked::Tracked;
use crate::unit::{Exit, Usage, name};
pub(super) use unread::Glance;
use unread::Unread;

#[derive(Debug)]
pub(super) struct Entry {
    pub tracked: Arc<Tracked>,
    machine: Machine,
    /// How many questions of the machine have no answer yet, and the one that is asked when one of them has.
    questions: (u8, Option<u32>),
    /// The last that was said of the service interface (or that of the scope), unread until the unit's own signal says that it matters.
    service: Kept,
    /// The last signal of the unit's own interface, where not all of it was read.
    unread: Option<Unread>,
    places: Places,
    /// Nobody waits for the start any more: it is undone once systemd has accepted it.
    given_up: Option<Obligation>,
    /// It is to be stopped now.
    undo: bool,
    /// No signal will tell of it.
    unheard: bool,
    /// The handle was told that the start has come to what it should.
    activated: bool,
    /// The handle has its exit. The entry is there for the streams alone.
    over: bool,
    /// What is still to be learnt of a unit that someone else has started.
    adoption: Option<Box<Adoption>>,
    /// Of one run of several: what was so before it.
    before: Option<Box<Before>>,
    /// What keeps the unit loaded past its end.
    held: Option<Box<Held>>,
    /// Signals may have been lost, and what became of it meanwhile is still to be found out.
    pub doubt: Option<Box<Doubt>>,
}

/// A unit that is kept loaded past its end.
#[derive(Debug)]
struct Held {
    hold: Hold,
    /// So that what it used can be read.
    usage: bool,
    /// It has ended, and was asked what it used.
    exit: Option<Exit>,
}

/// A slice that need not keep its unit any more, and whose end is told when systemd knows that.
#[derive(Debug)]
pub(super) struct Freed {
    pub keeper: Box<str>,
    pub tracked: Option<Arc<Tracked>>,
}

/// How a unit is kept loaded.
#[derive(Debug)]
pub(super) enum Hold {
    /// By a reference of ours (`AddRef=`), which has these places.
    Reference(Places),
    /// By this slice, which is ordered after it.
    Keeper(Box<str>),
}

/// What was last said of the service interface.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Signal(Parked),
    /// Read at once: the answer to a question, or a signal that concerns several.
    Read(Box<ServiceState>),
}

/// The unit's answers come one after the other, and signals may come before and between them. Those are newer than what
/// came before them and say everything, so that an answer is of use only where there was no signal.
#[derive(Debug)]
struct Adoption {
    /// The answer about the unit, kept until that about the service is here too.
    unit: Option<(UnitState, bool)>,
    /// Whether that is still to come.
    awaits_service: bool,
}

/// What follows from an answer.
#[derive(Debug)]
pub(super) enum Answered {
    Nothing,
    Apply(Event),
    /// There is no such unit.
    NotFound,
}

/// How many questions of one unit are on their way: a manager that says more and more and never answers gets no more.
const MOST_QUESTIONS: u8 = 4;

/// What to do with an entry after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    Remove,
}

impl Entry {
    pub fn new(tracked: Arc<Tracked>, restarts: bool, places: Places) -> Self {
        Entry {
            tracked,
            machine: Machine::new(restarts),
            questions: (0, None),
            service: Kept::Nothing,
            unread: None,
            places,
            given_up: None,
            undo: false,
            unheard: false,
            activated: false,
            over: false,
            adoption: None,
            before: None,
            held: None,
            doubt: None,
        }
    }

    /// Of a unit that is kept loaded past its end, so that what it used can be read or for other reasons.
    pub fn hold(mut self, hold: Hold, usage: bool) -> Self {
        self.held = Some(Box::new(Held { hold, usage, exit: None }));
        self
    }

    /// Of one run of several, that came after this.
    pub fn after(mut self, before: Before) -> Self {
        self.before = Some(Box::new(before));
        self
    }

    /// The next run has begun: what is said of the unit next is the end of this one.
    pub fn supersede(&mut self) {
        self.machine.supersede();
    }

    /// Of a unit that someone else has started: whether systemd may restart it is still to be learnt. `over` where the
    /// handle has its exit, and only wants to know what becomes of the unit.
    pub fn adopted(tracked: Arc<Tracked>, over: bool) -> Self {
        let awaits_service = has_result(tracked.name());
        let adoption = Some(Box::new(Adoption { unit: None, awaits_service }));
        Entry { over, adoption, ..Entry::new(tracked, true, Places::default()) }
    }

    /// Whether another handle to the same unit may share it.
    pub fn is_shareable(&self) -> bool {
        self.adoption.is_some() || !self.machine.is_unknown()
    }

    /// Whether what an adopted unit is has still to be told.
    pub fn is_adopting(&self) -> bool {
        self.adoption.is_some() && self.machine.is_unknown()
    }

    /// Whether what a signal says is wanted in full.
    pub fn wants_details(&self) -> bool {
        self.adoption.is_some() || self.tracked.is_watched()
    }

    pub fn places(&self) -> Places {
        let mut places = self.places;
        if let Some(Held { hold: Hold::Reference(held), .. }) = self.held.as_deref() {
            places.add(*held);
        }
        places
    }

    /// Nothing more will be heard of the unit: its exit is told where it is known, else the error.
    pub fn fail(&mut self, error: &Error, wakers: &mut Vec<Waker>) {
        if let Some(exit) = self.held.as_mut().and_then(|held| held.exit.take()) {
            self.tracked.finish(Ok(exit), wakers);
        }
        self.tracked.finish(Err(error.clone()), wakers);
    }

    /// What the unit used, if it could be read; what need not be kept any more.
    pub fn used(
        &mut self,
        usage: Option<Usage>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> (Fate, Option<Freed>) {
        let Some(Held { hold, exit: Some(mut exit), .. }) = self.held.take().map(|held| *held) else {
            return (Fate::Keep, None);
        };
        exit.usage = usage;
        self.tracked.finish(Ok(exit), &mut cx.after.wakers);
        self.over = true;
        let keeper = match hold {
            Hold::Reference(places) => {
                cx.after.give_back(jobs, places);
                None
            }
            Hold::Keeper(keeper) => Some(Freed { keeper, tracked: Some(self.tracked.clone()) }),
        };
        (self.when_over(cx), keeper)
    }

    /// The handle has its exit.
    fn when_over(&self, cx: &mut Context<'_, Registry>) -> Fate {
        if self.machine.ending().is_some_and(|ending| ending.remains) && self.tracked.is_watched() {
            return Fate::Keep;
        }
        self.tracked.close(None, &mut cx.after.wakers);
        Fate::Remove
    }

    /// Asks what the unit has used, and lets go of it after that.
    fn ask_usage(&self, hold: &Hold, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) -> Result<()> {
        let interface = name::interface(self.tracked.name());
        get_all(cx, destination, &self.tracked, interface, Ticket::Usage(self.tracked.clone()))?;
        if let Hold::Reference(_) = hold {
            self.unreference(destination, cx);
        }
        Ok(())
    }

    fn unreference(&self, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) {
        let sent = manager_call(cx, destination, c"UnrefUnit").and_then(|mut message| {
            message.append_str(self.tracked.name())?;
            cx.send_only(message)
        });
        if let Err(error) = sent {
            tracing::debug!(unit = self.tracked.name(), %error, "cannot let go of the unit");
        }
    }

    /// Whether systemd has yet to say that it accepts the start.
    pub fn is_unknown(&self) -> bool {
        self.machine.is_unknown()
    }

    /// Whether it may go, since nobody wants to know of it: its start job must not be counted any more.
    pub fn when_unused(&self) -> Fate {
        let counts = self.adoption.is_none() && !self.machine.is_started();
        match self.over || self.tracked.is_released() {
            true if !self.tracked.is_watched() && !counts => Fate::Remove,
            _ => Fate::Keep,
        }
    }

    /// Keeps the signal of the service interface in place of the one before it.
    pub fn keep_service(&mut self, message: Message<'_>, cx: &Context<'_, Registry>) -> Result<()> {
        if self.tracked.is_watched() {
            // Whoever watches may be about to look for what its processes write.
            self.keep_service_state(signals::service_state(&message)?, cx);
            return Ok(());
        }
        self.forget_service(cx);
        self.outdo_unread();
        self.service = Kept::Signal(cx.bus.park(message)?);
        Ok(())
    }

    /// The same where it was read already.
    pub fn keep_service_state(&mut self, state: ServiceState, cx: &Context<'_, Registry>) {
        self.forget_service(cx);
        self.outdo_unread();
        // Before the start is accepted it may be an earlier unit of the same name.
        if self.adoption.is_some() || !self.machine.is_unknown() {
            self.tracked.add_processes(state.processes);
        }
        self.service = Kept::Read(Box::new(state));
    }

    fn forget_service(&mut self, cx: &Context<'_, Registry>) {
        if let Kept::Signal(parked) = std::mem::take(&mut self.service) {
            drop(cx.bus.unpark(parked));
        }
    }

    /// The answer about the unit interface of an adopted unit, or of one whose streams begin. What is to be told to the
    /// machine now.
    pub fn unit_answer(&mut self, state: UnitState, details: &Details, cx: &mut Context<'_, Registry>) -> Answered {
        let gone = details.not_found && state.active.is_over();
        self.tracked.runs_since(details.began);
        let Some(adoption) = self.adoption.as_mut().filter(|_| self.machine.is_unknown()) else {
            // What the signals since then have said is no older.
            if !gone && !self.machine.is_unknown() {
                self.tracked.push_state(&details.state, &mut cx.after.wakers);
            }
            return Answered::Nothing;
        };
        if gone && !self.over {
            return Answered::NotFound;
        }
        self.tracked.push_state(&details.state, &mut cx.after.wakers);
        adoption.unit = Some((state, details.activated));
        self.adopt_when_known()
    }

    /// The answer about the service interface of an adopted unit.
    pub fn service_answer(&mut self, (state, restarts): (ServiceState, bool), cx: &Context<'_, Registry>) -> Answered {
        let Some(adoption) = &mut self.adoption else { return Answered::Nothing };
        adoption.awaits_service = false;
        if !self.machine.is_unknown() {
            self.machine.learn_restarts(restarts);
            self.adoption = None;
            return Answered::Nothing;
        }
        if matches!(self.service, Kept::Nothing) {
            self.keep_service_state(state, cx);
        }
        let answered = self.adopt_when_known();
        if let Answered::Apply(Event::Adopted { state, .. }) = &answered {
            // One that is at its end, by answers of two times, is asked about once more.
            if !state.active.is_over() {
                self.machine.learn_restarts(restarts);
            }
            self.adoption = None;
        }
        answered
    }

    fn adopt_when_known(&mut self) -> Answered {
        let Some(adoption) = &mut self.adoption else { return Answered::Nothing };
        if adoption.awaits_service && matches!(self.service, Kept::Nothing) {
            return Answered::Nothing;
        }
        match adoption.unit.take() {
            Some((state, activated)) => Answered::Apply(Event::Adopted { state, activated }),
            None => Answered::Nothing,
        }
    }

    /// The start is waited for no more: the unit is to be stopped, now or as soon as systemd has accepted it.
    pub fn give_up(&mut self, obligation: Obligation) {
        self.undo = !self.machine.is_unknown();
        self.given_up = Some(obligation);
    }

    /// Whether it is to be stopped now, once.
    pub fn take_undo(&mut self) -> Option<Obligation> {
        if std::mem::take(&mut self.undo) { self.given_up.take() } else { None }
    }

    /// The same where no signal will ever tell of the unit: it goes as soon as systemd has accepted it.
    pub fn give_up_unheard(&mut self, obligation: Obligation) {
        self.given_up = Some(obligation);
        self.unheard = true;
    }

    fn stop_unheard(&mut self, obligation: Obligation, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) {
        let sent = stop_call(cx, destination, self.tracked.name())
            .and_then(|message| cx.call(message, Ticket::Unheard(obligation)));
        match sent {
            Ok(()) => tracing::debug!(unit = self.tracked.name(), "stopping a unit whose start was given up"),
            Err(error) => tracing::warn!(unit = self.tracked.name(), %error, "cannot stop the unit"),
        }
    }

    /// Applies an event, and does what follows from it.
    pub fn apply(
        &mut self,
        mut event: Event,
        details: Option<&Details>,
        destination: Option<&CStr>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> Fate {
        if self.doubt.as_ref().is_some_and(|doubt| doubt.journal.is_some()) {
            return Fate::Keep; // it is gone: this is about another one
        }
        if matches!(event, Event::JobRemoved { .. }) {
            self.tell_unread(cx);
        }
        if let (Some(before), Some(state)) = (&self.before, event.state_mut()) {
            before.take_out_of(state, details);
        }
        if let (Event::Unit(state), Some(details), true) = (&event, details, self.is_adopting()) {
            // One that was unloaded, and loaded again by whoever looks at it, sends such a signal.
            if state.is_pristine() {
                return Fate::Keep;
            }
            self.tracked.runs_since(details.began);
            // The service's own signal may have come just before the adoption: without the answer the end is half known.
            if let Some(adoption) = self.adoption.as_mut() {
                if adoption.awaits_service && matches!(self.service, Kept::Nothing) {
                    self.tracked.push_state(&details.state, &mut cx.after.wakers);
                    adoption.unit = Some((state.clone(), details.activated));
                    return Fate::Keep;
                }
            }
            event = Event::Adopted { state: state.clone(), activated: details.activated };
        }
        let found = matches!(event, Event::Found { .. });
        let accepted = matches!(event, Event::Accepted { .. }) || found;
        let adopted = matches!(event, Event::Adopted { .. }) || found;
        let unit_signal = matches!(event, Event::Unit(_)) || found;
        let answered = matches!(event, Event::Answer { .. });
        if answered {
            self.questions.0 = self.questions.0.saturating_sub(1);
        } else if unit_signal {
            self.questions.1 = None;
        }
        if let Some(doubt) = &mut self.doubt {
            doubt.heard |= unit_signal;
            doubt.start &= !accepted;
        }
        if let Some(state) = event.state_mut() {
            if adopted || !self.machine.is_unknown() {
                if let Some(id) = state.invocation_id {
                    self.tracked.set_invocation_id(id);
                }
                if let Some(details) = details {
                    self.tracked.push_state(&details.state, &mut cx.after.wakers);
                }
            }
        }
        if adopted {
            self.tracked.accepted(&mut cx.after.wakers);
        }
        let verdict = match self.machine.apply(event) {
            Verdict::Ask { question } if self.questions.0 == MOST_QUESTIONS => {
                self.questions.1 = Some(question);
                Verdict::Wait
            }
            Verdict::Wait if answered => match self.questions.1.take() {
                Some(question) => Verdict::Ask { question },
                None => Verdict::Wait,
            },
            verdict => verdict,
        };
        self.act_on(verdict, (accepted, unit_signal), destination, jobs, cx)
    }

    fn act_on(
        &mut self,
        verdict: Verdict,
        (accepted, unit_signal): (bool, bool),
        destination: Option<&CStr>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> Fate {
        if accepted {
            let places = self.places.take_accepted();
            cx.after.give_back(jobs, places);
            if self.unheard {
                if let Some(obligation) = self.given_up.take() {
                    self.stop_unheard(obligation, destination, cx);
                }
                return Fate::Remove;
            }
            self.undo = self.given_up.is_some();
        }
        if self.machine.is_started() {
            let places = std::mem::take(&mut self.places);
            cx.after.give_back(jobs, places);
        }
        if self.machine.is_activated() {
            self.note_activated(cx);
        }
        match verdict {
            Verdict::Ended => {
                if self.held.as_ref().is_some_and(|held| held.exit.is_some()) {
                    return Fate::Keep; // being read
                }
                if !self.over {
                    let end = self.exit(cx);
                    if let (Ok(exit), Some(mut held)) = (&end, self.held.take_if(|held| held.usage)) {
                        let asked = self.ask_usage(&held.hold, destination, cx);
                        held.exit = asked.is_ok().then(|| exit.clone());
                        self.held = Some(held);
                        if asked.is_ok() {
                            return Fate::Keep;
                        }
                    }
                    self.tracked.finish(end, &mut cx.after.wakers);
                    self.over = true;
                }
                return self.when_over(cx);
            }
            Verdict::Ask { question } => {
                self.questions.0 += 1;
                if let Err(error) = self.ask(question, destination, cx) {
                    self.tracked.finish(Err(error), &mut cx.after.wakers);
                    return Fate::Remove;
                }
            }
            Verdict::Wait if unit_signal && !self.machine.may_be_over() => self.forget_service(cx),
            Verdict::Wait => {}
        }
        self.when_unused()
    }

    fn note_activated(&mut self, cx: &mut Context<'_, Registry>) {
        if !std::mem::replace(&mut self.activated, true) {
            self.tracked.activated(&mut cx.after.wakers);
        }
    }

    /// Asks whether the unit is about to restart.
    fn ask(&self, question: u32, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) -> Result<()> {
        let path = unit_path(self.tracked.name());
        let mut message = cx.bus.method_call(destination, &path, c"org.freedesktop.DBus.Properties", c"Get")?;
        message.append_str("org.freedesktop.systemd1.Unit")?;
        message.append_str("SubState")?;
        cx.call(message, Ticket::Question(self.tracked.clone(), question))
    }

    /// How the unit ended, from its last signals.
    fn exit(&mut self, cx: &mut Context<'_, Registry>) -> Result<Exit> {
        let ending = self.machine.ending().ok_or_else(|| Error::message("the signals of a unit's end"))?;
        let mut service = self.read_service(cx)?;
        if let (Some(_), Some(service)) = (&self.before, &mut service) {
            service.forget_before(&ending);
        }
        let exit = Exit::new(self.tracked.name(), &ending, service.as_ref());
        if ending.was_activated(&exit.result) {
            self.note_activated(cx);
        }
        tracing::debug!(unit = self.tracked.name(), result = exit.result.as_str(), status = ?exit.status, "ended");
        Ok(exit)
    }

    fn read_service(&mut self, cx: &Context<'_, Registry>) -> Result<Option<ServiceState>> {
        let state = match std::mem::take(&mut self.service) {
            Kept::Nothing => None,
            Kept::Signal(parked) => {
                cx.bus.unpark(parked).map(|message| signals::service_state(&message)).transpose()?
            }
            Kept::Read(state) => Some(*state),
        };
        if let Some(state) = &state {
            self.tracked.add_processes(state.processes);
        }
        Ok(state)
    }

    /// Gives back what the entry holds; the slice that need not keep the unit any more.
    pub fn discard(
        mut self,
        destination: Option<&CStr>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> Option<Freed> {
        self.forget_service(cx);
        self.forget_unread(cx);
        cx.after.give_back(jobs, self.places());
        // Nothing more is heard of the unit.
        self.tracked.close(None, &mut cx.after.wakers);
        match *self.held.take()? {
            // Where it is being read, letting go of it is on its way.
            Held { hold: Hold::Reference(_), exit: None, .. } => {
                self.unreference(destination, cx);
                None
            }
            Held { hold: Hold::Reference(_), .. } => None,
            Held { hold: Hold::Keeper(keeper), .. } => Some(Freed { keeper, tracked: Some(self.tracked) }),
        }
    }
}

/// Whether the interface of its type says how a unit ended, by its name.
pub(super) fn has_result(name: &str) -> bool {
    name.ends_with(".service") || name.ends_with(".scope")
}
