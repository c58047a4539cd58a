//! The command line, parsed as getopt_long(3) does: systemd-run's options behave as users' fingers know them.
//!
//! By hand: these few options need no more, and a program that is gone in milliseconds has none to spare at its start.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::program;

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
     --uid=USER                Run as this user
     --gid=GROUP               Run with this group
     --nice=LEVEL              Run at this nice level
     --slice=SLICE             Run in this slice
     --slice-inherit           Run in the own slice; with --slice, in that slice below it
     --service-type=TYPE       When the unit counts as started: simple, exec, oneshot, notify, ...
     --expand-environment=BOOL Have systemd expand $NAME and ${NAME} in the arguments
  -r --remain-after-exit       Keep the unit active after the command has ended, until it is stopped
  -G --collect                 Unload the unit after it ran, even when it failed
     --no-block                Do not wait until the unit is started
  -t --pty                     Run the command on a terminal of its own, put through to this one; wait for its end
  -P --pipe                    Have the command use the own standard input, output and error; wait for its end
                               (with --pty: where one of them is no terminal)
  -S --shell                   Run the user's shell here: --pty --same-dir --wait --collect --service-type=exec
     --wait                    Wait until the unit has ended, and return the command's exit status
  -q --quiet                   Print neither the unit's name nor the summary
";

/// What the command line asks for.
pub enum Asked {
    Help,
    Version,
    Run(Box<Options>),
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
    pub pty: bool,
    pub pipe: bool,
    pub shell: bool,
    pub quiet: bool,
    pub uid: Option<String>,
    pub gid: Option<String>,
    pub nice: Option<i32>,
    pub slice: Option<OsString>,
    pub slice_inherit: bool,
    pub service_type: Option<String>,
    pub expand_environment: bool,
    pub remain_after_exit: bool,
    /// The program and its arguments; never empty.
    pub command: Vec<OsString>,
}

/// What becomes of the command's standard streams.
#[derive(Clone, Copy, PartialEq)]
pub enum Streams {
    /// What a service has.
    Service,
    Pty,
    Pipe,
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
    ExpandEnvironment,
    Gid,
    Help,
    Machine,
    Nice,
    NoBlock,
    Pipe,
    Private,
    Property,
    Pty,
    Quiet,
    RemainAfterExit,
    SameDir,
    ServiceType,
    Setenv,
    Shell,
    Slice,
    SliceInherit,
    System,
    Uid,
    Unit,
    User,
    Version,
    Wait,
    WorkingDirectory,
}

