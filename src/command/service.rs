//! What only a service manager can do for a command.

use std::time::Duration;

use super::{Command, Exec, words};
use crate::bus::Value;
use crate::error::{Error, Result};
use crate::manager::{JobMode, Pace};
use crate::property::{self, Properties, Property};
use crate::unit::name;

/// The settings of a service that have a call of their own.
#[derive(Clone, Default)]
pub(super) struct Service {
    pub name: Option<String>,
    pub collect: bool,
    pub usage: bool,
    pub durable: bool,
    pub job_mode: JobMode,
    pub kind: Option<ServiceType>,
    pub exit_type: Option<ExitType>,
    pub remain_after_exit: bool,
    /// In µs.
    pub runtime_max: Option<u64>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub nice: Option<i32>,
    pub slice: Option<String>,
    pub slice_inherit: bool,
    pub start_pre: Vec<Exec>,
    pub start_post: Vec<Exec>,
    pub stop: Vec<Exec>,
    pub stop_post: Vec<Exec>,
    pub auxiliary: Vec<(String, Vec<Property>)>,
}

/// When a service counts as started, for [`Command::service_type`] (`Type=`, `systemd.service(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceType {
    /// When its process exists, whether or not the program can be executed. What systemd takes by itself.
    Simple,
    /// When the program is executed: that it is missing fails the start.
    Exec,
    /// When the first process has ended, having left another one behind. Which is the main one then, systemd guesses,
    /// or is told with `PIDFile=` ([`Command::extra`]).
    Forking,
    /// When it has run and ended, so it is never active, unless it remains after its exit.
    Oneshot,
    /// When it has taken the name on the bus that `BusName` says: `extra("BusName", "org.example")`.
    Dbus,
    /// When it says that it is ready: `READY=1`, `sd_notify(3)`.
    Notify,
    /// As `Notify`, and a reload sends SIGHUP and waits likewise. Since systemd 253; 262 wants the program to handle that
    /// signal, or the start fails as a `protocol` error.
    NotifyReload,
    /// As `Simple`, but held back, for 5 s at most, while other jobs run.
    Idle,
}

impl ServiceType {
    /// systemd's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceType::Simple => "simple",
            ServiceType::Exec => "exec",
            ServiceType::Forking => "forking",
            ServiceType::Oneshot => "oneshot",
            ServiceType::Dbus => "dbus",
            ServiceType::Notify => "notify",
            ServiceType::NotifyReload => "notify-reload",
            ServiceType::Idle => "idle",
        }
    }
}

/// When a service has ended, for [`Command::exit_type`] (`ExitType=`, `systemd.service(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitType {
    /// When its main process has: what is left is killed then. What systemd takes by itself.
    Main,
    /// When its last process has. The exit status is still that of the main process.
    Cgroup,
}

impl ExitType {
    /// systemd's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExitType::Main => "main",
            ExitType::Cgroup => "cgroup",
        }
    }
}

/// In µs, rounded up.
pub(super) fn time_to_run(limit: Duration) -> Result<u64> {
    match limit.as_nanos().div_ceil(1000) {
        0 => Err(Error::invalid("runtime_max", "0s", "would leave it no time to run")),
        limit => Ok(u64::try_from(limit).unwrap_or(u64::MAX)),
    }
}

impl Command {
    /// Names the unit; without it the name is generated and unique. `.service` is added where it is left out.
    ///
    /// The start fails with [`Error::UnitExists`] when a unit of this name is loaded.
    pub fn name(&mut self, name: impl AsRef<str>) -> &mut Self {
        let name = name::service(name.as_ref());
        self.service.name = self.accept(name);
        self
    }

    /// Describes the unit, for `systemctl status` and the journal (`Description=`); without it that is the command
    /// line. It may not hold a line break or end with a backslash: systemd writes it down as it is, and would read what
    /// follows as another setting.
    pub fn description(&mut self, description: impl Into<String>) -> &mut Self {
        let description = words::one_line("description", description.into());
        self.description = self.accept(description);
        self
    }

    /// Has systemd forget the unit when it has ended, also when it failed (`CollectMode=inactive-or-failed`). Without
    /// it a failed unit stays loaded, for `systemctl status` to show, until it is reset
    /// (`systemctl reset-failed`).
    pub fn collect(&mut self, collect: bool) -> &mut Self {
        self.service.collect = collect;
        self
    }

    /// What becomes of queued jobs that the start conflicts with (`systemd-run --job-mode=`); without it the start is
    /// refused then.
    pub fn job_mode(&mut self, mode: JobMode) -> &mut Self {
        self.service.job_mode = mode;
        self
    }

    /// When the service counts as started (`Type=`), and so when [`Unit::activated`](crate::Unit::activated) resolves.
    pub fn service_type(&mut self, service_type: ServiceType) -> &mut Self {
        self.service.kind = Some(service_type);
        self
    }

