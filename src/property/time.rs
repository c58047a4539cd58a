//! Time spans in text (`systemd.time(7)`).

/// A time span that has no end.
pub(super) const INFINITY: u64 = u64::MAX;

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1000;
const MILLISECOND: u64 = 1000 * MICROSECOND;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// 30.44 days.
const MONTH: u64 = 2_629_800 * SECOND;
/// 365.25 days.
const YEAR: u64 = 31_557_600 * SECOND;

/// The units, and the nanoseconds that they have.
const UNITS: [(&[&str], u64); 10] = [
    (&["ns", "nsec"], NANOSECOND),
    (&["us", "usec", "µs", "μs"], MICROSECOND),
    (&["ms", "msec"], MILLISECOND),
    (&["s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], MINUTE),
    (&["h", "hr", "hour", "hours"], HOUR),
    (&["d", "day", "days"], DAY),
    (&["w", "week", "weeks"], WEEK),
    (&["M", "month", "months"], MONTH),
    (&["y", "year", "years"], YEAR),
];

/// The expected form, for errors.
pub(super) const SPAN: &str = "is not a time span (expected numbers with units, as \"1h 30min\" or \"500ms\"; seconds \
                               where there is no unit; or \"infinity\")";

/// A time span in µs. A number without a unit is of seconds.
pub(super) fn span(text: &str) -> Option<u64> {
    parse(text, SECOND, MICROSECOND)
}

/// A time span in µs. A number without a unit is of microseconds.
pub(super) fn span_in_us(text: &str) -> Option<u64> {
    parse(text, MICROSECOND, MICROSECOND)
}

/// A time span in ns. A number without a unit is of nanoseconds.
pub(super) fn span_in_ns(text: &str) -> Option<u64> {
    parse(text, NANOSECOND, NANOSECOND)
}

/// A time span in units of `resolution` ns, where a number without a unit counts `default` ns.
fn parse(text: &str, default: u64, resolution: u64) -> Option<u64> {
    let blank = |c: char| super::split::BLANKS.contains(c);
    let mut rest = text.trim_start_matches(blank);
    if let Some(after) = rest.strip_prefix("infinity") {
        return after.trim_start_matches(blank).is_empty().then_some(INFINITY);
    }
    let mut total = 0u64;
    let mut something = false;
    loop {
        rest = rest.trim_start_matches(blank);
        if rest.is_empty() {
            return something.then_some(total);
        }
        let unsigned = rest.trim_start_matches(super::numbers::is_c_blank);
        let unsigned = unsigned.strip_prefix('+').unwrap_or(unsigned);
        let (whole, after) = digits(unsigned);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => match digits(after) {
                ("", _) => return None,
                (fraction, after) => (Some(fraction), after),
            },
            None => (None, after),
        };
        if whole.is_empty() && (fraction.is_none() || unsigned.len() < rest.len()) {
            return None;
        }
        let at_unit = after.trim_start_matches(blank);
        let (factor, length) = unit(at_unit, resolution).unwrap_or((default, 0));
        // Numbers need a blank or a unit between them.
        if length == 0 && at_unit.len() == after.len() && !after.is_empty() {
            return None;
        }
        let factor = factor / resolution;
        let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()?.unsigned_abs() };
        // As systemd, which refuses some of what would just fit.
        if whole >= INFINITY / factor || whole * factor >= INFINITY - total {
            return None;
        }
        total += whole * factor;
        let mut place = factor / 10;
        for digit in fraction.unwrap_or_default().bytes() {
            total = total.checked_add(u64::from(digit - b'0') * place)?;
            place /= 10;
        }
        if total == INFINITY {
            return None;
        }
        something = true;
        rest = &at_unit[length..];
    }
}

/// The longest unit that the text begins with: what it counts, and its length.
fn unit(text: &str, resolution: u64) -> Option<(u64, usize)> {
    UNITS
        .iter()
        .filter(|(_, factor)| *factor >= resolution)
        .flat_map(|(names, factor)| names.iter().map(move |name| (*name, *factor)))
        .filter(|(name, _)| text.starts_with(name))
        .max_by_key(|(name, _)| name.len())
        .map(|(name, factor)| (factor, name.len()))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("1h 30min"), Some(5_400_000_000));
        assert_eq!(span("2"), Some(2_000_000));
        assert_eq!(span(" 1.5s "), Some(1_500_000));
        assert_eq!(span(".5"), Some(500_000));
        assert_eq!(span("5 5"), Some(10_000_000));
        assert_eq!(span("1m1M"), Some(60_000_000 + 2_629_800_000_000));
        assert_eq!(span("12.34s.56"), Some(12_900_000));
        assert_eq!(span("infinity "), Some(INFINITY));
        assert_eq!(span("0"), Some(0));
        assert_eq!(span("7µs"), Some(7));
        assert_eq!(span_in_us("5 1ms"), Some(1005));
        assert_eq!(span("5s +3"), Some(8_000_000));
        assert_eq!(span("\x0b5"), Some(5_000_000));
        assert_eq!(span("1.9999999s"), Some(1_999_999));
        assert_eq!(span("18446744073708s"), Some(18_446_744_073_708_000_000));
        assert_eq!(span_in_ns("5"), Some(5));
        assert_eq!(span_in_ns("1us"), Some(1000));
        assert_eq!(span("18446744073708.9999999"), Some(18_446_744_073_708_999_999));
        assert_eq!(span("18446744073708 1s"), Some(18_446_744_073_709_000_000));
        for bad in [
            "",
            " ",
            "-1",
            "5.",
            "5. s",
            "1.2.3",
            "infinity 1",
            "x",
            "1x",
            "1ns",
            "18446744073709551615",
            "18446744073709s",
            "584542y",
            "é",
            "1é",
        ] {
            assert_eq!(span(bad), None, "{bad:?}");
        }
        for large in ["18446744073709", "584542y", "18446744073708 1 1", "9223372036854775808us", "213503982w 1d"] {
            assert_eq!(span(large), None, "{large:?}");
        }
    }
}
