//! Commands that are started again and again by another unit: a timer, a path, a socket.

mod path;
mod socket;
mod timer;

use std::sync::{Arc, OnceLock};

pub use path::PathUnit;
pub use socket::SocketUnit;
pub use timer::TimerUnit;

use super::message::{Ready, property_bool, property_str};
use super::{Command, words};
use crate::bus::{Container, Message, Value};
use crate::error::{Error, Result};
use crate::manager::{JobMode, Manager, Pace, Start, Triggers};
use crate::property::{Properties, Settled, UnitType, settle};
use crate::unit::runs::Runs;
use crate::unit::tracked::Tracked;
use crate::unit::{Trigger, Unit, name};

/// What units that trigger have in common.
#[derive(Debug, Clone)]
struct Parts {
    properties: Properties,
    description: Option<String>,
    collect: bool,
    /// The first input that cannot be sent.
    problem: Option<Error>,
}

impl Parts {
    fn new(unit: UnitType) -> Self {
        Parts { properties: Properties::new(unit), description: None, collect: false, problem: None }
    }

    fn accept<T>(&mut self, value: Result<T>) -> Option<T> {
        value.map_err(|error| self.problem.get_or_insert(error).clone()).ok()
    }

    fn describe(&mut self, description: String) {
        let description = words::one_line("description", description);
        self.description = self.accept(description);
    }

    fn set(&mut self, assignment: &str) -> Result<()> {
        self.properties.set(assignment).map(drop)
    }

    fn extra(&mut self, name: &str, value: impl Into<Value>) {
        let added = self.properties.extra(name, value).map(|_| ());
        self.accept(added);
    }

    /// Adds a pair to a list of pairs.
    fn pair(&mut self, property: &str, kind: &str, value: impl Into<Value>) {
        let value = value.into();
        let signature = if matches!(value, Value::U64(_)) { "(st)" } else { "(ss)" };
        let pair = Value::Struct(vec![kind.into(), value]);
        let signature = crate::bus::Signature::new(signature).expect("it is valid");
        self.extra(property, Value::Array(signature, vec![pair]));
    }

    /// Whether one of these lists holds something, or one of these switches is on. What only the manager knows may be one.
    fn has_one_of(&self, names: &[&str]) -> bool {
        let is_set = |value: &Value| match value {
            Value::Array(_, values) => !values.is_empty(),
            Value::Bool(set) => *set,
            _ => false,
        };
        self.properties.known().any(|(name, value)| names.contains(&name) && is_set(value))
    }

    /// Starts the unit for a service that systemd knows already.
    async fn start_for(&self, service: &str, mode: JobMode, manager: &Manager) -> Result<Unit> {
        if let Some(error) = &self.problem {
            return Err(error.clone());
        }
        let service = name::service(service)?;
        let suffix = self.properties.unit_type().as_str();
        let properties = settle(self.properties.list(), suffix, manager).await?;
        let tracked = Arc::new(Tracked::new(name::with_other_suffix(&service, suffix)));
        let unit = Unit::new(tracked.clone(), Arc::new(OnceLock::from(manager.clone())));
        let fill = |message: &mut Message<'_>| self.append_described_to(message, &service, &properties);
        let how = Start { pace: Pace::Quick, restarts: false, usage: false, durable: false, mode };
        manager.start(&tracked, how, fill, |_| Ok(())).await?;
        Ok(unit)
    }

