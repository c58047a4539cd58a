//! Scopes: units around processes that the manager has not started.

mod around;
mod child;
mod held;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::message::{property, property_str};
use super::options::append_accounting;
use super::{service, slice, words};
use crate::bus::Value;
use crate::error::{Error, Result};
use crate::manager::{JobMode, Manager, Pace, Start};
use crate::property::{Properties, Settled, UnitType, settle};
use crate::unit::tracked::Tracked;
use crate::unit::{Habits, Unit, name};

pub use child::ScopeCommand;
pub use held::Scoped;

/// A scope (`systemd.scope(5)`): a unit around processes that its manager has not started. It gives them a cgroup, limits
/// and an end as a whole, but not a new parent, environment or standard streams: those stay as they are.
///
/// Around a new child ([`spawn`](Scope::spawn), or [`Command::scope`](super::Command::scope) for a command of this
/// crate), or around processes that exist already ([`around`](Scope::around), [`around_pidfds`](Scope::around_pidfds)).
/// The processes that these start are in the scope too.
///
/// The [`Unit`] is the same as that of a service, though it has no main process: its limits can be changed
/// ([`Unit::set`]), all of its processes be signalled ([`Unit::kill`] with [`Whom::All`](crate::Whom::All)), frozen or
/// stopped. It ends when its last process has: [`Unit::wait`] gives an [`Exit`](crate::Exit) with a result
/// ([`Outcome::Success`](crate::Outcome::Success), [`Timeout`](crate::Outcome::Timeout) after
/// [`runtime_max`](Scope::runtime_max), [`OomKill`](crate::Outcome::OomKill), …) and without a status, which only the
/// parent of a process learns.
///
/// For managers of this host, and not from within another PID namespace than theirs: process IDs have no meaning elsewhere.
///
/// ```no_run
/// # async fn example(manager: &sdrun::Manager) -> Result<(), Box<dyn std::error::Error>> {
/// use sdrun::{Scope, Whom};
///
/// let mut make = tokio::process::Command::new("make");
/// make.arg("-j8").current_dir("/src");
/// let mut scoped = Scope::new().slice("batch").property("MemoryMax=2G")?.spawn(make, manager).await?;
/// let status = scoped.child.wait().await?;
/// println!("make: {status}");
/// // What it has left behind, if anything.
/// scoped.unit.stop().await.ok();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scope {
    name: Option<String>,
    description: Option<String>,
    collect: bool,
    usage: bool,
    /// In µs.
    runtime_max: Option<u64>,
    slice: Option<String>,
    slice_inherit: bool,
    job_mode: JobMode,
    extra: Properties,
    habits: Habits,
    /// The first input that cannot be sent.
    problem: Option<Error>,
}

impl Scope {
    /// A scope with a name that is generated, in the manager's own place for scopes, without limits.
    pub fn new() -> Self {
        Scope {
            name: None,
            description: None,
            collect: false,
            usage: false,
            runtime_max: None,
            slice: None,
            slice_inherit: false,
            job_mode: JobMode::default(),
            extra: Properties::new(UnitType::Scope),
            habits: Habits::default(),
            problem: None,
        }
    }

    fn accept<T>(&mut self, value: Result<T>) -> Option<T> {
        value.map_err(|error| _ = self.problem.get_or_insert(error)).ok()
    }

    /// Names the unit; without it the name is generated and unique. `.scope` is added where it is left out.
    ///
    /// The start fails with [`Error::UnitExists`] when a unit of this name is loaded.
    pub fn name(&mut self, name: impl AsRef<str>) -> &mut Self {
        self.name = self.accept(name::scope(name.as_ref()));
        self
    }

    /// Describes the unit (`Description=`), as [`Command::description`](super::Command::description).
    pub fn description(&mut self, description: impl Into<String>) -> &mut Self {
        self.description = self.accept(words::one_line("description", description.into()));
        self
    }

    /// Has systemd forget the unit when it has ended, also when it failed (`CollectMode=inactive-or-failed`).
    pub fn collect(&mut self, collect: bool) -> &mut Self {
        self.collect = collect;
        self
    }

    /// Has [`Exit::usage`](crate::Exit::usage) say what its processes have used, as
    /// [`Command::usage`](super::Command::usage).
    pub fn usage(&mut self, usage: bool) -> &mut Self {
        self.usage = usage;
        self
    }

    /// Stops the scope when it has been there for that long (`RuntimeMaxSec=`): SIGTERM to all of its processes, and after
    /// `TimeoutStopSec=` SIGKILL.
    ///
    /// Sent in µs, rounded up; it may not be zero.
    pub fn runtime_max(&mut self, limit: Duration) -> &mut Self {
        self.runtime_max = self.accept(service::time_to_run(limit));
        self
    }

