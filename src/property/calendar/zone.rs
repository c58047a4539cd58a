//! The time zone that a calendar event ends with.

use std::io::Read;
use std::path::Path;

use super::Fault;

const DATABASE: &str = "/usr/share/zoneinfo";

/// The event without its time zone.
pub(super) fn strip(text: &str) -> &str {
    match text.rsplit_once(' ') {
        Some((event, zone)) if zone.eq_ignore_ascii_case("UTC") || exists(zone) => event,
        _ => text,
    }
}

/// Where the fault is in the last word, that may be meant for a time zone.
pub(super) fn explain(text: &str, fault: Fault) -> Fault {
    let Some((event, zone)) = text.rsplit_once(' ') else { return fault };
    let at = event.chars().count() + 2;
    // At the word, or at the blank before it.
    if (at - 1..=at).contains(&fault.at) && zone.starts_with(|c: char| c.is_alphabetic()) {
        let reason = format!("is not a time zone (expected one of {DATABASE}, as \"Europe/Berlin\", or UTC)");
        return Fault { part: zone.into(), at, reason };
    }
    fault
}

/// Whether this host's database has such a zone. It is the manager's that counts in the end, but systemd-run too looks
/// here.
fn exists(zone: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_+/".contains(c);
    if zone.is_empty() || !zone.chars().all(valid) || zone.split('/').any(str::is_empty) {
        return false;
    }
    let file = Path::new(DATABASE).join(zone);
    let mut magic = [0; 4];
    file.is_file()
        && std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"TZif"
}
