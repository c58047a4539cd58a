//! Whether the manager's signals come: matches, subscription, and whose word counts.

use std::ffi::CStr;
use std::time::{Duration, Instant};

use super::calls::{SYSTEMD, bus_call, manager_call};
use super::narrow;
use super::registry::Registry;
use super::tickets::Ticket;
use crate::bus::{Context, Message};
use crate::error::{Error, Result};

/// How long the matches are kept when nothing is outstanding. They cost five messages to have again; to keep
/// them costs a wake-up for each unit that someone else starts.
pub(super) const LINGER: Duration = Duration::from_secs(3);

/// What is matched on a bus while units are outstanding. One rule for all units: per-unit rules do not scale.
pub(super) const MATCHES: [&CStr; 4] = [
    c"type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
      interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
      member='PropertiesChanged',arg0='org.freedesktop.systemd1.Unit'",
    c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
      member='PropertiesChanged',arg0='org.freedesktop.systemd1.Service'",
    c"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',\
      interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
];

/// What is matched beside it while there are scopes.
pub(super) const SCOPES: &CStr =
    c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
      member='PropertiesChanged',arg0='org.freedesktop.systemd1.Scope'";

impl Registry {
    pub(super) fn destination(&self) -> Option<&'static CStr> {
        (!self.direct).then_some(SYSTEMD)
    }

    /// Has the bus daemon and the manager send the signals of units, if they do not yet. Nothing waits for the
    /// replies: they come before the one to the start that follows.
    pub(super) fn listen(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        if self.listening {
            return Ok(());
        }
        for rule in MATCHES {
            let mut message = bus_call(cx, c"AddMatch")?;
            message.append_str(rule.to_str().expect("ASCII"))?;
            cx.call(message, Ticket::Listen("AddMatch"))?;
        }
        self.subscribe(cx)?;
        if self.watches_process && self.recovery.process.is_none() {
            let mut message = bus_call(cx, c"GetConnectionUnixProcessID")?;
            message.append_str("org.freedesktop.systemd1")?;
            cx.call(message, Ticket::Process)?;
        }
        self.listening = true;
        Ok(())
    }

    fn subscribe(&self, cx: &mut Context<'_, Self>) -> Result<()> {
        let subscribe = manager_call(cx, self.destination(), c"Subscribe")?;
        cx.call(subscribe, Ticket::Listen("Subscribe"))
    }

    /// The same where it is this unit's signals that are to come.
    pub(super) fn listen_to(&mut self, unit: &str, cx: &mut Context<'_, Self>) -> Result<()> {
        self.listen(cx)?;
        self.widen(cx)?;
        if !self.direct && !self.hears_scopes && unit.ends_with(".scope") {
            self.hears_scopes = true;
            let mut message = bus_call(cx, c"AddMatch")?;
            message.append_str(SCOPES.to_str().expect("ASCII"))?;
            cx.call(message, Ticket::Listen("AddMatch"))?;
        }
        Ok(())
    }

    /// Takes back what `listen` did, so that the units of others wake nobody here.
    pub(super) fn stop_listening(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        self.listening = false;
        let broad = self.remove_narrow(cx)?;
        let scopes = std::mem::take(&mut self.hears_scopes).then_some(SCOPES);
        let all = MATCHES.into_iter().enumerate().filter(|(at, _)| broad || !narrow::is_broad(*at));
        for rule in all.map(|(_, rule)| rule).chain(scopes) {
            let mut message = bus_call(cx, c"RemoveMatch")?;
            message.append_str(rule.to_str().expect("ASCII"))?;
            cx.send_only(message)?;
        }
        let unsubscribe = manager_call(cx, self.destination(), c"Unsubscribe")?;
        cx.send_only(unsubscribe)
    }

    /// Listening failed, so no end would ever be seen: every unit's handle says why.
    pub(super) fn deaf(&mut self, error: &Error, cx: &mut Context<'_, Self>) {
        self.listening = false;
        self.hears_scopes = false;
        self.forget_narrow();
        for (told, places) in self.awaited.drain() {
            cx.after.give_back(&self.jobs, places);
            cx.after.tell(told, Err(error.clone()));
        }
        self.stopping = 0;
        self.undoing = 0;
        let undone: Vec<_> = self.undone.drain(..).map(|(given, _)| given.unit).collect();
        self.stop_unheard(&undone, cx);
        self.forget_triggered(error, &mut cx.after.wakers);
        self.tell_all(&mut cx.after.wakers);
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
                    let freed = entry.discard(self.destination(), &self.jobs, cx);
                    keepers.extend(freed.map(|freed| freed.keeper));
                }
            }
        }
        self.stop_unheard(&keepers, cx);
        self.rest();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.units.is_empty() && self.awaited.is_empty() && self.triggered.is_empty()
    }

    /// Notes the time when nothing is outstanding any more.
    pub(super) fn rest(&mut self) {
        if self.is_idle() && self.listening && !self.direct {
            self.idle_since = Instant::now();
            // Set once and looked at when it is due, rather than moved with every unit.
            self.look_again.get_or_insert(self.idle_since + LINGER);
        }
    }

    /// Whether a signal is the manager's own. On a bus anyone may send us one.
    pub(super) fn is_from_manager(&self, message: &Message<'_>) -> bool {
        self.direct || self.manager.as_deref().is_some_and(|manager| message.is_from(manager))
    }

    /// Who answers a call to the manager is the manager: that cannot be forged.
    pub(super) fn note_manager(&mut self, ticket: &Ticket, message: &Message<'_>) {
        let from_manager = !matches!(ticket, Ticket::Listen("AddMatch") | Ticket::Narrow(_) | Ticket::Process);
        self.was_there |= from_manager;
        if from_manager && !self.direct && message.sender() != self.manager.as_deref() {
            self.manager = message.sender().map(Box::from);
        }
    }

    /// After a re-execution the manager has another unique name, and for a moment it has none. One that the bus daemon threw
    /// out has forgotten who wanted its signals, and what it said meanwhile nobody has heard.
    pub(super) fn owner_changed(&mut self, message: &Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        let (name, _old, new) = (message.read_str()?, message.read_str()?, message.read_str()?);
        if name != "org.freedesktop.systemd1" {
            return Ok(());
        }
        tracing::debug!(owner = new, "the service manager's bus name changed hands");
        self.manager = (!new.is_empty()).then(|| new.into());
        match &self.manager {
            _ if !self.recovers() => {}
            None => self.ask_later(),
            Some(_) => {
                self.subscribe(cx)?;
                self.ask_all(cx);
            }
        }
        Ok(())
    }
}
