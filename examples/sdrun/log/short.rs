//! One line an entry: the time, who said it, and the message.

use super::text::{blob, is_printable, stripped};
use super::{Mode, Record, time};

pub fn short(record: &Record, mode: Mode, before: &mut Option<u64>, out: &mut Vec<u8>) {
    let Some(message) = record.get("MESSAGE") else { return };
    let when = record.time();
    let stamp = match mode {
        Mode::ShortMonotonic => Some(format!("[{}]", time::seconds(record.since_boot(), 5))),
        Mode::ShortDelta => Some(delta(record.since_boot(), before)),
        Mode::ShortUnix => Some(time::seconds(when, 10)),
        Mode::ShortIso | Mode::ShortIsoPrecise => time::iso(when, mode == Mode::ShortIsoPrecise),
        Mode::ShortFull | Mode::WithUnit => time::full(when, false),
        _ => time::syslog(when, mode == Mode::ShortPrecise),
    };
    let mut head = stamp.unwrap_or_default().into_bytes();
    let shown = |name: &str| record.get(name).filter(|value| is_printable(value));
    if let Some(host) = shown("_HOSTNAME") {
        head.push(b' ');
        head.extend_from_slice(host);
    }
    head.push(b' ');
    match (mode, shown("_SYSTEMD_UNIT"), shown("_SYSTEMD_USER_UNIT")) {
        (Mode::WithUnit, Some(unit), user_unit) => {
            head.extend_from_slice(unit);
            if let Some(user_unit) = user_unit {
                head.push(b'/');
                head.extend_from_slice(user_unit);
            }
        }
        (Mode::WithUnit, None, Some(user_unit)) => head.extend_from_slice(user_unit),
        _ => head.extend_from_slice(shown("SYSLOG_IDENTIFIER").or(shown("_COMM")).unwrap_or(b"unknown")),
    }
    if let Some(process) = shown("_PID").or(shown("SYSLOG_PID")) {
        head.push(b'[');
        head.extend_from_slice(process);
        head.push(b']');
    }
    head.extend_from_slice(b": ");

    out.extend_from_slice(&head);
    let text = stripped(message);
    if !is_printable(&text) {
        out.extend_from_slice(blob(&text).as_bytes());
        out.push(b'\n');
        return;
    }
    // Its other lines begin where the first one does.
    let indent = vec![b' '; String::from_utf8_lossy(&head).chars().count()];
    let lines = text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n');
    for (number, line) in lines.enumerate() {
        if number > 0 {
            out.extend_from_slice(&indent);
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

/// The time since the boot, and that since the entry before.
fn delta(time: u64, before: &mut Option<u64>) -> String {
    let since = match before.replace(time) {
        None => " ".repeat(16),
        Some(before) => format!(" <{} >", time::seconds(time.saturating_sub(before), 5)),
    };
    format!("[{}{since}]", time::seconds(time, 5))
}
