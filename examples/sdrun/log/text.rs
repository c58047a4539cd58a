//! What of a value can be shown.

use std::borrow::Cow;

use crate::size::size;

/// Whether it is UTF-8 without control characters, but for tabs and line breaks.
pub fn is_printable(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n')))
}

/// What stands for a value that cannot be shown.
pub fn blob(value: &[u8]) -> String {
    format!("[{} blob data]", size(value.len() as u64))
}

/// A message without what would act on a terminal: escape sequences for colours and titles are left out, carriage
/// returns at the end of a line too, and a tab is eight blanks.
pub fn stripped(message: &[u8]) -> Cow<'_, [u8]> {
    if !message.iter().any(|byte| matches!(byte, b'\x1b' | b'\t' | b'\r')) {
        return message.into();
    }
    let mut out = Vec::with_capacity(message.len());
    let mut rest = message;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\t' => out.extend_from_slice(b"        "),
            b'\r' if ends_line(after) => {}
            b'\x1b' => match sequence(after) {
                Some(length) => rest = &after[length..],
                None => out.push(*byte),
            },
            _ => out.push(*byte),
        }
    }
    out.into()
}

/// Whether only carriage returns come before the end of the line.
fn ends_line(rest: &[u8]) -> bool {
    matches!(rest.iter().find(|byte| **byte != b'\r'), None | Some(b'\n'))
}

/// How long an escape sequence is, without its first byte, if it is one for colours or titles.
fn sequence(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'[' => {
            let parameters = rest[1..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).count();
            (rest.get(1 + parameters) == Some(&b'm')).then_some(parameters + 2)
        }
        b']' => {
            let end = rest.iter().position(|byte| matches!(byte, b'\x07' | b'\x1b') || *byte < b' ')?;
            match rest[end] {
                b'\x07' => Some(end + 1),
                b'\x1b' if rest.get(end + 1) == Some(&b'\\') => Some(end + 2),
                _ => None,
            }
        }
        _ => None,
    }
}
