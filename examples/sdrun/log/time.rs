//! Times as journalctl writes them.

use sdrun_sys::local_time::{LocalTime, local_time};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// µs since 1970, as the clocks here show them, and the µs of the second.
fn local(time: u64) -> Option<(LocalTime, u64)> {
    Some((local_time(i64::try_from(time / 1_000_000).ok()?)?, time % 1_000_000))
}

/// `Nov 22 23:08:54`, or `Nov 22 23:08:54.651329`.
pub fn syslog(time: u64, precise: bool) -> Option<String> {
    let (local, micros) = local(time)?;
    let LocalTime { month, day, hour, minute, second, .. } = local;
    let month = MONTHS.get(usize::from(month).checked_sub(1)?)?;
    Some(format!("{month} {day:02} {hour:02}:{minute:02}:{second:02}{}", fraction(micros, precise)))
}

/// `2026-11-22T23:08:54+00:00`, or with `.651329` before the offset.
pub fn iso(time: u64, precise: bool) -> Option<String> {
    let (local, micros) = local(time)?;
    let LocalTime { year, month, day, hour, minute, second, offset, .. } = local;
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let (hours, minutes) = (offset / 3600, offset / 60 % 60);
    let fraction = fraction(micros, precise);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{sign}{hours:02}:{minutes:02}"
    ))
}

/// `Sun 2026-11-22 23:08:54 UTC`, or with `.651329` before the zone.
pub fn full(time: u64, precise: bool) -> Option<String> {
    let (local, micros) = local(time)?;
    let LocalTime { year, month, day, weekday, hour, minute, second, zone, .. } = local;
    let weekday = DAYS.get(usize::from(weekday))?;
    let fraction = fraction(micros, precise);
    Some(format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} {zone}"))
}

fn fraction(micros: u64, precise: bool) -> String {
    if precise { format!(".{micros:06}") } else { String::new() }
}

/// `  123.456789`: seconds in this many places, and µs.
pub fn seconds(time: u64, width: usize) -> String {
    format!("{:width$}.{:06}", time / 1_000_000, time % 1_000_000)
}
