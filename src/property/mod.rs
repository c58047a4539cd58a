//! The property language: assignments as `systemd-run -p` and unit files have them, made into D-Bus properties.
//!
//! Each manual page has a file with a table, from the name of a setting to the function that reads its value. What the
//! values have in common is in `forms`, on top of `numbers`, `time` and `split`.

/// A [`Table`]: each form with the names of the settings that have it.
macro_rules! table {
    ($($form:path: $($name:literal)*;)*) => { &[$($(($name, $form),)*)*] };
}

mod calendar;
mod conditions;
mod cpus;
mod decode;
mod devices;
mod exec;
mod exec_line;
mod exit_status;
mod field;
mod forms;
mod kill;
mod network;
mod numbers;
mod open_file;
mod path;
mod resource_control;
mod scope;
mod service;
mod settle;
mod signals;
mod socket;
mod split;
#[cfg(test)]
mod tests;
mod time;
mod timer;
mod unit;
mod unit_type;

use std::borrow::Cow;
use std::fmt;

use crate::bus::{Signature, Value};
use crate::error::{Error, Result};
use field::Field;

pub(crate) use settle::{Settled, settle};
pub use unit_type::UnitType;

/// What one assignment sets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Property {
    /// A property by its D-Bus name.
    Set(Cow<'static, str>, Value),
    /// One that is sent in one way to managers from this version on, and in another to those before.
    Since(u32, (Cow<'static, str>, Value), (Cow<'static, str>, Value)),
    /// A setting that managers of today ignore whatever its value is, as systemd-run does: only for an older one the
    /// text is read, when it is sent.
    Old { name: String, text: String },
    /// A setting that no table has: the manager is asked for its type when it is sent.
    Unknown { name: String, text: String },
}

impl Property {
    /// How many descriptors are in it. Nothing that is written as text has any.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Property::Set(_, value) => value.descriptors(),
            Property::Since(..) | Property::Old { .. } | Property::Unknown { .. } => 0,
        }
    }
}

/// How the value of a setting is read.
type Convert = fn(&Field<'_>) -> Result<Vec<Property>>;

/// The settings of a manual page. Sorted by nothing but the page's own order.
type Table = &'static [(&'static str, Convert)];

/// The first version that knows no control groups of the first kind any more, and ignores the settings for them.
pub(crate) const WITHOUT_CGROUP_V1: u32 = 258;

/// Reads `NAME=VALUE` for a unit of this type.
pub(crate) fn read(unit: UnitType, assignment: &str) -> Result<Vec<Property>> {
    // What makes no sense may have a secret in it, wherever that is: no value is shown.
    let refuse = |name: &str, reason: &str| Err(Error::property(&format!("{name}…"), reason));
    let Some((name, value)) = assignment.split_once('=') else {
        let name = assignment.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        return refuse(name, "is no assignment: it is written NAME=VALUE");
    };
    if name.is_empty() {
        return refuse("=", "has no name before its \"=\"");
    }
    let field = Field::new(name, value);
    if value.contains('\0') {
        return Err(field.refuse("may not hold a NUL byte"));
    }
    match unit.tables().iter().find_map(|table| find(table, name)) {
        Some(convert) => sendable(&field, convert(&field)?),
        None if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Ok(vec![Property::Unknown { name: name.into(), text: value.into() }])
        }
        None => refuse(&format!("{name}="), "is no assignment: names of settings are of letters and digits"),
    }
}

/// An array with elements of this type.
fn array(element: &str, values: Vec<Value>) -> Value {
    Value::Array(Signature::new(element).expect("types in this folder are valid"), values)
}

/// A property that is given by its D-Bus name and type.
pub(crate) fn given(name: String, value: Value) -> Result<Property> {
    check(&name, &value)?;
    Ok(Property::Set(name.into(), value))
}

/// Whether a property of this D-Bus name and value can be sent. The value is in no error, since it may be a secret.
pub(crate) fn check(name: &str, value: &Value) -> Result<()> {
    check_name(name)?;
    value.check().map_err(|error| match error {
        Error::Invalid { what, value, reason } if value.is_empty() => {
            Error::invalid("property", name, format!("has a {what} that {reason}"))
        }
        Error::Invalid { what, value, reason } => {
            Error::invalid("property", name, format!("has a {what} {value:?} that {reason}"))
        }
        error => error,
    })
}

