//! Unit names as people type them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The types of units.
const TYPES: [&str; 11] =
    ["automount", "device", "mount", "path", "scope", "service", "slice", "socket", "swap", "target", "timer"];

/// Makes a name of this type, `service` or `slice`, of any text, as systemd-run does: "/" becomes "-", what else may not
/// stand in a unit name is written `\xHH`, and the type is added. What is left to find fault with is for the library.
pub fn mangle(name: &OsStr, wanted: &str) -> Result<String, String> {
    let mut mangled = String::with_capacity(name.len() + 1 + wanted.len());
    for byte in name.as_bytes() {
        match byte {
            b'/' => mangled.push('-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'-' | b'_' | b'.' | b'\\' | b'@' => {
                mangled.push(char::from(*byte));
            }
            _ => mangled.push_str(&format!("\\x{byte:02x}")),
        }
    }
    match mangled.rsplit_once('.') {
        Some((prefix, kind)) if !prefix.is_empty() && kind == wanted => Ok(mangled),
        Some((prefix, kind)) if !prefix.is_empty() && TYPES.contains(&kind) => Err(format!(
            "Unit name \"{}\" has unit type \"{kind}\", but \"{wanted}\" is expected.",
            name.to_string_lossy()
        )),
        // The name of a mount or a device.
        _ if name.as_bytes().starts_with(b"/") => {
            Err(format!("Unit name \"{}\" is a path, but a {wanted} is expected.", name.to_string_lossy()))
        }
        _ if name.is_empty() => Err("the unit name is empty".into()),
        _ => Ok(format!("{mangled}.{wanted}")),
    }
}

/// What comes before the type, where the name is that of a unit of the type that triggers. Such a unit of another type is
/// a mistake.
pub fn other_type<'a>(name: &'a OsStr, trigger: &str) -> Result<Option<&'a str>, String> {
    let Some((prefix, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { return Ok(None) };
    match kind {
        _ if kind == trigger => Ok(Some(prefix)),
        "path" | "socket" | "timer" => {
            Err(format!("Specified unit '{}' does not match requested {trigger} trigger.", name.to_string_lossy()))
        }
        _ => Ok(None),
    }
}
