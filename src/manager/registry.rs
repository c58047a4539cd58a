//! The outstanding units of a connection: what is started, and who is told what.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::awaited::{Awaited, JobId, Settled, Told};
use super::entry::{Answered, Entry, Fate, Hold, is_service};
use super::jobs::{Admission, Jobs, Places};
use super::signals::{self, Details};
use crate::bus::{After, Container, Context, Message, Receiver, Refusal, Value};
use crate::error::{Error, Result};
use crate::unit::machine::{Event, JobResult, SubState};
use crate::unit::name::{UNIT_PATH, label};
use crate::unit::tracked::Tracked;

pub(super) const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
pub(super) const MANAGER_INTERFACE: &CStr = c"org.freedesktop.systemd1.Manager";
const SYSTEMD: &CStr = c"org.freedesktop.systemd1";
const BUS: &CStr = c"org.freedesktop.DBus";

/// How long the matches are kept when nothing is outstanding. They cost five messages to have again; to keep
/// them costs a wake-up for each unit that someone else starts.
const LINGER: Duration = Duration::from_secs(3);

/// How many slices are stopped at once.
const MOST_STOPPING: usize = 16;

/// What is matched on a bus while units are outstanding. One rule for all units: per-unit rules do not scale.
const MATCHES: [&CStr; 4] = [
    c"type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
      interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
      member='PropertiesChanged',arg0='org.freedesktop.systemd1.Unit'",
    c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
      member='PropertiesChanged',arg0='org.freedesktop.systemd1.Service'",
    c"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',\
      interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
];

