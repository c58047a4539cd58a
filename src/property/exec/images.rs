//! Disk images, and what protects them.

use super::super::decode;
use super::super::field::Field;
use super::super::forms::{Properties, optional, parts, split, structs};
use super::super::split::{Backslash, PLAIN, QUOTED, Splitter};
use crate::bus::Value;
use crate::error::Result;

/// Words in quotes, in which a backslash still is one.
const WORDS: Splitter = QUOTED.backslash(Backslash::Stays);

/// The parts of a word, with escapes. A colon more says nothing.
const PARTS: Splitter = PLAIN.separators(":").backslash(Backslash::EscapesAndSeparators);

/// Each word of a value, as its parts. A word without any says nothing.
fn entries(field: &Field<'_>) -> Result<Vec<Vec<String>>> {
    let words = split(field, WORDS)?;
    let entries = words.iter().map(|word| parts(field, PARTS, word));
    entries.filter(|entry| !matches!(entry, Ok(parts) if parts.is_empty())).collect()
}

/// `PARTITION:OPTIONS` pairs. The options of the root partition may stand alone at the end.
fn pairs(parts: &[String]) -> Vec<Vec<Value>> {
    let pairs = parts.chunks(2).map(|pair| match pair {
        [partition, options] => vec![(&**partition).into(), (&**options).into()],
        _ => vec!["root".into(), (&*pair[0]).into()],
    });
    pairs.collect()
}

/// Mount options of partitions: type `a(ss)`.
pub(super) fn options(field: &Field<'_>) -> Properties {
    let mut options = Vec::new();
    for entry in entries(field)? {
        if entry.len() > 2 {
            return Err(field.refuse_part(&entry.join(":"), "is not PARTITION:OPTIONS"));
        }
        options.append(&mut pairs(&entry));
    }
    field.set(structs("ss", options))
}

/// Images and where they are mounted, with mount options: type `a(ssba(ss))`.
pub(super) fn mounts(field: &Field<'_>) -> Properties {
    let mut images = Vec::new();
    for entry in entries(field)? {
        let [image, destination, options @ ..] = &entry[..] else {
            return Err(field.refuse_part(&entry[0], "does not say where the image is mounted (expected IMAGE:PATH)"));
        };
        let (optional, image) = optional(image);
        images.push(vec![image.into(), (&**destination).into(), optional.into(), structs("ss", pairs(options))]);
    }
    field.set(structs("ssba(ss)", images))
}

/// Images that extend the root, with mount options: type `a(sba(ss))`.
pub(super) fn extensions(field: &Field<'_>) -> Properties {
    let images = entries(field)?.into_iter().map(|entry| {
        let (optional, image) = optional(&entry[0]);
        vec![image.into(), optional.into(), structs("ss", pairs(&entry[1..]))]
    });
    field.set(structs("sba(ss)", images.collect()))
}

/// A hash in hexadecimal digits, or the path of a file that has one, which the manager reads.
pub(super) fn root_hash(field: &Field<'_>) -> Properties {
    const SHORTEST: usize = 16;
    if field.value.starts_with('/') {
        return field.set_as("RootHashPath", field.value);
    }
    let hash = decode::hex(field.value).filter(|hash| hash.len() >= SHORTEST);
    let expected = "is not a hash (expected 32 or more hexadecimal digits, or an absolute path)";
    field.set(Value::Bytes(hash.ok_or_else(|| field.refuse_part(field.value, expected))?))
}

/// A signature in base64, or the path of a file that has one, which the manager reads.
pub(super) fn root_hash_signature(field: &Field<'_>) -> Properties {
    if field.value.starts_with('/') {
        return field.set_as("RootHashSignaturePath", field.value);
    }
    let signature = field.value.strip_prefix("base64:").and_then(decode::base64);
    let expected = "is not a signature (expected \"base64:\" and base64, or an absolute path)";
    field.set(Value::Bytes(signature.ok_or_else(|| field.refuse_part(field.value, expected))?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn options_of_partitions() {
        assert_eq!(sent("RootImageOptions=ro"), "RootImageOptions=(ss)[('root' 'ro')]");
        assert_eq!(
            sent(r#"RootImageOptions="root:a b" home:c\x20d ::"#),
            "RootImageOptions=(ss)[('root' 'a b') ('home' 'c d')]"
        );
        assert_eq!(sent("RootImageOptions="), "RootImageOptions=(ss)[]");
        let error = refused("RootImageOptions=root:a:b");
        assert_eq!(error, r#"RootImageOptions=root:a:b: "root:a:b" is not PARTITION:OPTIONS"#);
        assert!(refused(r"RootImageOptions=a\qb").contains("backslash"));
    }

    #[test]
    fn images() {
        assert_eq!(
            sent(r"MountImages=-/a:/b:root:ro:usr:rw:x /c\:d:/e"),
            "MountImages=(ssba(ss))[('/a' '/b' true (ss)[('root' 'ro') ('usr' 'rw') ('root' 'x')]) \
             ('/c:d' '/e' false (ss)[])]"
        );
        assert_eq!(sent("MountImages="), "MountImages=(ssba(ss))[]");
        assert!(refused("MountImages=/a").contains(r#""/a" does not say where the image is mounted"#));
        assert_eq!(
            sent("ExtensionImages=-/a /b:ro"),
            "ExtensionImages=(sba(ss))[('/a' true (ss)[]) ('/b' false (ss)[('root' 'ro')])]"
        );
    }

    #[test]
    fn hashes() {
        let hash = "RootHash=000102030405060708090a0b0c0d0e0F";
        assert_eq!(sent(hash), "RootHash=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]");
        assert_eq!(sent("RootHash=/a"), "RootHashPath='/a'");
        assert_eq!(sent("RootHashSignature=/a b"), "RootHashSignaturePath='/a b'");
        assert_eq!(sent("RootHashSignature=base64:AAEC"), "RootHashSignature=[0, 1, 2]");
        for bad in ["RootHash=", "RootHash=00ff", "RootHash=a", "RootHashSignature=", "RootHashSignature=base64:A"] {
            assert!(refused(bad).contains("(expected "), "{bad}");
        }
    }
}
