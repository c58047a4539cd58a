//! What assignments become, as text; and the same for a whole list, to be compared with what systemd-run makes of it.

use std::borrow::Cow;

use super::field::Field;
use super::{Property, UnitType, WITHOUT_CGROUP_V1, read, resource_control};
use crate::bus::Value;
use crate::error::Result;

fn unit_type(name: &str) -> UnitType {
    UnitType::of(&format!("a.{name}")).expect("a type of unit")
}

/// What an assignment sends to a current manager: `NAME TYPE VALUE`.
pub(super) fn sent(unit: &str, assignment: &str) -> Vec<String> {
    let properties = read(unit_type(unit), assignment).unwrap_or_else(|error| panic!("{error}"));
    let show = |(name, value): (Cow<str>, Value)| format!("{name} {} {}", value.signature(), text(&value, ('(', ')')));
    for_version(properties, 999).expect("a known setting").into_iter().map(show).collect()
}

/// Why an assignment is refused.
#[track_caller]
pub(super) fn refused(unit: &str, assignment: &str) -> String {
    match read(unit_type(unit), assignment) {
        Ok(properties) => panic!("{assignment} gives {properties:?}"),
        Err(error) => error.to_string(),
    }
}

/// What is sent to a manager of this version.
pub(super) fn for_version(properties: Vec<Property>, version: u32) -> Result<Vec<(Cow<'static, str>, Value)>> {
    let mut sent = Vec::new();
    for property in properties {
        match property {
            Property::Set(name, value) => sent.push((name, value)),
            Property::Since(since, now, before) => sent.push(if version >= since { now } else { before }),
            Property::Old { name, text } if version < WITHOUT_CGROUP_V1 => {
                sent.push(resource_control::old(&Field::new(&name, &text))?);
            }
            Property::Old { .. } => {}
            Property::Unknown { name, text } => return Err(Field::new(&name, &text).refuse("is unknown")),
        }
    }
    Ok(sent)
}

fn text(value: &Value, brackets: (char, char)) -> String {
    let list = |values: Vec<String>, (open, close): (char, char)| format!("{open}{}{close}", values.join(","));
    match value {
        Value::Byte(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::I16(value) => value.to_string(),
        Value::U16(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Str(text) | Value::ObjectPath(text) | Value::Signature(text) => quoted(text),
        Value::Bytes(bytes) => list(bytes.iter().map(u8::to_string).collect(), ('[', ']')),
        Value::Array(_, values) => list(values.iter().map(|value| text(value, brackets)).collect(), ('[', ']')),
        Value::Struct(values) => list(values.iter().map(|value| text(value, brackets)).collect(), brackets),
        other => format!("{other:?}"),
    }
}

/// As JSON has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `SDRUN_ASSIGNMENTS=FILE SDRUN_UNIT=service SDRUN_VERSION=262 SDRUN_ANSWERS=FILE cargo test --lib answers` answers each
/// line of the one file in the other as `tests/oracle/ask 262 service` does.
#[test]
fn answers() {
    let Ok(list) = std::env::var("SDRUN_ASSIGNMENTS") else { return };
    let set = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is to be set"));
    let (unit, version) = (unit_type(&set("SDRUN_UNIT")), set("SDRUN_VERSION").parse().expect("a version"));
    let mut answers = String::new();
    for assignment in std::fs::read_to_string(list).unwrap().split_terminator('\n') {
        let answer = match read(unit, assignment).and_then(|properties| for_version(properties, version)) {
            Err(error) => format!("refused: {error}"),
            Ok(properties) => {
                let show = |(name, value): &(Cow<str>, Value)| {
                    format!("[\"{name}\",\"{}\",{}]", value.signature(), text(value, ('[', ']')))
                };
                format!("[{}]", properties.iter().map(show).collect::<Vec<_>>().join(","))
            }
        };
        answers.push_str(&format!("{assignment}\t{answer}\n"));
    }
    std::fs::write(set("SDRUN_ANSWERS"), answers).unwrap();
}
