//! A command line of a service: the program, its arguments, and how systemd is to take them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

use super::message::property;
use super::program::{Place, resolve};
use super::words;
use crate::bus::{Container, Message};
use crate::error::{Error, Result};

/// A command line that a service runs beside its main one: before and after its start, to stop it, and after its end.
/// [`Command::start_pre`](super::Command::start_pre) and its like take it.
///
/// Its words reach the program as they are, also when systemd reads the unit anew (`daemon-reload`) before the line is run,
/// with these exceptions:
///
/// - On systemd 252 a line with `$` or `;` in it is run by way of `/bin/sh` after a reload, which `exec`s the program with
///   just these words; if it has an [`arg0`](Exec::arg0), or is longer than one argument may be (128 KiB), there is a
///   backslash before each `$` and `;` then, and `${NAME}` is expanded. If such a line is running while systemd reloads, what
///   would follow it in the same list is skipped.
/// - With [`expand_environment`](Exec::expand_environment) nothing is expanded after a reload: the words arrive with their
///   dollar signs (257, 262), or with a backslash before each `$` and `;` (252).
///
/// Made from a string (split into words as a shell does it), from an array of words, or step by step:
///
/// ```no_run
/// # async fn example() -> sdrun::Result<()> {
/// use sdrun::{Command, Exec};
///
/// let unit = Command::new("/usr/bin/worker")
///     .start_pre(["/bin/mkdir", "-p", "/run/worker"])
///     .stop_post(Exec::new("/bin/rm").args(["-r", "/run/worker"]).ignore_failure(true))
///     .spawn()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Exec {
    /// The program and its arguments; empty only where `problem` says so.
    words: Vec<String>,
    /// The first argument as the program sees it, where that is not its path.
    arg0: Option<String>,
    ignore_failure: bool,
    expand: bool,
    /// The first input that cannot be sent.
    problem: Option<Error>,
}

impl Exec {
    /// A command line that runs this program, without arguments. It is found as that of
    /// [`Command::new`](super::Command::new).
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut exec = Self::without_program();
        match words::program(program.as_ref()) {
            Ok(program) => exec.words.push(program),
            Err(error) => exec.refuse(error),
        }
        exec
    }

    fn without_program() -> Self {
        Exec { words: Vec::new(), arg0: None, ignore_failure: false, expand: false, problem: None }
    }

    /// Keeps the first problem: the others may follow from it.
    fn refuse(&mut self, error: Error) {
        self.problem.get_or_insert(error);
    }

    /// Adds an argument. It must be UTF-8, since D-Bus carries only that, hold no NUL byte, and have 131,071 bytes at most:
    /// see [`Command::arg`](super::Command::arg).
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        match words::argument(self.words.len(), argument.as_ref()) {
            Ok(argument) => self.words.push(argument),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Adds several arguments: see [`arg`](Exec::arg).
    pub fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Gives the program another first argument than its path (the prefix `@` of a command line in
    /// `systemd.service(5)`).
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        match words::argument(0, name.as_ref()) {
            Ok(name) => self.arg0 = Some(name),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Has systemd take a failure of this program for a success (the prefix `-` of a command line in
    /// `systemd.service(5)`).
    pub fn ignore_failure(&mut self, ignore: bool) -> &mut Self {
        self.ignore_failure = ignore;
        self
    }

    /// Has systemd expand `$NAME` and `${NAME}` in the arguments (`systemd.service(5)`, "Command lines"; `$$` is then
    /// one dollar sign). Without it arguments reach the program as they are.
    pub fn expand_environment(&mut self, expand: bool) -> &mut Self {
        self.expand = expand;
        self
    }

    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    pub(super) fn first_word(&self) -> Option<&str> {
        self.arg0.as_deref()
    }

    /// The call that asks for something that only a service manager does, if there was one.
    pub(super) fn of_services(&self) -> Option<&'static str> {
        match self {
            Exec { ignore_failure: true, .. } => Some("ignore_failure"),
            Exec { expand: true, .. } => Some("expand_environment"),
            _ => None,
        }
    }

    pub(super) fn problem(&self) -> Option<&Error> {
        self.problem.as_ref()
    }

    /// The same with the program as a path that systemd takes.
    pub(super) fn resolved(&self, place: &Place<'_>) -> Result<Resolved<'_>> {
        match self.words.first() {
            Some(program) => {
                let resolved = Resolved { exec: self, path: resolve(program, place)? };
                // What is expanded may become shorter.
                if let (Place::Here { .. }, false) = (place, self.expand) {
                    resolved.argv().enumerate().try_for_each(|(at, word)| words::passable_argument(at, word))?;
                }
                Ok(resolved)
            }
            None => Err(self.problem.clone().unwrap_or_else(|| empty("command"))),
        }
    }
}

/// A command line as it is sent.
pub(super) struct Resolved<'a> {
    exec: &'a Exec,
    pub path: Cow<'a, str>,
}

impl Resolved<'_> {
    /// Whether the plain form of `ExecStart` and its like is not enough for it to arrive as it is, at once and after a
    /// daemon-reload: see [`append_lines`].
    fn needs_flag(&self) -> bool {
        !self.exec.expand && self.argv().any(|word| word.contains(['$', ';']))
    }

    fn argv(&self) -> impl Iterator<Item = &str> {
        let Exec { words, arg0, .. } = self.exec;
        let first = arg0.as_deref().unwrap_or(&self.path);
        std::iter::once(first).chain(words[1..].iter().map(String::as_str))
    }

    /// Appends it as a `(sasb)`.
    fn append_plain_to(&self, message: &mut Message<'_>) -> Result<()> {
        message.container(Container::Struct, c"sasb", |m| {
            let by_shell =
                if self.needs_flag() && self.exec.arg0.is_none() { words::by_shell(self.argv()) } else { None };
            match by_shell {
                Some(script) => {
                    m.append_str(words::SHELL)?;
                    m.append_strs([words::SHELL, "-c", &script])?;
                }
                None => {
                    m.append_str(&self.path)?;
                    m.append_strs(self.argv())?;
                }
            }
            m.append(self.exec.ignore_failure)
        })
    }

    /// Appends it as a `(sasas)`.
    fn append_flagged_to(&self, message: &mut Message<'_>) -> Result<()> {
        message.container(Container::Struct, c"sasas", |m| {
            m.append_str(&self.path)?;
            m.append_strs(self.argv())?;
            let flags = [(self.exec.ignore_failure, "ignore-failure"), (!self.exec.expand, "no-env-expand")];
            m.append_strs(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag))
        })
    }
}