    /// Starts the unit, with the command as its service.
    async fn start(&self, command: &Command, manager: &Manager) -> Result<Trigger> {
        if let Some(error) = &self.problem {
            return Err(error.clone());
        }
        let service = command.unit_name()?;
        let suffix = self.properties.unit_type().as_str();
        let unit = name::with_other_suffix(&service, suffix);
        command.check_triggered(&unit)?;
        // Only words are left among the streams, of which nothing stays here.
        let (streams, _) = command.prepare(None)?;
        let properties = settle(self.properties.list(), suffix, manager).await?;
        let ready = command.settled(&streams, manager).await?;

        let tracked = Arc::new(Tracked::new(unit));
        let mut unit = Unit::new(tracked.clone(), Arc::new(OnceLock::from(manager.clone())));
        unit.habits = command.habits;
        let runs = Arc::new(Runs::default());
        let trigger = Trigger::new(unit, &service, runs.clone(), manager.clone());
        let fill = |message: &mut Message<'_>| self.append_to(message, &ready, &properties);
        let fill_auxiliary = |message: &mut Message<'_>| {
            message.container(Container::Struct, c"sa(sv)", |m| {
                m.append_str(&service)?;
                m.container(Container::Array, c"(sv)", |m| ready.append_to(m))
            })?;
            ready.append_auxiliary_to(message)
        };
        let how =
            Start { pace: Pace::Quick, restarts: false, usage: false, durable: false, mode: command.service.job_mode };
        let triggers = Triggers { service: &service, restarts: command.restarts(), runs: &runs };
        manager.start_triggering(&tracked, how, (fill, fill_auxiliary), Some(triggers)).await?;
        Ok(trigger)
    }

    /// Appends the properties of the unit, each a `(sv)`.
    fn append_to(&self, message: &mut Message<'_>, ready: &Ready<'_>, properties: &Settled<'_>) -> Result<()> {
        match &ready.command.description {
            Some(description) => self.append_described_to(message, description, properties),
            None => self.append_described_to(message, &ready.describe(), properties),
        }
    }

    fn append_described_to(&self, message: &mut Message<'_>, described: &str, properties: &Settled<'_>) -> Result<()> {
        property_str(message, "Description", self.description.as_deref().unwrap_or(described))?;
        if self.collect {
            property_str(message, "CollectMode", "inactive-or-failed")?;
        }
        if self.properties.unit_type() == UnitType::Timer {
            // As systemd-run has it: otherwise the timer stays loaded when it has elapsed for the last time.
            property_bool(message, "RemainAfterElapse", false)?;
        }
        properties.append_to(message)
    }
}

impl Command {
    /// Refuses what a service cannot have that something else starts, when nobody may be there any more.
    fn check_triggered(&self, unit: &str) -> Result<()> {
        let refuse = |what: &'static str, reason: &str| {
            Err(Error::invalid(what, "", format!("cannot go with a service that {unit} starts: {reason}")))
        };
        if self.terminal.is_wanted() {
            return refuse("pty", "each run would need a terminal of its own");
        }
        for (stdio, what) in self.stdio.iter().zip(["stdin", "stdout", "stderr"]) {
            if stdio.as_ref().is_some_and(|stdio| stdio.is_descriptor()) {
                return refuse(what, "systemd keeps no descriptors for later runs; use a file or the journal");
            }
        }
        if self.extra.known().any(|(_, value)| value.descriptors() > 0) {
            return refuse("descriptors", "systemd keeps none for later runs");
        }
        if self.service.durable {
            return refuse("durable", "a run that is kept would keep the next one from being started");
        }
        if self.service.usage {
            return refuse("usage", "what a run has used cannot be read between it and the next");
        }
        Ok(())
    }
}

/// The calls that all builders have, with what is said of them.
macro_rules! common_calls {
    ($manual:literal) => {
        /// Describes the unit (`Description=`); without it that is what describes the service.
        pub fn description(&mut self, description: impl Into<String>) -> &mut Self {
            self.parts.describe(description.into());
            self
        }

        /// Has systemd forget the unit when it has ended, also when it failed (`CollectMode=inactive-or-failed`). For the
        /// service that is [`Command::collect`](crate::Command::collect).
        pub fn collect(&mut self, collect: bool) -> &mut Self {
            self.parts.collect = collect;
            self
        }

        /// Adds an assignment, as
        #[doc = concat!("`systemd-run --", $manual, "-property=` takes it (`systemd.", $manual, "(5)`, `systemd.unit(5)`).")]
        ///
        /// # Errors
        ///
        /// [`Error::Property`](crate::Error::Property): what is wrong with the value, and what would be right.
        pub fn property(&mut self, assignment: impl AsRef<str>) -> crate::Result<&mut Self> {
            self.parts.set(assignment.as_ref())?;
            Ok(self)
        }

        /// Starts the unit for a service that systemd knows already: `NAME.service` is started by
        #[doc = concat!("`NAME.", $manual, "`.")]
        /// The handle is that of the unit that triggers; the service's is had with
        /// [`Manager::unit`](crate::Manager::unit) when it runs.
        ///
        /// # Errors
        ///
        /// As `start`; that there is no such service fails the start: [`Unit::activated`](crate::Unit::activated).
        pub async fn start_for(
            &self,
            manager: &Manager,
            service: impl AsRef<str>,
            mode: crate::JobMode,
        ) -> crate::Result<crate::Unit> {
            self.check()?;
            self.parts.start_for(service.as_ref(), mode, manager).await
        }

        /// Sets any property of the unit by its D-Bus name and type (org.freedesktop.systemd1(5)).
        pub fn extra(&mut self, property: impl AsRef<str>, value: impl Into<crate::Value>) -> &mut Self {
            self.parts.extra(property.as_ref(), value);
            self
        }
    };
}
use common_calls;
