//! Variables in the arguments of a command that this process itself becomes (`--scope`): expanded as systemd expands
//! those of a service (systemd.service(5), "Command lines").

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What came of it: the arguments, and the names that stood for nothing.
#[derive(Debug, Default, PartialEq)]
pub struct Expanded {
    pub arguments: Vec<OsString>,
    pub unset: BTreeSet<String>,
    pub invalid: BTreeSet<String>,
}

/// `$NAME` as a word of its own becomes the words of its value, `${NAME}` anywhere the value as it is, `$$` a `$`.
pub fn expand<'a>(
    arguments: impl IntoIterator<Item = &'a OsString>,
    value: impl Fn(&str) -> Option<OsString>,
) -> Expanded {
    let mut expanded = Expanded::default();
    for argument in arguments {
        match argument.as_bytes() {
            [b'$', rest @ ..] if !matches!(rest.first(), Some(b'$' | b'{')) => {
                let value = expanded.look_up(rest, &value).unwrap_or_default();
                expanded.arguments.extend(words(&value));
            }
            text => {
                let text = expanded.replaced(text, &value);
                expanded.arguments.push(text);
            }
        }
    }
    expanded
}

impl Expanded {
    fn replaced(&mut self, mut text: &[u8], value: &impl Fn(&str) -> Option<OsString>) -> OsString {
        let mut out = Vec::with_capacity(text.len());
        while let Some(at) = text.iter().position(|byte| *byte == b'$') {
            out.extend_from_slice(&text[..at]);
            text = &text[at + 1..];
            match text.first() {
                Some(b'$') => {
                    out.push(b'$');
                    text = &text[1..];
                }
                Some(b'{') if text.contains(&b'}') => {
                    let end = text.iter().position(|byte| *byte == b'}').unwrap_or(text.len());
                    out.extend(self.look_up(&text[1..end], value).unwrap_or_default().into_vec());
                    text = &text[end + 1..];
                }
                _ => out.push(b'$'),
            }
        }
        out.extend_from_slice(text);
        OsString::from_vec(out)
    }

    fn look_up(&mut self, name: &[u8], value: &impl Fn(&str) -> Option<OsString>) -> Option<OsString> {
        let text = String::from_utf8_lossy(name).into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() || !text.chars().all(plain) || text.starts_with(|c: char| c.is_ascii_digit()) {
            self.invalid.insert(text);
            return None;
        }
        let value = value(&text);
        if value.is_none() {
            self.unset.insert(text);
        }
        value
    }
}

/// The words of a value, between blanks, where quotes and backslashes take theirs away.
fn words(value: &OsStr) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = value.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b' ' | b'\t' | b'\n' | b'\r', None) => words.extend(word.take().map(OsString::from_vec)),
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (_, Some(open)) if byte == open => quote = None,
            (b'\\', _) => word.get_or_insert_default().extend(bytes.next()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word.map(OsString::from_vec));
    words
}
