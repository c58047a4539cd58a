//! Assignments that nobody thought of: those of the list, changed at random.

use std::collections::HashSet;

use sdrun::{Properties, UnitType};

use crate::Line;

/// Pieces that mean something somewhere.
const PIECES: [&str; 64] = [
    " ",
    "  ",
    "\t",
    ",",
    ":",
    ";",
    "~",
    "-",
    "+",
    "!",
    "|",
    "@",
    "=",
    "%",
    "‰",
    "‱",
    "/",
    "//",
    "..",
    ".",
    "\"",
    "'",
    "\\",
    "\\n",
    "\\x41",
    "\\s",
    "*",
    "0",
    "1",
    "7",
    "9",
    "07",
    "100",
    "255",
    "256",
    "1000",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "K",
    "M",
    "G",
    "T",
    "s",
    "ms",
    "min",
    "us",
    "h",
    "5s",
    "infinity",
    "yes",
    "no",
    "any",
    "x",
    "a b",
    "ä",
    "/a",
    "SIGTERM",
    "true",
    "none",
    "B",
    "E",
];

/// A pseudorandom sequence (SplitMix64), the same for the same seed.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// So many assignments, none of them in the list, that sdrun takes.
pub fn accepted(list: &[Line], count: usize, seed: u64) -> Vec<Line> {
    let mut random = Random(seed);
    let mut settings: Vec<(UnitType, &str, Vec<&str>)> = Vec::new();
    for line in list {
        let Some((name, value)) = line.assignment.split_once('=') else { continue };
        match settings.iter_mut().find(|(unit_type, other, _)| (*unit_type, *other) == (line.unit_type, name)) {
            Some((_, _, values)) => values.push(value),
            None => settings.push((line.unit_type, name, vec![value])),
        }
    }
    let key = |unit_type: UnitType, assignment: &str| format!("{}:{assignment}", unit_type.as_str());
    let mut seen: HashSet<String> = list.iter().map(|line| key(line.unit_type, &line.assignment)).collect();
    let mut lines = Vec::with_capacity(count);
    // Settings in turn, so that each gets its share, and those for which little is right do not hold up the others.
    for turn in 0.. {
        assert!(turn < 1_000_000, "{} assignments of {count}", lines.len());
        let (unit_type, name, values) = &settings[turn % settings.len()];
        let assignment = format!("{name}={}", changed(values, &mut random));
        if assignment.contains('\n')
            || !seen.insert(key(*unit_type, &assignment))
            || Properties::new(*unit_type).set(&assignment).is_err()
        {
            continue;
        }
        lines.push(Line { unit_type: *unit_type, assignment });
        if lines.len() == count {
            break;
        }
    }
    lines
}

/// One of these values, with some changes.
fn changed(values: &[&str], random: &mut Random) -> String {
    let mut value = random.of(values).to_owned();
    for _ in 0..1 + random.below(3) {
        let bounds: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
        let at = bounds[random.below(bounds.len())];
        let end = bounds.iter().copied().find(|bound| *bound > at).unwrap_or(value.len());
        match random.below(9) {
            0 => value.insert_str(at, random.of(&PIECES)),
            1 => value.replace_range(at..end, random.of(&PIECES)),
            2 => value.replace_range(at..end, ""),
            3 => value.truncate(at),
            4 => value = format!("{value}{}{}", random.of(&[" ", ",", ":", "", "  "]), random.of(values)),
            5 => value = format!("{}{value}", random.of(&PIECES)),
            6 => value.push_str(random.of(&PIECES)),
            7 => {
                // Another number where there is one.
                let digits = |c: char| c.is_ascii_digit();
                if let Some(from) = value.find(digits) {
                    let to = value[from..].find(|c| !digits(c)).map_or(value.len(), |length| from + length);
                    let limit = 1 << (1 + random.below(63));
                    value.replace_range(from..to, &(random.next() % limit).to_string());
                }
            }
            _ => {
                // A word of another value.
                let words: Vec<&str> = random.of(values).split_ascii_whitespace().collect();
                if !words.is_empty() {
                    value.insert_str(at, random.of(&words));
                }
            }
        }
    }
    value
}
