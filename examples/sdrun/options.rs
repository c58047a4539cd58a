//! The command line, parsed as getopt_long(3) does: systemd-run's options behave as users' fingers know them.
//!
//! By hand: these few options need no more, and a program that is gone in milliseconds has none to spare at its start.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
sdrun [OPTIONS...] COMMAND [ARGUMENTS...]

Run the command in a transient systemd service. The options are systemd-run's.

  -h --help                    Show this help
     --version                 Show the version
     --user                    Run as a unit of the own user manager
     --system                  Run as a unit of the system manager (the default)
  -M --machine=CONTAINER       Run in a local container (.host: this host; with --user: USER@CONTAINER)
     --private                 Talk to the manager's private socket, not over the bus
  -u --unit=UNIT               Run under this unit name
     --description=TEXT        Describe the unit
  -E --setenv=NAME[=VALUE]     Set an environment variable; without a value take it from the own environment
     --working-directory=PATH  Set the working directory
  -d --same-dir                Use the own working directory
  -G --collect                 Unload the unit after it ran, even when it failed
     --no-block                Do not wait until the unit is started
  -P --pipe                    Have the command use the own standard input, output and error; wait for its end
     --wait                    Wait until the unit has ended, and return the command's exit status
  -q --quiet                   Print neither the unit's name nor the summary
";

/// What the command line asks for.
pub enum Asked {
    Help,
    Version,
    Run(Options),
}

/// What to run, and how.
#[derive(Default)]
pub struct Options {
    pub user: bool,
    pub machine: Option<String>,
    pub private: bool,
    pub unit: Option<OsString>,
    pub description: Option<String>,
    pub environment: Vec<(OsString, OsString)>,
    pub directory: Option<PathBuf>,
    pub collect: bool,
    pub no_block: bool,
    pub wait: bool,
    pub pipe: bool,
    pub quiet: bool,
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
}

