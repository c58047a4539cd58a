//! The outstanding units of a connection: what is started, and who is told what.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Start;
use super::awaited::{Awaited, Settled, Told};
use super::calls::{Method, get_all, is_not_loaded, manager_call, refused, stop_call};
use super::entry::{Answered, Entry, Fate, Freed, Glance, Hold, has_result};
use super::hasher::Labels;
use super::jobs::{Admission, Jobs, Places};
use super::listening::LINGER;
use super::narrow::Hearing;
use super::recovery::Recovery;
use super::signals::{self, Details, Reach};
use super::tickets::{Given, Obligation, ReadReply, Released, Ticket};
use super::triggers::Triggered;
use crate::bus::{Container, Context, Message, Outstanding, Receiver, Refusal, Value};
use crate::error::{Error, Result};
use crate::unit::State;
use crate::unit::machine::{Event, JobResult, SubState};
use crate::unit::name::{self, UNIT_PATH, label};
use crate::unit::tracked::Tracked;

/// For how long an end is not told until its slice is known to be stopped.
const WITHHELD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Registry {
    /// Whether there is no bus daemon between: then all signals come, and from nobody else.
    pub(super) direct: bool,
    pub(super) jobs: Arc<Jobs>,
    /// By the label of the object path.
    ///
    /// There is more than one of a name only while it is used again before all signals of its earlier unit have
    /// come; each finds out by its start job what concerns it.
    pub(super) units: HashMap<Box<str>, Vec<Entry>, Labels>,
    /// The units whose last signal was not read whole, in the order of the first of those.
    pub(super) unread: VecDeque<Weak<Tracked>>,
    /// Services that other units trigger, by their label, and by the label of those units the services' labels.
    pub(super) triggered: HashMap<Box<str>, Triggered>,
    pub(super) triggering: HashMap<Box<str>, Box<str>>,
    /// Those whose units systemd has yet to accept.
    pub(super) to_trigger: Vec<Triggered>,
    pub(super) awaited: Awaited,
    /// Slices of ours that need not keep a unit any more, and how many are being stopped.
    pub(super) keepers: VecDeque<(Box<str>, Places)>,
    /// Units that have ended, by the slices that keep them, and when they are told of that at the latest.
    withheld: HashMap<Box<str>, Arc<Tracked>>,
    tell_by: Option<Instant>,
    pub(super) stopping: usize,
    /// The same of units whose start was given up.
    pub(super) undone: VecDeque<(Given, Obligation)>,
    pub(super) undoing: usize,
    pub(super) listening: bool,
    pub(super) hearing: Hearing,
    /// Whether, on a bus, the signals of scopes are among what it listens to.
    pub(super) hears_scopes: bool,
    /// Whether the manager has ever answered.
    pub(super) was_there: bool,
    /// Whether the end of the manager's process is to be watched for: it is a user's.
    pub(super) watches_process: bool,
    pub(super) recovery: Recovery,
    /// On a bus, the unique name of the manager: signals of anyone else are not its word.
    pub(super) manager: Option<Box<str>>,
    /// Cloned for each start that was given up and has still to be undone.
    pub(super) obligations: Obligation,
    /// When the last unit went.
    pub(super) idle_since: Instant,
    /// When to look whether to stop listening.
    pub(super) look_again: Option<Instant>,
}

impl Registry {
    pub fn new(direct: bool, jobs: Arc<Jobs>) -> Self {
        Registry {
            direct,
            jobs,
            units: HashMap::default(),
            unread: VecDeque::new(),
            triggered: HashMap::new(),
            triggering: HashMap::new(),
            to_trigger: Vec::new(),
            awaited: Awaited::default(),
            keepers: VecDeque::new(),
            withheld: HashMap::new(),
            tell_by: None,
            stopping: 0,
            undone: VecDeque::new(),
            undoing: 0,
            listening: direct,
            hearing: Hearing::default(),
            hears_scopes: false,
            was_there: false,
            watches_process: false,
            recovery: Recovery::default(),
            manager: None,
            obligations: Obligation::default(),
            idle_since: Instant::now(),
            look_again: None,
        }
    }

