//! The settings of `systemd.path(5)`.

use super::field::Field;
use super::forms::{boolean, mode, seconds, structs, unsigned32};
use super::{Property, Table};
use crate::bus::Value;
use crate::error::Result;

pub(super) const TABLE: Table = &[
    ("PathExists", path),
    ("PathExistsGlob", path),
    ("PathChanged", path),
    ("PathModified", path),
    ("DirectoryNotEmpty", path),
    ("MakeDirectory", boolean),
    ("DirectoryMode", mode),
    ("TriggerLimitIntervalSec", seconds),
    ("TriggerLimitBurst", unsigned32),
    // Since 258.
    ("PollLimitIntervalSec", seconds),
    ("PollLimitBurst", unsigned32),
];

/// A path to be watched; none of them where it is empty. Whether it is one is for systemd to say.
fn path(field: &Field<'_>) -> Result<Vec<Property>> {
    let entry = [field.name, field.value].map(Value::from).to_vec();
    let entries = if field.value.is_empty() { Vec::new() } else { vec![entry] };
    field.set_as("Paths", structs("ss", entries))
}