/// What a reply is for.
pub(crate) enum Ticket {
    /// `Subscribe` or an `AddMatch`.
    Listen(&'static str),
    /// `StartTransientUnit`.
    Start(Arc<Tracked>),
    /// The `SubState` of a unit that may be about to restart.
    Question(Arc<Tracked>, u32),
    /// The `StopUnit` of a unit whose start was given up.
    Undo(Obligation),
    /// `GetAll` of the unit interface of a unit that is adopted, or whose streams begin.
    Unit(Arc<Tracked>),
    /// `GetAll` of the service interface of a unit that has ended.
    Usage(Arc<Tracked>),
    /// `GetAll` of the service interface of a unit that is adopted.
    Service(Arc<Tracked>),
    /// A call that is answered with a job, which is waited for.
    Job { method: &'static str, unit: Box<str>, id: JobId },
    /// Any other call, about a unit, perhaps: reads the reply and gives what is to be done once the lock is free.
    Call(&'static str, Option<Box<str>>, ReadReply),
}

/// Keeps the connection open as long as it exists, also when nobody else uses it.
pub(super) type Obligation = Arc<()>;

/// A method of an object of the manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub path: &'a CStr,
    pub interface: &'a CStr,
    pub member: &'a CStr,
    /// The member, for errors.
    pub name: &'static str,
}

pub(super) type ReadReply = Box<dyn FnOnce(Result<&Message<'_>>) -> Deferred + Send>;
type Deferred = Box<dyn FnOnce() + Send>;

/// What is done once the lock is free.
#[derive(Default)]
pub(crate) struct Released {
    pub wakers: Vec<Waker>,
    deferred: Vec<Deferred>,
    /// Calls that will not be answered: dropping them tells whoever waits.
    unanswered: Vec<Ticket>,
    places: Places,
    jobs: Option<Arc<Jobs>>,
}

impl Released {
    fn tell(&mut self, told: Told, result: Result<JobResult>) {
        match told {
            // Whoever waited may have given up, and the receiver with it.
            Told::Future(told) => self.deferred.push(Box::new(move || drop(told.send(result)))),
            Told::Keeper { .. } => {}
        }
    }

    pub fn give_back(&mut self, jobs: &Arc<Jobs>, places: Places) {
        if places != Places::default() {
            self.places.add(places);
            self.jobs.get_or_insert_with(|| jobs.clone());
        }
    }
}

impl After for Released {
    fn run(&mut self) {
        if let Some(jobs) = &self.jobs {
            jobs.give_back(std::mem::take(&mut self.places));
        }
        self.wakers.drain(..).for_each(Waker::wake);
        self.deferred.drain(..).for_each(|act| act());
        self.unanswered.clear();
    }
}

#[derive(Debug)]
pub(crate) struct Registry {
    /// Whether there is no bus daemon between: then all signals come, and from nobody else.
    direct: bool,
    jobs: Arc<Jobs>,
    /// By the label of the object path.
    ///
    /// There is more than one of a name only while it is used again before all signals of its earlier unit have
    /// come; each finds out by its start job what concerns it.
    units: HashMap<Box<str>, Vec<Entry>>,
    awaited: Awaited,
    /// Slices of ours that need not keep a unit any more, and how many are being stopped.
    keepers: VecDeque<(Box<str>, Places)>,
    stopping: usize,
    listening: bool,
    /// On a bus, the unique name of the manager: signals of anyone else are not its word.
    manager: Option<Box<str>>,
    /// Cloned for each start that was given up and has still to be undone.
    obligations: Obligation,
    /// When the last unit went.
    idle_since: Instant,
    /// When to look whether to stop listening.
    look_again: Option<Instant>,
}

impl Registry {
    pub fn new(direct: bool, jobs: Arc<Jobs>) -> Self {
        Registry {
            direct,
            jobs,
            units: HashMap::new(),
            awaited: Awaited::default(),
            keepers: VecDeque::new(),
            stopping: 0,
            listening: direct,
            manager: None,
            obligations: Obligation::default(),
            idle_since: Instant::now(),
            look_again: None,
        }
    }

    fn destination(&self) -> Option<&'static CStr> {
        (!self.direct).then_some(SYSTEMD)
    }

    /// Sends `StartTransientUnit` with the properties and auxiliary units that these two append, and tracks the unit
    /// from then on.
    /// The places are kept only when it was sent.
    pub fn start(
        &mut self,
        tracked: &Arc<Tracked>,
        restarts: bool,
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
        message.append_str("fail")?;
        message.container(Container::Array, c"(sv)", |message| {
            fill(message)?;
            match hold {
                Some(Hold::Reference(_)) => append_property(message, "AddRef", &Value::Bool(true)),
                _ => Ok(()),
            }
        })?;
        message.container(Container::Array, c"(sa(sv))", fill_auxiliary)?;
        self.listen(cx)?;
        cx.call(message, Ticket::Start(tracked.clone()))?;
        let mut entry = Entry::new(tracked.clone(), restarts, admission.keep());
        if let Some(hold) = hold.take() {
            entry = entry.hold(hold);
        }
        // Mostly one: room for four, as `push` would make, is memory that thousands of units would waste.
        self.units.entry(label(tracked.name()).into()).or_insert_with(|| Vec::with_capacity(1)).push(entry);
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
        let id = self.awaited.ask(label(unit), told, places);
        let ticket = Ticket::Job { method: method.name, unit: unit.into(), id: id.clone() };
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
        self.let_go_of_all([keeper]);
        self.stop_keepers(cx);
    }

    fn let_go_of_all(&mut self, keepers: impl IntoIterator<Item = Box<str>>) {
        for keeper in keepers {
            let places = self.jobs.keeper_to_stop();
            self.keepers.push_back((keeper, places));
        }
    }

    fn stop_keepers(&mut self, cx: &mut Context<'_, Self>) {
        while self.stopping < MOST_STOPPING {
            let Some((keeper, places)) = self.keepers.pop_front() else { return };
            let told = Told::Keeper { _connection: self.obligations.clone() };
            let id = self.awaited.ask(label(&keeper), told, places);
            let ticket = Ticket::Job { method: "StopUnit", unit: keeper.clone(), id: id.clone() };
            let sent = manager_call(cx, self.destination(), c"StopUnit").and_then(|mut message| {
                message.append_str(&keeper)?;
                message.append_str("replace")?;
                self.listen(cx)?;
                cx.call(message, ticket)
            });
            match sent {
                Ok(()) => self.stopping += 1,
                Err(error) => {
                    tracing::warn!(unit = &*keeper, %error, "cannot stop the slice");
                    self.awaited.answered(&id, Err(error));
                    cx.after.give_back(&self.jobs, places);
                }
            }
        }
    }

    /// Stops slices where no signal will tell when that is done.
    fn stop_unheard(&self, keepers: &[Box<str>], cx: &mut Context<'_, Self>) {
        for keeper in keepers {
            let sent = manager_call(cx, self.destination(), c"StopUnit").and_then(|mut message| {
                message.append_str(keeper)?;
                message.append_str("replace")?;
                cx.send_only(message)
            });
            if let Err(error) = sent {
                tracing::warn!(unit = &**keeper, %error, "cannot stop the slice");
            }
        }
    }

    /// Tells who waits for these jobs.
    fn settle(&mut self, settled: impl IntoIterator<Item = Settled>, cx: &mut Context<'_, Self>) {
        for Settled { told, places, result } in settled {
            cx.after.give_back(&self.jobs, places);
            if let Told::Keeper { .. } = &told {
                self.stopping = self.stopping.saturating_sub(1);
            }
            cx.after.tell(told, result);
        }
        self.stop_keepers(cx);
        self.rest();
    }

    /// The start is waited for no more: the unit is stopped, now or once systemd has accepted it.
    pub fn give_up(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        let (destination, obligation) = (self.destination(), self.obligations.clone());
        self.with_entry(tracked, cx, |entry, cx| {
            entry.give_up(destination, obligation, cx);
            entry.when_unused()
        });
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
        self.listen(cx)?;
        get_all(cx, self.destination(), tracked, c"org.freedesktop.systemd1.Unit", Ticket::Unit(tracked.clone()))?;
        if is_service(tracked.name()) {
            let ticket = Ticket::Service(tracked.clone());
            get_all(cx, self.destination(), tracked, c"org.freedesktop.systemd1.Service", ticket)?;
        }
        let entry = Entry::adopted(tracked.clone(), over);
        self.units.entry(label(tracked.name()).into()).or_insert_with(|| Vec::with_capacity(1)).push(entry);
        Ok(())
    }

    /// A stream of the unit's states begins: with the one that it has now.
    pub fn look(&mut self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) {
        let known = self.units.get(label(tracked.name()).as_str());
        let entry = known.and_then(|all| all.iter().find(|entry| Arc::ptr_eq(&entry.tracked, tracked)));
        let looked = match (entry, tracked.try_ended()) {
            // It is looked at once it is accepted, or is about to be.
            (Some(entry), _) if entry.is_unknown() => Ok(()),
            (Some(_), _) => self.look_at(tracked, cx),
            (None, None) => Ok(()),
            // It has ended, and may be there still.
            (None, Some(Ok(_))) => self.follow(tracked, true, cx),
            (None, Some(Err(error))) => Err(error),
        };
        if let Err(error) = looked {
            tracked.close(Some(&error), &mut cx.after.wakers);
        }
    }

    fn look_at(&self, tracked: &Arc<Tracked>, cx: &mut Context<'_, Self>) -> Result<()> {
        get_all(cx, self.destination(), tracked, c"org.freedesktop.systemd1.Unit", Ticket::Unit(tracked.clone()))
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
            Err(error) => {
                entry.tracked.finish(Err(error), &mut cx.after.wakers);
                Fate::Remove
            }
        });
    }

