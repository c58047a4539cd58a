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
    match integer(text)? {
        (true, 1..) => None,
        (_, magnitude) => Some(magnitude),
    }
}

/// As [`unsigned`], but of at most `u32`.
pub(super) fn unsigned32(text: &str) -> Option<u32> {
    unsigned(text)?.try_into().ok()
}

/// As [`unsigned`], with a sign.
pub(super) fn signed(text: &str) -> Option<i64> {
    match integer(text)? {
        (true, magnitude) => 0i64.checked_sub_unsigned(magnitude),
        (false, magnitude) => magnitude.try_into().ok(),
    }
}

/// As [`signed`], but of at most `i32`.
pub(super) fn signed32(text: &str) -> Option<i32> {
    signed(text)?.try_into().ok()
}

/// Whether a number is negative, and its magnitude. The sign stands behind `0b` and `0o`, but before `0x`.
fn integer(text: &str) -> Option<(bool, u64)> {
    let text = skip_blanks(text);
    let (text, radix) = match text.as_bytes() {
        [b'0', b'b' | b'B', ..] => (skip_blanks(&text[2..]), Some(2)),
        [b'0', b'o' | b'O', ..] => (skip_blanks(&text[2..]), Some(8)),
        _ => (text, None),
    };
    let negative = text.starts_with('-');
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match (radix, text.as_bytes()) {
        (Some(radix), _) => (text, radix),
        (None, [b'0', b'x' | b'X', ..]) => (&text[2..], 16),
        (None, [b'0', _, ..]) => (&text[1..], 8),
        (None, _) => (text, 10),
    };
    let valid = digits.chars().all(|digit| digit.is_digit(radix));
    let magnitude = valid.then(|| u64::from_str_radix(digits, radix).ok()).flatten()?;
    Some((negative, magnitude))
}

/// The access mode of a file: octal digits.
pub(super) fn mode(text: &str) -> Option<u32> {
    let digits = skip_blanks(text);
    let valid = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = valid.then(|| u32::from_str_radix(digits, 8).ok()).flatten()?;
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
    let mut rest = text;
    let mut total = 0u64;
    let mut first = 0;
    loop {
        rest = skip_blanks(rest);
        rest = rest.strip_prefix('+').unwrap_or(rest);
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() {
            return None;
        }
        let after = skip_blanks(after);
        let at = (first..suffixes.len()).find(|at| after.starts_with(suffixes[*at]))?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(factors[at])?;
        total = total.checked_add(whole)?.checked_add(share(fraction, factors[at])?)?;
        rest = &after[suffixes[at].len()..];
        first = at + 1;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// So many tenths, hundredths, … of a number, rounded down.
fn share(fraction: &str, of: u64) -> Option<u64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let digits: u64 = fraction.parse().ok()?;
    let power = 10u128.checked_pow(fraction.len().try_into().ok()?)?;
    u64::try_from(u128::from(digits) * u128::from(of) / power).ok()
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(super::split::BLANKS.chars().collect::<Vec<_>>().as_slice())
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
        assert_eq!(unsigned("0x10"), Some(16));
        assert_eq!(unsigned("010"), Some(8));
        assert_eq!(unsigned("0"), Some(0));
        assert_eq!(unsigned(" +7"), Some(7));
        assert_eq!(unsigned("18446744073709551616"), None);
        assert_eq!(signed32("-2147483648"), Some(i32::MIN));
        assert_eq!(mode("0755"), Some(0o755));
        assert_eq!(unsigned("-0"), Some(0));
        assert_eq!(unsigned("0o+17"), Some(15));
        assert_eq!(signed("0b -1"), Some(-1));
        assert_eq!(signed("-0x10"), Some(-16));
        for bad in ["", "-1", "1 ", "++1", "0x", "0x+1", "1.0", "é", "+0o1", "0b2", "0b0b1", "00x1", "0o", "08", "-"] {
            assert_eq!(unsigned(bad), None, "{bad:?}");
        }
        for bad in ["789", "+755", "0o755", "10000", ""] {
            assert_eq!(mode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1K"), Some(1024));
        assert_eq!(size("1.5G"), Some(3 << 29));
        assert_eq!(size("1G 512M"), Some((1 << 30) + (512 << 20)));
        assert_eq!(size("16E"), None);
        assert_eq!(size_si("1K"), Some(1000));
        for bad in ["", "K", "-1", "2X", "512M1G", "1.5.5", "1k"] {
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
        for bad in ["", "%", "-1%", "1", "1.555%", "1.%"] {
            assert_eq!(permyriad(bad), None, "{bad:?}");
        }
    }
}
