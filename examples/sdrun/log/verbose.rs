//! All fields, for people (`verbose`) and for programs (`export`); and the message alone (`cat`).

use super::text::{blob, is_printable};
use super::{Record, time};

pub fn verbose(record: &Record, out: &mut Vec<u8>) {
    let time = time::full(record.time(), true).unwrap_or_default();
    out.extend_from_slice(format!("{time} [{}]\n", record.cursor).as_bytes());
    for (name, value) in &record.fields {
        out.extend_from_slice(format!("    {name}=").as_bytes());
        if is_printable(value) {
            let lines = value.strip_suffix(b"\n").unwrap_or(value).split(|byte| *byte == b'\n');
            for (number, line) in lines.enumerate() {
                if number > 0 {
                    out.push(b'\n');
                    out.resize(out.len() + 5 + name.len(), b' ');
                }
                out.extend_from_slice(line);
            }
        } else {
            out.extend_from_slice(blob(value).as_bytes());
        }
        out.push(b'\n');
    }
}

/// The journal's own form for export, `systemd-journal-remote` reads it.
pub fn export(record: &Record, out: &mut Vec<u8>) {
    for (name, value) in record.header() {
        out.extend_from_slice(format!("{name}={value}\n").as_bytes());
    }
    for (name, value) in record.fields.iter().filter(|(name, _)| name != "_BOOT_ID") {
        out.extend_from_slice(name.as_bytes());
        if is_printable(value) && !value.contains(&b'\n') {
            out.push(b'=');
        } else {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        }
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out.push(b'\n');
}

pub fn cat(record: &Record, out: &mut Vec<u8>) {
    if let Some(message) = record.get("MESSAGE") {
        out.extend_from_slice(message);
        out.push(b'\n');
    }
}