    /// Sends `StartTransientUnit` with the properties and auxiliary units that these two append, and tracks the unit
    /// from then on.
    /// The places are kept only when it was sent.
    pub fn start(
        &mut self,
        tracked: &Arc<Tracked>,
        how: Start,
        hold: &mut Option<Hold>,
        admission: Admission<'_>,
        (fill, fill_auxiliary): (
            impl FnOnce(&mut Message<'_>) -> Result<()>,
            impl FnOnce(&mut Message<'_>) -> Result<()>,
        ),
        cx: &mut Context<'_, Self>,
    ) -> Result<()> {
        let mut message = manager_call(cx, self.destination(), c"StartTransientUnit")?;
        message.append_str(tracked.name())?;
        message.append_str(how.mode.as_str())?;
        message.container(Container::Array, c"(sv)", |message| {
            fill(message)?;
            match hold {
                Some(Hold::Reference(_)) => Value::Bool(true).append_property_to("AddRef", message),
                _ => Ok(()),
            }
        })?;
        message.container(Container::Array, c"(sa(sv))", fill_auxiliary)?;
        self.listen_to(tracked.name(), cx)?;
        cx.call(message, Ticket::Start(tracked.clone()))?;
        let mut entry = Entry::new(tracked.clone(), how.restarts, admission.keep());
        if let Some(hold) = hold.take() {
            entry = entry.hold(hold, how.usage);
        }
        // Mostly one: room for four, as `push` would make, is memory that thousands of units would waste.
        self.units.entry(tracked.label().into()).or_insert_with(|| Vec::with_capacity(1)).push(entry);
        Ok(())
    }

    /// Sends any other call, about this unit, perhaps.
    pub fn call(
        &self,
        method: Method<'_>,
        unit: Option<&str>,
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
        read: ReadReply,
        cx: &mut Context<'_, Self>,
    ) -> Result<()> {
        let mut message = cx.bus.method_call(self.destination(), method.path, method.interface, method.member)?;
        fill(&mut message)?;
        cx.call(message, Ticket::Call(method.name, unit.map(Box::from), read))
    }

    /// Sends a call of the manager's that is answered with a job of the unit, and follows that to its end.
    pub fn order(
        &mut self,
        method: Method<'_>,
        unit: &str,
        (told, places): (Told, Places),
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
        cx: &mut Context<'_, Self>,
    ) -> Result<()> {
        let id = self.awaited.ask(unit, method.name, told, places);
        let ticket = Ticket::Job { method: method.name, unit: unit.into(), id: id.clone(), again: false };
        let sent = manager_call(cx, self.destination(), method.member).and_then(|mut message| {
            fill(&mut message)?;
            self.listen(cx)?;
            cx.call(message, ticket)
        });
        if let Err(error) = &sent {
            let settled = self.awaited.answered(&id, Err(error.clone()));
            self.settle(settled, cx);
        }
        sent
    }

    /// A slice need not keep a unit any more.
    pub fn let_go(&mut self, keeper: Box<str>, cx: &mut Context<'_, Self>) {
        self.let_go_of_all([Freed { keeper, tracked: None }]);
        self.stop_keepers(cx);
    }

    /// A program that ends with its last unit leaves no slice: the unit's end is told when systemd has taken the call, for a
    /// bus does not say of whom it is who has gone.
    fn let_go_of_all(&mut self, freed: impl IntoIterator<Item = Freed>) {
        for Freed { keeper, tracked } in freed {
            if let Some(tracked) = tracked.filter(|_| !self.recovery.gap) {
                tracked.withhold();
                self.withheld.insert(keeper.clone(), tracked);
                self.tell_by.get_or_insert_with(|| Instant::now() + WITHHELD);
            }
            let places = self.jobs.keeper_to_stop();
            self.keepers.push_back((keeper, places));
        }
    }

    pub(super) fn stop_keepers(&mut self, cx: &mut Context<'_, Self>) {
        while self.stopping < self.jobs.stopping() && !self.recovery.gap {
            let Some((keeper, places)) = self.keepers.pop_front() else { return };
            let told = Told::Keeper { _connection: self.obligations.clone() };
            match self.stop(&keeper, (told, places), None, cx) {
                Ok(()) => self.stopping += 1,
                Err(error) => {
                    tracing::warn!(unit = &*keeper, %error, "cannot stop the slice");
                    cx.after.give_back(&self.jobs, places);
                    self.tell(&keeper, cx);
                }
            }
        }
    }

    /// Tells the end of the unit that this slice has kept.
    fn tell(&mut self, keeper: &str, cx: &mut Context<'_, Self>) {
        if let Some(tracked) = self.withheld.remove(keeper) {
            tracked.tell(&mut cx.after.wakers);
        }
        if self.withheld.is_empty() {
            self.tell_by = None;
        }
    }

    /// Tells every end that is known.
    pub(super) fn tell_all(&mut self, wakers: &mut Vec<Waker>) {
        self.tell_by = None;
        self.withheld.drain().for_each(|(_, tracked)| tracked.tell(wakers));
    }

    /// The unit is to be stopped, since its start was given up. Nobody waits for that, but each of these jobs counts
    /// among what the bus bears too, however many handles are dropped at once.
    fn undo(&mut self, given: Given, obligation: Obligation, cx: &mut Context<'_, Self>) {
        self.undone.push_back((given, obligation));
        self.stop_undone(cx);
    }

    fn stop_undone(&mut self, cx: &mut Context<'_, Self>) {
        while self.undoing < self.jobs.undoing() && !self.recovery.gap {
            let Some((given, obligation)) = self.undone.pop_front() else { return };
            let unit = given.unit.clone();
            match self.stop(&unit, (Told::Undone, Places::default()), Some((given, obligation)), cx) {
                Ok(()) => {
                    tracing::debug!(unit = &*unit, "stopping a unit whose start was given up");
                    self.undoing += 1;
                }
                Err(error) => tracing::warn!(unit = &*unit, %error, "cannot stop the unit"),
            }
        }
    }

    /// Has a unit stopped, and follows that to its end. The obligation is one until systemd has taken the call.
    fn stop(
        &mut self,
        unit: &str,
        (told, places): (Told, Places),
        given_up: Option<(Given, Obligation)>,
        cx: &mut Context<'_, Self>,
    ) -> Result<()> {
        let id = self.awaited.ask(unit, "StopUnit", told, places);
        let ticket = Ticket::Stop { unit: unit.into(), id: id.clone(), given_up };
        let sent = stop_call(cx, self.destination(), unit).and_then(|message| {
            self.listen(cx)?;
            cx.call(message, ticket)
        });
        sent.inspect_err(|error| drop(self.awaited.answered(&id, Err(error.clone()))))
    }

    /// Stops slices where no signal will tell when that is done.
    pub(super) fn stop_unheard(&self, keepers: &[Box<str>], cx: &mut Context<'_, Self>) {
        for keeper in keepers {
            let sent = stop_call(cx, self.destination(), keeper).and_then(|message| cx.send_only(message));
            if let Err(error) = sent {
                tracing::warn!(unit = &**keeper, %error, "cannot stop the slice");
            }
        }
    }

    /// Tells who waits for these jobs.
    fn settle(&mut self, settled: impl IntoIterator<Item = Settled>, cx: &mut Context<'_, Self>) {
        for Settled { told, places, result } in settled {
            cx.after.give_back(&self.jobs, places);
            match &told {
                Told::Keeper { .. } => self.stopping = self.stopping.saturating_sub(1),
                Told::Undone => self.undoing = self.undoing.saturating_sub(1),
                Told::Future(_) => {}
            }
            cx.after.tell(told, result);
        }
        self.stop_keepers(cx);
        self.stop_undone(cx);
        self.rest();
    }

    /// The start is waited for no more: the unit is stopped, now or once systemd has accepted it.
    pub fn give_up(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        let obligation = self.obligations.clone();
        self.with_entry(tracked, cx, |entry, cx| {
            entry.read_unread(cx);
            entry.give_up(obligation);
            entry.when_unused()
        });
    }

    /// Reads what was left unread of the last signal of the unit, if it is there still.
    pub fn read_unread(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        self.with_entry(tracked, cx, |entry, cx| {
            entry.read_unread(cx);
            Fate::Keep
        });
    }

    /// The same while nothing can be sent.
    pub fn give_up_later(&mut self, tracked: &Arc<Tracked>) {
        let of_it = self.units.get_mut(tracked.label()).map_or(&mut [][..], Vec::as_mut_slice);
        if let Some(entry) = of_it.iter_mut().find(|entry| Arc::ptr_eq(&entry.tracked, tracked)) {
            entry.give_up_later(self.obligations.clone());
        }
    }

    /// A slice need not keep a unit any more, which it can be told later.
    pub fn let_go_later(&mut self, keeper: Box<str>) {
        self.let_go_of_all([Freed { keeper, tracked: None }]);
    }

    /// The handle or a stream is gone: a unit that nobody wants to know of is followed only until its start job is over.
    pub fn unused(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        self.with_entry(tracked, cx, |entry, _| entry.when_unused());
    }

    /// Follows a unit that someone else has started; where it is followed already, for another handle too.
    pub fn adopt(&mut self, name: &str, cx: &mut Context<'_, Self>) -> Result<Arc<Tracked>> {
        let label = label(name);
        let known = self.units.get(label.as_str()).and_then(|all| all.iter().find(|entry| entry.is_shareable()));
        if let Some(entry) = known {
            entry.tracked.hold();
            return Ok(entry.tracked.clone());
        }
        let tracked = Arc::new(Tracked::new(name));
        self.follow(&tracked, false, cx)?;
        Ok(tracked)
    }

    fn follow(&mut self, tracked: &Arc<Tracked>, over: bool, cx: &mut Context<'_, Self>) -> Result<()> {
        self.listen_to(tracked.name(), cx)?;
        ask_to_adopt(tracked, self.destination(), cx)?;
        let entry = Entry::adopted(tracked.clone(), over);
        self.units.entry(tracked.label().into()).or_insert_with(|| Vec::with_capacity(1)).push(entry);
        Ok(())
    }

    /// A stream of the unit's states begins: with the one that it has now.
    pub fn look(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        // A stream of its log begins with the run whose ID that is.
        self.read_unread(tracked, cx);
        let known = self.units.get(tracked.label());
        let entry = known.and_then(|all| all.iter().find(|entry| Arc::ptr_eq(&entry.tracked, tracked)));
        let looked = match (entry, tracked.try_ended()) {
            // It is looked at once it is accepted, or is about to be.
            (Some(entry), _) if entry.is_unknown() => Ok(()),
            (Some(_), _) => self.look_at(tracked, cx),
            (None, None) => Ok(()),
            // What there is of its name is the next run, perhaps.
            (None, Some(Ok(_))) if tracked.is_of_one_run() => {
                tracked.push_state(&State::gone(), &mut cx.after.wakers);
                tracked.close(None, &mut cx.after.wakers);
                Ok(())
            }
            // It has ended, and may be there still.
            (None, Some(Ok(_))) => self.follow(tracked, true, cx),
            (None, Some(Err(error))) => Err(error),
        };
        if let Err(error) = looked {
            tracked.close(Some(&error), &mut cx.after.wakers);
        }
    }

    fn look_at(&self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) -> Result<()> {
        get_all(cx, self.destination(), tracked, "org.freedesktop.systemd1.Unit", Ticket::Unit(tracked.clone()))
    }

    /// An answer about an adopted unit.
    fn adopting(
        &mut self,
        tracked: &Arc<Tracked>,
        cx: &mut Context<'_, Self>,
        answer: impl FnOnce(&mut Entry, &mut Context<'_, Self>) -> Result<Answered>,
    ) {
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        self.with_entry(tracked, cx, |entry, cx| match answer(entry, cx) {
            Ok(Answered::Nothing) => Fate::Keep,
            Ok(Answered::Apply(event)) => entry.apply(event, None, destination, &jobs, cx),
            Ok(Answered::NotFound) => {
                let (name, message) = (entry.tracked.name().into(), "it has ended and was unloaded".into());
                entry.tracked.finish(Err(Error::NoSuchUnit { name, message }), &mut cx.after.wakers);
                Fate::Remove
            }
            // Only the stream has asked: the signals tell of the unit's end all the same.
            Err(error) if !entry.is_adopting() => {
                entry.tracked.close(Some(&error), &mut cx.after.wakers);
                Fate::Keep
            }
            Err(error) => {
                entry.tracked.finish(Err(error), &mut cx.after.wakers);
                Fate::Remove
            }
        });
    }

    /// Applies `act` to the entry of the unit, if it has one still.
    pub(super) fn with_entry(
        &mut self,
        tracked: &Arc<Tracked>,
        cx: &mut Context<'_, Self>,
        act: impl FnOnce(&mut Entry, &mut Context<'_, Self>) -> Fate,
    ) {
        let label = tracked.label();
        let Some(entries) = self.units.get_mut(label) else { return };
        let Some(at) = entries.iter().position(|entry| Arc::ptr_eq(&entry.tracked, tracked)) else { return };
        let fate = act(&mut entries[at], cx);
        let undo = entries[at].take_undo();
        if fate == Fate::Remove {
            let entry = entries.swap_remove(at);
            if entries.is_empty() {
                self.units.remove(label);
            }
            let keeper = entry.discard(self.destination(), &self.jobs, cx);
            self.let_go_of_all(keeper);
            self.stop_keepers(cx);
        }
        if let Some(obligation) = undo {
            self.undo(Given::of(tracked), obligation, cx);
        }
        if fate == Fate::Remove {
            self.rest();
        }
    }

    /// Applies an event to every entry of a name.
    pub(super) fn apply(&mut self, label: &str, event: &Event, details: Option<&Details>, cx: &mut Context<'_, Self>) {
        let destination = self.destination();
        let Some(entries) = self.units.get_mut(label) else { return };
        let mut keepers = Vec::new();
        let mut at = 0;
        while at < entries.len() {
            match entries[at].apply(event.clone(), details, destination, &self.jobs, cx) {
                Fate::Keep => at += 1,
                Fate::Remove => {
                    keepers.extend(entries.swap_remove(at).discard(destination, &self.jobs, cx));
                }
            }
        }
        if entries.is_empty() {
            self.units.remove(label);
            self.rest();
        }
        if !keepers.is_empty() {
            self.let_go_of_all(keepers);
            self.stop_keepers(cx);
        }
    }

    fn properties_changed(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        let Some(label) = message.path().and_then(|path| path.strip_prefix(UNIT_PATH)) else { return Ok(()) };
        if self.triggered.contains_key(label) {
            return self.triggered_changed(label, &message, cx);
        }
        let Some(entries) = self.units.get_mut(label) else { return self.overheard(cx) };
        self.hearing.heard();
        match message.read_str()? {
            "org.freedesktop.systemd1.Service" | "org.freedesktop.systemd1.Scope" => {
                if let [entry] = entries.as_mut_slice() {
                    return entry.keep_service(message, cx);
                }
                let state = signals::service_state(&message)?;
                entries.iter_mut().for_each(|entry| entry.keep_service_state(state.clone(), cx));
            }
            "org.freedesktop.systemd1.Unit" => {
                match entries.as_mut_slice() {
                    entries if entries.iter().any(Entry::wants_details) => {
                        let (state, details) = signals::unit_details(&message)?;
                        for entry in entries {
                            entry.forget_unread(cx);
                        }
                        self.apply(label, &Event::Unit(state), Some(&details), cx);
                    }
                    [entry] => {
                        let event = match entry.glance(&message, cx)? {
                            Glance::Apply(event) => Some(event),
                            Glance::Kept(event) => {
                                let tracked = Arc::downgrade(&entry.tracked);
                                self.keep_few_unread(tracked, cx);
                                event
                            }
                            Glance::Nothing => None,
                        };
                        if let Some(event) = event {
                            self.apply(label, &event, None, cx);
                        }
                    }
                    entries => {
                        let (state, _) = signals::unit_state(&message, Reach::All)?;
                        for entry in entries {
                            entry.forget_unread(cx);
                        }
                        self.apply(label, &Event::Unit(state), None, cx);
                    }
                }
                self.look_at_triggers(label, cx);
            }
            _ => {}
        }
        Ok(())
    }

    fn job_removed(&mut self, message: &Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        let (job, unit, result) = signals::job_removed(message)?;
        let label = label(unit);
        if self.units.contains_key(label.as_str()) {
            self.apply(&label, &Event::JobRemoved { job, result: JobResult::parse(result) }, None, cx);
            self.look_at_triggers(&label, cx);
        }
        if self.awaited.concerns(&label) {
            let settled = self.awaited.removed(&label, job, &JobResult::parse(result));
            self.settle(settled, cx);
        }
        Ok(())
    }
}

impl Receiver for Registry {
    type Ticket = Ticket;
    type After = Released;

    fn reply(&mut self, ticket: Ticket, reply: Result<&Message<'_>, Refusal<'_>>, cx: &mut Context<'_, Self>) {
        let ticket = match reply {
            Ok(message) => {
                self.note_manager(&ticket, message);
                ticket
            }
            Err(refusal) => match self.absent(ticket, refusal, cx) {
                Some(ticket) => ticket,
                None => return,
            },
        };
        if !matches!(ticket, Ticket::Listen("AddMatch") | Ticket::Narrow(_) | Ticket::Process) {
            self.recovery.answered();
        }
        match ticket {
            Ticket::Listen(method) => match reply {
                Err(refusal) if refusal.name != "org.freedesktop.systemd1.AlreadySubscribed" => {
                    self.deaf(&refused(method, None, refusal), cx);
                }
                _ => {}
            },
            Ticket::Narrow(round) => {
                if let Err(error) = self.narrowed(round, reply.is_ok(), cx) {
                    tracing::debug!(%error, "cannot change the matches");
                }
            }
            Ticket::Start(tracked) => {
                let job = match reply {
                    Ok(message) => signals::job_of_reply(message),
                    Err(refusal) => Err(refused("StartTransientUnit", Some(tracked.name()), refusal)),
                };
                match job {
                    Ok(job) => {
                        tracing::debug!(unit = tracked.name(), job, "start accepted");
                        self.trigger_accepted(&tracked, cx);
                        self.apply_to(&tracked, Event::Accepted { job }, cx);
                        tracked.accepted(&mut cx.after.patient);
                        if tracked.is_watched() {
                            self.look(&tracked, cx);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(unit = tracked.name(), %error, "start refused");
                        tracked.finish(Err(error), &mut cx.after.wakers);
                        self.with_entry(&tracked, cx, |_, _| Fate::Remove);
                    }
                }
            }
            Ticket::Look(look) => self.looked(look, reply, cx),
            Ticket::JobThere(id) => self.job_there(&id, reply.map(drop), cx),
            Ticket::Process => {
                if let Ok(process) = reply.map_err(drop).and_then(|message| message.read().map_err(drop)) {
                    self.note_process(process);
                }
            }
            Ticket::Unheard(obligation) => drop(obligation),
            Ticket::Stop { unit, id, given_up } => {
                let job = match reply {
                    Ok(message) => signals::job_of_reply(message),
                    Err(refusal) => Err(refused("StopUnit", Some(&unit), refusal)),
                };
                if let Err(error) = &job {
                    tracing::debug!(unit = &*unit, %error, "stop refused");
                }
                self.tell(&unit, cx);
                let settled = self.awaited.answered(&id, job);
                self.settle(settled, cx);
                drop(given_up);
            }
            Ticket::Triggered(label) => {
                let answer = match reply {
                    Ok(message) => signals::unit_details(message),
                    Err(refusal) => Err(refused("GetAll", None, refusal)),
                };
                self.triggered_answer(&label, answer, cx);
            }
            Ticket::TriggeredService(label) => {
                if let Some(Ok(state)) = reply.ok().map(signals::service_state) {
                    self.triggered_service(&label, state);
                }
            }
            Ticket::Usage(tracked) => {
                let usage = reply.ok().and_then(|message| signals::usage(message).ok());
                let jobs = self.jobs.clone();
                let mut keeper = None;
                self.with_entry(&tracked, cx, |entry, cx| {
                    let (fate, freed) = entry.used(usage, &jobs, cx);
                    keeper = freed;
                    fate
                });
                self.let_go_of_all(keeper);
                self.stop_keepers(cx);
            }
            Ticket::Unit(tracked) => self.adopting(&tracked, cx, |entry, cx| match reply {
                Ok(message) => {
                    let (state, details) = signals::unit_details(message)?;
                    Ok(entry.unit_answer(state, &details, cx))
                }
                Err(refusal) => unanswered(entry, refusal),
            }),
            Ticket::Service(tracked) => self.adopting(&tracked, cx, |entry, cx| match reply {
                Ok(message) => Ok(entry.service_answer(signals::service_details(message)?, cx)),
                Err(refusal) => unanswered(entry, refusal),
            }),
            Ticket::Job { method, unit, id, again } => {
                let job = match reply {
                    // It was asked for before, and done perhaps.
                    Err(refusal) if again && is_not_loaded(refusal.name) => {
                        let settled = self.awaited.gone(&id);
                        self.settle(settled, cx);
                        return;
                    }
                    Ok(message) => signals::job_of_reply(message),
                    Err(refusal) => Err(refused(method, Some(&unit), refusal)),
                };
                let settled = self.awaited.answered(&id, job);
                self.settle(settled, cx);
            }
            Ticket::Call(method, unit, read) => {
                let act = read(reply.map_err(|refusal| refused(method, unit.as_deref(), refusal)));
                cx.after.deferred.push(act);
            }
            Ticket::Question(tracked, question) => {
                let sub = match reply {
                    Ok(message) => message.in_variant(c"s", || message.read_str()).map(SubState::parse),
                    Err(refusal) if is_not_loaded(refusal.name) => Ok(SubState::Dead),
                    Err(refusal) => Err(refused("Get", None, refusal)),
                };
                match sub {
                    Ok(sub) => {
                        self.apply_to(&tracked, Event::Answer { question, sub }, cx);
                        self.look_at_triggers(tracked.label(), cx);
                    }
                    Err(error) => {
                        tracked.finish(Err(error), &mut cx.after.wakers);
                        self.with_entry(&tracked, cx, |_, _| Fate::Remove);
                    }
                }
            }
        }
    }

    fn signal(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) {
        let what = message.what();
        let text = |member| std::str::from_utf8(member).unwrap_or_default();
        tracing::trace!(member = what.map(|(_, member)| text(member)), path = message.path(), "signal");
        let handled = match what {
            Some((b"org.freedesktop.DBus.Properties", b"PropertiesChanged")) => {
                if !self.is_from_manager(&message) {
                    return;
                }
                self.properties_changed(message, cx)
            }
            Some((b"org.freedesktop.systemd1.Manager", b"JobRemoved")) => {
                if !self.is_from_manager(&message) {
                    return;
                }
                self.job_removed(&message, cx)
            }
            Some((b"org.freedesktop.DBus", b"NameOwnerChanged")) => {
                // The bus daemon sets the sender, so nobody else can use this one.
                if self.direct || !message.is_from("org.freedesktop.DBus") {
                    return;
                }
                self.owner_changed(&message, cx)
            }
            _ => Ok(()),
        };
        if let Err(error) = handled {
            tracing::warn!(%error, "ignoring a signal");
        }
    }

    fn lost(&mut self, error: &Error, outstanding: Vec<Ticket>, after: &mut Released) {
        self.on_loss(error, outstanding, after);
    }

    fn interrupted(&mut self, error: &Error, outstanding: Outstanding<Ticket>, cx: &mut Context<'_, Self>) {
        self.on_interruption(error, outstanding, cx);
    }

    fn resumed(&mut self, cx: &mut Context<'_, Self>) {
        self.recovery.gap = false;
        self.ask_all(cx);
    }

    fn guard(&self) -> Option<OwnedFd> {
        self.recovery.guard()
    }

    fn is_obliged(&self) -> bool {
        Arc::strong_count(&self.obligations) > 1
    }

    fn deadline(&self) -> Option<Instant> {
        [self.look_again, self.recovery.retry, self.tell_by].into_iter().flatten().min()
    }

    fn timer(&mut self, now: Instant, cx: &mut Context<'_, Self>) {
        if self.recovery.retry.is_some_and(|retry| retry <= now) {
            self.ask_all(cx);
        }
        if self.tell_by.is_some_and(|at| at <= now) {
            self.tell_all(&mut cx.after.wakers);
        }
        if self.look_again.is_none_or(|at| at > now) {
            return;
        }
        self.look_again = None;
        if !self.is_idle() || !self.listening {
            return;
        }
        if self.idle_since + LINGER > now {
            self.look_again = Some(self.idle_since + LINGER);
        } else if let Err(error) = self.stop_listening(cx) {
            // A broken connection, which the driver will notice too.
            tracing::debug!(%error, "cannot drop the matches");
        }
    }
}

impl Registry {
    fn apply_to(&mut self, tracked: &Arc<Tracked>, event: Event, cx: &mut Context<'_, Self>) {
        let (destination, jobs) = (self.destination(), self.jobs.clone());
        self.with_entry(tracked, cx, |entry, cx| entry.apply(event, None, destination, &jobs, cx));
    }
}

/// Asks what there is to know of a unit that is adopted.
pub(super) fn ask_to_adopt(
    tracked: &Arc<Tracked>,
    destination: Option<&CStr>,
    cx: &mut Context<'_, Registry>,
) -> Result<()> {
    get_all(cx, destination, tracked, "org.freedesktop.systemd1.Unit", Ticket::Unit(tracked.clone()))?;
    if has_result(tracked.name()) {
        let ticket = Ticket::Service(tracked.clone());
        get_all(cx, destination, tracked, name::interface(tracked.name()), ticket)?;
    }
    Ok(())
}

/// What follows where there is no answer about an adopted unit. Of one that signals have told of already it is not missed.
fn unanswered(entry: &Entry, refusal: Refusal<'_>) -> Result<Answered> {
    match refusal.name {
        _ if !entry.is_adopting() => Ok(Answered::Nothing),
        name if is_not_loaded(name) => Ok(Answered::NotFound),
        _ => Err(refused("GetAll", Some(entry.tracked.name()), refusal)),
    }
}
