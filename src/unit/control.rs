//! What can be asked of a unit, and done with it, while it runs.

use super::{Unit, name};
use crate::bus::{Message, Value};
use crate::error::{Error, Result};
use crate::manager::{Job, Manager};
use crate::property::{self, UnitType};

/// Which of a unit's processes a signal is for (`KillUnit`, org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// The main process.
    Main,
    /// The control process: that of an `ExecStartPre=`, `ExecReload=`, `ExecStop=` and the like.
    Control,
    /// Every process in the unit's cgroup.
    All,
}

impl Unit {
    /// The manager, once it has accepted the start.
    async fn running_on(&self) -> Result<&Manager> {
        self.tracked.started().await?;
        self.manager.get().ok_or(Error::RuntimeGone)
    }

    /// Reads a property of the unit, by its D-Bus name: one of the interface of its type (for a service `MainPID`,
    /// `NRestarts`, …), or else one of the unit interface (`ActiveState`, `Slice`, …). org.freedesktop.systemd1(5) lists
    /// them.
    ///
    /// A unit that has ended is mostly not loaded any more, and systemd then answers with the values of one that
    /// was never started.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// let unit = sdrun::run("/bin/sleep 10").await?;
    /// assert_eq!(unit.get("Slice").await?, "system.slice".into());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Call`] for a property that neither interface has, and what [`wait`](Unit::wait) gives for a start that
    /// was refused or a connection that was lost. Cancel-safe.
    pub async fn get(&self, property: &str) -> Result<Value> {
        property::check_name(property)?;
        let manager = self.running_on().await?;
        let of_type = name::interface(self.name());
        match manager.property(self.name(), of_type, property).await {
            Err(Error::Call { name, .. }) if &*name == "org.freedesktop.DBus.Error.UnknownProperty" => {
                manager.property(self.name(), "org.freedesktop.systemd1.Unit", property).await
            }
            answer => answer,
        }
    }

