//! The forms that values have in common. Each is a function for a table.

use super::field::Field;
use super::split::{QUOTED, Splitter, Unsplit};
use super::{Property, numbers, time};
use crate::bus::Value;
use crate::error::Result;

pub(super) type Properties = Result<Vec<Property>>;

/// Text, sent as it is.
pub(super) fn text(field: &Field<'_>) -> Properties {
    field.set(field.value)
}

/// What a function reads, or the error that says what was expected.
pub(super) fn checked<T: Into<Value>>(
    field: &Field<'_>,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Properties {
    field.set(part(field, field.value, read, expected)?)
}

/// What a function reads from a part of the value, or the error that says what was expected.
pub(super) fn part<T>(
    field: &Field<'_>,
    part: &str,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Result<T> {
    read(part).ok_or_else(|| field.refuse_part(part, expected))
}

pub(super) fn boolean(field: &Field<'_>) -> Properties {
    checked(field, numbers::boolean, "is not a boolean (expected yes, no, true, false, on, off, 1 or 0)")
}

/// A number of type `u`.
pub(super) fn unsigned32(field: &Field<'_>) -> Properties {
    checked(field, numbers::unsigned32, "is not a whole number from 0 to 4294967295")
}

/// What a number of type `t` looks like, for errors.
pub(super) const WHOLE: &str = "is not a whole number from 0 to 18446744073709551615";

/// A number of type `i`.
pub(super) fn signed32(field: &Field<'_>) -> Properties {
    checked(field, numbers::signed32, "is not a whole number from -2147483648 to 2147483647")
}

/// An access mode, type `u`.
pub(super) fn mode(field: &Field<'_>) -> Properties {
    checked(field, numbers::mode, "is not an access mode (expected octal digits, as 0755)")
}

/// What a size looks like, for errors.
pub(super) const SIZE: &str = "is not a size (expected a number with K, M, G, T, P or E)";

/// A number of bytes with K, M, G as powers of 1024, type `t`.
pub(super) fn size(field: &Field<'_>) -> Properties {
    checked(field, numbers::size, SIZE)
}

/// A time span, type `t`: the setting `…Sec` is the property `…USec`.
pub(super) fn seconds(field: &Field<'_>) -> Properties {
    field.set_as(in_microseconds(field.name), part(field, field.value, time::span, time::SPAN)?)
}

/// As [`seconds`], where an empty value is another way to say `infinity`.
pub(super) fn seconds_or_unset(field: &Field<'_>) -> Properties {
    if field.value.is_empty() { field.set_as(in_microseconds(field.name), time::INFINITY) } else { seconds(field) }
}

/// The name of the property for the setting `…Sec`.
pub(super) fn in_microseconds(name: &str) -> String {
    format!("{}USec", name.strip_suffix("Sec").unwrap_or(name))
}

/// Words between blanks, with quotes: type `as`.
pub(super) fn words(field: &Field<'_>) -> Properties {
    field.set(split(field, QUOTED)?)
}

/// The words of the whole value.
pub(super) fn split(field: &Field<'_>, splitter: Splitter) -> Result<Vec<String>> {
    splitter.words(field.value).map_err(|unsplit| unsplittable(field, unsplit))
}

pub(super) fn unsplittable(field: &Field<'_>, unsplit: Unsplit) -> crate::error::Error {
    field.refuse_part(field.value, unsplit.reason())
}

/// Whether a `-` stands before the text, which makes it optional, and the text.
pub(super) fn optional(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    }
}

/// Whether a `~` stands before the text, which inverts it, and the text.
pub(super) fn inverted(text: &str) -> (bool, &str) {
    match text.strip_prefix('~') {
        Some(text) => (true, text),
        None => (false, text),
    }
}

/// The parts of one word: `a:b:c`.
pub(super) fn parts(field: &Field<'_>, splitter: Splitter, word: &str) -> Result<Vec<String>> {
    splitter.words(word).map_err(|unsplit| field.refuse_part(word, unsplit.reason()))
}

/// An array of structs, of which each has these types: `structs("ss", …)` is `a(ss)`.
pub(super) fn structs(types: &str, entries: Vec<Vec<Value>>) -> Value {
    super::array(&format!("({types})"), entries.into_iter().map(Value::Struct).collect())
}
