//! Names of signals (`signal(7)`).

use nix::sys::signal::Signal;

use super::field::Field;
use super::forms::checked;
use super::{Property, numbers};
use crate::error::Result;

/// The real-time signals, as the C library has them.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// What a signal looks like, for errors.
pub(super) const SIGNAL: &str =
    "is not a signal (expected a name, as SIGTERM or TERM, SIGRTMIN+3, SIGRTMAX-3, or a number from 1 to 64)";

/// A signal by its name, with or without `SIG`, or its number.
pub(super) fn signal(text: &str) -> Option<i32> {
    if let Some(number) = numbers::signed32(text) {
        return (1..=*REAL_TIME.end()).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(*REAL_TIME.start(), offset.strip_prefix('+'), offset, 1);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(*REAL_TIME.end(), offset.strip_prefix('-'), offset, -1);
    }
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    valid.then(|| format!("SIG{name}").parse::<Signal>().ok()).flatten().map(|signal| signal as i32)
}

/// The signal that is so far from the first or last one.
fn real_time(from: i32, offset: Option<&str>, all: &str, direction: i32) -> Option<i32> {
    if all.is_empty() {
        return Some(from);
    }
    let offset = i32::try_from(numbers::digits_as_in_c(offset?)?).ok()?;
    from.checked_add(offset.checked_mul(direction)?).filter(|signal| REAL_TIME.contains(signal))
}

/// A signal, type `i`.
pub(super) fn signal_number(field: &Field<'_>) -> Result<Vec<Property>> {
    checked(field, signal, SIGNAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("TERM", 15),
            (" 15", 15),
            ("0xf", 15),
            ("STKFLT", 16),
            ("SIGIO", 29),
            ("SYS", 31),
            ("32", 32),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("RTMIN+0x3", 37),
            ("RTMIN+010", 42),
            ("SIGRTMIN+30", 64),
            ("RTMAX", 64),
            ("RTMAX-0", 64),
            ("SIGRTMAX-30", 34),
        ] {
            assert_eq!(signal(text), Some(number), "{text}");
        }
        for bad in [
            "",
            "sigterm",
            "Term",
            "TERM ",
            "0",
            "65",
            "-1",
            "SIG",
            "SIG15",
            "SIGSIGTERM",
            "IOT",
            "POLL",
            "CLD",
            "UNUSED",
            "SIGRTMIN+31",
            "RTMAX-31",
            "RTMIN+",
            "RTMIN3",
            "RTMIN 3",
            "RTMIN-0",
            "RTMAX+0",
            "RTMIN+ 3",
            "RTMIN++3",
            "RTMIN+0b11",
            "RTMIN+99999999999999999999",
            "é",
            "SIGé",
        ] {
            assert_eq!(signal(bad), None, "{bad}");
        }
    }
}