    /// The process ID of the unit's main process (`MainPID`), as its manager counts; `None` where it has none: before
    /// its start, after its end, and for a unit that is no service.
    ///
    /// # Errors
    ///
    /// As [`get`](Unit::get).
    pub async fn main_pid(&self) -> Result<Option<u32>> {
        match self.get("MainPID").await {
            Ok(Value::U32(process)) => Ok((process > 0).then_some(process)),
            Ok(other) => Err(Error::message(format!("MainPID of type u, not {}", other.signature()))),
            Err(Error::Call { name, .. }) if &*name == "org.freedesktop.DBus.Error.UnknownProperty" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stops the unit (`StopUnit`) and waits until it is: its processes have ended, by SIGTERM, or by SIGKILL when that
    /// takes too long (`systemd.kill(5)`, `TimeoutStopSec=`). Its exit is for [`wait`](Unit::wait) to tell.
    ///
    /// Cancel-safe: when the future is dropped the job goes on.
    ///
    /// # Errors
    ///
    /// [`Error::Job`] when it was not carried out: someone had the unit started meanwhile (`canceled`), for instance;
    /// [`Error::NoSuchUnit`] when it is not loaded any more, because it has ended; [`Error::AccessDenied`] and
    /// [`Error::Call`] for what systemd refuses, and as [`wait`](Unit::wait).
    pub async fn stop(&self) -> Result<()> {
        self.running_on().await?.job(Job::Stop, self.name()).await
    }

    /// Stops the unit and starts it again (`RestartUnit`), and waits until it is up, as
    /// [`activated`](Unit::activated) means it. A [`wait`](Unit::wait) goes on through it.
    ///
    /// Cancel-safe: when the future is dropped the job goes on.
    ///
    /// # Errors
    ///
    /// As [`stop`](Unit::stop).
    pub async fn restart(&self) -> Result<()> {
        self.running_on().await?.job(Job::Restart, self.name()).await
    }

    /// Has the unit load its configuration again (`ReloadUnit`), and waits until it has: `ExecReload=` has run, or
    /// (`Type=notify-reload`) the service has said `READY=1` again.
    ///
    /// Cancel-safe: when the future is dropped the job goes on.
    ///
    /// # Errors
    ///
    /// As [`stop`](Unit::stop); [`Error::Call`] with `org.freedesktop.systemd1.JobTypeNotApplicable` where the
    /// unit has no way to reload.
    pub async fn reload(&self) -> Result<()> {
        self.running_on().await?.job(Job::Reload, self.name()).await
    }

    /// Sends a signal to processes of the unit (`KillUnit`). When it returns they have been sent it; what comes of that
    /// is for [`wait`](Unit::wait) to tell.
    ///
    /// ```no_run
    /// # async fn example(unit: sdrun::Unit) -> sdrun::Result<()> {
    /// const SIGUSR1: i32 = 10;
    /// unit.kill(SIGUSR1, sdrun::Whom::Main).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a number that is no signal's, [`Error::NoSuchUnit`] when the unit is not loaded any more,
    /// [`Error::Call`] where it has no such process, and as [`wait`](Unit::wait). Cancel-safe.
    pub async fn kill(&self, signal: i32, whom: Whom) -> Result<()> {
        let last = nix::libc::SIGRTMAX();
        if !(1..=last).contains(&signal) {
            return Err(Error::invalid("signal", signal.to_string(), format!("is none: they are 1 to {last}")));
        }
        let whom = match whom {
            Whom::Main => "main",
            Whom::Control => "control",
            Whom::All => "all",
        };
        let fill = |message: &mut Message<'_>| {
            message.append_str(whom)?;
            message.append(signal)
        };
        self.running_on().await?.tell((c"KillUnit", "KillUnit"), self.name(), fill).await
    }

    /// Freezes the processes of the unit (`FreezeUnit`, systemd 246 and later) and waits until they are: they run no
    /// more until [`thaw`](Unit::thaw), and signals wait.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchUnit`] when the unit is not loaded any more, [`Error::Call`] where its kind or the kernel cannot
    /// do it or it is not running, and as [`wait`](Unit::wait). Cancel-safe: when the future is dropped it is done all
    /// the same.
    pub async fn freeze(&self) -> Result<()> {
        self.running_on().await?.tell((c"FreezeUnit", "FreezeUnit"), self.name(), |_| Ok(())).await
    }

    /// Lets processes that are frozen run again (`ThawUnit`, systemd 246 and later), and waits until they do.
    ///
    /// # Errors
    ///
    /// As [`freeze`](Unit::freeze).
    pub async fn thaw(&self) -> Result<()> {
        self.running_on().await?.tell((c"ThawUnit", "ThawUnit"), self.name(), |_| Ok(())).await
    }

    /// Sets a property of the unit while it is loaded (`SetUnitProperties`, at run time only): its resource limits
    /// and weights, mostly (`systemd.resource-control(5)`), which take effect at once.
    ///
    /// ```no_run
    /// # async fn example(unit: sdrun::Unit) -> sdrun::Result<()> {
    /// unit.set_property("MemoryMax", 1u64 << 30).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a value that cannot be sent, [`Error::NoSuchUnit`] when the unit is not loaded any more,
    /// [`Error::Call`] for a property that cannot be set on a unit that exists, and as [`wait`](Unit::wait).
    /// Cancel-safe.
    pub async fn set_property(&self, name: impl AsRef<str>, value: impl Into<Value>) -> Result<()> {
        let (name, value) = (name.as_ref(), value.into());
        property::check(name, &value)?;
        let fill = |message: &mut Message<'_>| value.append_property_to(name, message);
        let manager = self.running_on().await?;
        manager.check_descriptors(value.descriptors())?;
        manager.set_properties(self.name(), fill).await
    }

    /// Sets properties of the unit while it is loaded, by an assignment as unit files have it (`systemctl set-property
    /// --runtime`): as [`set_property`](Unit::set_property), with the text that
    /// [`Command::property`](crate::Command::property) takes.
    ///
    /// ```no_run
    /// # async fn example(unit: sdrun::Unit) -> sdrun::Result<()> {
    /// unit.set("MemoryMax=50%").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Property`] says what is wrong with the value; else as [`set_property`](Unit::set_property). Cancel-safe.
    pub async fn set(&self, assignment: impl AsRef<str>) -> Result<()> {
        let unit_type = UnitType::of(self.name()).ok_or_else(|| {
            Error::invalid("unit", self.name(), "is of a type whose settings have no text here; use set_property()")
        })?;
        let properties = property::read(unit_type, assignment.as_ref())?;
        let manager = self.running_on().await?;
        let settled = property::settle(&properties, unit_type.as_str(), manager).await?;
        manager.set_properties(self.name(), |message| settled.append_to(message)).await
    }

    /// Has systemd forget that the unit failed (`ResetFailedUnit`): where it did, and does not run, it is unloaded.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchUnit`] when the unit is not loaded any more, and as [`wait`](Unit::wait). Cancel-safe.
    pub async fn reset_failed(&self) -> Result<()> {
        self.running_on().await?.tell((c"ResetFailedUnit", "ResetFailedUnit"), self.name(), |_| Ok(())).await
    }
}
