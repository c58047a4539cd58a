//! Values as systemd reads them.

/// Words for yes and no.
pub fn boolean(option: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("Failed to parse boolean argument to '{option}=': {value}")),
    }
}

/// A number with a sign and a base, which a leading 0 makes 8.
pub fn integer(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (base, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.starts_with('+') {
        return None;
    }
    let number = i32::try_from(u32::from_str_radix(digits, base).ok()?).ok()?;
    Some(if text.starts_with('-') { -number } else { number })
}