    /// Has the bus daemon and the manager send the signals of units, if they do not yet. Nothing waits for the
    /// replies: they come before the one to the start that follows.
    fn listen(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        if self.listening {
            return Ok(());
        }
        for rule in MATCHES {
            let mut message = bus_call(cx, c"AddMatch")?;
            message.append_str(rule.to_str().expect("ASCII"))?;
            cx.call(message, Ticket::Listen("AddMatch"))?;
        }
        let subscribe = manager_call(cx, self.destination(), c"Subscribe")?;
        cx.call(subscribe, Ticket::Listen("Subscribe"))?;
        self.listening = true;
        Ok(())
    }

    /// Takes back what `listen` did, so that the units of others wake nobody here.
    fn stop_listening(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        self.listening = false;
        for rule in MATCHES {
            let mut message = bus_call(cx, c"RemoveMatch")?;
            message.append_str(rule.to_str().expect("ASCII"))?;
            cx.send_only(message)?;
        }
        let unsubscribe = manager_call(cx, self.destination(), c"Unsubscribe")?;
        cx.send_only(unsubscribe)
    }

    /// Listening failed, so no end would ever be seen: every unit's handle says why.
    fn deaf(&mut self, error: &Error, cx: &mut Context<'_, Self>) {
        self.listening = false;
        for (told, places) in self.awaited.drain() {
            cx.after.give_back(&self.jobs, places);
            cx.after.tell(told, Err(error.clone()));
        }
        self.stopping = 0;
        let mut keepers = Vec::new();
        for (keeper, places) in self.keepers.drain(..) {
            cx.after.give_back(&self.jobs, places);
            keepers.push(keeper);
        }
        for (label, entries) in std::mem::take(&mut self.units) {
            for mut entry in entries {
                entry.fail(error, &mut cx.after.wakers);
                if entry.is_unknown() {
                    entry.give_up_unheard(self.obligations.clone());
                    self.units.entry(label.clone()).or_default().push(entry);
                } else {
                    keepers.extend(entry.discard(self.destination(), &self.jobs, cx));
                }
            }
        }
        self.stop_unheard(&keepers, cx);
        self.rest();
    }