    /// When the service has ended (`ExitType=`): with its main process, or with the last of its processes. Since
    /// systemd 250.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// // Resolves when the sleep has ended too.
    /// sdrun::Command::new("/bin/sh")
    ///     .args(["-c", "sleep 10 &"])
    ///     .exit_type(sdrun::ExitType::Cgroup)
    ///     .status()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit_type(&mut self, exit_type: ExitType) -> &mut Self {
        self.service.exit_type = Some(exit_type);
        self
    }

    /// Keeps the unit active when its main process has ended with success, until it is stopped (`RemainAfterExit=`).
    /// Its handle resolves when the main process has ended, as ever.
    pub fn remain_after_exit(&mut self, remain: bool) -> &mut Self {
        self.service.remain_after_exit = remain;
        self
    }

    /// Stops the service when it has run for that long (`RuntimeMaxSec=`): SIGTERM, and after `TimeoutStopSec=` (90 s
    /// by default) SIGKILL. The exit's result is [`Outcome::Timeout`](crate::Outcome::Timeout) then. It counts from
    /// the activation on; to a oneshot it does not apply.
    ///
    /// Sent in µs, rounded up; it may not be zero.
    pub fn runtime_max(&mut self, limit: Duration) -> &mut Self {
        self.service.runtime_max = self.accept(time_to_run(limit));
        self
    }

    /// Runs it as this user, by name or number (`User=`), with the user's group unless another one is said. A user
    /// that does not exist is an exit with code 217. Under a user manager another user is an exit with code 216, and
    /// on 252 so is the manager's own.
    pub fn user(&mut self, user: impl Into<String>) -> &mut Self {
        let user = words::some("user", user.into());
        self.service.user = self.accept(user);
        self
    }

    /// Runs it with this group, by name or number (`Group=`). A group that does not exist is an exit with code 216.
    pub fn group(&mut self, group: impl Into<String>) -> &mut Self {
        let group = words::some("group", group.into());
        self.service.group = self.accept(group);
        self
    }

    /// Runs it as the user of this number (`User=`).
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.user(id.to_string())
    }

    /// Runs it with the group of this number (`Group=`).
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.group(id.to_string())
    }

    /// The nice level of its processes (`Nice=`): from -20, the most favourable, to 19. A user's manager may mostly set none
    /// below 0, and systemd then takes the nearest that it may set, without saying so.
    pub fn nice(&mut self, level: i32) -> &mut Self {
        let level = match level {
            -20..=19 => Ok(level),
            _ => Err(Error::invalid("nice level", level.to_string(), "is not between -20 and 19")),
        };
        self.service.nice = self.accept(level);
        self
    }

    /// Runs it in this slice (`Slice=`), which is made where it does not exist. `.slice` is added where it is left
    /// out; `a-b.slice` lies in `a.slice` (`systemd.slice(5)`). Without it that is `system.slice`, or `app.slice`
    /// under a user manager.
    pub fn slice(&mut self, slice: impl AsRef<str>) -> &mut Self {
        let slice = name::slice(slice.as_ref());
        self.service.slice = self.accept(slice);
        self
    }

    /// Runs it in the slice that this process is in, or, with [`slice`](Command::slice), in that slice below it
    /// (`systemd-run --slice-inherit`). For managers of this host.
    pub fn slice_inherit(&mut self, inherit: bool) -> &mut Self {
        self.service.slice_inherit = inherit;
        self
    }

    /// Adds a command to run before the main one (`ExecStartPre=`). Several run one after another; when one fails
    /// the start has failed, and the main one is not run.
    pub fn start_pre(&mut self, exec: impl Into<Exec>) -> &mut Self {
        let exec = self.checked(exec.into());
        self.service.start_pre.push(exec);
        self
    }

    /// Adds a command to run when the main one counts as started (`ExecStartPost=`). When it fails the start has
    /// failed, and the main process is stopped.
    pub fn start_post(&mut self, exec: impl Into<Exec>) -> &mut Self {
        let exec = self.checked(exec.into());
        self.service.start_post.push(exec);
        self
    }

    /// Adds a command that stops the service (`ExecStop=`), run when it is to stop or its main process has ended by itself,
    /// provided that it was started. It sees `$MAINPID`. What is left when it has ended is sent SIGTERM, and later SIGKILL.
    pub fn stop(&mut self, exec: impl Into<Exec>) -> &mut Self {
        let exec = self.checked(exec.into());
        self.service.stop.push(exec);
        self
    }

    /// Adds a command to run when the service has ended, however it did (`ExecStopPost=`). It sees
    /// `$SERVICE_RESULT`, `$EXIT_CODE` and `$EXIT_STATUS`. The handle resolves after it.
    pub fn stop_post(&mut self, exec: impl Into<Exec>) -> &mut Self {
        let exec = self.checked(exec.into());
        self.service.stop_post.push(exec);
        self
    }

    fn checked(&mut self, exec: Exec) -> Exec {
        if let Some(problem) = exec.problem() {
            self.refuse(problem.clone());
        }
        exec
    }

    /// Adds an auxiliary unit, which systemd makes together with this one: its full name and its properties
    /// (`StartTransientUnit`, org.freedesktop.systemd1(5)). It is started only where the service pulls it in, with
    /// `Wants` for instance.
    pub fn auxiliary<P: Into<String>>(
        &mut self,
        name: impl AsRef<str>,
        properties: impl IntoIterator<Item = (P, Value)>,
    ) -> &mut Self {
        let properties = properties.into_iter().map(|(property, value)| property::given(property.into(), value));
        let unit = name::any(name.as_ref()).and_then(|name| Ok((name, properties.collect::<Result<_>>()?)));
        if let Some(unit) = self.accept(unit) {
            self.service.auxiliary.push(unit);
        }
        self
    }

    /// Adds an auxiliary unit, as [`auxiliary`](Command::auxiliary), with properties that were made of assignments.
    pub fn auxiliary_unit(&mut self, name: impl AsRef<str>, properties: Properties) -> &mut Self {
        let name = name::any(name.as_ref());
        if let Some(name) = self.accept(name) {
            self.service.auxiliary.push((name, properties.into_list()));
        }
        self
    }

    /// Sets any property of the unit that systemd takes in `StartTransientUnit`, by its D-Bus name and type
    /// (org.freedesktop.systemd1(5)). Whether the property exists and takes that type is for systemd to say, when
    /// the command is started. These come after the properties that other calls set, and so win over them.
    ///
    /// systemd writes them down in a unit file, which it reads at the next `daemon-reload`, and some texts, as
    /// `Description`, as they are: text from a stranger may hold no line break, or it brings settings of its own.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// sdrun::Command::new("/usr/bin/stress").extra("MemoryMax", 512u64 << 20).extra("Nice", 10).status().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn extra(&mut self, property: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let added = self.extra.extra(property, value).map(|_| ());
        self.accept(added);
        self
    }

    /// Sets a property of the unit by an assignment, `NAME=VALUE`, as `systemd-run --property=` and unit files have it:
    /// every setting of `systemd.exec(5)`, `systemd.resource-control(5)`, `systemd.service(5)`, `systemd.kill(5)` and
    /// `systemd.unit(5)` that a transient service takes. Where a setting is a list, assignments add to it, and one with an
    /// empty value empties it; else the last one counts. It wins over what other calls set.
    ///
    /// A setting that sdrun does not know is not refused for that: when the command is started the manager is asked for
    /// its type, so one that a newer systemd brings works as far as its value is a plain one.
    ///
    /// Paths and names in values are the manager's; nothing in them is expanded here. As with [`extra`](Command::extra),
    /// text from a stranger may hold no line break.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// sdrun::Command::new("/usr/bin/make")
    ///     .property("MemoryMax=2G")?
    ///     .property("ProtectSystem=strict")?
    ///     .property("ReadWritePaths=/var/cache /src")?
    ///     .status()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Property`] says what is wrong with the value, and what would be right.
    pub fn property(&mut self, assignment: impl AsRef<str>) -> Result<&mut Self> {
        self.extra.set(assignment)?;
        Ok(self)
    }

    /// How long the unit's start job may take.
    pub(super) fn pace(&self) -> Pace {
        let Service { start_pre, start_post, kind, .. } = &self.service;
        let kind = self.extra_text("Type").or(kind.map(ServiceType::as_str));
        let more =
            ["ExecStartPre", "ExecStartPost", "ExecStartPreEx", "ExecStartPostEx", "ExecCondition", "ExecConditionEx"];
        let waits =
            !start_pre.is_empty() || !start_post.is_empty() || self.extra.known().any(|(name, _)| more.contains(&name));
        if waits { Pace::Lasting } else { kind.map_or(Pace::Quick, Pace::of_service_type) }
    }

    /// Whether systemd may start it again by itself.
    pub(super) fn restarts(&self) -> bool {
        let forced = self.extra.known().any(|(name, _)| name == "RestartForceExitStatus");
        forced || self.extra_text("Restart").is_some_and(|restart| restart != "no")
    }

    /// Whether the unit may stay active after its main process has ended.
    pub(super) fn may_remain(&self) -> bool {
        let said = self.extra.known().rev().find_map(|(name, value)| match value {
            Value::Bool(remain) if name == "RemainAfterExit" => Some(*remain),
            _ => None,
        });
        said.unwrap_or(self.service.remain_after_exit)
    }

    /// A property that was given as text.
    fn extra_text(&self, property: &str) -> Option<&str> {
        self.extra.known().rev().find(|(name, _)| *name == property).and_then(|(_, value)| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }
}
