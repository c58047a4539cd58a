//! Numbers, sizes and booleans in text.

/// A boolean (`systemd.syntax(7)`).
pub(super) fn boolean(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is_one_of(["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A number of at most `u64`: decimal, or with a prefix hexadecimal (`0x`), octal (`0o` or `0`) or binary (`0b`).
pub(super) fn unsigned(text: &str) -> Option<u64> {
    let (is_negative, number) = integer(text)?;
    (!is_negative || number == 0).then_some(number)
}

/// As [`unsigned`], but of at most `u32`.
pub(super) fn unsigned32(text: &str) -> Option<u32> {
    unsigned(text)?.try_into().ok()
}

/// As [`unsigned`], but of at most `u16`.
pub(super) fn unsigned16(text: &str) -> Option<u16> {
    unsigned(text)?.try_into().ok()
}

/// As [`unsigned`], but of at most `u8`.
pub(super) fn unsigned8(text: &str) -> Option<u8> {
    unsigned(text)?.try_into().ok()
}

/// As [`unsigned`], with a sign.
pub(super) fn signed(text: &str) -> Option<i64> {
    match integer(text)? {
        (true, number) => 0i64.checked_sub_unsigned(number),
        (false, number) => number.try_into().ok(),
    }
}

/// As [`signed`], but of at most `i32`.
pub(super) fn signed32(text: &str) -> Option<i32> {
    signed(text)?.try_into().ok()
}

/// Whether there is a minus, and the number. What C does not know, `0b` and `0o`, stands before the sign.
fn integer(text: &str) -> Option<(bool, u64)> {
    let text = text.trim_start_matches(is_blank);
    match text.as_bytes() {
        [b'0', b'b' | b'B', ..] => with_sign(&text[2..], |digits| in_radix(digits, 2)),
        [b'0', b'o' | b'O', ..] => with_sign(&text[2..], |digits| in_radix(digits, 8)),
        _ => with_sign(text, digits_as_in_c),
    }
}

/// What the C library takes for a number: blanks of its own, a sign, and what `magnitude` reads.
fn with_sign(text: &str, magnitude: impl Fn(&str) -> Option<u64>) -> Option<(bool, u64)> {
    let text = text.trim_start_matches(is_c_blank);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    Some((text.starts_with('-'), magnitude(digits)?))
}

/// Digits alone: decimal, hexadecimal after `0x`, octal after `0`.
pub(super) fn digits_as_in_c(digits: &str) -> Option<u64> {
    match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => in_radix(&digits[2..], 16),
        [b'0', _, ..] => in_radix(&digits[1..], 8),
        _ => in_radix(digits, 10),
    }
}

fn in_radix(digits: &str, radix: u32) -> Option<u64> {
    let valid = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// The access mode of a file: octal digits.
pub(super) fn mode(text: &str) -> Option<u32> {
    let text = text.trim_start_matches(is_blank);
    let valid = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = valid.then(|| u32::from_str_radix(text, 8).ok()).flatten()?;
    (mode <= 0o7777).then_some(mode)
}

/// A number of bytes: `512`, `1.5G`, `1G 512M`. K, M, G, T, P and E are powers of 1024.
pub(super) fn size(text: &str) -> Option<u64> {
    sum(text, &["E", "P", "T", "G", "M", "K", "B", ""], [60, 50, 40, 30, 20, 10, 0, 0].map(|power| 1 << power))
}

/// As [`size`], with powers of 1000, as bandwidths and rates have them.
pub(super) fn size_si(text: &str) -> Option<u64> {
    let thousands = [6, 5, 4, 3, 2, 1, 0, 0].map(|power| 1000u64.pow(power));
    sum(text, &["E", "P", "T", "G", "M", "K", "B", ""], thousands)
}

/// Numbers with suffixes, of which each is smaller than the one before.
fn sum(text: &str, suffixes: &[&str; 8], factors: [u64; 8]) -> Option<u64> {
    let mut rest = text.trim_start_matches(is_blank);
    let mut total = 0u64;
    let mut first = 0;
    loop {
        rest = rest.trim_start_matches(is_c_blank);
        let (whole, after) = digits(rest.strip_prefix('+').unwrap_or(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        let after = after.trim_start_matches(is_blank);
        let at = (first..suffixes.len()).find(|at| after.starts_with(suffixes[*at]))?;
        total = total.checked_add(times(whole.parse().ok()?, fraction, factors[at])?)?;
        rest = &after[suffixes[at].len()..];
        first = at + 1;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// A number with decimals times a factor. systemd reckons the decimals in floating point, and takes them for one when it
/// looks whether the result is too large.
fn times(whole: u64, fraction: &str, factor: u64) -> Option<u64> {
    if fraction.is_empty() {
        return whole.checked_mul(factor);
    }
    let digits: u64 = fraction.parse().ok()?;
    let share = fraction.bytes().fold(digits as f64, |share, _| share / 10.0);
    if whole.checked_add(u64::from(digits > 0))? > u64::MAX / factor {
        return None;
    }
    (whole * factor).checked_add((share * factor as f64) as u64)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn is_blank(c: char) -> bool {
    super::split::BLANKS.contains(c)
}

/// What the C library skips before a number.
pub(super) fn is_c_blank(c: char) -> bool {
    is_blank(c) || matches!(c, '\x0b' | '\x0c')
}

/// A share: `50%`, `12.5%`, `125‰`, `1250‱`, in hundredths of a percent, without an upper bound.
pub(super) fn permyriad(text: &str) -> Option<u32> {
    let (digits, places) = match text {
        _ if text.ends_with('%') => (&text[..text.len() - 1], 2),
        _ if text.ends_with('‰') => (text.strip_suffix('‰')?, 1),
        _ => (text.strip_suffix('‱')?, 0),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (digits, ""),
    };
    if fraction.len() > places || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<places$}");
    let fraction: i32 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10i32.pow(places as u32);
    let total = signed32(whole)?.checked_mul(scale)?.checked_add(fraction)?;
    total.try_into().ok()
}

/// A share of at most everything, as a part of `u32::MAX`.
pub(super) fn scale(text: &str) -> Option<u32> {
    let permyriad = permyriad(text).filter(|permyriad| *permyriad <= 10_000)?;
    u32::try_from((u64::from(permyriad) * u64::from(u32::MAX) + 5_000) / 10_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        assert_eq!(boolean("Yes"), Some(true));
        assert_eq!(boolean("off"), Some(false));
        assert_eq!(boolean(""), None);
        assert_eq!(boolean(" 1"), None);
    }

    #[test]
    fn whole_numbers() {
        for (text, number) in [
            ("0", 0),
            ("0x1F", 31),
            ("010", 8),
            ("0o17", 15),
            ("0B101", 5),
            (" \t+7", 7),
            ("\x0b5", 5),
            ("-0", 0),
            ("-0x0", 0),
            ("0b+1", 1),
            ("0b\x0b1", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(unsigned(text), Some(number), "{text:?}");
        }
        for bad in [
            "",
            " ",
            "-1",
            "1 ",
            "++1",
            "+-1",
            "- 0",
            "0x",
            "0x+1",
            "0x 1",
            "0b",
            "0b2",
            "0b-1",
            "+0b1",
            "-0b0",
            "0o0o1",
            "08",
            "1_0",
            "1.0",
            "18446744073709551616",
            "0x10000000000000000",
            "é",
            "0é",
            "0bé",
        ] {
            assert_eq!(unsigned(bad), None, "{bad:?}");
        }
        for bad in ["", "789", "+755", "0o755", "-755", "10000"] {
            assert_eq!(mode(bad), None, "{bad:?}");
        }
        assert_eq!(signed("-0x10"), Some(-16));
        assert_eq!(signed("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed("9223372036854775808"), None);
        assert_eq!(signed32("-2147483648"), Some(i32::MIN));
        assert_eq!((unsigned8("256"), unsigned16("65536"), unsigned32("4294967296")), (None, None, None));
        assert_eq!(mode("0755"), Some(0o755));
    }

    #[test]
    fn sizes() {
        for (text, number) in [
            ("1K", 1 << 10),
            ("1.5G", 3 << 29),
            ("1G 512M", (1 << 30) + (512 << 20)),
            ("1M1K1", (1 << 20) + (1 << 10) + 1),
            ("1K +1", 1025),
            ("1 K", 1024),
            ("5. K", 5120),
            ("1.5", 1),
            (" 1 ", 1),
            ("1B1", 2),
            ("08", 8),
            ("1.18446744073709551615K", 1212),
            ("1.9999999999999999999E", 2 << 60),
            ("18014398509481983K", u64::MAX - 1023),
        ] {
            assert_eq!(size(text), Some(number), "{text:?}");
        }
        assert_eq!(size_si("1K"), Some(1000));
        for bad in [
            "",
            "K",
            ".5K",
            "-1",
            "-0",
            "2X",
            "1k",
            "1KB",
            "512M1G",
            "1K1K",
            "1 1",
            "1.5.5",
            "1. 5K",
            "1.+5K",
            "1K ",
            "0x10",
            "16E",
            "15.99E",
            "18446744073709551616",
            "0.99999999999999999999K",
            "1_000",
            "é",
            "1é",
        ] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(permyriad("50%"), Some(5000));
        assert_eq!(permyriad("12.5%"), Some(1250));
        assert_eq!(permyriad("5‰"), Some(50));
        assert_eq!(permyriad("5‱"), Some(5));
        assert_eq!(permyriad("200%"), Some(20000));
        assert_eq!(permyriad(" 0x32%"), Some(5000));
        assert_eq!(permyriad("2147483647‱"), Some(i32::MAX as u32));
        for bad in ["", "%", "-1%", "1", "1.555%", "1.%", ".5%", "1.25‰", "1.2‱", "50 %", "1.+5%", "2147483648‱", "é%"]
        {
            assert_eq!(permyriad(bad), None, "{bad:?}");
        }
        assert_eq!(scale("50%"), Some(0x8000_0000));
        assert_eq!(scale("100%"), Some(u32::MAX));
        assert_eq!(scale("0.01%"), Some(429_497));
        assert_eq!(scale("100.01%"), None);
    }
}
