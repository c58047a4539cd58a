//! Command lines, taken apart as getopt_long(3) does: systemd-run's options behave as users' fingers know them.
//!
//! `--name value`, `--name=value`, `-nvalue`, `-n value`, letters together (`-qd`), long names as far as they are
//! written out unambiguously; `--` or the first word that is no option ends them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// An option: its long name, its letter if it has one, whether it takes a value, and what it is to the program.
pub type Flag<T> = (&'static str, Option<char>, bool, T);

/// Calls `apply` for each option, with its value if it takes one, and returns the words that are left. `apply` stops it
/// by returning something.
pub fn parse<T: Copy, U>(
    words: impl IntoIterator<Item = OsString>,
    flags: &[Flag<T>],
    mut apply: impl FnMut(T, OsString) -> Result<Option<U>, String>,
) -> Result<Parsed<U>, String> {
    let mut words: VecDeque<OsString> = words.into_iter().collect();
    while words.front().is_some_and(|word| word.len() > 1 && word.as_bytes()[0] == b'-') {
        let word = words.pop_front().unwrap_or_default();
        if word == "--" {
            break;
        }
        let stopped = match word.as_bytes().strip_prefix(b"--") {
            Some(text) => {
                let (name, value) = split(text);
                let (flag, value) = long(name, value, flags, &mut words)?;
                apply(flag, value)?
            }
            None => short(&word.as_bytes()[1..], flags, &mut words, &mut apply)?,
        };
        if let Some(stopped) = stopped {
            return Ok(Parsed::Stopped(stopped));
        }
    }
    Ok(Parsed::Rest(words.into()))
}

/// What became of a command line.
pub enum Parsed<U> {
    /// An option ended it: `--help`.
    Stopped(U),
    /// The words that are no options.
    Rest(Vec<OsString>),
}

fn long<T: Copy>(
    name: &OsStr,
    value: Option<&OsStr>,
    flags: &[Flag<T>],
    words: &mut VecDeque<OsString>,
) -> Result<(T, OsString), String> {
    let (long, _, takes_value, flag) = by_long_name(name, flags)?;
    match (takes_value, value) {
        (true, Some(value)) => Ok((flag, value.into())),
        (true, None) => Ok((flag, next(words, || format!("--{long}"))?)),
        (false, None) => Ok((flag, OsString::new())),
        (false, Some(_)) => Err(format!("option '--{long}' doesn't allow an argument")),
    }
}

/// The options in a word of letters. One that takes a value has what follows it there, or else the next word.
fn short<T: Copy, U>(
    mut letters: &[u8],
    flags: &[Flag<T>],
    words: &mut VecDeque<OsString>,
    apply: &mut impl FnMut(T, OsString) -> Result<Option<U>, String>,
) -> Result<Option<U>, String> {
    while let Some((letter, rest)) = letters.split_first() {
        let letter = char::from(*letter);
        let Some((.., takes_value, flag)) = flags.iter().find(|(_, short, ..)| *short == Some(letter)) else {
            return Err(format!("unrecognized option '-{letter}'"));
        };
        letters = rest;
        let value = match takes_value {
            false => OsString::new(),
            true if rest.is_empty() => next(words, || format!("-{letter}"))?,
            true => OsStr::from_bytes(std::mem::take(&mut letters)).into(),
        };
        if let Some(stopped) = apply(*flag, value)? {
            return Ok(Some(stopped));
        }
    }
    Ok(None)
}

fn next(words: &mut VecDeque<OsString>, name: impl FnOnce() -> String) -> Result<OsString, String> {
    words.pop_front().ok_or_else(|| format!("option '{}' requires an argument", name()))
}

/// The option of this long name, or the only one that begins like that.
fn by_long_name<T: Copy>(name: &OsStr, flags: &[Flag<T>]) -> Result<Flag<T>, String> {
    if let Some(flag) = flags.iter().find(|(long, ..)| *long == name) {
        return Ok(*flag);
    }
    let begins = |(long, ..): &&Flag<T>| !name.is_empty() && long.as_bytes().starts_with(name.as_bytes());
    let alike: Vec<_> = flags.iter().filter(begins).collect();
    let name = name.to_string_lossy();
    match alike[..] {
        [] => Err(format!("unrecognized option '--{name}'")),
        [only] => Ok(*only),
        _ => {
            let names: Vec<_> = alike.iter().map(|(long, ..)| format!("--{long}")).collect();
            Err(format!("option '--{name}' is ambiguous; possibilities: {}", names.join(", ")))
        }
    }
}

/// `NAME=VALUE` or `NAME`.
pub fn split(text: &[u8]) -> (&OsStr, Option<&OsStr>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (OsStr::from_bytes(&text[..at]), Some(OsStr::from_bytes(&text[at + 1..]))),
        None => (OsStr::from_bytes(text), None),
    }
}