/// Each option: its long name, its letter if it has one, whether it takes a value.
const FLAGS: [(&str, Option<char>, bool, Flag); 27] = [
    ("collect", Some('G'), false, Flag::Collect),
    ("description", None, true, Flag::Description),
    ("expand-environment", None, true, Flag::ExpandEnvironment),
    ("gid", None, true, Flag::Gid),
    ("help", Some('h'), false, Flag::Help),
    ("machine", Some('M'), true, Flag::Machine),
    ("nice", None, true, Flag::Nice),
    ("no-block", None, false, Flag::NoBlock),
    ("pipe", Some('P'), false, Flag::Pipe),
    ("private", None, false, Flag::Private),
    ("property", Some('p'), true, Flag::Property),
    ("pty", Some('t'), false, Flag::Pty),
    ("quiet", Some('q'), false, Flag::Quiet),
    ("remain-after-exit", Some('r'), false, Flag::RemainAfterExit),
    ("same-dir", Some('d'), false, Flag::SameDir),
    ("service-type", None, true, Flag::ServiceType),
    ("setenv", Some('E'), true, Flag::Setenv),
    ("shell", Some('S'), false, Flag::Shell),
    ("slice", None, true, Flag::Slice),
    ("slice-inherit", None, false, Flag::SliceInherit),
    ("system", None, false, Flag::System),
    ("uid", None, true, Flag::Uid),
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
    if options.shell {
        options.apply_shell()?;
    }
    if options.command.is_empty() {
        return Err("Command line to execute required.".into());
    }
    let forwards = options.pty || options.pipe;
    let refused = [
        (forwards && options.no_block, "--pty/--pipe is not compatible with --no-block."),
        (forwards && options.remain_after_exit, "--pty/--pipe is not compatible with --remain-after-exit."),
        (options.wait && options.no_block, "--wait may not be combined with --no-block."),
        (options.wait && options.remain_after_exit, "--wait may not be combined with --remain-after-exit."),
    ];
    match refused.into_iter().find(|(together, _)| *together) {
        Some((_, message)) => Err(message.into()),
        None => Ok(Asked::Run(Box::new(options))),
    }
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
    /// What --shell stands for, where nothing else is said.
    fn apply_shell(&mut self) -> Result<(), String> {
        if !self.command.is_empty() {
            return Err("If --shell is used, no command line is expected.".into());
        }
        self.command.push(program::shell());
        if !self.pty && !self.pipe {
            (self.pty, self.pipe) = (true, true);
        }
        if self.directory.is_none() {
            self.directory = Some(own_directory()?);
        }
        self.service_type.get_or_insert_with(|| "exec".into());
        (self.wait, self.collect) = (true, true);
        Ok(())
    }

    fn apply(&mut self, flag: Flag, value: OsString) -> Result<(), String> {
        match flag {
            Flag::Collect => self.collect = true,
            Flag::Description => self.description = Some(text("--description", value)?),
            Flag::ExpandEnvironment => self.expand_environment = boolean("--expand-environment", value)?,
            Flag::Gid => self.gid = some(text("--gid", value)?),
            Flag::Machine => self.machine = Some(text("--machine", value)?),
            Flag::Nice => {
                let value = text("--nice", value)?;
                let level = integer(&value).filter(|level| (-20..=19).contains(level));
                self.nice = Some(level.ok_or_else(|| format!("Failed to parse nice value: {value}"))?);
            }
            Flag::NoBlock => self.no_block = true,
            Flag::Pipe => self.pipe = true,
            Flag::Private => self.private = true,
            Flag::Property => return Err("--property is not supported yet".into()),
            Flag::Pty => self.pty = true,
            Flag::Quiet => self.quiet = true,
            Flag::RemainAfterExit => self.remain_after_exit = true,
            Flag::SameDir => self.directory = Some(own_directory()?),
            Flag::ServiceType => self.service_type = Some(text("--service-type", value)?),
            Flag::Setenv => {
                let (name, value) = split(value.as_bytes());
                let value = value.map_or_else(|| std::env::var_os(name).unwrap_or_default(), OsStr::to_owned);
                self.environment.push((name.to_owned(), value));
            }
            Flag::Shell => self.shell = true,
            Flag::Slice => self.slice = (!value.is_empty()).then_some(value),
            Flag::SliceInherit => self.slice_inherit = true,
            Flag::System => self.user = false,
            Flag::Uid => self.uid = some(text("--uid", value)?),
            Flag::Unit => self.unit = Some(value),
            Flag::User => self.user = true,
            Flag::Wait => self.wait = true,
            // The library would resolve it; to systemd-run, and so here, it is a mistake.
            Flag::WorkingDirectory if Path::new(&value).components().any(|part| part == Component::ParentDir) => {
                return Err(format!("--working-directory={}: \"..\" is not allowed", value.to_string_lossy()));
            }
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

/// An empty value is that of no such option.
fn some(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

fn own_directory() -> Result<PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("Failed to get the working directory: {error}"))
}

/// systemd's words for yes and no.
fn boolean(option: &str, value: OsString) -> Result<bool, String> {
    let value = text(option, value)?;
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("Failed to parse boolean argument to '{option}=': {value}")),
    }
}

/// A number as systemd reads it: with a sign and a base, which a leading 0 makes 8.
fn integer(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.starts_with('+') {
        return None;
    }
    let number = i32::try_from(u32::from_str_radix(digits, base).ok()?).ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}