impl Options {
    /// Whether the manager sees the same files as this process.
    pub fn is_on_this_host(&self) -> bool {
        self.machine
            .as_deref()
            .is_none_or(|machine| machine == ".host" || machine.ends_with("@.host") || machine.ends_with('@'))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Flag {
    Collect,
    Description,
    Help,
    Machine,
    NoBlock,
    Pipe,
    Private,
    Property,
    Quiet,
    SameDir,
    Setenv,
    System,
    Unit,
    User,
    Version,
    Wait,
    WorkingDirectory,
}

/// Each option: its long name, its letter if it has one, whether it takes a value.
const FLAGS: [(&str, Option<char>, bool, Flag); 17] = [
    ("collect", Some('G'), false, Flag::Collect),
    ("description", None, true, Flag::Description),
    ("help", Some('h'), false, Flag::Help),
    ("machine", Some('M'), true, Flag::Machine),
    ("no-block", None, false, Flag::NoBlock),
    ("pipe", Some('P'), false, Flag::Pipe),
    ("private", None, false, Flag::Private),
    ("property", Some('p'), true, Flag::Property),
    ("quiet", Some('q'), false, Flag::Quiet),
    ("same-dir", Some('d'), false, Flag::SameDir),
    ("setenv", Some('E'), true, Flag::Setenv),
    ("system", None, false, Flag::System),
    ("unit", Some('u'), true, Flag::Unit),
    ("user", None, false, Flag::User),
    ("version", None, false, Flag::Version),
    ("wait", None, false, Flag::Wait),
    ("working-directory", None, true, Flag::WorkingDirectory),
];

/// Parses the arguments, without the program's own name. Options end at the first word that is none.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut options = Options::default();
    let mut words: VecDeque<OsString> = arguments.into_iter().collect();
    while words.front().is_some_and(|word| word.len() > 1 && word.as_bytes()[0] == b'-') {
        let word = words.pop_front().unwrap_or_default();
        if word == "--" {
            break;
        }
        for (flag, value) in flags_of(&word, &mut words)? {
            match flag {
                Flag::Help => return Ok(Asked::Help),
                Flag::Version => return Ok(Asked::Version),
                _ => options.apply(flag, value)?,
            }
        }
    }
    options.command = words.into();
    if options.command.is_empty() {
        return Err("Command line to execute required.".into());
    }
    if options.pipe && options.no_block {
        return Err("--pty/--pipe is not compatible with --no-block.".into());
    }
    if options.wait && options.no_block {
        return Err("--wait may not be combined with --no-block.".into());
    }
    Ok(Asked::Run(options))
}

/// The flags in one word: one long one, or any number of letters. The last may take the next word as its value.
fn flags_of(word: &OsStr, words: &mut VecDeque<OsString>) -> Result<Vec<(Flag, OsString)>, String> {
    let mut next = |name: String| words.pop_front().ok_or_else(|| format!("option '{name}' requires an argument"));
    if let Some(text) = word.as_bytes().strip_prefix(b"--") {
        let (name, value) = split(text);
        let (long, _, takes_value, flag) = by_long_name(name)?;
        return match (takes_value, value) {
            (true, Some(value)) => Ok(vec![(flag, value.into())]),
            (true, None) => Ok(vec![(flag, next(format!("--{long}"))?)]),
            (false, None) => Ok(vec![(flag, OsString::new())]),
            (false, Some(_)) => Err(format!("option '--{long}' doesn't allow an argument")),
        };
    }
    let mut flags = Vec::new();
    let mut letters = &word.as_bytes()[1..];
    while let Some((letter, rest)) = letters.split_first() {
        let letter = char::from(*letter);
        let Some((.., takes_value, flag)) = FLAGS.iter().find(|(_, short, ..)| *short == Some(letter)) else {
            return Err(format!("unrecognized option '-{letter}'"));
        };
        letters = rest;
        let value = match takes_value {
            false => OsString::new(),
            true if rest.is_empty() => next(format!("-{letter}"))?,
            true => OsStr::from_bytes(std::mem::take(&mut letters)).into(),
        };
        flags.push((*flag, value));
    }
    Ok(flags)
}

/// The option of this long name, or the only one that begins like that.
fn by_long_name(name: &OsStr) -> Result<(&'static str, Option<char>, bool, Flag), String> {
    let alike: Vec<_> = FLAGS.iter().filter(|(long, ..)| long.as_bytes().starts_with(name.as_bytes())).collect();
    match alike[..] {
        [] => Err(format!("unrecognized option '--{}'", name.to_string_lossy())),
        [only] => Ok(*only),
        _ => alike
            .into_iter()
            .find(|(long, ..)| *long == name)
            .copied()
            .ok_or_else(|| format!("option '--{}' is ambiguous", name.to_string_lossy())),
    }
}

/// `NAME=VALUE` or `NAME`.
fn split(text: &[u8]) -> (&OsStr, Option<&OsStr>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (OsStr::from_bytes(&text[..at]), Some(OsStr::from_bytes(&text[at + 1..]))),
        None => (OsStr::from_bytes(text), None),
    }
}

impl Options {
    fn apply(&mut self, flag: Flag, value: OsString) -> Result<(), String> {
        match flag {
            Flag::Collect => self.collect = true,
            Flag::Description => self.description = Some(text("--description", value)?),
            Flag::Machine => self.machine = Some(text("--machine", value)?),
            Flag::NoBlock => self.no_block = true,
            Flag::Pipe => self.pipe = true,
            Flag::Private => self.private = true,
            Flag::Property => return Err("--property is not supported yet".into()),
            Flag::Quiet => self.quiet = true,
            Flag::SameDir => {
                let own = std::env::current_dir();
                self.directory = Some(own.map_err(|error| format!("Failed to get the working directory: {error}"))?);
            }
            Flag::Setenv => {
                let (name, value) = split(value.as_bytes());
                let value = value.map_or_else(|| std::env::var_os(name).unwrap_or_default(), OsStr::to_owned);
                self.environment.push((name.to_owned(), value));
            }
            Flag::System => self.user = false,
            Flag::Unit => self.unit = Some(value),
            Flag::User => self.user = true,
            Flag::Wait => self.wait = true,
            Flag::WorkingDirectory => self.directory = (!value.is_empty()).then(|| value.into()),
            Flag::Help | Flag::Version => {}
        }
        Ok(())
    }
}

/// A value that is sent as D-Bus text.
fn text(option: &str, value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{option}={} is not UTF-8", value.to_string_lossy()))
}