    /// Applies `act` to the entry of the unit, if it has one still.
    fn with_entry(
        &mut self,
        tracked: &Arc<Tracked>,
        cx: &mut Context<'_, Self>,
        act: impl FnOnce(&mut Entry, &mut Context<'_, Self>) -> Fate,
    ) {
        let label = label(tracked.name());
        let Some(entries) = self.units.get_mut(label.as_str()) else { return };
        let Some(at) = entries.iter().position(|entry| Arc::ptr_eq(&entry.tracked, tracked)) else { return };
        if act(&mut entries[at], cx) == Fate::Remove {
            let entry = entries.swap_remove(at);
            if entries.is_empty() {
                self.units.remove(label.as_str());
            }
            let keeper = entry.discard(self.destination(), &self.jobs, cx);
            self.let_go_of_all(keeper);
            self.stop_keepers(cx);
            self.rest();
        }
    }

    /// Applies an event to every entry of a name.
    fn apply(&mut self, label: &str, event: &Event, details: Option<&Details>, cx: &mut Context<'_, Self>) {
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

    fn is_idle(&self) -> bool {
        self.units.is_empty() && self.awaited.is_empty()
    }

    /// Notes the time when nothing is outstanding any more.
    fn rest(&mut self) {
        if self.is_idle() && self.listening && !self.direct {
            self.idle_since = Instant::now();
            // Set once and looked at when it is due, rather than moved with every unit.
            self.look_again.get_or_insert(self.idle_since + LINGER);
        }
    }

    /// Whether a signal is the manager's own. On a bus anyone may send us one.
    fn is_from_manager(&self, message: &Message<'_>) -> bool {
        self.direct || (self.manager.is_some() && message.sender() == self.manager.as_deref())
    }

    fn properties_changed(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        let Some(label) = message.path().and_then(|path| path.strip_prefix(UNIT_PATH)) else { return Ok(()) };
        let Some(entries) = self.units.get_mut(label) else { return Ok(()) };
        match message.read_str()? {
            "org.freedesktop.systemd1.Service" => {
                if let [entry] = entries.as_mut_slice() {
                    return entry.keep_service(message, cx);
                }
                let state = signals::service_state(&message)?;
                entries.iter_mut().for_each(|entry| entry.keep_service_state(state.clone(), cx));
            }
            "org.freedesktop.systemd1.Unit" => {
                if entries.iter().any(Entry::wants_details) {
                    let (state, details) = signals::unit_details(&message)?;
                    self.apply(label, &Event::Unit(state), Some(&details), cx);
                } else {
                    let wanted = entries.iter().any(Entry::wants_invocation_id);
                    let event = Event::Unit(signals::unit_state(&message, wanted)?);
                    self.apply(label, &event, None, cx);
                }
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
        if let Ok(message) = reply {
            self.note_manager(&ticket, message);
        }
        match ticket {
            Ticket::Listen(method) => match reply {
                Err(refusal) if refusal.name != "org.freedesktop.systemd1.AlreadySubscribed" => {
                    self.deaf(&refused(method, None, refusal), cx);
                }
                _ => {}
            },
            Ticket::Start(tracked) => {
                let job = match reply {
                    Ok(message) => signals::job_of_reply(message),
                    Err(refusal) => Err(refused("StartTransientUnit", Some(tracked.name()), refusal)),
                };
                match job {
                    Ok(job) => {
                        tracing::debug!(unit = tracked.name(), job, "start accepted");
                        self.apply_to(&tracked, Event::Accepted { job }, cx);
                        tracked.accepted(&mut cx.after.wakers);
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
            Ticket::Undo(obligation) => drop(obligation),
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
            Ticket::Job { method, unit, id } => {
                let job = match reply {
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
                    Ok(sub) => self.apply_to(&tracked, Event::Answer { question, sub }, cx),
                    Err(error) => {
                        tracked.finish(Err(error), &mut cx.after.wakers);
                        self.with_entry(&tracked, cx, |_, _| Fate::Remove);
                    }
                }
            }
        }
    }

    fn signal(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) {
        let handled = match (message.interface(), message.member()) {
            (Some("org.freedesktop.DBus.Properties"), Some("PropertiesChanged")) => {
                if !self.is_from_manager(&message) {
                    return;
                }
                self.properties_changed(message, cx)
            }
            (Some("org.freedesktop.systemd1.Manager"), Some("JobRemoved")) => {
                if !self.is_from_manager(&message) {
                    return;
                }
                self.job_removed(&message, cx)
            }
            (Some("org.freedesktop.DBus"), Some("NameOwnerChanged")) => {
                // The bus daemon sets the sender, so nobody else can use this one.
                if self.direct || message.sender() != Some("org.freedesktop.DBus") {
                    return;
                }
                self.owner_changed(&message)
            }
            _ => Ok(()),
        };
        if let Err(error) = handled {
            tracing::warn!(%error, "ignoring a signal");
        }
    }

    fn lost(&mut self, error: &Error, outstanding: Vec<Ticket>, after: &mut Released) {
        after.unanswered.extend(outstanding);
        self.listening = false;
        self.look_again = None;
        for (told, places) in self.awaited.drain() {
            after.give_back(&self.jobs, places);
            after.tell(told, Err(error.clone()));
        }
        for (_, places) in self.keepers.drain(..) {
            after.give_back(&self.jobs, places);
        }
        self.stopping = 0;
        for mut entry in self.units.drain().flat_map(|(_, entries)| entries) {
            after.give_back(&self.jobs, entry.places());
            entry.fail(error, &mut after.wakers);
        }
    }

    fn is_obliged(&self) -> bool {
        Arc::strong_count(&self.obligations) > 1
    }

    fn deadline(&self) -> Option<Instant> {
        self.look_again
    }

    fn timer(&mut self, now: Instant, cx: &mut Context<'_, Self>) {
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

    /// Who answers a call to the manager is the manager: that cannot be forged.
    fn note_manager(&mut self, ticket: &Ticket, message: &Message<'_>) {
        let from_manager = !matches!(ticket, Ticket::Listen("AddMatch"));
        if from_manager && !self.direct && message.sender() != self.manager.as_deref() {
            self.manager = message.sender().map(Box::from);
        }
    }

    /// After a re-execution the manager has another unique name, and for a moment it has none.
    fn owner_changed(&mut self, message: &Message<'_>) -> Result<()> {
        let (name, _old, new) = (message.read_str()?, message.read_str()?, message.read_str()?);
        if name == "org.freedesktop.systemd1" {
            tracing::debug!(owner = new, "the service manager's bus name changed hands");
            self.manager = (!new.is_empty()).then(|| new.into());
        }
        Ok(())
    }
}

/// What follows where there is no answer about an adopted unit. Of one that signals have told of already it is not missed.
fn unanswered(entry: &Entry, refusal: Refusal<'_>) -> Result<Answered> {
    match refusal.name {
        _ if !entry.is_adopting() => Ok(Answered::Nothing),
        name if is_not_loaded(name) => Ok(Answered::NotFound),
        _ => Err(refused("GetAll", Some(entry.tracked.name()), refusal)),
    }
}

/// Asks for all properties of an interface of the unit.
pub(super) fn get_all(
    cx: &mut Context<'_, Registry>,
    destination: Option<&CStr>,
    unit: &Tracked,
    interface: &CStr,
    ticket: Ticket,
) -> Result<()> {
    let path = unit_path(unit.name());
    let mut message = cx.bus.method_call(destination, &path, c"org.freedesktop.DBus.Properties", c"GetAll")?;
    message.append_str(interface.to_str().expect("ASCII"))?;
    cx.call(message, ticket)
}

/// The object path of a unit.
pub(super) fn unit_path(name: &str) -> CString {
    CString::new(format!("{UNIT_PATH}{}", label(name))).expect("a label holds letters, digits and underscores")
}

/// Appends a property, a `(sv)`.
pub(super) fn append_property(message: &mut Message<'_>, name: &str, value: &Value) -> Result<()> {
    message.container(Container::Struct, c"sv", |m| {
        m.append_str(name)?;
        value.append_variant_to(m)
    })
}

/// A call of the manager's own interface.
pub(super) fn manager_call<'b>(
    cx: &Context<'b, Registry>,
    destination: Option<&CStr>,
    member: &CStr,
) -> Result<Message<'b>> {
    cx.bus.method_call(destination, MANAGER_PATH, MANAGER_INTERFACE, member)
}

fn bus_call<'b>(cx: &Context<'b, Registry>, member: &CStr) -> Result<Message<'b>> {
    cx.bus.method_call(Some(BUS), c"/org/freedesktop/DBus", BUS, member)
}

fn is_not_loaded(error: &str) -> bool {
    matches!(
        error,
        "org.freedesktop.systemd1.NoSuchUnit"
            | "org.freedesktop.DBus.Error.UnknownObject"
            | "org.freedesktop.DBus.Error.UnknownInterface"
            | "org.freedesktop.DBus.Error.UnknownMethod"
    )
}

/// The error for a refusal of the manager or of the bus daemon.
fn refused(method: &'static str, unit: Option<&str>, refusal: Refusal<'_>) -> Error {
    let Refusal { name, text } = refusal;
    match (name, unit) {
        ("org.freedesktop.systemd1.UnitExists", Some(unit)) => {
            Error::UnitExists { name: unit.into(), message: text.into() }
        }
        // Of a start it is another unit that is missing, one that is required.
        ("org.freedesktop.systemd1.NoSuchUnit", Some(unit)) if method != "StartTransientUnit" => {
            Error::NoSuchUnit { name: unit.into(), message: text.into() }
        }
        // Nobody owns the name, and the bus daemon could not have it started.
        ("org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner", _) => {
            unavailable(text)
        }
        (name, _) if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => unavailable(text),
        _ => Error::reply(method, name, text),
    }
}

fn unavailable(text: &str) -> Error {
    Error::Unavailable {
        manager: "the service manager".into(),
        reason: format!("no systemd is on this bus ({text}); is systemd running as PID 1, or as `systemd --user`?")
            .into(),
    }
}
