//! D-Bus type signatures, checked.

use std::ffi::{CStr, CString};
use std::fmt;

use crate::error::{Error, Result};

/// A D-Bus type signature of exactly one complete type, for instance `s`, `a{sv}` or `(sasb)`.
///
/// The limits are those of the D-Bus specification: 255 bytes, arrays and structs each nested at most 32 deep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signature(CString);

impl Signature {
    /// Parses a signature.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when `text` is not one complete type.
    pub fn new(text: &str) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::invalid("signature", text, reason));
        if text.len() > 255 {
            return refuse("is longer than 255 bytes");
        }
        match end_of_type(text.as_bytes(), 0, 0) {
            Some(end) if end == text.len() => {
                Ok(Signature(CString::new(text).expect("a valid signature has no NUL byte")))
            }
            Some(_) => refuse("holds more than one complete type"),
            None => refuse("is not a D-Bus type"),
        }
    }

    /// The signature as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("made from a str")
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the complete type that `text` begins with ends.
fn end_of_type(text: &[u8], arrays: u32, structs: u32) -> Option<usize> {
    const DEEPEST: u32 = 32;
    if arrays > DEEPEST || structs > DEEPEST {
        return None;
    }
    match text.first()? {
        code if is_basic(*code) || *code == b'v' => Some(1),
        b'a' if text.get(1) == Some(&b'{') => {
            let key = *text.get(2)?;
            if !is_basic(key) {
                return None;
            }
            let value = end_of_type(&text[3..], arrays + 1, structs + 1)?;
            (text.get(3 + value) == Some(&b'}')).then_some(value + 4)
        }
        b'a' => Some(1 + end_of_type(&text[1..], arrays + 1, structs)?),
        b'(' => {
            let mut at = 1;
            while *text.get(at)? != b')' {
                at += end_of_type(&text[at..], arrays, structs + 1)?;
            }
            (at > 1).then_some(at + 1)
        }
        _ => None,
    }
}

fn is_basic(code: u8) -> bool {
    b"ybnqiuxtdsogh".contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_types_and_nothing_else() {
        for good in ["y", "s", "v", "as", "a{sv}", "(sasb)", "a(sa(sv))", "aaaaau", "a{s(iv)}", "(y(y(y)))"] {
            assert_eq!(Signature::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "ss", "a", "()", "(", "(s", "s)", "{sv}", "a{vs}", "a{s}", "a{sss}", "z", "a\0", "é", "((s)"] {
            assert!(Signature::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(Signature::new(&format!("{}y", "a".repeat(32))).is_ok());
        assert!(Signature::new(&format!("{}y", "a".repeat(33))).is_err());
        assert!(Signature::new(&format!("{}y{}", "(".repeat(32), ")".repeat(32))).is_ok());
        assert!(Signature::new(&format!("{}y{}", "(".repeat(33), ")".repeat(33))).is_err());
        assert!(Signature::new(&"a".repeat(256)).is_err());
    }
}
