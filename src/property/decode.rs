//! Bytes in text: base64, hexadecimal digits, and escapes.

use super::split::{BLANKS, unescape};

/// Base64 in one of its two alphabets, padded. Blanks between the digits do not count.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = significant(text).collect();
    let padding = digits.iter().rev().take_while(|digit| **digit == b'=').count();
    if digits.len() % 4 != 0 || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for group in digits[..digits.len() - padding].chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | u32::from(base64_digit(*digit)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, whole @ ..] = bits.to_be_bytes();
        let (used, unused) = whole.split_at(group.len() - 1);
        if unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(used);
    }
    Some(bytes)
}

fn base64_digit(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Two hexadecimal digits for each byte. Blanks between the digits do not count.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = significant(text).map(|digit| char::from(digit).to_digit(16));
    let digits = digits.collect::<Option<Vec<u32>>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

fn significant(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|byte| !BLANKS.as_bytes().contains(byte))
}

/// Whether a NUL byte may be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nul {
    Refused,
    Accepted,
}

/// Text with C's escapes (`\n`, `\x20`, …), as bytes.
pub(super) fn escaped(text: &str, nul: Nul) -> Option<Vec<u8>> {
    const NULS: [&str; 4] = ["x00", "000", "u0000", "U00000000"];
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = match NULS.iter().find_map(|escape| after.strip_prefix(escape)) {
            Some(after) if nul == Nul::Accepted => {
                bytes.push(0);
                after
            }
            _ => {
                let (unescaped, length) = unescape(after)?;
                bytes.extend_from_slice(&unescaped);
                &after[length..]
            }
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded_and_canonical() {
        assert_eq!(base64("SGVs bG8=\t").unwrap(), b"Hello");
        assert_eq!(base64("AA= =").unwrap(), [0]);
        assert_eq!(base64("+/-_").unwrap(), [251, 255, 191]);
        assert_eq!(base64("").unwrap(), b"");
        for bad in ["SGVsbG8", "SGVsbG8==", "SGVsbG9=", "SGVsb===", "SG=VsbG8=", "SGVsbG8=x", "====", "A", "AB==", "é"]
        {
            assert_eq!(base64(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(hex(" 00 fF\t1 2").unwrap(), [0, 255, 0x12]);
        assert_eq!(hex("").unwrap(), b"");
        for bad in ["0", "0g", "0x00", "é", "éé"] {
            assert_eq!(hex(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn escapes_become_bytes() {
        assert_eq!(escaped(r"a\n\x41\377\u00e9\s\\", Nul::Refused).unwrap(), b"a\nA\xff\xc3\xa9 \\");
        assert_eq!(escaped(r"a\x00\000\u0000\U00000000b", Nul::Accepted).unwrap(), b"a\0\0\0\0b");
        for bad in [r"a\x00", r"\000", r"\q", "a\\", r"\400", r"\x4", r"\é", r"\udc00", r"\u12é"] {
            assert_eq!(escaped(bad, Nul::Refused), None, "{bad:?}");
        }
    }
}
