//! The options: what they are called, and what they ask for.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sdrun::JobMode;

use crate::combinations;
use crate::flags::{FLAGS, Flag, JOB_MODES};
use crate::getopt::{self, Parsed, split};
use crate::help::HELP;
use crate::log::{MODES, Mode};
use crate::numbers::{boolean, integer};
use crate::program;

/// What the command line asks for.
pub enum Asked {
    /// Text on standard output, and nothing else.
    Text(String),
    Run(Box<Options>),
}

/// What to run, and how.
#[derive(Default)]
pub struct Options {
    pub user: bool,
    pub place: Place,
    pub private: bool,
    pub no_ask_password: bool,
    pub scope: bool,
    pub unit: Option<OsString>,
    pub properties: Vec<String>,
    pub description: Option<String>,
    pub environment: Vec<(OsString, OsString)>,
    pub directory: Option<PathBuf>,
    pub root: Option<PathBuf>,
    pub collect: bool,
    pub no_block: bool,
    pub job_mode: JobMode,
    pub wait: bool,
    pub pty: bool,
    pub pty_late: bool,
    pub pipe: bool,
    pub shell: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub output: Mode,
    pub json: Json,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub nice: Option<i32>,
    pub slice: Option<OsString>,
    pub slice_inherit: bool,
    pub service_type: Option<String>,
    pub send_sighup: bool,
    pub ignore_failure: bool,
    /// `None`: as systemd-run does by itself.
    pub expand_environment: Option<bool>,
    pub remain_after_exit: bool,
    pub paths: Vec<String>,
    pub sockets: Vec<String>,
    pub timers: Vec<String>,
    /// One of the timer's properties says when it elapses.
    pub timer_elapses: bool,
    /// The program and its arguments; empty only where a unit that exists is to be triggered.
    pub command: Vec<OsString>,
}

/// Whose manager it is.
#[derive(Default, PartialEq)]
pub enum Place {
    #[default]
    Here,
    Host(String),
    Machine(String),
    Capsule(String),
}

/// What is printed of the unit.
#[derive(Default, Clone, Copy, PartialEq)]
pub enum Json {
    #[default]
    Off,
    Short,
    Pretty,
}

/// What becomes of the command's standard streams.
#[derive(Clone, Copy, PartialEq)]
pub enum Streams {
    /// What a service has.
    Service,
    Pty,
    Pipe,
}

/// What starts the service, where that is not the command line itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trigger {
    Path,
    Socket,
    Timer,
}

impl Options {
    /// Both --pty and --pipe leave the choice: a terminal where there is one here.
    pub fn streams(&self) -> Streams {
        let on_terminal =
            || std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        match (self.pty, self.pipe) {
            (false, false) => Streams::Service,
            (true, false) => Streams::Pty,
            (false, true) => Streams::Pipe,
            (true, true) if on_terminal() => Streams::Pty,
            (true, true) => Streams::Pipe,
        }
    }

    /// What triggers the service, if it is not simply started; several are refused before this is asked.
    pub fn trigger(&self) -> Option<Trigger> {
        let asked = [
            (!self.paths.is_empty(), Trigger::Path),
            (!self.sockets.is_empty(), Trigger::Socket),
            (!self.timers.is_empty(), Trigger::Timer),
        ];
        asked.into_iter().find_map(|(is, trigger)| is.then_some(trigger))
    }

    /// Whether the manager sees the same files as this process.
    pub fn is_on_this_host(&self) -> bool {
        match &self.place {
            Place::Here | Place::Capsule(_) => true,
            Place::Host(_) => false,
            Place::Machine(machine) => machine == ".host" || machine.ends_with("@.host") || machine.ends_with('@'),
        }
    }

    /// Whether the command's streams are this process's or a terminal of its own.
    pub fn forwards(&self) -> bool {
        self.pty || self.pipe
    }
}

/// Parses the arguments, without the program's own name. Options end at the first word that is none.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut options = Options::default();
    let parsed = getopt::parse(arguments, &FLAGS, |flag, value| options.apply(flag, value))?;
    match parsed {
        Parsed::Stopped(text) => return Ok(Asked::Text(text)),
        Parsed::Rest(words) => options.command = words,
    }
    combinations::check_triggers(&options)?;
    if options.shell {
        options.apply_shell()?;
    }
    combinations::check(&options)?;
    Ok(Asked::Run(Box::new(options)))
}

impl Options {
    /// What --shell stands for, where nothing else is said.
    fn apply_shell(&mut self) -> Result<(), String> {
        if !self.command.is_empty() {
            return Err("If --shell is used, no command line is expected.".into());
        }
        self.command.push(program::shell());
        // In a scope it is this process that becomes the shell.
        if self.scope {
            return Ok(());
        }
        if !self.forwards() {
            (self.pty, self.pipe) = (true, true);
        }
        if self.directory.is_none() {
            self.directory = Some(own_directory()?);
        }
        self.service_type.get_or_insert_with(|| "exec".into());
        (self.wait, self.collect) = (true, true);
        Ok(())
    }

