//! Mounts that are made for a unit alone.

use super::super::field::Field;
use super::super::forms::{Properties, optional, split, structs, unsplittable};
use super::super::split::{PLAIN, QUOTED, Splitter};
use super::names;

/// Paths with blanks or colons between them. Two of those have an empty path between them.
const PATHS: Splitter = QUOTED.separators(" \t\n\r:").empty_words();

/// `MS_REC`, of mount(2).
const RECURSIVE: u64 = 0x4000;

/// Bind mounts, `SOURCE:DESTINATION:OPTIONS`: type `a(ssbt)`.
pub(super) fn bind(field: &Field<'_>) -> Properties {
    let mut entries = Vec::new();
    let mut rest = Some(field.value);
    let take = |splitter: Splitter, rest: &mut Option<&str>| {
        splitter.next(rest).map_err(|unsplit| unsplittable(field, unsplit))
    };
    let at_colon =
        |rest: Option<&str>| rest.is_some_and(|rest| field.value[..field.value.len() - rest.len()].ends_with(':'));
    while let Some(source) = take(PATHS, &mut rest)? {
        let (is_optional, source) = optional(&source);
        let mut destination = source.to_owned();
        let mut flags = RECURSIVE;
        if at_colon(rest) {
            destination = take(PATHS, &mut rest)?.unwrap_or_default();
            if at_colon(rest) {
                flags = match take(QUOTED, &mut rest)?.as_deref() {
                    None | Some("" | "rbind") => RECURSIVE,
                    Some("norbind") => 0,
                    Some(other) => {
                        let expected = "is not an option of a bind mount (expected \"rbind\" or \"norbind\")";
                        return Err(field.refuse_part(other, expected));
                    }
                };
                rest = rest.filter(|rest| !rest.is_empty());
            }
        }
        entries.push(vec![source.into(), destination.into(), is_optional.into(), flags.into()]);
    }
    field.set(structs("ssbt", entries))
}

/// Temporary file systems, `PATH:OPTIONS`: type `a(ss)`.
pub(super) fn temporary(field: &Field<'_>) -> Properties {
    let at_colon = PLAIN.separators(":").empty_words();
    let mut entries = Vec::new();
    for word in split(field, QUOTED)? {
        let mut rest = Some(&*word);
        let path = at_colon.next(&mut rest).map_err(|unsplit| field.refuse_part(&word, unsplit.reason()))?;
        entries.push(vec![path.unwrap_or_default().into(), rest.unwrap_or_default().into()]);
    }
    field.set(structs("ss", entries))
}

/// How mounts propagate: type `t`.
pub(super) fn flags(field: &Field<'_>) -> Properties {
    if field.value.is_empty() {
        return field.set(0u64);
    }
    let flags = [("shared", 1 << 20), ("slave", 1 << 19), ("private", 1 << 18)];
    field.set(u64::from(names::number(field, &flags, None)?.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn bind_mounts() {
        assert_eq!(
            sent("BindPaths=-/a:/b:norbind /c"),
            "BindPaths=(ssbt)[('/a' '/b' true t0) ('/c' '/c' false t16384)]"
        );
        assert_eq!(
            sent(r#"BindReadOnlyPaths="/a b":/c:rbind  /d:"#),
            "BindReadOnlyPaths=(ssbt)[('/a b' '/c' false t16384) ('/d' '' false t16384)]"
        );
        assert_eq!(
            sent("BindPaths=/a  /b"),
            "BindPaths=(ssbt)[('/a' '/a' false t16384) ('' '' false t16384) ('/b' '/b' false t16384)]"
        );
        // That is what systemd-run sends.
        assert_eq!(sent("BindPaths="), "BindPaths=(ssbt)[('' '' false t16384)]");
        assert_eq!(sent("BindPaths=/a:/b:rbind "), "BindPaths=(ssbt)[('/a' '/b' false t16384)]");
        assert!(refused("BindPaths=/a:/b:ro").contains(r#""ro" is not an option of a bind mount"#));
        assert!(refused("BindPaths=/a:/b: /c").contains(r#""/c" is not an option"#));
        assert!(refused("BindPaths=/a:\"/b").contains("quote"));
    }

    #[test]
    fn temporary_file_systems() {
        assert_eq!(
            sent(r#"TemporaryFileSystem=/a:ro,size=1M "/b c:x:y" /d"#),
            "TemporaryFileSystem=(ss)[('/a' 'ro,size=1M') ('/b c' 'x:y') ('/d' '')]"
        );
        assert_eq!(sent("TemporaryFileSystem="), "TemporaryFileSystem=(ss)[]");
        assert!(refused("TemporaryFileSystem=/a\\").contains("backslash"));
    }

    #[test]
    fn propagation() {
        assert_eq!(sent("MountFlags=slave"), "MountFlags=t524288");
        assert_eq!(sent("MountFlags="), "MountFlags=t0");
        assert_eq!(refused("MountFlags=1"), r#"MountFlags=1: "1" is not one of shared, slave, private"#);
    }
}
