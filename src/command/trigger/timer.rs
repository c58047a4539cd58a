//! A command that a timer starts.

use std::time::Duration;

use super::{Parts, common_calls};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::property::UnitType;
use crate::unit::Trigger;

/// A timer unit (`systemd.timer(5)`) that starts a command: `systemd-run --on-active=…` and the like.
///
/// It may have several times, of which each starts the command. When none is left that is to come, and the command has run,
/// the timer ends and is unloaded (`RemainAfterElapse=no`, unless [`property`](TimerUnit::property) says otherwise).
///
/// systemd lets a timer elapse up to a minute late, so that the machine wakes up less often:
/// [`accuracy`](TimerUnit::accuracy).
///
/// ```no_run
/// # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
/// use std::time::Duration;
///
/// let mut command = sdrun::Command::new("/usr/bin/fetch");
/// let mut timer = sdrun::TimerUnit::new();
/// timer.on_active(Duration::from_secs(5)).on_unit_inactive(Duration::from_secs(60));
/// let trigger = timer.accuracy(Duration::from_millis(1)).start(&manager, command.name("fetch")).await?;
/// assert_eq!((trigger.unit().name(), trigger.service_name()), ("fetch.timer", "fetch.service"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TimerUnit {
    parts: Parts,
}

impl TimerUnit {
    /// A timer that never elapses, until it is told when.
    pub fn new() -> Self {
        TimerUnit { parts: Parts::new(UnitType::Timer) }
    }

    /// Elapses so long after the timer was started (`OnActiveSec=`).
    pub fn on_active(&mut self, after: Duration) -> &mut Self {
        self.after("OnActiveSec", after)
    }

    /// Elapses so long after the machine was booted (`OnBootSec=`), or at once where that is past.
    pub fn on_boot(&mut self, after: Duration) -> &mut Self {
        self.after("OnBootSec", after)
    }

    /// Elapses so long after the service manager was started (`OnStartupSec=`), or at once where that is past.
    pub fn on_startup(&mut self, after: Duration) -> &mut Self {
        self.after("OnStartupSec", after)
    }

    /// Elapses so long after the service was started the last time (`OnUnitActiveSec=`). By itself it does not start it the
    /// first time. A oneshot service is never active, so this never elapses after one.
    pub fn on_unit_active(&mut self, after: Duration) -> &mut Self {
        self.after("OnUnitActiveSec", after)
    }

    /// Elapses so long after the service ended the last time (`OnUnitInactiveSec=`). By itself it does not start it the
    /// first time.
    pub fn on_unit_inactive(&mut self, after: Duration) -> &mut Self {
        self.after("OnUnitInactiveSec", after)
    }

    /// Elapses at these times (`OnCalendar=`, `systemd.time(7)`, "Calendar events"), for instance
    /// `Mon..Fri *-*-* 10:00 Europe/Berlin` or `daily`.
    ///
    /// A time zone must be in this host's database, as with systemd-run; what counts is that of the manager's host.
    ///
    /// ```
    /// let error = sdrun::TimerUnit::new().on_calendar("Mon *-13-01").unwrap_err();
    /// let expected = r#"OnCalendar=Mon *-13-01: "13" (at character 7) is not a month (1 to 12)"#;
    /// assert_eq!(error.to_string(), expected);
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Property`] for an expression that systemd does not take, with the place where it goes wrong.
    pub fn on_calendar(&mut self, event: impl AsRef<str>) -> Result<&mut Self> {
        match event.as_ref() {
            "" => Err(Error::property("OnCalendar=", "is no calendar event (expected one as \"Mon..Fri 10:00\")")),
            event => self.property(format!("OnCalendar={event}")),
        }
    }

    /// Whether it elapses when the system's clock jumps (`OnClockChange=`).
    pub fn on_clock_change(&mut self, elapse: bool) -> &mut Self {
        self.parts.extra("OnClockChange", elapse);
        self
    }

    /// Whether it elapses when the local time zone is changed (`OnTimezoneChange=`).
    pub fn on_timezone_change(&mut self, elapse: bool) -> &mut Self {
        self.parts.extra("OnTimezoneChange", elapse);
        self
    }

    /// How late it may elapse (`AccuracySec=`): a minute, unless this says otherwise.
    pub fn accuracy(&mut self, accuracy: Duration) -> &mut Self {
        self.parts.extra("AccuracyUSec", microseconds(accuracy));
        self
    }

    /// Delays it by a time drawn anew each time, of this at most (`RandomizedDelaySec=`).
    pub fn randomized_delay(&mut self, most: Duration) -> &mut Self {
        self.parts.extra("RandomizedDelayUSec", microseconds(most));
        self
    }

    common_calls!("timer");

    fn after(&mut self, event: &str, after: Duration) -> &mut Self {
        self.parts.pair("TimersMonotonic", event, microseconds(after));
        self
    }

    /// Starts the timer, with the command as the service that it starts. Both have the command's name (`NAME.timer`,
    /// `NAME.service`), or one that is generated.
    ///
    /// Dropping the future before it resolves gives the start up: see [`Command::start`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the timer has no time at which to elapse, or the command what a service that is started
    /// later cannot have: a terminal, pipes and other descriptors, [`Command::usage`],
    /// [`Command::durable`]. Nothing is sent then. Otherwise as
    /// [`Command::start`].
    pub async fn start(&self, manager: &Manager, command: &Command) -> Result<Trigger> {
        self.check()?;
        self.parts.start(command, manager).await
    }

    /// Refuses what systemd would refuse.
    fn check(&self) -> Result<()> {
        let times = ["TimersMonotonic", "TimersCalendar", "OnClockChange", "OnTimezoneChange"];
        if self.parts.problem.is_none() && !self.parts.has_one_of(&times) {
            return Err(Error::invalid(
                "timer",
                "",
                "has no time at which to elapse: say one, on_active() for instance",
            ));
        }
        Ok(())
    }
}

impl Default for TimerUnit {
    fn default() -> Self {
        Self::new()
    }
}

/// Rounded up.
fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}
