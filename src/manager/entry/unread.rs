//! The last signal of the unit interface, kept unread: reading it whole takes more than all else that a unit costs.

use std::sync::Weak;

use super::Entry;
use crate::bus::{Context, Message, Parked};
use crate::error::Result;
use crate::manager::registry::Registry;
use crate::manager::signals::{self, Reach};
use crate::unit::machine::{Event, UnitState};
use crate::unit::tracked::Tracked;

/// A signal of which no more was read than the states.
#[derive(Debug)]
pub(super) struct Unread {
    message: Parked,
    /// The machine does not know of it yet: it says that the unit is inactive, before its start job is over, which means
    /// nothing as long as that is so.
    untold: bool,
}

/// What is to be done about a signal.
#[derive(Debug)]
pub(in crate::manager) enum Glance {
    Apply(Event),
    /// It was kept, the first one of this unit, and may have to be told first.
    Kept(Option<Event>),
}

impl Entry {
    /// Looks at a signal of the unit interface, whose name was read, and reads as much of it as matters now.
    pub fn glance(&mut self, message: &Message<'_>, cx: &Context<'_, Registry>) -> Result<Glance> {
        let plain = self.doubt.is_none() && self.before.is_none();
        let (state, reach) = match (self.machine.is_unknown(), self.machine.is_started()) {
            _ if !plain => signals::unit_state(message, Reach::All)?,
            // It names the job by which it is known to be of this unit.
            (true, _) => signals::unit_state(message, Reach::All)?,
            (_, true) => signals::unit_state(message, Reach::Running)?,
            // Whatever it says, the job is not over, and when it is another signal follows: losing it is a change.
            (_, false) => signals::unit_state(message, Reach::Active)?,
        };
        let first = !self.forget_unread(cx);
        let untold = state.active.is_over();
        if reach == Reach::All || (!untold && self.tracked.invocation_id().is_some()) {
            return Ok(Glance::Apply(Event::Unit(state)));
        }
        self.unread = Some(Unread { message: cx.bus.park(message.share())?, untold });
        let event = (!untold).then_some(Event::Unit(state));
        Ok(match (first, event) {
            (false, Some(event)) => Glance::Apply(event),
            (_, event) => Glance::Kept(event),
        })
    }

    /// Whether a signal is kept that the machine must be told of before a job's end.
    pub(super) fn has_untold(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.untold)
    }

    /// Reads what was left unread of the last signal. It ends nothing: the unit is up, or its start job is there.
    pub fn read_unread(&mut self, cx: &Context<'_, Registry>) {
        let Some(Unread { message, .. }) = self.unread.take() else { return };
        let read = cx.bus.unpark(message).map(|message| -> Result<UnitState> {
            message.rewind()?;
            message.read_str()?;
            signals::unit_state(&message, Reach::All).map(|(state, _)| state)
        });
        match read {
            Some(Ok(state)) => {
                if let Some(id) = state.invocation_id {
                    self.tracked.set_invocation_id(id);
                }
                self.machine.apply(Event::Unit(state));
            }
            Some(Err(error)) => tracing::warn!(%error, "ignoring a signal"),
            None => {}
        }
    }

    /// Whether there was one.
    pub(super) fn forget_unread(&mut self, cx: &Context<'_, Registry>) -> bool {
        let unread = self.unread.take();
        unread.map(|unread| drop(cx.bus.unpark(unread.message))).is_some()
    }
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
