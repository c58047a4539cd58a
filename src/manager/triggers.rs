//! Services that another unit starts again and again: where one run ends and the next begins.
//!
//! All runs have one object path. Each has an entry in the registry like a unit of its own, made when the first signal
//! tells of it: a new job, or a new invocation ID. What that signal still says of the run before it is taken out.

use std::sync::Arc;
use std::task::Waker;

use super::calls::get_all;
use super::entry::{Entry, Fate};
use super::jobs::Places;
use super::registry::Registry;
use super::signals::{self, Details};
use super::tickets::Ticket;
use crate::bus::{Context, Message};
use crate::error::{Error, Result};
use crate::unit::exit::ServiceState;
use crate::unit::machine::{Event, SubState, UnitState};
use crate::unit::name::{self, label};
use crate::unit::runs::Runs;
use crate::unit::tracked::Tracked;
use crate::unit::{Exit, InvocationId, Outcome};

/// A service that is triggered.
#[derive(Debug)]
pub(super) struct Triggered {
    /// The unit that triggers it.
    by: Arc<Tracked>,
    service: Box<str>,
    runs: Arc<Runs>,
    /// Whether `Restart=` may follow an end.
    restarts: bool,
    /// What the last signal of the unit interface said, and the job that it named.
    last: Before,
    job: u32,
    /// The last that was said of the service interface.
    state: Option<ServiceState>,
    run: Option<Run>,
    /// Whether the manager was asked if another run has begun, after the end of the unit that triggers.
    asked: bool,
    /// Whether it was asked because signals may have been lost.
    missed: bool,
}

/// A run that has begun.
#[derive(Debug)]
struct Run {
    /// With a handle that is counted for the registry.
    tracked: Arc<Tracked>,
    before: Before,
    /// Whether the streams have it.
    announced: bool,
    id: Option<InvocationId>,
    /// Whether someone has given the unit another job since, to restart it for instance.
    ordered: bool,
}

/// What was said of a service before a run: nothing of this is of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Before {
    left: u64,
    entered: u64,
    id: Option<InvocationId>,
    condition_checked: u64,
}

impl Before {
    fn of(state: &UnitState, details: &Details) -> Self {
        Before {
            left: state.left,
            entered: state.entered,
            id: state.invocation_id,
            condition_checked: details.condition_checked,
        }
    }

    /// Takes out of a state what was so before.
    pub fn take_out_of(&self, state: &mut UnitState, details: Option<&Details>) {
        if state.left == self.left {
            (state.left, state.left_realtime) = (0, 0);
        }
        if state.entered == self.entered {
            (state.entered, state.entered_realtime) = (0, 0);
        }
        if state.invocation_id == self.id {
            state.invocation_id = None;
        }
        // Its end comes after its beginning.
        if state.entered < state.left {
            (state.entered, state.entered_realtime) = (0, 0);
        }
        state.condition |= details.is_some_and(|details| details.condition_checked == self.condition_checked);
    }
}

impl Registry {
    /// Follows the runs of a service that this unit, which is being started, triggers.
    pub fn trigger(&mut self, by: &Arc<Tracked>, service: &str, restarts: bool, runs: &Arc<Runs>) {
        let triggered = Triggered {
            by: by.clone(),
            service: service.into(),
            runs: runs.clone(),
            restarts,
            last: Before::default(),
            job: 0,
            state: None,
            run: None,
            asked: false,
            missed: false,
        };
        self.to_trigger.push(triggered);
    }

    /// The start of a unit that may trigger was accepted. What came before this may be of an earlier unit.
    pub(super) fn trigger_accepted(&mut self, by: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        let Some(at) = self.to_trigger.iter().position(|triggered| Arc::ptr_eq(&triggered.by, by)) else { return };
        let triggered = self.to_trigger.swap_remove(at);
        let label: Box<str> = label(&triggered.service).into();
        // Its units were unloaded: else this one could not have been started.
        self.close(&label, None, cx);
        self.triggering.insert(name::label(by.name()).into(), label.clone());
        self.triggered.insert(label, triggered);
    }

