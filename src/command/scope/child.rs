//! A command of this crate as a child in a scope.

use std::ffi::{CString, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use sdrun_sys::hold::Program;

use super::Scope;
use super::held::{Launch, Names, Scoped};
use crate::bus::Value;
use crate::command::stdio::Stream;
use crate::command::{Command, words};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::name;

impl Command {
    /// The same command as a child of this process in a scope, instead of a service: see [`ScopeCommand`].
    ///
    /// ```no_run
    /// # async fn example(manager: &sdrun::Manager) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut scoped =
    ///     sdrun::Command::new("make").arg("-j8").slice("batch").scope().property("MemoryMax=2G")?.start(manager).await?;
    /// let status = scoped.child.wait().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope(&self) -> ScopeCommand {
        let service = &self.service;
        let mut scope = Scope {
            job_mode: self.service.job_mode,
            description: self.description.clone(),
            collect: service.collect,
            usage: service.usage,
            runtime_max: service.runtime_max,
            slice: service.slice.clone(),
            slice_inherit: service.slice_inherit,
            habits: self.habits,
            problem: self.main.problem().or(self.problem.as_ref()).cloned(),
            ..Scope::new()
        };
        let name = service.name.as_deref().map(name::scope_for).transpose();
        scope.name = scope.accept(name).flatten();
        if let Some(setting) = self.of_services() {
            let reason = match setting {
                "property" => "was called for a service: the properties of a scope are set after scope()",
                _ => "is for services: a scope's process is a child of this one, and systemd does not start it",
            };
            scope.problem.get_or_insert(Error::invalid("setting", setting, reason));
        }
        ScopeCommand { command: self.clone(), scope }
    }

    /// The call that set what only a service can have, if there was one.
    fn of_services(&self) -> Option<&'static str> {
        let service = &self.service;
        let calls = [
            (service.kind.is_some(), "service_type"),
            (service.exit_type.is_some(), "exit_type"),
            (service.remain_after_exit, "remain_after_exit"),
            (!service.start_pre.is_empty(), "start_pre"),
            (!service.start_post.is_empty(), "start_post"),
            (!service.stop.is_empty(), "stop"),
            (!service.stop_post.is_empty(), "stop_post"),
            (!service.auxiliary.is_empty(), "auxiliary"),
            (self.terminal.is_wanted(), "pty"),
            (!self.extra.list().is_empty(), "property"),
            (self.stdio.iter().flatten().any(|stdio| !stdio.is_for_child()), "Stdio::journal"),
        ];
        let set = calls.into_iter().find_map(|(set, call)| set.then_some(call));
        self.main.of_services().or(set)
    }

    /// The command as it is spawned. Looks users up and opens files, which may take time.
    fn launch(&self, path: &str) -> Result<Launch> {
        let identity = Identity::of(self.service.user.as_deref(), self.service.group.as_deref())?;
        let arguments = &self.main.words()[1..];
        let mut command = tokio::process::Command::new(path);
        command.args(arguments).kill_on_drop(self.habits.kill_on_drop);
        let [stdin, stdout, stderr] = &self.stdio;
        if let Some(stdio) = stdin {
            command.stdin(stdio.for_child(Stream::Input)?);
        }
        if let Some(stdio) = stdout {
            command.stdout(stdio.for_child(Stream::Output)?);
        }
        if let Some(stdio) = stderr {
            command.stderr(stdio.for_child(Stream::Error)?);
        }
        let own = std::env::vars_os().filter(|(name, _)| name != "INVOCATION_ID");
        let variables = self.environment.of_child(own, identity.variables);
        let variables = variables.into_iter().map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            c_string(variable)
        });
        let first = self.main.first_word().unwrap_or(path);
        let words = std::iter::once(first).chain(arguments.iter().map(String::as_str));
        let program = Program {
            path: c_string(path)?,
            arguments: words.map(c_string).collect::<Result<_>>()?,
            environment: variables.collect::<Result<_>>()?,
            nice: self.service.nice,
            groups: identity.groups.map(|groups| groups.into_iter().map(Gid::as_raw).collect()),
            group: identity.group.map(Gid::as_raw),
            user: identity.user.map(Uid::as_raw),
            directory: self.directory.as_deref().map(c_string).transpose()?,
        };
        Ok(Launch { command, program: Some(program) })
    }
}

fn c_string(text: impl Into<OsString>) -> Result<CString> {
    CString::new(text.into().into_vec())
        .map_err(|error| Error::invalid("text", String::from_utf8_lossy(&error.into_vec()), "holds a NUL byte"))
}

