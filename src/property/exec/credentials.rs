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