/// Whether D-Bus has properties of this name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::invalid("property name", name, "may not be empty, or hold a NUL byte"));
    }
    if name.len() > 255 {
        return Err(Error::invalid("property name", name, "has more than 255 bytes"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let name = name.split('=').next().unwrap_or_default();
        return Err(Error::invalid("property name", name, "has more in it than letters, digits and \"_\""));
    }
    Ok(())
}

/// Whatever a value became, D-Bus can carry it.
fn sendable(field: &Field<'_>, properties: Vec<Property>) -> Result<Vec<Property>> {
    let values = properties.iter().flat_map(|property| match property {
        Property::Set(_, value) => [Some(value), None],
        Property::Since(_, (_, now), (_, before)) => [Some(now), Some(before)],
        Property::Old { .. } | Property::Unknown { .. } => [None, None],
    });
    if values.flatten().any(|value| value.check().is_err()) {
        return Err(field.refuse("holds what D-Bus cannot carry"));
    }
    Ok(properties)
}

fn find(table: Table, name: &str) -> Option<Convert> {
    table.iter().find(|(other, _)| *other == name).map(|(_, convert)| *convert)
}

/// Properties of a unit of some type, from assignments as `systemd-run --property=` takes them.
///
/// [`Command::property`](crate::Command::property) is this for a service. By itself it is for units of other types.
///
/// ```
/// # fn example() -> sdrun::Result<()> {
/// let mut slice = sdrun::Properties::new(sdrun::UnitType::Slice);
/// slice.set("MemoryMax=50%")?.set("CPUQuota=150%")?;
/// let error = slice.set("MemoryMax=2X").unwrap_err();
/// assert!(error.to_string().starts_with(r#"MemoryMax=2X: "2X" is not a size"#));
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
#[derive(Clone)]
pub struct Properties {
    unit: UnitType,
    list: Vec<Property>,
}

impl Properties {
    /// No properties, for a unit of this type.
    pub fn new(unit: UnitType) -> Self {
        Properties { unit, list: Vec::new() }
    }

    /// The type of unit that they are for.
    pub fn unit_type(&self) -> UnitType {
        self.unit
    }

    /// Adds an assignment, `NAME=VALUE`. Where a setting is a list, assignments add to it, and one with an empty value
    /// empties it; else the last one counts (`systemd.syntax(7)`).
    ///
    /// A setting that sdrun does not know is not refused for that: when the unit is started the manager is asked for the
    /// property's type.
    ///
    /// # Errors
    ///
    /// [`Error::Property`]: what is wrong with the value, and what would be right.
    pub fn set(&mut self, assignment: impl AsRef<str>) -> Result<&mut Self> {
        self.list.append(&mut read(self.unit, assignment.as_ref())?);
        Ok(self)
    }

    /// Adds a property by its D-Bus name and type (org.freedesktop.systemd1(5)), as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an empty name and a value that cannot be sent.
    pub fn extra(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Result<&mut Self> {
        self.list.push(given(name.into(), value.into())?);
        Ok(self)
    }

    /// The values as they are known before a manager is asked, by D-Bus name, in order.
    pub(crate) fn known(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        self.list.iter().filter_map(|property| match property {
            Property::Set(name, value) | Property::Since(_, (name, value), _) => Some((&**name, value)),
            Property::Old { .. } | Property::Unknown { .. } => None,
        })
    }

    pub(crate) fn list(&self) -> &[Property] {
        &self.list
    }

    pub(crate) fn into_list(self) -> Vec<Property> {
        self.list
    }
}

/// Shows the names, but not the values, which may be secret.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.list.iter().map(|property| match property {
            Property::Set(name, _) | Property::Since(_, (name, _), _) => {
                format!("{name}=…")
            }
            Property::Old { name, .. } | Property::Unknown { name, .. } => format!("{name}=…"),
        });
        f.debug_list().entries(names).finish()
    }
}
