//! The directories that systemd makes for a unit.

use super::super::Property;
use super::super::field::Field;
use super::super::forms::{Properties, split, structs};
use super::super::numbers;
use super::super::split::{QUOTED, Splitter};
use crate::bus::Value;
use crate::error::Result;

/// The parts of one directory: `NAME:LINK:FLAGS`.
const PARTS: Splitter = QUOTED.separators(":").empty_words();

/// A link that is only read through.
const READ_ONLY: u64 = 1;

/// Names of directories, each with a symbolic link to it if there is one: `a b:link c::ro`.
///
/// Nothing is sent for no directory, not even an empty list: that is how systemd-run has it.
pub(super) fn with_links(field: &Field<'_>) -> Properties {
    let (mut plain, mut linked) = (Vec::new(), Vec::new());
    for word in split(field, QUOTED)? {
        let (name, link, flags) = directory(field, &word)?;
        if link.is_empty() && flags == 0 {
            plain.push(simplified(&name));
        } else {
            linked.push(vec![simplified(&name).into(), simplified(&link).into(), flags.into()]);
        }
    }
    let mut properties = Vec::new();
    if !plain.is_empty() {
        properties.push(Property::Set(field.name.to_owned().into(), plain.into()));
    }
    if !linked.is_empty() {
        properties.push(Property::Set(format!("{}Symlink", field.name).into(), structs("sst", linked)));
    }
    Ok(properties)
}

fn directory(field: &Field<'_>, word: &str) -> Result<(String, String, u64)> {
    let mut rest = Some(word);
    let mut next = || PARTS.next(&mut rest).map_err(|unsplit| field.refuse_part(word, unsplit.reason()));
    let (name, link) = (next()?.unwrap_or_default(), next()?.unwrap_or_default());
    match next()?.as_deref() {
        None | Some("") => Ok((name, link, 0)),
        Some("ro") => Ok((name, link, READ_ONLY)),
        Some(flags) => Err(field.refuse_part(flags, "is not what a directory can be (expected \"ro\")")),
    }
}

/// A path without what says nothing: `//`, `/./`, a `/` at the end, and `..` right at the root.
fn simplified(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let simple = parts.skip_while(|part| is_absolute && *part == "..").collect::<Vec<_>>().join("/");
    match (is_absolute, &*simple) {
        (true, _) => format!("/{simple}"),
        (false, "") if !path.is_empty() => ".".into(),
        (false, _) => simple,
    }
}

/// How much may be in a directory: a size or a share of the file system, or `off`. Type `(tus)`.
pub(super) fn quota(field: &Field<'_>) -> Properties {
    let set = |size: u64, share: u32, enforced: &str| {
        field.set(Value::Struct(vec![size.into(), share.into(), enforced.into()]))
    };
    if matches!(field.value, "" | "off") {
        return set(u64::MAX, u32::MAX, "no");
    }
    if let Some(share) = numbers::permyriad(field.value).filter(|share| *share <= 10_000) {
        let scaled = (u64::from(share) * u64::from(u32::MAX) + 5_000) / 10_000;
        return set(u64::MAX, scaled as u32, "yes");
    }
    let expected = "is not a quota (expected a number with K, M, G, T, P or E, a percentage up to 100%, or \"off\")";
    set(numbers::size(field.value).ok_or_else(|| field.refuse_part(field.value, expected))?, u32::MAX, "yes")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};
    use super::*;

    #[test]
    fn directories_and_links() {
        let sent_for = "StateDirectory=s['a'];StateDirectorySymlink=(sst)[('b' 'c' t0) ('d' 'e' t1) ('f' '' t1)]";
        assert_eq!(sent("StateDirectory=a b:c d:e:ro f::ro"), sent_for);
        assert_eq!(sent("CacheDirectory=\"a b:c\""), "CacheDirectorySymlink=(sst)[('a b' 'c' t0)]");
        assert_eq!(sent("LogsDirectory="), "");
        assert_eq!(sent("RuntimeDirectory=a:::"), "RuntimeDirectory=s['a']");
        assert_eq!(sent("ConfigurationDirectory=a:b"), "ConfigurationDirectory=s['a:b']");
        let error = refused("StateDirectory=a:b:rw");
        assert_eq!(error, r#"StateDirectory=a:b:rw: "rw" is not what a directory can be (expected "ro")"#);
        assert!(refused("StateDirectory=\"a:'b\"").contains("quote"));
    }

    #[test]
    fn paths_are_simplified() {
        let cases =
            [("a//b/", "a/b"), ("./a/.", "a"), (".", "."), ("./", "."), ("", ""), ("//", "/"), ("/a/../b", "/a/../b")];
        for (path, simple) in cases.into_iter().chain([("/..", "/"), ("..", ".."), ("/./../a", "/a")]) {
            assert_eq!(simplified(path), simple, "{path:?}");
        }
    }

    #[test]
    fn quotas() {
        let none = u64::MAX;
        assert_eq!(sent("StateDirectoryQuota=1G 512M"), "StateDirectoryQuota=(t1610612736 u4294967295 'yes')");
        assert_eq!(sent("CacheDirectoryQuota=10.55%"), format!("CacheDirectoryQuota=(t{none} u453119050 'yes')"));
        assert_eq!(sent("LogsDirectoryQuota=100%"), format!("LogsDirectoryQuota=(t{none} u4294967295 'yes')"));
        for off in ["", "off"] {
            assert_eq!(
                sent(&format!("LogsDirectoryQuota={off}")),
                format!("LogsDirectoryQuota=(t{none} u4294967295 'no')")
            );
        }
        for bad in ["no", "infinity", "101%", "0x5", "-1"] {
            let error = refused(&format!("StateDirectoryQuota={bad}"));
            assert!(error.contains(&format!("{bad:?} is not a quota")), "{error}");
        }
    }
}
