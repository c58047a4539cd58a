//! What becomes of an outstanding unit while its manager cannot be heard, and after that.

use std::ffi::CStr;
use std::sync::Arc;

use super::{Adoption, Entry, Fate, Hold, Kept, has_result};
use crate::bus::Context;
use crate::error::Result;
use crate::manager::jobs::Jobs;
use crate::manager::recovery::Looked;
use crate::manager::registry::Registry;
use crate::manager::signals::{self, Details};
use crate::manager::tickets::Obligation;
use crate::unit::Exit;
use crate::unit::machine::{Event, UnitState, Verdict};

impl Entry {
    /// A question of ours will have no answer.
    pub fn unanswered(&mut self) {
        self.questions = (self.questions.0.saturating_sub(1), None);
    }

    /// The unit is not loaded any more, and all that its last signals have said was heard: whether that was its end.
    pub fn vanish(&mut self, destination: Option<&CStr>, jobs: &Arc<Jobs>, cx: &mut Context<'_, Registry>) -> bool {
        match self.machine.vanish() {
            Verdict::Ended => {
                // There is nothing left to read of it.
                self.held.iter_mut().for_each(|held| held.usage = false);
                self.act_on(Verdict::Ended, (false, true), destination, jobs, cx);
                true
            }
            Verdict::Wait | Verdict::Ask { .. } => false,
        }
    }

    /// The connection is about to go, with all that is parked on it and with the references that it has.
    pub fn interrupted(&mut self, jobs: &Arc<Jobs>, cx: &mut Context<'_, Registry>) -> Fate {
        self.read_unread(cx);
        if let Kept::Signal(parked) = std::mem::take(&mut self.service) {
            let read = cx.bus.unpark(parked).and_then(|message| signals::service_state(&message).ok());
            if let Some(state) = read {
                self.keep_service_state(state, cx);
            }
        }
        if self.held.as_ref().is_some_and(|held| matches!(held.hold, Hold::Reference(_))) {
            if self.held.as_ref().is_some_and(|held| held.exit.is_some()) {
                return self.used(None, jobs, cx).0;
            }
            if let Some(Hold::Reference(places)) = self.held.take().map(|held| held.hold) {
                cx.after.give_back(jobs, places);
            }
        }
        Fate::Keep
    }

    /// Whether it has ended, and is yet to be asked what it used.
    pub fn awaits_usage(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.exit.is_some())
    }

    /// Asks once more what it used.
    pub fn ask_usage_again(&self, destination: Option<&CStr>, cx: &mut Context<'_, Registry>) {
        if let Some(held) = &self.held {
            // Where that fails the connection is gone, and what follows from that follows.
            let _ = self.ask_usage(&held.hold, destination, cx);
        }
    }

    /// Whether it would be loaded still, if it ever was.
    pub fn is_kept(&self) -> bool {
        self.held.as_ref().is_some_and(|held| matches!(held.hold, Hold::Keeper(_)))
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it is one run of several.
    pub fn is_run(&self) -> bool {
        self.before.is_some()
    }

    /// Whether systemd may start it again after its end.
    pub fn restarts(&self) -> bool {
        self.machine.restarts()
    }

    /// See [`Machine::left`].
    pub fn left(&self) -> Option<(u64, u64)> {
        self.machine.left()
    }

    /// Its start job is over in any case.
    pub fn give_back_places(&mut self, jobs: &Arc<Jobs>, cx: &mut Context<'_, Registry>) {
        cx.after.give_back(jobs, std::mem::take(&mut self.places));
    }

    /// What became of it cannot be known, or is known from elsewhere.
    pub fn conclude(&mut self, end: Result<Exit>, cx: &mut Context<'_, Registry>) -> Fate {
        self.tracked.finish(end, &mut cx.after.wakers);
        Fate::Remove
    }

    /// The start is waited for no more while nothing can be sent: it is undone later.
    pub fn give_up_later(&mut self, obligation: Obligation) {
        self.given_up = Some(obligation);
    }

    /// Its state when it was looked up, to the end of which `again` was looked a second time.
    pub fn looked(
        &mut self,
        (state, details): (UnitState, Details),
        again: bool,
        destination: Option<&CStr>,
        jobs: &Arc<Jobs>,
        cx: &mut Context<'_, Registry>,
    ) -> Looked {
        let Some(doubt) = &mut self.doubt else { return Looked::Done(Fate::Keep) };
        let over = state.active.is_over();
        let untouched = details.not_found || (state.is_pristine() && details.condition_checked == 0);
        if over && state.job == 0 && untouched {
            return Looked::Gone;
        }
        if doubt.start {
            // What ran before this was asked for, and is about to run no other time, is somebody else's.
            if state.job == 0 && details.began < self.tracked.since() {
                return Looked::Other;
            }
        } else if let (Some(ours), Some(its)) = (self.tracked.invocation_id(), state.invocation_id) {
            if ours != its && !self.machine.restarts() {
                return Looked::Gone;
            }
        }
        if (over || state.remains()) && has_result(self.tracked.name()) {
            if !again {
                return Looked::AtEnd;
            }
            if let Some(service) = doubt.service.take() {
                self.keep_service_state(service, cx);
            }
        }
        self.doubt = None;
        let found = Event::Found { state, activated: details.activated };
        Looked::Done(self.apply(found, Some(&details), destination, jobs, cx))
    }

    /// Begins anew to learn what an adopted unit is: the answers were lost.
    pub fn adopt_again(&mut self) {
        if let Some(adoption) = &mut self.adoption {
            **adoption = Adoption { unit: None, awaits_service: has_result(self.tracked.name()) };
        }
    }
}
