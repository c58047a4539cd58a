//! `OpenFile=` (`systemd.service(5)`).

use super::Property;
use super::field::Field;
use super::forms::{structs, unsplittable};
use super::split::{Backslash, PLAIN};
use crate::error::Result;

const FLAGS: [(&str, u64); 4] = [("read-only", 1), ("append", 2), ("truncate", 4), ("graceful", 8)];

/// Of these there may be one.
const WAYS_TO_OPEN: u64 = 1 | 2 | 4;

/// A file that the manager opens: `PATH[:NAME[:OPTIONS]]`, type `a(sst)`.
pub(super) fn open_file(field: &Field<'_>) -> Result<Vec<Property>> {
    let splitter = PLAIN.separators(":").backslash(Backslash::Escapes).empty_words();
    let mut words = splitter.words(field.value).map_err(|unsplit| unsplittable(field, unsplit))?;
    // An empty last word is none.
    if words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    let mut words = words.into_iter();
    let path = words.next().filter(|path| path.starts_with('/'));
    let path =
        path.ok_or_else(|| field.refuse("does not begin with an absolute path (expected PATH[:NAME[:OPTIONS]])"))?;
    let name = words.next().filter(|name| !name.is_empty()).or_else(|| file_name(&path));
    let is_name =
        |name: &String| name.len() < 256 && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':');
    let invalid =
        || field.refuse("has no valid name for the descriptor (expected at most 255 characters of ASCII, no \":\")");
    let name = name.filter(is_name).ok_or_else(invalid)?;
    let mut flags = 0;
    for option in words.next().unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        let flag = FLAGS.iter().find(|(name, _)| *name == option).map(|(_, flag)| *flag);
        let flag = flag.ok_or_else(|| {
            field.refuse_part(option, "is not an option (expected read-only, append, truncate or graceful)")
        })?;
        if flags & flag != 0 || (flag & WAYS_TO_OPEN != 0 && flags & WAYS_TO_OPEN != 0) {
            return Err(field.refuse_part(option, "cannot stand with the options before it"));
        }
        flags |= flag;
    }
    match words.next() {
        Some(_) => Err(field.refuse("has more than a path, a name and options, with colons between them")),
        None => field.set(structs("sst", vec![vec![path.into(), name.into(), flags.into()]])),
    }
}

/// The last part of the path.
fn file_name(path: &str) -> Option<String> {
    path.split('/').rfind(|part| !matches!(*part, "" | ".")).filter(|part| *part != "..").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn files() {
        for (value, answer) in [
            ("/etc/passwd", r#"("/etc/passwd","passwd",0)"#),
            ("/a:", r#"("/a","a",0)"#),
            ("/a::", r#"("/a","a",0)"#),
            ("/a//b/./:", r#"("/a//b/./","b",0)"#),
            ("/é:n", r#"("/é","n",0)"#),
            ("/a\\x20b: :read-only,,graceful:", r#"("/a b"," ",9)"#),
            ("/a:n:append", r#"("/a","n",2)"#),
        ] {
            assert_eq!(sent("service", &format!("OpenFile={value}")), [format!("OpenFile a(sst) [{answer}]")]);
        }
        for bad in [
            "",
            "a:n",
            ":n",
            " /a:b",
            "/",
            "/a/..",
            "/a:n:x",
            "/a:n:append,truncate",
            "/a:n:graceful,graceful",
            "/a\\:b:n",
            "/a:n:graceful:x",
            "/a:é",
            "/é",
            "/a\\nb",
            "/a:\"n:m\"",
            "/a:n\\",
            "/a:n: read-only",
        ] {
            refused("service", &format!("OpenFile={bad}"));
        }
    }
}
