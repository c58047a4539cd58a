//! One outstanding unit: its state machine, and what is done at each turn of it.

use std::ffi::{CStr, CString};
use std::sync::Arc;

use super::jobs::{Jobs, Places};
use super::registry::{Obligation, Registry, Ticket, manager_call};
use super::signals;
use crate::bus::{Context, Message, Parked};
use crate::error::{Error, Result};
use crate::unit::Exit;
use crate::unit::exit::ServiceState;
use crate::unit::machine::{Event, Machine, Verdict};
use crate::unit::name::{UNIT_PATH, label};
use crate::unit::tracked::Tracked;

#[derive(Debug)]
pub(super) struct Entry {
    pub tracked: Arc<Tracked>,
    machine: Machine,
    /// The last signal of the service interface, unread until the unit's own signal says that it matters.
    service: Option<Parked>,
    places: Places,
    /// Nobody waits for the start any more: it is undone once systemd has accepted it.
    given_up: Option<Obligation>,
    /// No signal will tell of it.
    unheard: bool,
    /// The handle was told that the start has come to what it should.
    activated: bool,
}

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
            service: None,
            places,
            given_up: None,
            unheard: false,
            activated: false,
        }
    }

    pub fn places(&self) -> Places {
        self.places
    }

    /// Whether systemd has yet to say that it accepts the start.
    pub fn is_unknown(&self) -> bool {
        self.machine.is_unknown()
    }

    /// Whether it may go, now that nobody waits for it: its start job counts no more.
    pub fn when_released(&self) -> Fate {
        if self.machine.is_started() { Fate::Remove } else { Fate::Keep }
    }

    pub fn wants_invocation_id(&self) -> bool {
        self.tracked.invocation_id().is_none()
    }

    /// Keeps the signal of the service interface in place of the one before it.
    pub fn keep_service(&mut self, message: Message<'_>, cx: &Context<'_, Registry>) -> Result<()> {
        self.forget_service(cx);
        self.service = Some(cx.bus.park(message)?);
        Ok(())
    }

    fn forget_service(&mut self, cx: &Context<'_, Registry>) {
        if let Some(parked) = self.service.take() {
            drop(cx.bus.unpark(parked));
        }
    }

    /// The start is waited for no more: the unit is stopped, now or as soon as systemd has accepted it.
    pub fn give_up(&mut self, destination: Option<&CStr>, obligation: Obligation, cx: &mut Context<'_, Registry>) {
        if self.machine.is_unknown() {
            self.given_up = Some(obligation);
        } else {
            self.stop(destination, obligation, cx);
        }
    }

    /// The same where no signal will ever tell of the unit: it goes as soon as systemd has accepted it.
    pub fn give_up_unheard(&mut self, obligation: Obligation) {
        self.given_up = Some(obligation);
        self.unheard = true;
    }

    fn stop(&self, destination: Option<&CStr>, obligation: Obligation, cx: &mut Context<'_, Registry>) {
        let sent = manager_call(cx, destination, c"StopUnit").and_then(|mut message| {
            message.append_str(self.tracked.name())?;
            message.append_str("replace")?;
            cx.call(message, Ticket::Undo(obligation))
        });
        match sent {
            Ok(()) => tracing::debug!(unit = self.tracked.name(), "stopping a unit whose start was given up"),
            Err(error) => tracing::warn!(unit = self.tracked.name(), %error, "cannot stop the unit"),
        }
    }

    /// Applies an event, and does what follows from it.
    pub fn apply(
        &mut self,
        event: Event,
        destination: Option<&CStr>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> Fate {
        let accepted = matches!(event, Event::Accepted { .. });
        let unit_signal = matches!(event, Event::Unit(_));
        if let Event::Unit(state) = &event {
            if let (Some(id), false) = (state.invocation_id, self.machine.is_unknown()) {
                self.tracked.set_invocation_id(id);
            }
        }
        let verdict = self.machine.apply(event);
        if accepted {
            let places = self.places.take_accepted();
            cx.after.give_back(jobs, places);
            if let Some(obligation) = self.given_up.take() {
                self.stop(destination, obligation, cx);
            }
            if self.unheard {
                return Fate::Remove;
            }
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
                let end = self.exit(cx);
                self.tracked.finish(end, &mut cx.after.wakers);
                return Fate::Remove;
            }
            Verdict::Ask { question } => {
                if let Err(error) = self.ask(question, destination, cx) {
                    self.tracked.finish(Err(error), &mut cx.after.wakers);
                    return Fate::Remove;
                }
            }
            Verdict::Wait if unit_signal && !self.machine.may_be_over() => self.forget_service(cx),
            Verdict::Wait => {}
        }
        if self.tracked.is_released() { self.when_released() } else { Fate::Keep }
    }

    fn note_activated(&mut self, cx: &mut Context<'_, Registry>) {
        if !std::mem::replace(&mut self.activated, true) {
            self.tracked.activated(&mut cx.after.wakers);
        }
    }

    /// Asks whether the unit is about to restart.
    fn ask(&self, question: u32, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) -> Result<()> {
        let path = format!("{UNIT_PATH}{}", label(self.tracked.name()));
        let path = CString::new(path).expect("a label holds letters, digits and underscores");
        let mut message = cx.bus.method_call(destination, &path, c"org.freedesktop.DBus.Properties", c"Get")?;
        message.append_str("org.freedesktop.systemd1.Unit")?;
        message.append_str("SubState")?;
        cx.call(message, Ticket::Question(self.tracked.clone(), question))
    }

    /// How the unit ended, from its last signals.
    fn exit(&mut self, cx: &mut Context<'_, Registry>) -> Result<Exit> {
        let ending = self.machine.ending().ok_or_else(|| Error::message("the signals of a unit's end"))?;
        let service = self.read_service(cx)?;
        let exit = Exit::new(self.tracked.name(), &ending, service.as_ref());
        if ending.was_activated(&exit.result) {
            self.note_activated(cx);
        }
        tracing::debug!(unit = self.tracked.name(), result = exit.result.as_str(), status = ?exit.status, "ended");
        Ok(exit)
    }

    fn read_service(&mut self, cx: &Context<'_, Registry>) -> Result<Option<ServiceState>> {
        let message = self.service.take().and_then(|parked| cx.bus.unpark(parked));
        message.map(|message| signals::service_state(&message)).transpose()
    }

    /// Gives back what the entry holds.
    pub fn discard(mut self, jobs: &Arc<Jobs>, cx: &mut Context<'_, Registry>) {
        self.forget_service(cx);
        cx.after.give_back(jobs, self.places);
    }
}
