//! A D-Bus value of any type.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::message::{Container, Message, refuse_noncharacters, refuse_nul};
use super::signature::Signature;
use crate::error::{Error, Result};

/// A D-Bus value of any type, as a property of a unit takes it.
///
/// Made with `From` for the common types, for instance `Value::from(true)` (`b`), `Value::from(5u64)` (`t`),
/// `Value::from("x")` (`s`) or `Value::from(["a", "b"])` (`as`), and by its variants for the rest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`; it may not hold a NUL byte.
    Str(String),
    /// `o`
    ObjectPath(String),
    /// `g`: signatures of any number of complete types.
    Signature(String),
    /// `h`: the descriptor is duplicated when it is sent.
    Fd(Arc<OwnedFd>),
    /// `ay`, in one piece.
    Bytes(Vec<u8>),
    /// `a…`: the type of the elements, which an empty array has too, and the elements.
    Array(Signature, Vec<Value>),
    /// `a{…}`: the types of key and value, and the entries. The key is of a basic type.
    Dict(Signature, Signature, Vec<(Value, Value)>),
    /// `(…)`: at least one field.
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

/// How many values one that is read may hold. In memory each takes many times the bytes that it may have in a message.
const MOST_VALUES: usize = 1 << 20;

impl Value {
    /// The signature of the value, for instance `a{sv}`.
    pub fn signature(&self) -> String {
        let mut text = String::new();
        self.write_signature(&mut text);
        text
    }

    fn write_signature(&self, to: &mut String) {
        let code = match self {
            Value::Byte(_) => 'y',
            Value::Bool(_) => 'b',
            Value::I16(_) => 'n',
            Value::U16(_) => 'q',
            Value::I32(_) => 'i',
            Value::U32(_) => 'u',
            Value::I64(_) => 'x',
            Value::U64(_) => 't',
            Value::F64(_) => 'd',
            Value::Str(_) => 's',
            Value::ObjectPath(_) => 'o',
            Value::Signature(_) => 'g',
            Value::Fd(_) => 'h',
            Value::Variant(_) => 'v',
            Value::Bytes(_) => return to.push_str("ay"),
            Value::Array(element, _) => {
                to.push('a');
                return to.push_str(element.as_str());
            }
            Value::Dict(key, value, _) => {
                to.extend(["a{", key.as_str(), value.as_str(), "}"]);
                return;
            }
            Value::Struct(fields) => {
                to.push('(');
                fields.iter().for_each(|field| field.write_signature(to));
                ')'
            }
        };
        to.push(code);
    }

    /// Whether it can be sent: arrays hold what they say, text is text that systemd reads, and the type is a valid one.
    pub(crate) fn check(&self) -> Result<()> {
        self.checked_signature()?;
        match self {
            Value::Str(text) | Value::ObjectPath(text) | Value::Signature(text) => {
                refuse_nul(text)?;
                refuse_noncharacters(text)
            }
            Value::Array(element, values) => values.iter().try_for_each(|value| value.fits(element)?.check()),
            Value::Dict(key, value, entries) => entries.iter().try_for_each(|(k, v)| {
                k.fits(key)?.check()?;
                v.fits(value)?.check()
            }),
            Value::Struct(fields) => fields.iter().try_for_each(Value::check),
            Value::Variant(inner) => inner.check(),
            _ => Ok(()),
        }
    }

