//! Unit names: which are valid, how they are generated, and how they look in an object path.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// The object path of a unit is this and its name, escaped.
pub(crate) const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/";

/// Longest name that systemd takes (`systemd.unit(5)`: 255 characters).
const LONGEST: usize = 255;

/// Checks the name of a service, adding the suffix where it is left out, as `systemd-run --unit=` does.
pub(crate) fn service(name: &str) -> Result<String> {
    let full = with_suffix(name, ".service");
    check("unit name", name, &full, ".service")?;
    Ok(full)
}

/// Checks the name of a scope, adding the suffix where it is left out.
pub(crate) fn scope(name: &str) -> Result<String> {
    let full = with_suffix(name, ".scope");
    check("unit name", name, &full, ".scope")?;
    Ok(full)
}

/// The name of a unit of another type that belongs to a service.
pub(crate) fn with_other_suffix(service: &str, suffix: &str) -> String {
    format!("{}.{suffix}", service.strip_suffix(".service").unwrap_or(service))
}

/// Checks the name of a slice, adding the suffix where it is left out. `-.slice` is the root.
pub(crate) fn slice(name: &str) -> Result<String> {
    let full = with_suffix(name, ".slice");
    let prefix = check("slice", name, &full, ".slice")?;
    if prefix != "-" && (prefix.starts_with('-') || prefix.ends_with('-') || prefix.contains("--")) {
        let reason =
            "may not begin or end with \"-\" or hold two in a row: each stands between a slice and the one below it";
        return Err(Error::invalid("slice", name, reason));
    }
    if prefix.contains('@') {
        return Err(Error::invalid("slice", name, "may not contain \"@\": slices have no instances"));
    }
    Ok(full)
}

/// The kinds of unit (`systemd.unit(5)`).
const SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

/// The D-Bus interface with the properties of units of this one's type.
pub(crate) fn interface(name: &str) -> &'static str {
    const INTERFACES: [&str; 11] = [
        "org.freedesktop.systemd1.Service",
        "org.freedesktop.systemd1.Socket",
        "org.freedesktop.systemd1.Device",
        "org.freedesktop.systemd1.Mount",
        "org.freedesktop.systemd1.Automount",
        "org.freedesktop.systemd1.Swap",
        "org.freedesktop.systemd1.Target",
        "org.freedesktop.systemd1.Path",
        "org.freedesktop.systemd1.Timer",
        "org.freedesktop.systemd1.Slice",
        "org.freedesktop.systemd1.Scope",
    ];
    SUFFIXES.iter().position(|suffix| name.ends_with(suffix)).map_or(INTERFACES[0], |at| INTERFACES[at])
}

/// Checks the full name of a unit of any kind.
pub(crate) fn any(name: &str) -> Result<String> {
    let Some(suffix) = SUFFIXES.iter().find(|suffix| name.ends_with(**suffix)) else {
        let reason = "does not end with the kind of unit that it is, as \".service\" or \".slice\"";
        return Err(Error::invalid("unit name", name, reason));
    };
    check("unit name", name, name, suffix)?;
    Ok(name.into())
}

fn with_suffix(name: &str, suffix: &str) -> String {
    if name.ends_with(suffix) { name.to_owned() } else { format!("{name}{suffix}") }
}

/// Checks a full name, and gives the part before the suffix.
fn check<'a>(what: &'static str, name: &str, full: &'a str, suffix: &str) -> Result<&'a str> {
    let refuse = |reason: String| Err(Error::invalid(what, name, reason));
    let prefix = &full[..full.len() - suffix.len()];
    if prefix.is_empty() {
        return Err(Error::invalid(what, "", "may not be empty"));
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if let Some(bad) = prefix.chars().find(|c| !valid(*c)) {
        return refuse(format!(
            "may not contain {:?} (allowed are letters, digits and \":-_.\\@\"; systemd-escape(1) escapes the rest)",
            bad.to_string()
        ));
    }
    if full.len() > LONGEST {
        return refuse(format!("is {} bytes long; at most {LONGEST} are allowed, {suffix} included", full.len()));
    }
    match prefix.split_once('@') {
        Some(("", _)) => refuse("has nothing before its \"@\"".into()),
        Some((_, "")) => refuse("is a template: say the instance after the \"@\"".into()),
        _ => Ok(prefix),
    }
}

/// Checks the name of a unit of any type; without a suffix that says its type it is a service's.
pub(crate) fn of_any_type(name: &str) -> Result<String> {
    if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) { any(name) } else { service(name) }
}

/// The name of the unit with this object path.
pub(crate) fn of_path(path: &str) -> Result<String> {
    let label = path.strip_prefix(UNIT_PATH).ok_or_else(|| Error::message(format!("a unit's path, not {path:?}")))?;
    let mut name = Vec::with_capacity(label.len());
    let mut bytes = label.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        name.push(match byte {
            b'_' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(Error::message(format!("a unit's path, not {path:?}"))),
            },
            byte => byte,
        });
    }
    String::from_utf8(name).map_err(|_| Error::message(format!("a unit's path, not {path:?}")))
}

