//! Sets of names: sent as they are, or as bits.

use super::super::field::Field;
use super::super::forms::{Properties, inverted, parts, split};
use super::super::split::{PLAIN, QUOTED, Unsplit};
use super::super::{Property, numbers};
use super::AFTER_257;
use crate::bus::Value;
use crate::error::Result;

/// The capabilities by their numbers (capabilities(7)), without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `SECBIT_…`, of capabilities(7).
const SECURE_BITS: [(&str, i32); 6] = [
    ("noroot", 1 << 0),
    ("noroot-locked", 1 << 1),
    ("no-setuid-fixup", 1 << 2),
    ("no-setuid-fixup-locked", 1 << 3),
    ("keep-caps", 1 << 4),
    ("keep-caps-locked", 1 << 5),
];

/// What a core dump holds (core(5)), by bit.
const COREDUMP: [&str; 9] = [
    "private-anonymous",
    "shared-anonymous",
    "private-file-backed",
    "shared-file-backed",
    "elf-headers",
    "private-huge",
    "shared-huge",
    "private-dax",
    "shared-dax",
];

/// `CLONE_NEW…`, of clone(2).
const NAMESPACES: [(&str, u64); 8] = [
    ("cgroup", 0x0200_0000),
    ("ipc", 0x0800_0000),
    ("net", 0x4000_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("user", USER),
    ("uts", 0x0400_0000),
    ("time", TIME),
];
const USER: u64 = 0x1000_0000;
const TIME: u64 = 0x0000_0080;
const EVERY_NAMESPACE: u64 = 0x7e02_0000 | TIME;

/// Names that are allowed, or with a `~` before them refused: type `(bas)`.
pub(super) fn names(field: &Field<'_>) -> Properties {
    let (refused, text) = inverted(field.value);
    let names = parts(field, QUOTED, text)?;
    field.set(Value::Struct(vec![(!refused).into(), names.into()]))
}

/// Capabilities by name or number: type `t`.
///
/// A name that nobody knows says nothing, and a quote that is not closed ends with the value: that is how systemd-run
/// has it, which leaves to the manager what this kernel knows.
pub(super) fn capabilities(field: &Field<'_>) -> Properties {
    let (inverted, text) = inverted(field.value);
    let bits = relaxed_words(text).iter().filter_map(|word| capability(word)).fold(0u64, |bits, bit| bits | 1 << bit);
    field.set(if inverted { !bits } else { bits })
}

fn capability(word: &str) -> Option<usize> {
    const HIGHEST: usize = 62;
    let by_name = || {
        let (prefix, name) = word.split_at_checked("CAP_".len())?;
        let is_prefixed = prefix.eq_ignore_ascii_case("CAP_");
        CAPABILITIES.iter().position(|other| is_prefixed && other.eq_ignore_ascii_case(name))
    };
    let number = numbers::signed32(word).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number <= HIGHEST).or_else(by_name)
}

/// Words with quotes, where the end also ends a quote, and a backslash there says nothing.
fn relaxed_words(text: &str) -> Vec<String> {
    let mut text = text.to_owned();
    // At most one backslash is taken away, and one quote or the other closed.
    for close in ["", "\"", "'"] {
        loop {
            match QUOTED.words(&format!("{text}{close}")) {
                Ok(words) => return words,
                Err(Unsplit::TrailingBackslash) if close.is_empty() => text.truncate(text.len() - 1),
                Err(_) => break,
            }
        }
    }
    Vec::new()
}

/// Type `i`. What is no such bit says nothing, and nothing follows what cannot be read: that is how systemd-run has it.
pub(super) fn secure_bits(field: &Field<'_>) -> Properties {
    let mut rest = Some(field.value);
    let words = std::iter::from_fn(|| QUOTED.next(&mut rest).ok().flatten());
    let bit = |word: String| SECURE_BITS.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
    field.set(words.filter_map(bit).fold(0, |bits, bit| bits | bit))
}

/// Names and hexadecimal numbers: type `t`.
pub(super) fn coredump_filter(field: &Field<'_>) -> Properties {
    let expected = "is not what a core dump can hold (expected names of core(5) as \"private-anonymous\", \"default\", \
                    \"all\", or a hexadecimal number)";
    let number = |word: &str| {
        let (negative, word) = match word.strip_prefix(['+', '-']) {
            Some(digits) => (word.starts_with('-'), digits),
            None => (false, word),
        };
        let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
        let valid = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = valid.then(|| u64::from_str_radix(digits, 16).ok()).flatten()?;
        (!negative || number == 0).then_some(number)
    };
    let mut mask = 0u64;
    for word in split(field, PLAIN)? {
        let bits = match &*word {
            "default" => Some(0x33),
            "all" => Some(u64::from(u32::MAX)),
            name => COREDUMP.iter().position(|other| *other == name).map(|bit| 1 << bit).or_else(|| number(name)),
        };
        mask |= bits.ok_or_else(|| field.refuse_part(&word, expected))?;
    }
    field.set(mask)
}

