//! For comparing with systemd-run while working on the tables: prints what assignments become, one a line, in the form of
//! `tests/oracle/ask`.
//!
//! `SDRUN_ASSIGNMENTS=FILE SDRUN_VERSION=262 SDRUN_UNIT=service cargo test --lib property::wire -- --ignored --nocapture`

use super::*;

/// JSON as `busctl --json=short` has it.
fn json(value: &Value) -> String {
    let list = |values: &[Value]| format!("[{}]", values.iter().map(json).collect::<Vec<_>>().join(","));
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Byte(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::U16(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
        Value::Str(text) => quoted(text),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Array(_, values) | Value::Struct(values) => list(values),
        Value::Variant(value) => format!("{{\"type\":{},\"data\":{}}}", quoted(&value.signature()), json(value)),
        other => panic!("{other:?} is in no property"),
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        '\0'..='\u{1f}' | '\u{7f}' => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[test]
#[ignore = "it tests nothing, it prints"]
fn print() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let version: u32 = variable("SDRUN_VERSION").parse().unwrap();
    let types =
        [UnitType::Service, UnitType::Scope, UnitType::Slice, UnitType::Timer, UnitType::Path, UnitType::Socket];
    let unit = types.into_iter().find(|unit| unit.as_str() == variable("SDRUN_UNIT")).unwrap();
    for assignment in std::fs::read_to_string(variable("SDRUN_ASSIGNMENTS")).unwrap().lines() {
        let answer = match read(unit, assignment) {
            Err(error) => format!("refused: {error}"),
            Ok(properties) => {
                let sent = properties.iter().map(|property| match property {
                    Property::Set(name, value) => format!("[\"{name}\",\"{}\",{}]", value.signature(), json(value)),
                    Property::Since(since, now, before) => {
                        let (name, value) = if version >= *since { now } else { before };
                        format!("[\"{name}\",\"{}\",{}]", value.signature(), json(value))
                    }
                    Property::Unknown { name, .. } => format!("[\"{name}\",\"?\",0]"),
                });
                format!("[{}]", sent.collect::<Vec<_>>().join(","))
            }
        };
        println!("{assignment}\t{}", answer.replace('\n', " "));
    }
}