    /// How many descriptors are in it.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Value::Fd(_) => 1,
            Value::Array(_, values) | Value::Struct(values) => values.iter().map(Value::descriptors).sum(),
            Value::Dict(_, _, entries) => entries.iter().map(|(k, v)| k.descriptors() + v.descriptors()).sum(),
            Value::Variant(inner) => inner.descriptors(),
            _ => 0,
        }
    }

    /// Appends the value to a message.
    pub(crate) fn append_to(&self, message: &mut Message<'_>) -> Result<()> {
        match self {
            Value::Byte(value) => message.append(*value),
            Value::Bool(value) => message.append(*value),
            Value::I16(value) => message.append(*value),
            Value::U16(value) => message.append(*value),
            Value::I32(value) => message.append(*value),
            Value::U32(value) => message.append(*value),
            Value::I64(value) => message.append(*value),
            Value::U64(value) => message.append(*value),
            Value::F64(value) => message.append(*value),
            Value::Str(text) => message.append_str(text),
            Value::ObjectPath(text) => message.append_path(text),
            Value::Signature(text) => message.append_signature(text),
            Value::Fd(fd) => message.append_fd(fd.as_fd()),
            Value::Bytes(bytes) => message.append_bytes(bytes),
            Value::Array(element, values) => message.container(Container::Array, element.as_c_str(), |m| {
                values.iter().try_for_each(|value| value.fits(element)?.append_to(m))
            }),
            Value::Dict(key, value, entries) => {
                let both = both_types(key, value);
                let entry = CString::new(format!("{{{key}{value}}}")).expect("signatures hold no NUL byte");
                message.container(Container::Array, &entry, |m| {
                    entries.iter().try_for_each(|(k, v)| {
                        m.container(Container::DictEntry, &both, |m| {
                            k.fits(key)?.append_to(m)?;
                            v.fits(value)?.append_to(m)
                        })
                    })
                })
            }
            Value::Struct(fields) => {
                let signature = self.checked_signature()?;
                let contents = &signature.as_str()[1..signature.as_str().len() - 1];
                let contents = CString::new(contents).expect("signatures hold no NUL byte");
                message
                    .container(Container::Struct, &contents, |m| fields.iter().try_for_each(|field| field.append_to(m)))
            }
            Value::Variant(inner) => inner.append_variant_to(message),
        }
    }

    /// Appends the value wrapped in a variant.
    pub(crate) fn append_variant_to(&self, message: &mut Message<'_>) -> Result<()> {
        let signature = self.checked_signature()?;
        message.container(Container::Variant, signature.as_c_str(), |m| self.append_to(m))
    }

    /// Appends the value as that of a property, a `(sv)`.
    pub(crate) fn append_property_to(&self, name: &str, message: &mut Message<'_>) -> Result<()> {
        message.property(name, |m| self.append_variant_to(m))
    }

    /// Reads the next value of a message, whatever its type. `None` at the end.
    pub(crate) fn read_from(message: &Message<'_>) -> Result<Option<Self>> {
        Self::read(message, &mut { MOST_VALUES })
    }

    /// The same, of so many values at most.
    fn read(message: &Message<'_>, most: &mut usize) -> Result<Option<Self>> {
        let Some((code, contents)) = message.peek()? else { return Ok(None) };
        *most = most.checked_sub(1).ok_or_else(|| Error::message(format!("no more than {MOST_VALUES} values")))?;
        Ok(Some(match code {
            b'y' => Value::Byte(message.read()?),
            b'b' => Value::Bool(message.read()?),
            b'n' => Value::I16(message.read()?),
            b'q' => Value::U16(message.read()?),
            b'i' => Value::I32(message.read()?),
            b'u' => Value::U32(message.read()?),
            b'x' => Value::I64(message.read()?),
            b't' => Value::U64(message.read()?),
            b'd' => Value::F64(message.read()?),
            b's' => Value::Str(message.read_str()?.into()),
            b'o' => Value::ObjectPath(message.read_path()?.into()),
            b'g' => Value::Signature(message.read_signature()?.into()),
            b'h' => Value::Fd(Arc::new(message.read_fd()?)),
            b'a' if &*contents == c"y" => Value::Bytes(message.read_bytes()?.into_owned()),
            b'a' if contents.to_bytes().starts_with(b"{") => {
                let (key, value) = entry_types(contents.to_bytes())?;
                let both = both_types(&key, &value);
                message.enter(Container::Array, None)?;
                let mut entries = Vec::new();
                while message.enter(Container::DictEntry, Some(&both))? {
                    entries.push((Self::require(message, most)?, Self::require(message, most)?));
                    message.exit()?;
                }
                message.exit()?;
                Value::Dict(key, value, entries)
            }
            b'a' => {
                let element = text_of(contents.to_bytes()).and_then(Signature::new)?;
                message.enter(Container::Array, None)?;
                let elements = Self::rest_of(message, most)?;
                message.exit()?;
                Value::Array(element, elements)
            }
            b'r' => {
                message.enter(Container::Struct, None)?;
                let fields = Self::rest_of(message, most)?;
                message.exit()?;
                Value::Struct(fields)
            }
            b'v' => {
                message.enter(Container::Variant, None)?;
                let inner = Self::require(message, most)?;
                message.exit()?;
                Value::Variant(Box::new(inner))
            }
            _ => return Err(Error::message(format!("a known type, not {:?}", char::from(code)))),
        }))
    }

    /// The values up to the end of the container that is being read.
    fn rest_of(message: &Message<'_>, most: &mut usize) -> Result<Vec<Self>> {
        std::iter::from_fn(|| Self::read(message, most).transpose()).collect()
    }

    fn require(message: &Message<'_>, most: &mut usize) -> Result<Self> {
        Self::read(message, most)?.ok_or_else(|| Error::message("a value"))
    }

    fn fits(&self, element: &Signature) -> Result<&Self> {
        let signature = self.signature();
        if signature == element.as_str() {
            Ok(self)
        } else {
            let reason = format!("does not fit into an array of {:?}", element.as_str());
            Err(Error::invalid("value of type", signature, reason))
        }
    }

    fn checked_signature(&self) -> Result<Signature> {
        Signature::new(&self.signature())
    }
}

