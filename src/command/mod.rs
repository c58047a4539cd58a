//! The builder of a transient service.

mod environment;
mod exec;
mod from;
mod message;
mod options;
mod output;
mod program;
mod pty;
mod scope;
mod service;
mod settings;
mod slice;
mod stdio;
mod trigger;
mod words;

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::error::{Error, Result};
use crate::manager::{Manager, Start};
use crate::property::{Properties, Property, Settled, settle};
use crate::unit::name;
use crate::unit::tracked::{MustEnd, Tracked};
use crate::unit::{Exit, Habits, Pty, Unit};
use environment::Environment;
use message::Ready;
use program::Place;
use pty::{Opened, Terminal};
use service::Service;
use stdio::{Pipes, Stream, Streams};

pub use exec::Exec;
pub use output::Output;
pub use scope::{Scope, ScopeCommand, Scoped};
pub use service::{ExitType, ServiceType};
pub use settings::{KillMode, ProtectHome, ProtectSystem, Restart};
pub use stdio::Stdio;
pub use trigger::{PathUnit, SocketUnit, TimerUnit};

/// A command to be run as a transient service unit, built as with `tokio::process::Command`.
///
/// The program is run by the service manager, not as a child of this process: its environment, working directory and
/// standard streams are those of a service (`systemd.exec(5)`), and it keeps running when this process ends.
/// Arguments reach it as they are: nothing in them is expanded, by a shell or by systemd.
///
/// Input that cannot be sent is remembered when it is given and reported by whatever starts the command.
///
/// ```no_run
/// # async fn example() -> sdrun::Result<()> {
/// let exit = sdrun::Command::new("/usr/bin/make")
///     .arg("-j8")
///     .env("CC", "clang")
///     .current_dir("/src")
///     .status()
///     .await?;
/// println!("make: {exit}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Command {
    main: Exec,
    environment: Environment,
    directory: Option<String>,
    description: Option<String>,
    stdio: [Option<Stdio>; 3],
    terminal: Terminal,
    service: Service,
    extra: Properties,
    habits: Habits,
    /// The first input that cannot be sent, if it is not one of the main command line.
    problem: Option<Error>,
}