    /// Text: what is to be printed instead of running anything.
    fn apply(&mut self, flag: Flag, value: OsString) -> Result<Option<String>, String> {
        match flag {
            // A capsule's manager is a user's, and that stays, whatever place comes after it.
            Flag::Capsule => (self.place, self.user) = (Place::Capsule(text("--capsule", value)?), true),
            Flag::Collect => self.collect = true,
            Flag::Description => self.description = Some(text("--description", value)?),
            Flag::ExpandEnvironment => {
                self.expand_environment = Some(boolean("--expand-environment", &text("--expand-environment", value)?)?);
            }
            Flag::Gid => self.gid = Some(text("--gid", value)?),
            Flag::Help => return Ok(Some(HELP.into())),
            Flag::Host => self.place = Place::Host(text("--host", value)?),
            Flag::IgnoreFailure => self.ignore_failure = true,
            Flag::JobMode => match text("--job-mode", value)?.as_str() {
                "help" => return Ok(Some(lines(JOB_MODES.into_iter().map(|(name, _)| name)))),
                mode => self.job_mode = crate::flags::job_mode(mode)?,
            },
            Flag::Json => match text("--json", value)?.as_str() {
                "pretty" => self.json = Json::Pretty,
                "short" => self.json = Json::Short,
                "off" => self.json = Json::Off,
                "help" => return Ok(Some(lines(["pretty", "short", "off"]))),
                other => return Err(format!("Unknown argument to --json= switch: {other}")),
            },
            Flag::Machine => self.place = Place::Machine(text("--machine", value)?),
            Flag::Nice => {
                let value = text("--nice", value)?;
                let level = integer(&value).filter(|level| (-20..=19).contains(level));
                self.nice = Some(level.ok_or_else(|| format!("Failed to parse nice value: {value}"))?);
            }
            Flag::NoAskPassword => self.no_ask_password = true,
            Flag::NoBlock => self.no_block = true,
            // There is none.
            Flag::NoPager => {}
            Flag::On(setting) => {
                let value = if flag.takes_value() { text(setting, value)? } else { "yes".into() };
                self.timers.push(format!("{setting}={value}"));
                self.timer_elapses = true;
            }
            Flag::Output => match text("--output", value)?.as_str() {
                "help" => return Ok(Some(lines(MODES.into_iter().map(|(name, _)| name)))),
                mode => self.output = Mode::by_name(mode).ok_or_else(|| format!("Unknown output format '{mode}'."))?,
            },
            Flag::PathProperty => self.paths.push(text("--path-property", value)?),
            Flag::Pipe => self.pipe = true,
            Flag::Private => self.private = true,
            Flag::Property => self.properties.push(text("--property", value)?),
            Flag::Pty => (self.pty, self.pty_late) = (true, false),
            Flag::PtyLate => (self.pty, self.pty_late) = (true, true),
            Flag::Quiet => self.quiet = true,
            Flag::RemainAfterExit => self.remain_after_exit = true,
            Flag::RootDirectory => {
                self.root = (!value.is_empty()).then(|| absolute(value.into())).transpose()?;
            }
            Flag::SameDir => self.directory = Some(own_directory()?),
            Flag::SameRootDir => self.root = Some("/".into()),
            Flag::Scope => self.scope = true,
            Flag::SendSighup => self.send_sighup = true,
            Flag::ServiceType => self.service_type = Some(text("--service-type", value)?),
            Flag::Setenv => {
                let (name, value) = split(value.as_bytes());
                let value = value.map_or_else(|| std::env::var_os(name).unwrap_or_default(), OsStr::to_owned);
                self.environment.push((name.to_owned(), value));
            }
            Flag::Shell => self.shell = true,
            Flag::Slice => self.slice = (!value.is_empty()).then_some(value),
            Flag::SliceInherit => self.slice_inherit = true,
            Flag::SocketProperty => self.sockets.push(text("--socket-property", value)?),
            Flag::System => self.user = false,
            Flag::TimerProperty => {
                let value = text("--timer-property", value)?;
                self.timer_elapses |= combinations::elapses(&value);
                self.timers.push(value);
            }
            Flag::Uid => self.uid = Some(text("--uid", value)?),
            Flag::Unit => self.unit = Some(value),
            Flag::User => self.user = true,
            Flag::Verbose => self.verbose = true,
            Flag::Version => return Ok(Some(concat!("sdrun ", env!("CARGO_PKG_VERSION"), "\n").into())),
            Flag::Wait => self.wait = true,
            Flag::WorkingDirectory => self.directory = (!value.is_empty()).then(|| value.into()),
        }
        Ok(None)
    }
}

fn lines<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("{word}\n")).collect()
}

/// A value that is sent as D-Bus text.
fn text(option: &str, value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{option}={} is not UTF-8", value.to_string_lossy()))
}

fn own_directory() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("Failed to get the working directory: {error}"))
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    std::path::absolute(&path).map_err(|error| format!("Failed to make {} absolute: {error}", path.display()))
}
