//! The last signal of the unit interface, kept unread: reading it whole takes more than all else that a unit costs.

use std::sync::Weak;

use super::Entry;
use crate::bus::{Context, Message, Parked};
use crate::error::Result;
use crate::manager::registry::Registry;
use crate::manager::signals::{self, Reach};
use crate::unit::machine::{Event, UnitState};
use crate::unit::tracked::Tracked;

/// A signal that was not read, or of which no more was read than the states.
#[derive(Debug)]
pub(super) struct Unread {
    message: Parked,
    /// The machine does not know of it yet. It came before the end of the start job, and whatever it says ends nothing as
    /// long as that is so; that the job is gone is a change of the unit, of which there is another signal.
    untold: bool,
    /// The one before it, which the machine does not know of either: should this one be malformed, it counts.
    older: Option<Parked>,
    /// What is kept of the service interface is newer.
    outdone: bool,
}

/// What is to be done about a signal.
#[derive(Debug)]
pub(in crate::manager) enum Glance {
    Apply(Event),
    /// It was kept, and is the first one of this unit that was; and what is to be done about it.
    Kept(Option<Event>),
    Nothing,
}

impl Entry {
    /// Takes a signal of the unit interface, whose name was read, and reads as much of it as matters now.
    pub fn glance(&mut self, message: &Message<'_>, cx: &Context<'_, Registry>) -> Result<Glance> {
        let plain = self.doubt.is_none() && self.before.is_none();
        // A signal from before the answer names the job by which it is known to be of this unit.
        if plain && !self.machine.is_unknown() && !self.machine.is_started() {
            let message = cx.bus.park(message.share())?;
            let (first, mut older) = (self.unread.is_none(), None);
            if let Some(unread) = self.unread.take() {
                unread.older.map(|oldest| cx.bus.unpark(oldest));
                older = Some(unread.message);
            }
            self.unread = Some(Unread { message, untold: true, older, outdone: false });
            return Ok(if first { Glance::Kept(None) } else { Glance::Nothing });
        }
        let reach = if plain && self.machine.is_started() { Reach::Running } else { Reach::All };
        let (state, reached) = signals::unit_state(message, reach)?;
        let first = !self.forget_unread(cx);
        if reached == Reach::All || self.tracked.invocation_id().is_some() {
            return Ok(Glance::Apply(Event::Unit(state)));
        }
        let message = cx.bus.park(message.share())?;
        self.unread = Some(Unread { message, untold: false, older: None, outdone: false });
        let event = Event::Unit(state);
        Ok(if first { Glance::Kept(Some(event)) } else { Glance::Apply(event) })
    }

    /// Tells the machine what it has to know when a job is over.
    pub(super) fn tell_unread(&mut self, cx: &Context<'_, Registry>) {
        if self.unread.as_ref().is_some_and(|unread| unread.untold) {
            self.read(Reach::Active, cx);
        }
    }

    /// Reads what was left unread of the last signal. It ends nothing: the unit is up, or its start job is there.
    pub fn read_unread(&mut self, cx: &Context<'_, Registry>) {
        self.read(Reach::All, cx);
    }

    /// A signal of the service interface has come.
    pub(super) fn outdo_unread(&mut self) {
        if let Some(unread) = &mut self.unread {
            unread.outdone = true;
        }
    }

    fn read(&mut self, reach: Reach, cx: &Context<'_, Registry>) {
        let Some(Unread { message, older, outdone, .. }) = self.unread.take() else { return };
        let candidates = [Some(message), older].map(|parked| parked.and_then(|parked| cx.bus.unpark(parked)));
        for message in candidates.into_iter().flatten() {
            let read = match from_begin(&message, reach) {
                Ok((state, reached)) if reached != Reach::All && state.active.is_over() => {
                    from_begin(&message, Reach::All)
                }
                read => read,
            };
            let (state, reached) = match read {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(%error, "ignoring a signal");
                    continue;
                }
            };
            if let Some(id) = state.invocation_id {
                self.tracked.set_invocation_id(id);
            }
            self.machine.apply(Event::Unit(state));
            if !outdone && !self.machine.may_be_over() {
                self.forget_service(cx);
            }
            if reached != Reach::All && self.tracked.invocation_id().is_none() {
                // For that it was given up at this place, so there is room for it.
                let parked = cx.bus.park(message).ok();
                self.unread = parked.map(|message| Unread { message, untold: false, older: None, outdone });
            }
            return;
        }
    }

    /// Whether there was one.
    pub fn forget_unread(&mut self, cx: &Context<'_, Registry>) -> bool {
        let Some(Unread { message, older, .. }) = self.unread.take() else { return false };
        drop(cx.bus.unpark(message));
        older.map(|older| cx.bus.unpark(older));
        true
    }
}

fn from_begin(message: &Message<'_>, reach: Reach) -> Result<(UnitState, Reach)> {
    message.rewind()?;
    message.read_str()?;
    signals::unit_state(message, reach)
}

impl Registry {
    /// Keeps few of them: each is some 2 KiB, and thousands of units may be outstanding. Those that end soon, which are
    /// most, are among the few.
    pub(in crate::manager) fn keep_few_unread(&mut self, newest: Weak<Tracked>, cx: &mut Context<'_, Self>) {
        self.unread.push_back(newest);
        if self.unread.len() > MOST {
            let oldest = self.unread.pop_front().and_then(|oldest| oldest.upgrade());
            if let Some(oldest) = oldest.filter(|oldest| !oldest.is_over()) {
                self.read_unread(&oldest, cx);
            }
        }
    }
}

/// More than are mostly in flight.
const MOST: usize = 64;
