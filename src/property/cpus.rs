//! Sets of CPUs and of NUMA nodes: bits, sent as bytes.

use super::field::Field;
use super::numbers;
use super::split::{PLAIN, QUOTED};
use crate::error::Result;

/// The highest number that can be in a set.
pub(super) const HIGHEST: u32 = 8191;

/// Reads numbers and ranges with blanks or commas between them: `0-3 8,10`.
pub(super) fn set(field: &Field<'_>) -> Result<Vec<u8>> {
    let split = |splitter: super::split::Splitter, text: &str| {
        splitter.words(text).map_err(|unsplit| field.refuse_part(text, unsplit.reason()))
    };
    let expected = "is not a range of numbers from 0 to 8191 (expected numbers and ranges, as \"0-3,8\")";
    let number = |text: &str| numbers::unsigned32(text).filter(|number| *number <= HIGHEST);
    let mut bytes = Vec::new();
    for word in split(QUOTED.separators(" \t\n\r,"), field.value)? {
        let range = match &split(PLAIN.separators("-").empty_words(), &word)?[..] {
            [only] => number(only).map(|only| (only, only)),
            [first, last] => number(first).zip(number(last)),
            _ => None,
        };
        let range = range.filter(|(first, last)| first <= last);
        let (first, last) = range.ok_or_else(|| field.refuse_part(&word, expected))?;
        insert(&mut bytes, first, last);
    }
    Ok(bytes)
}

/// Adds a range, with which the set grows by multiples of 64 bits.
pub(super) fn insert(bytes: &mut Vec<u8>, first: u32, last: u32) {
    let length = (last as usize / 64 + 1) * 8;
    bytes.resize(bytes.len().max(length), 0);
    let (first, last) = (first as usize, last as usize);
    for (at, byte) in bytes.iter_mut().enumerate().take(last / 8 + 1).skip(first / 8) {
        let below = if at == first / 8 { (1 << (first % 8)) - 1 } else { 0 };
        let above = if at == last / 8 { !(0xff >> (7 - last % 8)) } else { 0 };
        *byte |= !(below | above);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Vec<u8>> {
        set(&Field::new("CPUAffinity", value))
    }

    #[test]
    fn numbers_and_ranges() {
        assert_eq!(read("0-3,8").unwrap(), [15, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read(" 0 2,,'4'").unwrap(), [21, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read("64").unwrap(), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read("8191").unwrap().len(), 1024);
        assert_eq!(read(",").unwrap(), []);
        for bad in ["8192", "3-1", "-1", "0-", "1-2-3", "1 - 2", "\"1 2\"", "\"1", "1\\", "\"\"", "all", "é", "1--2"] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.starts_with(&format!("CPUAffinity={bad}: ")), "{error}");
        }
        assert!(read("1 2-x").unwrap_err().to_string().contains(r#""2-x" is not a range of numbers"#));
    }
}
