//! Time spans as systemd writes them.

use std::time::Duration;

const MICROSECONDS: [(&str, u128); 9] = [
    ("y", 31_557_600_000_000),
    ("month", 2_629_800_000_000),
    ("w", 604_800_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The time in systemd's units, to the millisecond: `1min 2.345s`, `5ms`; what is shorter than that to the
/// microsecond: `968us`.
pub fn timespan(time: Duration) -> String {
    const MILLISECOND: u128 = 1_000;
    let mut rest = time.as_micros();
    let mut parts: Vec<String> = Vec::new();
    for (unit, length) in MICROSECONDS {
        if rest < length {
            continue;
        }
        if rest < MILLISECOND && !parts.is_empty() {
            break;
        }
        let (count, below) = (rest / length, rest % length);
        rest = below;
        parts.push(if unit == "s" && below > 0 {
            rest = 0;
            format!("{count}.{:03}s", below / MILLISECOND)
        } else {
            format!("{count}{unit}")
        });
    }
    if parts.is_empty() { "0".into() } else { parts.join(" ") }
}
