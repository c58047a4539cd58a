//! Standard input, output and error, and the log.

use super::super::decode::{self, Nul};
use super::super::field::Field;
use super::super::forms::{Properties, inverted, structs};
use super::super::split::Unsplit;
use super::super::{Property, array};
use super::AFTER_257;
use crate::bus::Value;

/// Where a stream comes from or goes to, and for each form the end of the property's name.
pub(super) fn standard(field: &Field<'_>) -> Properties {
    const FORMS: [(&str, &str); 4] = [
        ("fd:", "FileDescriptorName"),
        ("file:", "File"),
        ("append:", "FileToAppend"),
        ("truncate:", "FileToTruncate"),
    ];
    let with_prefix = |(prefix, suffix): &(&str, &'static str)| Some((*suffix, field.value.strip_prefix(prefix)?));
    match FORMS.iter().find_map(with_prefix) {
        Some((suffix, value)) => field.set_as(format!("{}{suffix}", field.name), value),
        None => field.set(field.value),
    }
}

/// A line of input, with escapes.
///
/// Up to 257 systemd-run sends a property by the setting's name, which its manager does not have: it is sent what later
/// ones are.
pub(super) fn input_text(field: &Field<'_>) -> Properties {
    let line = decode::escaped(field.value, Nul::Refused);
    let mut line = line.ok_or_else(|| field.refuse_part(field.value, Unsplit::Escape.reason()))?;
    line.push(b'\n');
    field.set_as("StandardInputData", Value::Bytes(line))
}

/// Input in base64.
pub(super) fn input_data(field: &Field<'_>) -> Properties {
    let data = decode::base64(field.value).ok_or_else(|| field.refuse_part(field.value, "is not base64"))?;
    field.set(Value::Bytes(data))
}

/// A field of every entry in the journal, `FIELD=VALUE`.
pub(super) fn log_field(field: &Field<'_>) -> Properties {
    field.set(array("ay", vec![Value::Bytes(field.value.as_bytes().to_vec())]))
}

/// A pattern of what is logged, or with `~` before it of what is not.
pub(super) fn log_filter(field: &Field<'_>) -> Properties {
    let (refused, pattern) = inverted(field.value);
    let pattern = structs("bs", vec![vec![(!refused).into(), pattern.into()]]);
    if !field.value.is_empty() {
        return field.set(pattern);
    }
    let name = field.name.to_owned();
    Ok(vec![Property::Since(AFTER_257, (name.clone().into(), structs("bs", Vec::new())), (name.into(), pattern))])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent, sent_to};

    #[test]
    fn streams() {
        assert_eq!(sent("StandardInput=fd:a"), "StandardInputFileDescriptorName='a'");
        assert_eq!(sent("StandardOutput=file:/a b"), "StandardOutputFile='/a b'");
        assert_eq!(sent("StandardError=append:/a"), "StandardErrorFileToAppend='/a'");
        assert_eq!(sent("StandardOutput=truncate:"), "StandardOutputFileToTruncate=''");
        assert_eq!(sent("StandardOutput=journal"), "StandardOutput='journal'");
    }

    #[test]
    fn input() {
        assert_eq!(sent(r"StandardInputText=a\n\xff"), "StandardInputData=[97, 10, 255, 10]");
        assert_eq!(sent("StandardInputText="), "StandardInputData=[10]");
        assert_eq!(sent("StandardInputData=AAEC"), "StandardInputData=[0, 1, 2]");
        assert_eq!(sent("StandardInputData="), "StandardInputData=[]");
        for bad in [r"StandardInputText=hush\", r"StandardInputText=hush\x00", "StandardInputData=hus"] {
            let error = refused(bad);
            assert!(!error.contains("hus"), "{error}");
        }
    }

    #[test]
    fn the_log() {
        assert_eq!(sent("LogExtraFields=A=b c"), "LogExtraFields=ay[[65, 61, 98, 32, 99]]");
        assert_eq!(sent("LogFilterPatterns=~a b"), "LogFilterPatterns=(bs)[(false 'a b')]");
        assert_eq!(sent("LogFilterPatterns="), "LogFilterPatterns=(bs)[]");
        assert_eq!(sent_to(257, "LogFilterPatterns="), "LogFilterPatterns=(bs)[(true '')]");
    }
}