/// A new name, which no other process and no other call makes: it holds the process ID, a number drawn
/// once per process, and a count.
///
/// With one dash, so that drop-in files in `sdrun-.service.d` are for all of them, and no more: for each dash systemd looks
/// for one more set of drop-in files, which is about 1 % of all that it does for a unit.
pub(crate) fn generate() -> String {
    static DRAWN: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let drawn = DRAWN.get_or_init(|| RandomState::new().hash_one(0));
    // The process ID is read each time: after a fork the child shares the number and the count.
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("sdrun-{process}x{:08x}x{count}.service", *drawn as u32)
}

/// A new name for a scope: see [`generate`].
pub(crate) fn generate_scope() -> String {
    generate().replace(".service", ".scope")
}

/// The name of a scope in place of this service.
pub(crate) fn scope_for(service: &str) -> Result<String> {
    scope(service.strip_suffix(".service").unwrap_or(service))
}

/// A new name for a slice that keeps a unit loaded. Without dashes, with which slices nest.
pub(crate) fn generate_keeper() -> String {
    let name = generate();
    let number = name.trim_start_matches("sdrun-").trim_end_matches(".service");
    format!("sdrunkeep{number}.slice")
}

/// The last element of a unit's object path: everything but letters and digits is written `_xx`, and so is
/// a digit in front.
pub(crate) fn label(name: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut label = String::with_capacity(name.len() + 16);
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            label.push(byte.into());
        } else {
            label.push('_');
            label.push(DIGITS[usize::from(byte >> 4)].into());
            label.push(DIGITS[usize::from(byte & 15)].into());
        }
    }
    if label.is_empty() {
        label.push('_');
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_completed() {
        assert_eq!(service("job").unwrap(), "job.service");
        assert_eq!(service("job.service").unwrap(), "job.service");
        assert_eq!(service("job@1").unwrap(), "job@1.service");
        assert_eq!(service("a\\x2db:c_d.e").unwrap(), "a\\x2db:c_d.e.service");
        assert_eq!(service("job.timer").unwrap(), "job.timer.service");
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        let reason = |name: &str| service(name).unwrap_err().to_string();
        assert_eq!(
            reason("a/b.service"),
            "unit name \"a/b.service\" may not contain \"/\" (allowed are letters, digits and \":-_.\\@\"; \
             systemd-escape(1) escapes the rest)"
        );
        assert!(reason("").contains("may not be empty"));
        assert!(reason(".service").contains("may not be empty"));
        assert!(reason("a b").contains("\" \""));
        assert!(reason("nul\0").contains("\\0"));
        assert!(reason("é").contains("é"));
        assert!(reason("job@").contains("template"));
        assert!(reason("@x").contains("before"));
        assert!(reason(&"x".repeat(248)).contains("256 bytes"));
        assert!(service(&"x".repeat(247)).is_ok());
    }

    #[test]
    fn slices_and_other_units_are_checked() {
        assert_eq!(slice("batch").unwrap(), "batch.slice");
        assert_eq!(slice("a-b.slice").unwrap(), "a-b.slice");
        assert_eq!(slice("-").unwrap(), "-.slice");
        for bad in ["", "-a", "a-", "a--b", "a@b", "a/b"] {
            assert!(slice(bad).is_err(), "{bad:?}");
        }
        assert_eq!(scope("a").unwrap(), "a.scope");
        assert_eq!(scope("a.scope").unwrap(), "a.scope");
        assert_eq!(scope_for("a.service").unwrap(), "a.scope");
        assert_eq!(scope_for("a.scope.service").unwrap(), "a.scope");
        assert!(scope("a b").is_err() && scope("").is_err());
        assert_eq!(any("x.timer").unwrap(), "x.timer");
        assert!(any("x").unwrap_err().to_string().contains("kind of unit"));
        assert!(any(".slice").is_err());
    }

    #[test]
    fn names_of_any_type() {
        for name in ["a.service", "a.scope", "system.slice", "a-b.timer", "-.mount", "a@b.socket", "dev-sda.device"] {
            assert_eq!(of_any_type(name).unwrap(), name);
            assert_eq!(of_path(&format!("{UNIT_PATH}{}", label(name))).unwrap(), name);
        }
        assert_eq!(of_any_type("a").unwrap(), "a.service");
        assert_eq!(of_any_type("a.b").unwrap(), "a.b.service");
        for name in ["", ".scope", "a b.scope", "a@.scope", "a/b", "a\0.slice"] {
            assert!(of_any_type(name).is_err(), "{name:?}");
        }
        for path in ["", "/", "/org/freedesktop/systemd1/unit/a_", "/org/freedesktop/systemd1/unit/_zz"] {
            assert!(of_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn interfaces_are_those_of_the_type() {
        for suffix in SUFFIXES {
            let interface = interface(&format!("a{suffix}")).rsplit('.').next().unwrap();
            assert_eq!(interface.to_lowercase(), suffix[1..]);
        }
    }

    #[test]
    fn generated_names_are_valid_and_differ() {
        let (one, two) = (generate(), generate());
        assert_ne!(one, two);
        assert_eq!(service(&one).unwrap(), one);
    }

    #[test]
    fn labels_are_escaped_as_in_object_paths() {
        assert_eq!(label("run-u15.service"), "run_2du15_2eservice");
        assert_eq!(label("1.service"), "_31_2eservice");
        assert_eq!(label("a@\\x2d.service"), "a_40_5cx2d_2eservice");
        assert_eq!(label(""), "_");
    }
}