/// A [`Command`] that is to be a child of this process, in a scope of its own, from its first instruction on: what
/// `systemd-run --scope` is to `systemd-run`.
///
/// Its environment, working directory, standard streams and user are those of this process (of standard streams those that
/// are not said; with `tokio` too they are inherited), except for what the command sets: `arg`, `arg0`, `env`,
/// `env_remove`, `env_clear`, `current_dir`, `stdin`, `stdout`, `stderr` (not the journal; files are opened by this
/// process), `user`, `group`, `uid`, `gid`, `nice`. With `user` its `$HOME`, `$SHELL`, `$USER` and `$LOGNAME` are that
/// user's, as are its supplementary groups. `$INVOCATION_ID` is that of the scope.
///
/// Of the unit it sets `name` (`a` is `a.scope`), `description`, `slice`, `slice_inherit`, `collect`, `usage`,
/// `runtime_max`, `kill_on_drop` (for the child, which is killed when it is dropped, and the scope, which is stopped) and
/// `raise_on_fail`.
///
/// What else can be set is for services: to start a scope with it is [`Error::Invalid`], which names it.
#[derive(Clone)]
pub struct ScopeCommand {
    command: Command,
    scope: Scope,
}

impl ScopeCommand {
    /// Sets a property of the scope by an assignment: see [`Scope::property`].
    ///
    /// # Errors
    ///
    /// [`Error::Property`] says what is wrong with the value, and what would be right.
    pub fn property(&mut self, assignment: impl AsRef<str>) -> Result<&mut Self> {
        self.scope.property(assignment)?;
        Ok(self)
    }

    /// Sets a property of the scope by its D-Bus name and type: see [`Scope::extra`].
    pub fn extra(&mut self, property: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        self.scope.extra(property, value);
        self
    }

    /// Spawns the process in its scope, as [`Scope::spawn`].
    ///
    /// Dropping the future before it resolves gives it up: the process is ended, and the scope goes with it.
    ///
    /// # Errors
    ///
    /// As [`Scope::spawn`]. A program that does not exist is [`Error::ProgramNotFound`]; that a user or group does not exist
    /// is [`Error::Invalid`], before anything is done.
    pub fn start(&self, manager: &Manager) -> impl Future<Output = Result<Scoped>> + Send + use<> {
        let start = self.launch(manager);
        async move { start?.await }
    }

    fn launch(&self, manager: &Manager) -> Result<impl Future<Output = Result<Scoped>> + Send + use<>> {
        if let Some(problem) = &self.scope.problem {
            return Err(problem.clone());
        }
        let main = self.command.main.resolved(&self.command.here())?;
        self.command.environment.check()?;
        let arguments = self.command.main.words()[1..].iter().map(String::as_str);
        let names = Names {
            program: (*main.path).into(),
            description: words::describe(std::iter::once(&*main.path).chain(arguments)),
            identified: true,
        };
        let (command, path) = (self.command.clone(), main.path.into_owned());
        Ok(self.scope.launch(names, move || command.launch(&path), manager))
    }
}

/// Shows what is run, but not the values of environment variables and properties, which may be secret.
impl fmt::Debug for ScopeCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeCommand").field("command", &self.command).field("scope", &self.scope).finish()
    }
}

/// Whom a process runs as, where that is another than this one.
#[derive(Default)]
struct Identity {
    user: Option<Uid>,
    group: Option<Gid>,
    /// Supplementary ones.
    groups: Option<Vec<Gid>>,
    /// What tells the program about the user.
    variables: Vec<(OsString, OsString)>,
}

impl Identity {
    fn of(user: Option<&str>, group: Option<&str>) -> Result<Self> {
        let group = group.map(find_group).transpose()?;
        let Some(name) = user else { return Ok(Identity { group, ..Identity::default() }) };
        let failed = |errno| Error::system("look a user up", errno);
        let number = name.parse::<u32>().ok().map(Uid::from_raw);
        let entry = number.map_or_else(|| User::from_name(name), User::from_uid).map_err(failed)?;
        let no_such = |reason| Err(Error::invalid("user", name, reason));
        let (user, own_group) = match (&entry, number) {
            (Some(entry), _) => (entry.uid, entry.gid),
            (None, None) => return no_such("does not exist"),
            (None, Some(number)) => match group {
                Some(group) => (number, group),
                None => return no_such("is the number of no user that is known, so that its group must be said too"),
            },
        };
        let group = group.unwrap_or(own_group);
        // Who is not root cannot change them, nor the user.
        let groups = match &entry {
            _ if !geteuid().is_root() => None,
            Some(entry) => Some(getgrouplist(&c_string(entry.name.as_str())?, group).map_err(failed)?),
            None => Some(vec![group]),
        };
        let variables = entry.map(variables_of).unwrap_or_default();
        Ok(Identity { user: Some(user), group: Some(group), groups, variables })
    }
}

fn find_group(name: &str) -> Result<Gid> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    let entry = Group::from_name(name).map_err(|errno| Error::system("look a group up", errno))?;
    entry.map(|entry| entry.gid).ok_or_else(|| Error::invalid("group", name, "does not exist"))
}

fn variables_of(user: User) -> Vec<(OsString, OsString)> {
    let all = [
        ("HOME", user.dir.into_os_string()),
        ("SHELL", user.shell.into_os_string()),
        ("USER", user.name.clone().into()),
        ("LOGNAME", user.name.into()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.into(), value)).collect()
}