    /// Nobody wants to know of the runs any more.
    pub fn follow_no_more(&mut self, service: &str, runs: &Arc<Runs>, cx: &mut Context<'_, Self>) {
        let label = label(service);
        let same = |triggered: &Triggered| Arc::ptr_eq(&triggered.runs, runs);
        self.to_trigger.retain(|triggered| !same(triggered));
        if !self.triggered.get(label.as_str()).is_some_and(same) {
            return;
        }
        if let Some(triggered) = self.forget(&label) {
            if let Some(run) = triggered.run {
                run.tracked.release();
                self.with_entry(&run.tracked, cx, |entry, _| entry.when_unused());
            }
        }
        self.rest();
    }

    /// The same while nothing can be sent.
    pub fn follow_no_more_later(&mut self, service: &str, runs: &Arc<Runs>) {
        let label = label(service);
        let same = |triggered: &Triggered| Arc::ptr_eq(&triggered.runs, runs);
        self.to_trigger.retain(|triggered| !same(triggered));
        if self.triggered.get(label.as_str()).is_some_and(same) {
            if let Some(run) = self.forget(&label).and_then(|triggered| triggered.run) {
                run.tracked.release();
            }
        }
    }

    /// The start of a unit that was to trigger was not sent.
    pub(super) fn forget_to_trigger(&mut self, by: &Arc<Tracked>) {
        self.to_trigger.retain(|triggered| !Arc::ptr_eq(&triggered.by, by));
    }

    /// A question about a service was not answered.
    pub(super) fn triggered_unanswered(&mut self, label: &str) {
        if let Some(triggered) = self.triggered.get_mut(label) {
            triggered.asked = false;
        }
    }

    /// Asks about all services that are triggered: signals of them may have been lost.
    pub(super) fn ask_about_triggered(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        let destination = self.destination();
        for (label, triggered) in &mut self.triggered {
            let service = Tracked::new(&*triggered.service);
            triggered.asked = true;
            triggered.missed = true;
            let of_service = Ticket::TriggeredService(label.clone());
            get_all(cx, destination, &service, name::interface(service.name()), of_service)?;
            get_all(cx, destination, &service, "org.freedesktop.systemd1.Unit", Ticket::Triggered(label.clone()))?;
        }
        Ok(())
    }

    /// What the service interface of one of them says.
    pub(super) fn triggered_service(&mut self, label: &str, state: ServiceState) {
        if let Some(triggered) = self.triggered.get_mut(label).filter(|triggered| triggered.missed) {
            triggered.state = Some(state);
        }
    }

    /// What became of a service whose signals may have been lost.
    fn catch_up(&mut self, label: &str, answer: Option<(UnitState, Details)>, cx: &mut Context<'_, Self>) {
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        let Some(triggered) = self.triggered.get_mut(label) else { return };
        let loaded = answer.filter(|(_, details)| !details.not_found);
        let same = |run: &Run| match &loaded {
            Some((state, _)) => state.invocation_id.is_none() || run.id.is_none() || state.invocation_id == run.id,
            None => false,
        };
        let service = triggered.state.clone();
        if let Some(run) = triggered.run.take_if(|run| !same(run)) {
            // It is over, whatever it came to. Whoever waits for it is told when that is found out.
            if !run.announced {
                triggered.runs.push(run.tracked.clone(), &mut cx.after.wakers);
            }
            self.vanished(&run.tracked, cx);
            run.tracked.release();
        } else if let (Some(run), Some((state, details))) = (&triggered.run, &loaded) {
            let tracked = run.tracked.clone();
            let found = Event::Found { state: state.clone(), activated: details.activated };
            self.with_entry(&tracked, cx, |entry, cx| {
                if let Some(service) = service {
                    entry.keep_service_state(service, cx);
                }
                entry.apply(found, Some(details), destination, &jobs, cx)
            });
            self.announce(label, state.invocation_id, details, cx);
            self.conclude(label, cx);
        }
        if let Some((state, details)) = &loaded {
            let Some(triggered) = self.triggered.get_mut(label) else { return };
            let new_job = state.job > 0 && state.job != triggered.job;
            triggered.job = state.job;
            self.begin(label, new_job, state, details, cx);
        }
        self.close_when_over(label, cx);
    }

