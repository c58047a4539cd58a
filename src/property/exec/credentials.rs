//! Credentials: `NAME:…`.

use super::super::decode::{self, Nul};
use super::super::field::Field;
use super::super::forms::{Properties, structs, unsplittable};
use super::super::split::{PLAIN, Splitter};
use super::super::{Property, array};
use super::AFTER_257;
use crate::bus::Value;
use crate::error::Result;

/// What stands before the first colon and what behind it.
const AT_COLON: Splitter = PLAIN.separators(":").empty_words();

/// The name of a credential, and the text behind the colon as it is.
fn named<'a>(field: &Field<'a>) -> Result<(String, Option<&'a str>)> {
    let mut rest = Some(field.value);
    let name = AT_COLON.next(&mut rest).map_err(|unsplit| unsplittable(field, unsplit))?;
    Ok((name.unwrap_or_default(), rest))
}

/// From a file, a socket or another credential. Where that is left out it has the same name.
pub(super) fn load(field: &Field<'_>) -> Properties {
    if field.value.is_empty() {
        return field.set(structs("ss", Vec::new()));
    }
    let (name, path) = named(field)?;
    let path = path.filter(|path| !path.is_empty()).unwrap_or(field.value);
    field.set(structs("ss", vec![vec![name.into(), path.into()]]))
}

/// What the manager was given, by a name that may hold wildcards, under a new name if there is one.
///
/// The systemd-run of 257 leaves the new name to its manager, which refuses that: it is sent what later ones are.
pub(super) fn import(field: &Field<'_>) -> Properties {
    const PLAIN: &str = "ImportCredential";
    const RENAMED: &str = "ImportCredentialEx";
    let names = |entries| structs("ss", entries);
    let plain = |names: Vec<String>| (PLAIN.into(), names.into());
    let plain_since = |names: Vec<String>, before: Value| {
        Ok(vec![Property::Since(AFTER_257, plain(names), (RENAMED.into(), before))])
    };
    let is_plain = field.name == PLAIN;
    if field.value.is_empty() {
        return if is_plain { field.set(Vec::new()) } else { plain_since(Vec::new(), names(Vec::new())) };
    }
    let (name, rename) = named(field)?;
    match rename {
        Some(rename) => field.set_as(RENAMED, names(vec![vec![name.into(), rename.into()]])),
        None if is_plain => field.set(vec![field.value.to_owned()]),
        None => plain_since(vec![field.value.to_owned()], names(vec![vec![name.into(), "".into()]])),
    }
}

/// The credential itself, as text with escapes.
pub(super) fn set(field: &Field<'_>) -> Properties {
    data(field, |text| decode::escaped(text, Nul::Accepted), "has a backslash before something that is no escape")
}

/// The credential itself, in base64, as `systemd-creds encrypt` writes it.
pub(super) fn set_encrypted(field: &Field<'_>) -> Properties {
    data(field, decode::base64, "is not base64")
}

fn data(field: &Field<'_>, decode: impl Fn(&str) -> Option<Vec<u8>>, wrong: &str) -> Properties {
    let mut entries = Vec::new();
    if !field.value.is_empty() {
        let (name, text) = named(field)?;
        let text = text.ok_or_else(|| field.refuse("has no \":\" (expected NAME:DATA)"))?;
        let data = decode(text).ok_or_else(|| field.refuse_part(text, wrong))?;
        entries.push(Value::Struct(vec![name.into(), Value::Bytes(data)]));
    }
    field.set(array("(say)", entries))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent, sent_to};

    #[test]
    fn set() {
        assert_eq!(sent(r"SetCredential=a:b\n\x00: c"), "SetCredential=(say)[('a' [98, 10, 0, 58, 32, 99])]");
        assert_eq!(sent(r"SetCredential=a\:b:"), "SetCredential=(say)[('a:b' [])]");
        assert_eq!(sent("SetCredential="), "SetCredential=(say)[]");
        assert_eq!(sent("SetCredentialEncrypted=a:AA EC"), "SetCredentialEncrypted=(say)[('a' [0, 1, 2])]");
    }

    #[test]
    fn no_error_shows_a_secret() {
        for name in ["SetCredential", "SetCredentialEncrypted"] {
            for value in ["hush", r"a:hush!\q", r"hush\"] {
                let error = refused(&format!("{name}={value}"));
                assert!(error.starts_with(&format!("{name}=…: ")) && !error.contains("hush"), "{error}");
            }
        }
        assert_eq!(refused("SetCredential=a"), "SetCredential=…: has no \":\" (expected NAME:DATA)");
    }

    #[test]
    fn load() {
        assert_eq!(sent("LoadCredential=a:/b:c"), "LoadCredential=(ss)[('a' '/b:c')]");
        assert_eq!(sent("LoadCredentialEncrypted=a"), "LoadCredentialEncrypted=(ss)[('a' 'a')]");
        assert_eq!(sent("LoadCredential=a:"), "LoadCredential=(ss)[('a' 'a:')]");
        assert_eq!(sent("LoadCredential="), "LoadCredential=(ss)[]");
        assert!(refused("LoadCredential=a\\").contains("backslash"));
    }

    #[test]
    fn import() {
        assert_eq!(sent("ImportCredential=a.*"), "ImportCredential=s['a.*']");
        assert_eq!(sent("ImportCredential=a.*:b"), "ImportCredentialEx=(ss)[('a.*' 'b')]");
        assert_eq!(sent("ImportCredential=a:"), "ImportCredentialEx=(ss)[('a' '')]");
        assert_eq!(sent(r"ImportCredential=a\:b"), r"ImportCredential=s['a\:b']");
        assert_eq!(sent("ImportCredential="), "ImportCredential=s[]");
        assert_eq!(sent("ImportCredentialEx=a"), "ImportCredential=s['a']");
        assert_eq!(sent_to(257, "ImportCredentialEx=a"), "ImportCredentialEx=(ss)[('a' '')]");
        assert_eq!(sent_to(257, "ImportCredentialEx="), "ImportCredentialEx=(ss)[]");
    }
}