/// The namespaces that may be made: type `t`.
pub(super) fn restrict_namespaces(field: &Field<'_>) -> Properties {
    let (inverted, flags) = match numbers::boolean(field.value) {
        Some(restricted) => (!restricted, 0),
        None => namespaces(field)?,
    };
    if !inverted {
        return field.set(flags);
    }
    let allowed = EVERY_NAMESPACE & !flags;
    if allowed & TIME == 0 {
        return field.set(allowed);
    }
    // Before, there was no such namespace.
    let name = field.name.to_owned();
    Ok(vec![Property::Since(AFTER_257, (name.clone().into(), allowed.into()), (name.into(), (allowed & !TIME).into()))])
}

/// The namespaces that belong to the unit's user namespace: type `t`.
pub(super) fn delegate_namespaces(field: &Field<'_>) -> Properties {
    let every = EVERY_NAMESPACE & !USER;
    field.set(match numbers::boolean(field.value) {
        Some(true) => every,
        Some(false) => 0,
        None => match namespaces(field)? {
            (true, flags) => every & !flags,
            (false, flags) => flags,
        },
    })
}

/// Whether they are inverted, and the flags of the namespaces that are named.
fn namespaces(field: &Field<'_>) -> Result<(bool, u64)> {
    let (inverted, text) = inverted(field.value);
    let mut flags = 0;
    for word in parts(field, PLAIN, text)? {
        let flag = NAMESPACES.iter().find(|(name, _)| *name == word).map(|(_, flag)| *flag);
        let names = NAMESPACES.map(|(name, _)| name).join(", ");
        flags |= flag.ok_or_else(|| field.refuse_part(&word, &format!("is not a boolean or a namespace ({names})")))?;
    }
    Ok((inverted, flags))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent, sent_to};

    fn capabilities(value: &str) -> u64 {
        sent(&format!("CapabilityBoundingSet={value}")).rsplit_once('t').unwrap().1.parse().unwrap()
    }

    #[test]
    fn names_allowed_and_refused() {
        assert_eq!(sent("SystemCallFilter=~@mount:EPERM a"), "SystemCallFilter=(false s['@mount:EPERM' 'a'])");
        assert_eq!(sent("RestrictAddressFamilies= ~AF_UNIX"), "RestrictAddressFamilies=(true s['~AF_UNIX'])");
        assert_eq!(sent("RestrictFileSystems="), "RestrictFileSystems=(true s[])");
        assert!(refused("SystemCallFilter=~a \"b").contains("quote"));
    }

    #[test]
    fn capabilities_by_name_and_number() {
        assert_eq!(capabilities("CAP_CHOWN cap_kill"), 0x21);
        assert_eq!(capabilities("~CAP_CHOWN"), !1);
        assert_eq!(capabilities("~"), !0);
        assert_eq!(capabilities(""), 0);
        assert_eq!(capabilities("CAP_CHECKPOINT_RESTORE 62"), 1 << 40 | 1 << 62);
        assert_eq!(capabilities("CAP_BOGUS chown 63 é CAP_é"), 0);
        // What is not closed.
        assert_eq!(capabilities("CAP_KILL \"CAP_CHOWN"), 0x21);
        assert_eq!(capabilities("CAP_KILL 'CAP_CHOWN\\"), 0x21);
        assert_eq!(capabilities("\"CAP_CHOWN CAP_KILL"), 0);
    }

    #[test]
    fn secure_bits() {
        assert_eq!(sent("SecureBits=keep-caps bogus 'noroot'"), "SecureBits=i17");
        assert_eq!(sent("SecureBits=keep-caps \"noroot"), "SecureBits=i16");
        assert_eq!(sent("SecureBits="), "SecureBits=i0");
    }

    #[test]
    fn coredump_filters() {
        assert_eq!(sent("CoredumpFilter=default 0x80"), "CoredumpFilter=t179");
        assert_eq!(sent("CoredumpFilter=all"), "CoredumpFilter=t4294967295");
        assert_eq!(sent("CoredumpFilter=shared-dax -0 A"), "CoredumpFilter=t266");
        for bad in ["bogus", "\"default\"", "-1", "0o7", "10000000000000000", "é"] {
            assert!(refused(&format!("CoredumpFilter={bad}")).contains("is not what a core dump can hold"), "{bad}");
        }
    }

    #[test]
    fn namespaces() {
        assert_eq!(sent("RestrictNamespaces=yes"), "RestrictNamespaces=t0");
        assert_eq!(sent("RestrictNamespaces=no"), "RestrictNamespaces=t2114060416");
        assert_eq!(sent_to(257, "RestrictNamespaces=no"), "RestrictNamespaces=t2114060288");
        assert_eq!(sent("RestrictNamespaces=cgroup time"), "RestrictNamespaces=t33554560");
        assert_eq!(sent("RestrictNamespaces=~user net"), "RestrictNamespaces=t771883136");
        assert_eq!(sent_to(252, "RestrictNamespaces=~time"), "RestrictNamespaces=t2114060288");
        assert_eq!(sent("DelegateNamespaces=yes"), "DelegateNamespaces=t1845624960");
        assert_eq!(sent("DelegateNamespaces=~mnt"), "DelegateNamespaces=t1845493888");
        assert_eq!(sent("DelegateNamespaces=user"), "DelegateNamespaces=t268435456");
        assert_eq!(
            refused("RestrictNamespaces=~bogus"),
            "RestrictNamespaces=~bogus: \"bogus\" is not a boolean or a namespace (cgroup, ipc, net, mnt, pid, user, uts, \
             time)"
        );
    }
}
