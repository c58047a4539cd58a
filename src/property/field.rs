//! A setting with its text, while it is read.

use std::borrow::Cow;

use super::Property;
use crate::bus::Value;
use crate::error::{Error, Result};

/// Settings whose values may be secret: no error shows them.
const SECRET: [&str; 5] =
    ["SetCredential", "SetCredentialEncrypted", "Environment", "StandardInputText", "StandardInputData"];

/// Those about credentials that only name them and their files. Any other, of a newer systemd, is taken for one with a secret.
const NOT_SECRET: [&str; 3] = ["LoadCredential", "LoadCredentialEncrypted", "ImportCredential"];

/// One assignment: the name of the setting and the text it is set to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub name: &'a str,
    pub value: &'a str,
}

impl<'a> Field<'a> {
    pub fn new(name: &'a str, value: &'a str) -> Self {
        Field { name, value }
    }

    /// The setting under its own name.
    pub fn set(&self, value: impl Into<Value>) -> Result<Vec<Property>> {
        self.set_as(self.name.to_owned(), value)
    }

    /// The setting under another name.
    pub fn set_as(&self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Result<Vec<Property>> {
        Ok(vec![Property::Set(name.into(), value.into())])
    }

    /// The error for this setting: `NAME=VALUE: reason`.
    pub fn refuse(&self, reason: impl AsRef<str>) -> Error {
        if self.is_secret() {
            Error::property(&format!("{}=…", self.name), reason.as_ref())
        } else {
            Error::property(&format!("{}={}", self.name, self.value), reason.as_ref())
        }
    }

    /// The error for a setting that does not exist. It may be a misspelt one with a secret, so that its value is not shown.
    pub fn refuse_name(&self, reason: impl AsRef<str>) -> Error {
        Error::property(&format!("{}=…", self.name), reason.as_ref())
    }

    /// The error for a part of the value: `NAME=VALUE: "part" is not …`.
    pub fn refuse_part(&self, part: &str, reason: &str) -> Error {
        if self.is_secret() {
            self.refuse(format!("a part {reason}"))
        } else {
            self.refuse(format!("{part:?} {reason}"))
        }
    }

    fn is_secret(&self) -> bool {
        SECRET.contains(&self.name) || (self.name.contains("Credential") && !NOT_SECRET.contains(&self.name))
    }
}