    fn forget(&mut self, label: &str) -> Option<Triggered> {
        let triggered = self.triggered.remove(label)?;
        self.triggering.remove(name::label(triggered.by.name()).as_str());
        Some(triggered)
    }

    /// Nothing more will be heard.
    pub(super) fn forget_triggered(&mut self, error: &Error, wakers: &mut Vec<Waker>) {
        self.triggering.clear();
        for triggered in self.triggered.drain().map(|(_, triggered)| triggered).chain(self.to_trigger.drain(..)) {
            triggered.runs.close(Some(error), wakers);
        }
    }

    /// An interface of a triggered service has changed.
    pub(super) fn triggered_changed(
        &mut self,
        label: &str,
        message: &Message<'_>,
        cx: &mut Context<'_, Self>,
    ) -> Result<()> {
        match message.read_str()? {
            "org.freedesktop.systemd1.Service" => {
                let state = signals::service_state(message)?;
                let entries = self.units.get_mut(label).map_or(&mut [][..], Vec::as_mut_slice);
                entries.iter_mut().for_each(|entry| entry.keep_service_state(state.clone(), cx));
                if let Some(triggered) = self.triggered.get_mut(label) {
                    triggered.state = Some(state);
                }
            }
            "org.freedesktop.systemd1.Unit" => {
                let (state, details) = signals::unit_details(message)?;
                let new_job = self.end_what_is_followed(label, &state, &details, cx);
                self.apply(label, &Event::Unit(state.clone()), Some(&details), cx);
                self.announce(label, state.invocation_id, &details, cx);
                self.conclude(label, cx);
                self.begin(label, new_job, &state, &details, cx);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends a run of which this state shows that it was followed by the next. Whether the state names a new job.
    fn end_what_is_followed(
        &mut self,
        label: &str,
        state: &UnitState,
        details: &Details,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        let Some(triggered) = self.triggered.get_mut(label) else { return false };
        let new_job = state.job > 0 && state.job != triggered.job;
        triggered.job = state.job;
        let Some(run) = &mut triggered.run else { return new_job };
        let tracked = run.tracked.clone();
        if new_job && state.active.is_over() && state.sub == SubState::Dead {
            // What gives a unit that has ended a new job starts it anew: that of a restart is there before the end.
            triggered.last = Before::of(state, details);
            let end = UnitState { job: 0, ..state.clone() };
            self.announce(label, state.invocation_id, details, cx);
            self.with_entry(&tracked, cx, |entry, cx| {
                entry.supersede();
                entry.apply(Event::Unit(end), Some(details), destination, &jobs, cx)
            });
            self.conclude(label, cx);
            return new_job;
        }
        run.ordered |= new_job;
        let another = state.invocation_id.is_some() && run.id.is_some() && run.id != state.invocation_id;
        if another && !triggered.restarts && !run.ordered {
            let error = Error::message("the end of a run before the signals of the next one");
            self.with_entry(&tracked, cx, |entry, cx| {
                entry.tracked.finish(Err(error), &mut cx.after.wakers);
                Fate::Remove
            });
            self.conclude(label, cx);
        }
        new_job
    }

    /// Tells the streams of the run, when its invocation ID says that there is one.
    fn announce(&mut self, label: &str, id: Option<InvocationId>, details: &Details, cx: &mut Context<'_, Self>) {
        let Some(Triggered { runs, run: Some(run), .. }) = self.triggered.get_mut(label) else { return };
        if id.is_none() || id == run.before.id {
            return;
        }
        run.id = id;
        // It has written something before this is heard of, perhaps.
        run.tracked.runs_since(details.began);
        if !std::mem::replace(&mut run.announced, true) {
            runs.push(run.tracked.clone(), &mut cx.after.wakers);
        }
    }

    /// The run is over, when it is. One that was never announced came to nothing, and is told of unless it was none: a
    /// job that had nothing to do.
    fn conclude(&mut self, label: &str, cx: &mut Context<'_, Self>) {
        let Some(triggered) = self.triggered.get_mut(label) else { return };
        if let Some(run) = triggered.run.take_if(|run| run.tracked.try_ended().is_some()) {
            let nothing = |end: Result<Exit>| {
                end.is_ok_and(|exit| {
                    exit.started.is_none() && matches!(exit.result, Outcome::Success | Outcome::NotStarted)
                })
            };
            if !run.announced && !run.tracked.try_ended().is_some_and(nothing) {
                triggered.runs.push(run.tracked.clone(), &mut cx.after.wakers);
            }
            run.tracked.release();
        }
        self.close_when_over(label, cx);
    }

    /// A run begins, where there is none and the state tells of one.
    fn begin(&mut self, label: &str, new_job: bool, state: &UnitState, details: &Details, cx: &mut Context<'_, Self>) {
        let Some(triggered) = self.triggered.get_mut(label) else { return };
        let before = std::mem::replace(&mut triggered.last, Before::of(state, details));
        let new_id = state.invocation_id.is_some() && state.invocation_id != before.id;
        if triggered.run.is_some() || !(new_job || new_id) {
            return;
        }
        let tracked = Arc::new(Tracked::new(&*triggered.service).of_one_run());
        triggered.run = Some(Run { tracked: tracked.clone(), before, announced: false, id: None, ordered: false });
        let mut entry = Entry::new(tracked.clone(), triggered.restarts, Places::default()).after(before);
        if let Some(state) = &triggered.state {
            entry.keep_service_state(state.clone(), cx);
        }
        self.units.entry(label.into()).or_default().push(entry);
        let activated = details.activated && state.left != before.left;
        let begun = Event::Adopted { state: state.clone(), activated };
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        self.with_entry(&tracked, cx, |entry, cx| entry.apply(begun, Some(details), destination, &jobs, cx));
        self.announce(label, state.invocation_id, details, cx);
        self.conclude(label, cx);
    }

    /// Something has happened to a unit that may be triggered, or may trigger.
    pub(super) fn look_at_triggers(&mut self, label: &str, cx: &mut Context<'_, Self>) {
        if self.triggered.is_empty() {
            return;
        }
        self.conclude(label, cx);
        if let Some(service) = self.triggering.get(label).cloned() {
            self.close_when_over(&service, cx);
        }
    }

    /// Where the unit that triggers has ended, and the last run too, there will be no more. A run may have begun of which
    /// no signal has come yet: whether one has, the manager is asked.
    fn close_when_over(&mut self, label: &str, cx: &mut Context<'_, Self>) {
        let destination = self.destination();
        let Some(triggered) = self.triggered.get_mut(label).filter(|triggered| triggered.run.is_none()) else { return };
        match triggered.by.try_ended() {
            Some(Ok(_)) if !triggered.asked => {
                triggered.asked = true;
                let service = Tracked::new(&*triggered.service);
                let ticket = Ticket::Triggered(label.into());
                let asked = get_all(cx, destination, &service, "org.freedesktop.systemd1.Unit", ticket);
                if let Err(error) = asked {
                    self.close(label, Some(&error), cx);
                }
            }
            Some(Err(error)) => self.close(label, Some(&error), cx),
            Some(Ok(_)) | None => {}
        }
    }

    /// What the manager says of a service when the unit that triggers it has ended.
    pub(super) fn triggered_answer(
        &mut self,
        label: &str,
        answer: Result<(UnitState, Details)>,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(triggered) = self.triggered.get_mut(label) else { return };
        triggered.asked = false;
        if std::mem::take(&mut triggered.missed) {
            return self.catch_up(label, answer.ok(), cx);
        }
        if triggered.run.is_some() {
            return;
        }
        let is_news = |(state, _): (UnitState, Details)| {
            state.job > 0 || (state.invocation_id.is_some() && state.invocation_id != triggered.last.id)
        };
        // What is news comes in a signal too.
        if !answer.is_ok_and(is_news) {
            self.close(label, None, cx);
        }
    }

    fn close(&mut self, label: &str, error: Option<&Error>, cx: &mut Context<'_, Self>) {
        if let Some(triggered) = self.forget(label) {
            triggered.runs.close(error, &mut cx.after.wakers);
        }
        self.rest();
    }
}