fn text_of(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::message("a signature in ASCII"))
}

/// The contents of an entry of a dictionary.
fn both_types(key: &Signature, value: &Signature) -> CString {
    CString::new(format!("{key}{value}")).expect("signatures hold no NUL byte")
}

/// The key and value types of `{kv}`.
fn entry_types(contents: &[u8]) -> Result<(Signature, Signature)> {
    let inner = contents.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    let (key, value) =
        inner.and_then(|inner| inner.split_at_checked(1)).ok_or_else(|| Error::message("a dictionary"))?;
    Ok((Signature::new(text_of(key)?)?, Signature::new(text_of(value)?)?))
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        }
    )*};
}
from!(
    u8 => Byte, bool => Bool, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64, f64 => F64,
    String => Str, &str => Str
);

impl From<OwnedFd> for Value {
    fn from(fd: OwnedFd) -> Self {
        Value::Fd(Arc::new(fd))
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        texts.into_iter().map(String::from).collect::<Vec<_>>().into()
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        let element = Signature::new("s").expect("a valid signature");
        Value::Array(element, texts.into_iter().map(Value::Str).collect())
    }
}

/// Values are equal when they would be sent the same; descriptors are, when they are the same ones.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (Byte(a), Byte(b)) => a == b,
            (Bool(a), Bool(b)) => a == b,
            (I16(a), I16(b)) => a == b,
            (U16(a), U16(b)) => a == b,
            (I32(a), I32(b)) => a == b,
            (U32(a), U32(b)) => a == b,
            (I64(a), I64(b)) => a == b,
            (U64(a), U64(b)) => a == b,
            (F64(a), F64(b)) => a.to_bits() == b.to_bits(),
            (Str(a), Str(b)) | (ObjectPath(a), ObjectPath(b)) | (Signature(a), Signature(b)) => a == b,
            (Fd(a), Fd(b)) => Arc::ptr_eq(a, b),
            (Bytes(a), Bytes(b)) => a == b,
            (Array(s, a), Array(t, b)) => s == t && a == b,
            (Dict(k, v, a), Dict(l, w, b)) => k == l && v == w && a == b,
            (Struct(a), Struct(b)) => a == b,
            (Variant(a), Variant(b)) => a == b,
            _ => false,
        }
    }
}