/// Appends the command lines of one kind, as the properties `kind` and, where that must be, `kind` with `Ex`.
///
/// Only the flag `no-env-expand` of the second keeps `$` from being expanded, and keeps it as it is over a
/// daemon-reload: systemd 257 and 262 write the plain form down for the reload as one that is not expanded, so a dollar
/// sign that was doubled stays doubled. Systemd 252 ignores the second when it reloads, and reads the first, where
/// it has put a backslash before each `$` and `;`. So what has neither is sent as the first alone; what has one is sent
/// as both, with an empty second between them, which empties the list in memory (and 252's record of the
/// second) and leaves 252's record of the first, for the reload: that has the words in a form in which a shell takes
/// exactly these backslashes away.
pub(super) fn append_lines(message: &mut Message<'_>, kind: &str, lines: &[Resolved<'_>]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    property(message, kind, c"a(sasb)", |m| {
        m.container(Container::Array, c"(sasb)", |m| lines.iter().try_for_each(|line| line.append_plain_to(m)))
    })?;
    if lines.iter().any(Resolved::needs_flag) {
        let kind = format!("{kind}Ex");
        for lines in [&[], lines] {
            property(message, &kind, c"a(sasas)", |m| {
                m.container(Container::Array, c"(sasas)", |m| {
                    lines.iter().try_for_each(|line| line.append_flagged_to(m))
                })
            })?;
        }
    }
    Ok(())
}

pub(super) fn empty(what: &'static str) -> Error {
    Error::invalid(what, "", "may not be empty: it begins with the program")
}

/// Shows what is run.
impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec").field("words", &self.words).finish_non_exhaustive()
    }
}

/// One string is split into words as a shell does it; no shell is involved, and nothing is expanded.
impl From<&str> for Exec {
    fn from(line: &str) -> Self {
        match words::split(line) {
            Ok(words) => words.into(),
            Err(error) => {
                let mut exec = Exec::without_program();
                exec.refuse(error);
                exec
            }
        }
    }
}

/// As from `&str`: split into words.
impl From<String> for Exec {
    fn from(line: String) -> Self {
        line.as_str().into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<&[S]> for Exec {
    fn from(words: &[S]) -> Self {
        let Some((program, arguments)) = words.split_first() else {
            let mut exec = Exec::without_program();
            exec.refuse(empty("command"));
            return exec;
        };
        let mut exec = Exec::new(program);
        exec.args(arguments);
        exec
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>, const N: usize> From<[S; N]> for Exec {
    fn from(words: [S; N]) -> Self {
        words.as_slice().into()
    }
}

/// The program and its arguments, as they are.
impl<S: AsRef<OsStr>> From<Vec<S>> for Exec {
    fn from(words: Vec<S>) -> Self {
        words.as_slice().into()
    }
}

/// So that a chain of builder calls can be given.
impl From<&mut Exec> for Exec {
    fn from(exec: &mut Exec) -> Self {
        exec.clone()
    }
}
