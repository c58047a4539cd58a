//! The settings of `systemd.path(5)`.

use super::field::Field;
use super::forms::{boolean, mode, seconds, structs, unsigned32};
use super::{Property, Table};
use crate::bus::Value;
use crate::error::Result;

// Later than 252: PollLimit… (254).
pub(super) const TABLE: Table = table! {
    path: "PathExists" "PathExistsGlob" "PathChanged" "PathModified" "DirectoryNotEmpty";
    boolean: "MakeDirectory";
    mode: "DirectoryMode";
    seconds: "TriggerLimitIntervalSec" "PollLimitIntervalSec";
    unsigned32: "TriggerLimitBurst" "PollLimitBurst";
};

/// A path to be watched; none of them where it is empty. Whether it is one is for systemd to say.
fn path(field: &Field<'_>) -> Result<Vec<Property>> {
    let entry = [field.name, field.value].map(Value::from).to_vec();
    let entries = if field.value.is_empty() { Vec::new() } else { vec![entry] };
    field.set_as("Paths", structs("ss", entries))
}