impl Command {
    /// A command that runs this program, without arguments.
    ///
    /// A name without a slash is looked for in the `PATH` that [`env`](Command::env) sets, or else in that of this
    /// process; a relative path is relative to this process's own working directory. In a container only absolute
    /// paths have a meaning, and names, which the manager there looks for.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Exec::new(program).into()
    }

    /// Keeps the first problem: the others may follow from it.
    fn refuse(&mut self, error: Error) {
        self.problem.get_or_insert(error);
    }

    fn accept<T>(&mut self, value: Result<T>) -> Option<T> {
        value.map_err(|error| self.refuse(error)).ok()
    }

    /// Adds an argument. It must be UTF-8, since D-Bus carries only that, and hold no NUL byte.
    ///
    /// Linux passes no argument on, and no environment variable with its name, that is longer than 131,071 bytes
    /// (execve(2); more where pages are larger than 4 KiB): on this host such a one is [`Error::Invalid`]. Elsewhere, and
    /// where all of them together are more than Linux takes (2 MiB mostly, a quarter of `LimitSTACK=`), the unit fails
    /// without the program having run: [`Exit`] with code 203, or [`Outcome::Resources`](crate::Outcome::Resources).
    /// Nothing is ever cut.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.main.arg(argument);
        self
    }

    /// Adds several arguments: see [`arg`](Command::arg).
    pub fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Self {
        self.main.args(arguments);
        self
    }

    /// Gives the program another first argument than its path.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.main.arg0(name);
        self
    }

    /// Has systemd take a failure of the program for a success (the prefix `-` of `ExecStart=`, `systemd.service(5)`).
    pub fn ignore_failure(&mut self, ignore: bool) -> &mut Self {
        self.main.ignore_failure(ignore);
        self
    }

    /// Has systemd expand `$NAME` and `${NAME}` in the arguments, from the environment that the program gets
    /// (`systemd-run --expand-environment=yes`; `systemd.service(5)`, "Command lines"). Without it they reach the
    /// program as they are.
    pub fn expand_environment(&mut self, expand: bool) -> &mut Self {
        self.main.expand_environment(expand);
        self
    }

    /// Sets an environment variable of the program (`Environment=`), in addition to what the manager gives every
    /// service.
    ///
    /// Anyone on the host can read a unit's environment from systemd, and every process that the program starts inherits it:
    /// hand secrets over as credentials instead, with [`load_credential`](Command::load_credential) or
    /// [`set_credential`](Command::set_credential).
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let variable = words::variable(key.as_ref(), value.as_ref());
        if let Some((key, value)) = self.accept(variable) {
            self.environment.set(key, value);
        }
        self
    }

    /// Sets several environment variables: see [`env`](Command::env). There may be 10,000 of them: systemd's time for them
    /// grows with their square.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self {
        for (key, value) in variables {
            self.env(key, value);
        }
        self
    }

    /// Takes an environment variable away: one that was set before, and one that the manager gives every service
    /// (`UnsetEnvironment=`).
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        let name = words::variable_name(key.as_ref());
        if let Some(name) = self.accept(name) {
            self.environment.unset(name);
        }
        self
    }

    /// Takes all environment variables away that were set before, and those that the manager hands on from its own
    /// environment or sets for every program (`UnsetEnvironment=`). What it tells a service about itself
    /// (`$INVOCATION_ID`, `$NOTIFY_SOCKET`, …) remains.
    ///
    /// The start costs one more call, which asks for the manager's environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.environment.clear();
        self
    }

    /// Sets the working directory of the program (`WorkingDirectory=`); without it that is `/`, or the home directory
    /// under a user manager. A relative path is relative to this process's own working directory, and `..` is resolved
    /// here, since systemd does not take it. A directory that does not exist is an exit with code 200.
    ///
    /// It may not hold a line break, nor end with a backslash or a blank: systemd writes it down as it is, and would read
    /// something else at its next `daemon-reload`.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        let directory = words::directory(directory.as_ref());
        self.directory = self.accept(directory);
        self
    }

    /// The program's standard input (`StandardInput=`); without it that is `/dev/null`.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(Stream::Input, stdio.into())
    }

    /// The program's standard output (`StandardOutput=`); without it that is the journal, or for
    /// [`output`](Command::output) a pipe.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(Stream::Output, stdio.into())
    }

    /// The program's standard error (`StandardError=`); without it that is the journal, or for
    /// [`output`](Command::output) a pipe.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stream(Stream::Error, stdio.into())
    }

    fn stream(&mut self, stream: Stream, stdio: Stdio) -> &mut Self {
        let checked = stdio.check(stream).map(|()| stdio);
        self.stdio[stream as usize] = self.accept(checked);
        self
    }

    /// Stops the unit when its handle is dropped before it has ended. Without it, it goes on.
    ///
    /// It is stopped as by [`Unit::stop`], so its processes get SIGTERM, and SIGKILL only after
    /// `TimeoutStopSec=`. The connection stays open until systemd has taken the call. When the tokio runtime was shut down
    /// first there is no connection left to stop it over, and it goes on.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.habits.kill_on_drop = kill;
        self
    }

    /// Has an exit that is none as it should be ([`Exit::check`]) be an error of whatever waits for the unit:
    /// [`Error::Failed`].
    pub fn raise_on_fail(&mut self, raise: bool) -> &mut Self {
        self.habits.raise_on_fail = raise;
        self
    }

    /// Starts the command through this manager. The handle is there as soon as systemd has accepted the start;
    /// that the program cannot be executed is for its [`Exit`] to say.
    ///
    /// Dropping the future before it resolves gives the start up: what was not sent yet is not, and a unit that was
    /// is stopped again.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for input that cannot be sent and [`Error::ProgramNotFound`], before anything is;
    /// [`Error::UnitExists`], [`Error::AccessDenied`] and [`Error::Call`] for what systemd refuses.
    pub async fn start(&mut self, manager: &Manager) -> Result<Unit> {
        let tracked = Arc::new(Tracked::new(self.unit_name()?));
        // Before anything is opened, and before the manager is asked anything.
        manager.check_descriptors(self.descriptors())?;
        if manager.is_here() {
            self.check_here()?;
        }
        let (streams, pipes) = self.prepare(self.terminal.open(manager).await?)?;
        let given = Arc::new(OnceLock::from(manager.clone()));
        let unit = self.handle(tracked, given, pipes)?;
        self.send(&unit.following().tracked, &streams, manager).await?;
        Ok(unit)
    }

    /// Starts the command through the default manager ([`Manager::shared`]), without waiting for systemd to accept it:
    /// whether it did shows when the handle is awaited.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for input that cannot be sent, [`Error::ProgramNotFound`], and [`Error::NoRuntime`] outside
    /// of a tokio runtime.
    pub fn spawn(&mut self) -> Result<Unit> {
        let tracked = Arc::new(Tracked::new(self.unit_name()?));
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        self.check_here()?;
        let (streams, pipes) = self.prepare(self.terminal.open_here()?)?;
        let manager = Arc::new(OnceLock::new());
        let unit = self.handle(tracked.clone(), manager.clone(), pipes)?;
        let command = self.clone();
        // Made here, since a runtime that is shut down drops what it never polled.
        let must_end = MustEnd(tracked.clone());
        let following = unit.following().clone();
        following.start();
        let start = async move {
            let started = async {
                let shared = Manager::shared().await?;
                let manager = manager.get_or_init(|| shared);
                if following.is_given_up() {
                    return Err(Error::Job { unit: tracked.name().into(), job: "start", result: "canceled".into() });
                }
                command.send(&tracked, &streams, manager).await
            };
            let started = started.await;
            // The ends that the unit has now: as long as they are open here there is no end of file.
            drop((streams, command.stdio));
            match started {
                Ok(()) => following.started(),
                Err(error) => tracked.fail(error),
            }
            drop(must_end);
        };
        runtime.spawn(start.in_current_span());
        Ok(unit)
    }

    /// Starts the command through the default manager ([`Manager::shared`]) and waits until the unit has ended.
    ///
    /// As with `tokio::process::Command::status`, the program goes on when the future is dropped after the start was
    /// accepted, unless [`kill_on_drop`](Command::kill_on_drop) says otherwise; before, the start is given up. Pipes
    /// are closed. A terminal ([`pty`](Command::pty)) is read and what comes is thrown away.
    ///
    /// # Errors
    ///
    /// As [`start`](Command::start), [`Manager::system`] and [`Unit::wait`].
    pub fn status(&mut self) -> impl Future<Output = Result<Exit>> + Send + use<> {
        let mut command = self.clone();
        async move {
            let unit = command.start_shared().await?;
            drop(command);
            unit.await
        }
    }

    /// Starts the command through the default manager.
    pub(crate) async fn start_shared(&mut self) -> Result<Unit> {
        // Bad input is refused also where there is no manager.
        self.unit_name()?;
        self.check_here()?;
        self.start(&Manager::shared().await?).await
    }

    /// The unit's name, when everything else can be sent too.
    fn unit_name(&self) -> Result<String> {
        match self.main.problem().or(self.problem.as_ref()) {
            Some(error) => Err(error.clone()),
            None => self
                .environment
                .check_count(&self.extra)
                .map(|()| self.service.name.clone().unwrap_or_else(name::generate)),
        }
    }

    /// What can be said against it where the program is to run on this host.
    fn check_here(&self) -> Result<()> {
        self.main.resolved(&self.here())?;
        self.environment.check()
    }

    fn here(&self) -> Place<'_> {
        Place::Here { path: self.environment.get("PATH") }
    }

    fn prepare(&self, terminal: Option<Opened>) -> Result<(Streams, Pipes)> {
        let [stdin, stdout, stderr] = &self.stdio;
        Streams::prepare([stdin.as_ref(), stdout.as_ref(), stderr.as_ref()], terminal)
    }

    /// How many descriptors the caller has given, or wants made.
    fn descriptors(&self) -> usize {
        let streams = self.stdio.iter().flatten().filter(|stdio| stdio.is_descriptor()).count();
        let properties = self.service.auxiliary.iter().flat_map(|(_, list)| list).chain(self.extra.list());
        streams + properties.map(Property::descriptors).sum::<usize>()
    }

    fn handle(&self, tracked: Arc<Tracked>, manager: Arc<OnceLock<Manager>>, pipes: Pipes) -> Result<Unit> {
        let Pipes { stdin, stdout, stderr, terminal } = pipes;
        let mut unit = Unit::new(tracked, manager);
        unit.habits = self.habits;
        (unit.stdin, unit.stdout, unit.stderr) = (stdin, stdout, stderr);
        if self.may_remain() {
            unit.tell_pipes_of_end();
        }
        unit.pty = terminal.map(|pair| Pty::new(pair, unit.following())).transpose()?;
        Ok(unit)
    }

    async fn send(&self, tracked: &Arc<Tracked>, streams: &Streams, manager: &Manager) -> Result<()> {
        let ready = self.settled(streams, manager).await?;
        manager
            .start(
                tracked,
                Start {
                    pace: self.pace(),
                    restarts: self.restarts(),
                    usage: self.service.usage,
                    durable: self.service.durable,
                    mode: self.service.job_mode,
                },
                |message| ready.append_to(message),
                |message| ready.append_auxiliary_to(message),
            )
            .await
    }

    /// All that the manager must be asked for is known then.
    async fn settled<'a>(&'a self, streams: &'a Streams, manager: &Manager) -> Result<Ready<'a>> {
        let of_manager = if self.environment.cleared { manager.environment().await? } else { Vec::new() };
        let extra = settle(self.extra.list(), "service", manager).await?;
        let mut auxiliary = Vec::with_capacity(self.service.auxiliary.len());
        for (name, properties) in &self.service.auxiliary {
            let suffix = name.rsplit('.').next().unwrap_or_default();
            auxiliary.push((name.as_str(), settle(properties, suffix, manager).await?));
        }
        self.ready(streams, manager, of_manager, (extra, auxiliary))
    }

    fn ready<'a>(
        &'a self,
        streams: &'a Streams,
        manager: &Manager,
        of_manager: Vec<String>,
        (extra, auxiliary): (Settled<'a>, Vec<(&'a str, Settled<'a>)>),
    ) -> Result<Ready<'a>> {
        let place = if manager.is_here() { self.here() } else { Place::Elsewhere };
        if manager.is_here() {
            self.environment.check()?;
        }
        let all = |lines: &'a [Exec]| lines.iter().map(|line| line.resolved(&place)).collect::<Result<Vec<_>>>();
        let service = &self.service;
        let slice = match (&service.slice, service.slice_inherit) {
            (slice, false) => slice.clone(),
            (_, true) if !manager.is_here() => {
                let reason = "is for managers of this host: elsewhere there is no slice of this process";
                return Err(Error::invalid("slice_inherit", "", reason));
            }
            (slice, true) => Some(slice::inherited(slice.as_deref(), manager.is_user())?),
        };
        let more = auxiliary.iter().map(|(_, properties)| properties.descriptors()).sum::<usize>();
        manager.check_descriptors(streams.descriptors() + extra.descriptors() + more)?;
        let mut unset = self.environment.unset_names(of_manager);
        let term = (streams.tty.is_some() && !self.environment.names().any(|name| name == "TERM")).then(pty::term);
        if term.is_some() {
            unset.retain(|name| name != "TERM");
        }
        Ok(Ready {
            command: self,
            main: self.main.resolved(&place)?,
            start_pre: all(&service.start_pre)?,
            start_post: all(&service.start_post)?,
            stop: all(&service.stop)?,
            stop_post: all(&service.stop_post)?,
            slice,
            streams,
            term,
            unset,
            extra,
            auxiliary,
        })
    }
}

/// Shows what is run, but not the values of environment variables and properties, which may be secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: Vec<&String>| names.into_iter().map(|name| format!("{name}=…")).collect::<Vec<_>>();
        f.debug_struct("Command")
            .field("words", &self.main.words())
            .field("name", &self.service.name)
            .field("environment", &names(self.environment.names().collect()))
            .field("directory", &self.directory)
            .field("stdio", &self.stdio)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}
