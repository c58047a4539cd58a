//! The builder of a transient service.

mod words;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::bus::{Container, Message, Value};
use crate::error::{Error, Result};
use crate::manager::{Manager, Pace};
use crate::unit::name;
use crate::unit::tracked::{MustEnd, Tracked};
use crate::unit::{Exit, Unit};

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
    /// The program and its arguments; empty only where `problem` says so.
    words: Vec<String>,
    environment: BTreeMap<String, String>,
    directory: Option<String>,
    name: Option<String>,
    description: Option<String>,
    collect: bool,
    extra: Vec<(String, Value)>,
    /// The first input that cannot be sent.
    problem: Option<Error>,
}

impl Command {
    /// A command that runs the program at this absolute path, without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Self::without_program();
        command.program(program.as_ref());
        command
    }

    fn without_program() -> Self {
        Command {
            words: Vec::new(),
            environment: BTreeMap::new(),
            directory: None,
            name: None,
            description: None,
            collect: false,
            extra: Vec::new(),
            problem: None,
        }
    }

    fn program(&mut self, program: &OsStr) {
        match words::program(program) {
            Ok(program) => self.words.push(program),
            Err(error) => self.refuse(error),
        }
    }

    /// Keeps the first problem: the others may follow from it.
    fn refuse(&mut self, error: Error) {
        self.problem.get_or_insert(error);
    }

    fn accept<T>(&mut self, value: Result<T>) -> Option<T> {
        value.map_err(|error| self.refuse(error)).ok()
    }

    /// Adds an argument. It must be UTF-8, since D-Bus carries only that, and hold no NUL byte.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        let argument = words::argument(self.words.len(), argument.as_ref());
        if let Some(argument) = self.accept(argument) {
            self.words.push(argument);
        }
        self
    }

    /// Adds several arguments: see [`arg`](Command::arg).
    pub fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Sets an environment variable of the program (`Environment=`), in addition to what the manager gives every
    /// service.
    ///
    /// Anyone on the host can read a unit's environment from systemd: hand secrets over as credentials
    /// (`LoadCredential=`, `systemd.exec(5)`) instead.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let variable = words::variable(key.as_ref(), value.as_ref());
        if let Some((key, value)) = self.accept(variable) {
            self.environment.insert(key, value);
        }
        self
    }

    /// Sets several environment variables: see [`env`](Command::env).
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self {
        for (key, value) in variables {
            self.env(key, value);
        }
        self
    }

    /// Sets the working directory of the program (`WorkingDirectory=`); without it that is `/`, or the home directory
    /// under a user manager. A relative path is relative to this process's own working directory.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        let directory = words::directory(directory.as_ref());
        self.directory = self.accept(directory);
        self
    }

    /// Names the unit; without it the name is generated and unique. `.service` is added where it is left out.
    ///
    /// The start fails with [`Error::UnitExists`] when a unit of this name is loaded.
    pub fn name(&mut self, name: impl AsRef<str>) -> &mut Self {
        let name = name::service(name.as_ref());
        self.name = self.accept(name);
        self
    }

    /// Describes the unit, for `systemctl status` and the journal (`Description=`); without it that is the command
    /// line.
    pub fn description(&mut self, description: impl Into<String>) -> &mut Self {
        let description = words::plain("description", description.into());
        self.description = self.accept(description);
        self
    }

    /// Has systemd forget the unit when it has ended, also when it failed (`CollectMode=inactive-or-failed`). Without
    /// it a failed unit stays loaded, for `systemctl status` to show, until it is reset
    /// (`systemctl reset-failed`).
    pub fn collect(&mut self, collect: bool) -> &mut Self {
        self.collect = collect;
        self
    }

    /// Sets any property of the unit that systemd takes in `StartTransientUnit`, by its D-Bus name and type
    /// (org.freedesktop.systemd1(5)). Whether the property exists and takes that type is for systemd to say, when
    /// the command is started.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// sdrun::Command::new("/usr/bin/stress").extra("MemoryMax", 512u64 << 20).extra("Nice", 10).status().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn extra(&mut self, property: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        let (property, value) = (words::plain("property name", property.into()), value.into());
        let checked = property.and_then(|property| value.check().map(|()| property));
        if let Some(property) = self.accept(checked) {
            self.extra.push((property, value));
        }
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
    /// [`Error::Invalid`] for input that cannot be sent, before anything is; [`Error::UnitExists`],
    /// [`Error::AccessDenied`] and [`Error::Call`] for what systemd refuses.
    pub async fn start(&mut self, manager: &Manager) -> Result<Unit> {
        let tracked = Arc::new(Tracked::new(self.check()?));
        self.send(&tracked, manager).await?;
        Ok(Unit::new(tracked, Arc::new(OnceLock::from(manager.clone()))))
    }

    /// Starts the command through the default manager ([`Manager::shared`]), without waiting for systemd to accept it:
    /// whether it did shows when the handle is awaited.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for input that cannot be sent, [`Error::NoRuntime`] outside of a tokio runtime.
    pub fn spawn(&mut self) -> Result<Unit> {
        let tracked = Arc::new(Tracked::new(self.check()?));
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let manager = Arc::new(OnceLock::new());
        let unit = Unit::new(tracked.clone(), manager.clone());
        let command = self.clone();
        let start = async move {
            let must_end = MustEnd(&tracked);
            let started = async {
                let shared = Manager::shared().await?;
                let manager = manager.get_or_init(|| shared);
                command.send(&tracked, manager).await?;
                Ok(manager)
            };
            match started.await {
                // Dropped before there was a manager to release it from.
                Ok(manager) if tracked.is_released() => manager.release(&tracked),
                Ok(_) => {}
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
    /// accepted; before, the start is given up.
    ///
    /// # Errors
    ///
    /// As [`start`](Command::start), [`Manager::system`] and [`Unit::wait`].
    pub async fn status(&mut self) -> Result<Exit> {
        self.start_shared().await?.wait().await
    }

    /// Starts the command through the default manager.
    pub(crate) async fn start_shared(&mut self) -> Result<Unit> {
        // Bad input is refused also where there is no manager.
        self.check()?;
        self.start(&Manager::shared().await?).await
    }

    /// The unit's name, when everything else can be sent too.
    fn check(&self) -> Result<String> {
        match &self.problem {
            Some(error) => Err(error.clone()),
            None => Ok(self.name.clone().unwrap_or_else(name::generate)),
        }
    }

    async fn send(&self, tracked: &Arc<Tracked>, manager: &Manager) -> Result<()> {
        let pace = self.extra_text("Type").map_or(Pace::Quick, Pace::of_service_type);
        // Either may have systemd start it again.
        let forced = self.extra.iter().any(|(name, _)| name == "RestartForceExitStatus");
        let restarts = forced || self.extra_text("Restart").is_some_and(|restart| restart != "no");
        manager.start(tracked, pace, restarts, |message| self.append_to(message)).await
    }

    /// A property that was given as text.
    fn extra_text(&self, property: &str) -> Option<&str> {
        self.extra.iter().rev().find(|(name, _)| name == property).and_then(|(_, value)| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// Appends the properties of the unit, each a `(sv)`.
    fn append_to(&self, message: &mut Message<'_>) -> Result<()> {
        match &self.description {
            Some(description) => property_str(message, "Description", description)?,
            None => property_str(message, "Description", &words::describe(&self.words))?,
        }
        if self.collect {
            property_str(message, "CollectMode", "inactive-or-failed")?;
        }
        if let Some(directory) = &self.directory {
            property_str(message, "WorkingDirectory", directory)?;
        }
        if !self.environment.is_empty() {
            let variables: Vec<_> = self.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
            property(message, "Environment", c"as", |m| m.append_strs(&variables))?;
        }
        for (name, value) in &self.extra {
            message.container(Container::Struct, c"sv", |m| {
                m.append_str(name)?;
                value.append_variant_to(m)
            })?;
        }
        // The plain form: on systemd 252 a daemon-reload loses what was sent as ExecStartEx.
        property(message, "ExecStart", c"a(sasb)", |m| {
            m.container(Container::Array, c"(sasb)", |m| {
                m.container(Container::Struct, c"sasb", |m| {
                    m.append_str(&self.words[0])?;
                    m.append_strs(self.words.iter().map(|word| words::unexpanded(word)))?;
                    m.append(false)
                })
            })
        })
    }
}

fn property(
    message: &mut Message<'_>,
    name: &str,
    signature: &std::ffi::CStr,
    fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
) -> Result<()> {
    message.container(Container::Struct, c"sv", |m| {
        m.append_str(name)?;
        m.container(Container::Variant, signature, |m| fill(m))
    })
}

fn property_str(message: &mut Message<'_>, name: &str, text: &str) -> Result<()> {
    property(message, name, c"s", |m| m.append_str(text))
}

/// Shows what is run, but not the values of environment variables and properties, which may be secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |names: Vec<&String>| names.into_iter().map(|name| format!("{name}=…")).collect::<Vec<_>>();
        f.debug_struct("Command")
            .field("words", &self.words)
            .field("name", &self.name)
            .field("environment", &names(self.environment.keys().collect()))
            .field("directory", &self.directory)
            .field("extra", &names(self.extra.iter().map(|(name, _)| name).collect()))
            .finish_non_exhaustive()
    }
}

/// One string is split into words as a shell does it; no shell is involved, and nothing is expanded.
impl From<&str> for Command {
    fn from(line: &str) -> Self {
        match words::split(line) {
            Ok(words) => words.into(),
            Err(error) => {
                let mut command = Command::without_program();
                command.refuse(error);
                command
            }
        }
    }
}

/// As from `&str`: split into words.
impl From<String> for Command {
    fn from(line: String) -> Self {
        line.as_str().into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<&[S]> for Command {
    fn from(words: &[S]) -> Self {
        let Some((program, arguments)) = words.split_first() else {
            let mut command = Command::without_program();
            command.refuse(Error::invalid("command", "", "may not be empty: it begins with the program"));
            return command;
        };
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>, const N: usize> From<[S; N]> for Command {
    fn from(words: [S; N]) -> Self {
        words.as_slice().into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<Vec<S>> for Command {
    fn from(words: Vec<S>) -> Self {
        words.as_slice().into()
    }
}

/// So that a chain of builder calls can be run: `run(Command::new("/bin/true").name("x"))`.
impl From<&mut Command> for Command {
    fn from(command: &mut Command) -> Self {
        command.clone()
    }
}
