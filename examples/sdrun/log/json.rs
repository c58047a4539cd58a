//! All fields, as JSON: a text, or an array of bytes where it is none; an array of those for several fields of a name.

use super::Record;
use super::text::is_printable;

/// What is as long, with its name, is `null`.
const TOO_LONG: usize = 4096;

/// In one line.
pub fn compact(record: &Record, out: &mut Vec<u8>) {
    let fields = collected(record).into_iter().map(|(name, values)| {
        let values: Vec<_> = values.into_iter().map(|value| compact_value(&name, &value)).collect();
        match &values[..] {
            [only] => format!("{}:{only}", string(&name)),
            _ => format!("{}:[{}]", string(&name), values.join(",")),
        }
    });
    out.extend_from_slice(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).as_bytes());
}

/// A line for each value.
pub fn pretty(record: &Record, out: &mut Vec<u8>) {
    let fields = collected(record).into_iter().map(|(name, values)| {
        let value = match &values[..] {
            [only] => pretty_value(&name, only, "\t"),
            _ => {
                let values = values.iter().map(|value| format!("\t\t{}", pretty_value(&name, value, "\t\t")));
                format!("[\n{}\n\t]", values.collect::<Vec<_>>().join(",\n"))
            }
        };
        format!("\t{} : {value}", string(&name))
    });
    out.extend_from_slice(format!("{{\n{}\n}}\n", fields.collect::<Vec<_>>().join(",\n")).as_bytes());
}

/// The values of each name.
fn collected(record: &Record) -> Vec<(String, Vec<Vec<u8>>)> {
    let header = record.header().into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let fields = record.fields.iter().filter(|(name, _)| name != "_BOOT_ID").cloned();
    let mut collected: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in header.chain(fields) {
        match collected.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value),
            None => collected.push((name, vec![value])),
        }
    }
    collected
}

fn is_too_long(name: &str, value: &[u8]) -> bool {
    name.len() + 1 + value.len() >= TOO_LONG
}

fn compact_value(name: &str, value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        _ if is_too_long(name, value) => "null".into(),
        Ok(text) if is_printable(value) => string(text),
        _ => format!("[{}]", value.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    }
}

fn pretty_value(name: &str, value: &[u8], indent: &str) -> String {
    match std::str::from_utf8(value) {
        _ if is_too_long(name, value) => "null".into(),
        Ok(text) if is_printable(value) => string(text),
        _ => {
            let bytes = value.iter().map(|byte| format!("{indent}\t{byte}"));
            format!("[\n{}\n{indent}]", bytes.collect::<Vec<_>>().join(",\n"))
        }
    }
}

/// A text in quotes.
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