    /// Puts it into this slice (`Slice=`), as [`Command::slice`](super::Command::slice).
    pub fn slice(&mut self, slice: impl AsRef<str>) -> &mut Self {
        self.slice = self.accept(name::slice(slice.as_ref()));
        self
    }

    /// Puts it into the slice that this process is in, or, with [`slice`](Scope::slice), into that slice below it
    /// (`systemd-run --slice-inherit`).
    pub fn slice_inherit(&mut self, inherit: bool) -> &mut Self {
        self.slice_inherit = inherit;
        self
    }

    /// What becomes of queued jobs that the start conflicts with: see [`Command::job_mode`](super::Command::job_mode).
    pub fn job_mode(&mut self, mode: JobMode) -> &mut Self {
        self.job_mode = mode;
        self
    }

    /// Sets a property of the scope by an assignment, `NAME=VALUE`: the settings of `systemd.resource-control(5)`,
    /// `systemd.kill(5)`, `systemd.scope(5)` and `systemd.unit(5)`, as [`Command::property`](super::Command::property). It
    /// wins over what other calls set.
    ///
    /// # Errors
    ///
    /// [`Error::Property`] says what is wrong with the value, and what would be right.
    pub fn property(&mut self, assignment: impl AsRef<str>) -> Result<&mut Self> {
        self.extra.set(assignment)?;
        Ok(self)
    }

    /// Sets a property of the scope by its D-Bus name and type, as [`Command::extra`](super::Command::extra).
    pub fn extra(&mut self, property: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let added = self.extra.extra(property, value).map(|_| ());
        self.accept(added);
        self
    }

    /// Stops the scope when its handle is dropped before it has ended, as
    /// [`Command::kill_on_drop`](super::Command::kill_on_drop): SIGTERM to all of its processes, and later SIGKILL.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.habits.kill_on_drop = kill;
        self
    }

    /// All that is sent, but the processes; it is bad input or the wrong manager that makes it fail.
    async fn prepare(&self, manager: &Manager) -> Result<Prepared<'_>> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if !manager.is_here() {
            let reason = "is for managers of this host: process IDs have no meaning elsewhere";
            return Err(Error::invalid("scope", "", reason));
        }
        let slice = match (&self.slice, self.slice_inherit) {
            (slice, false) => slice.clone(),
            (slice, true) => Some(slice::inherited(slice.as_deref(), manager.is_user())?),
        };
        let extra = settle(self.extra.list(), UnitType::Scope.as_str(), manager).await?;
        let name = self.name.clone().unwrap_or_else(name::generate_scope);
        Ok(Prepared { scope: self, name, slice, extra })
    }
}

impl Default for Scope {
    fn default() -> Self {
        Scope::new()
    }
}

/// Shows what it is, but not the values of its properties.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("name", &self.name).field("extra", &self.extra).finish_non_exhaustive()
    }
}

/// A scope that is ready to be sent.
struct Prepared<'a> {
    scope: &'a Scope,
    name: String,
    slice: Option<String>,
    extra: Settled<'a>,
}

impl Prepared<'_> {
    /// Whether these descriptors can be sent with it.
    fn check_descriptors(&self, more: usize, manager: &Manager) -> Result<()> {
        manager.check_descriptors(self.extra.descriptors() + more)
    }

    /// Starts it around these processes and waits until they are in it. Where it is to be `undone` without its handle, an
    /// error and dropping the handle end them.
    async fn start(
        self,
        (kind, processes): (&str, Value),
        (described, undone): (Option<&str>, bool),
        manager: &Manager,
    ) -> Result<Unit> {
        let scope = self.scope;
        let tracked = Arc::new(Tracked::new(self.name));
        let mut unit = Unit::new(tracked.clone(), Arc::new(OnceLock::from(manager.clone())));
        let start =
            Start { pace: Pace::Quick, restarts: false, usage: scope.usage, durable: false, mode: scope.job_mode };
        manager
            .start(
                &tracked,
                start,
                |message| {
                    if let Some(description) = scope.description.as_deref().or(described) {
                        property_str(message, "Description", description)?;
                    }
                    if scope.collect {
                        property_str(message, "CollectMode", "inactive-or-failed")?;
                    }
                    if let Some(slice) = &self.slice {
                        property_str(message, "Slice", slice)?;
                    }
                    if let Some(limit) = scope.runtime_max {
                        property(message, "RuntimeMaxUSec", c"t", |m| m.append(limit))?;
                    }
                    append_accounting(message, scope.usage, &scope.extra)?;
                    processes.append_property_to(kind, message)?;
                    self.extra.append_to(message)
                },
                |_| Ok(()),
            )
            .await?;
        unit.habits = Habits { kill_on_drop: undone, ..scope.habits };
        unit.activated().await?;
        Ok(unit)
    }
}
