//! Values of any type, there and back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::connected;
use super::message::signal;
use crate::bus::{Container, Signature, Value};
use crate::error::Error;

/// Values made from a seed: the same ones each time.
struct Maker {
    state: u64,
    fd: Arc<OwnedFd>,
}

impl Maker {
    fn new(seed: u64) -> Self {
        Maker { state: seed, fd: Arc::new(std::io::pipe().unwrap().0.into()) }
    }

    /// splitmix64
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn basic_type(&mut self) -> String {
        char::from(b"ybnqiuxtdsogh"[self.below(13) as usize]).into()
    }

    /// A complete type, nested at most so deep.
    fn kind(&mut self, depth: u32) -> String {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0..=3 => self.basic_type(),
            4 => "v".into(),
            5 => format!("a{}", self.kind(depth - 1)),
            6 => format!("a{{{}{}}}", self.basic_type(), self.kind(depth - 1)),
            _ => {
                let fields: String = (0..=self.below(3)).map(|_| self.kind(depth - 1)).collect();
                format!("({fields})")
            }
        }
    }

    fn text(&mut self) -> String {
        const ALPHABET: [char; 8] = ['a', 'Z', '"', '\u{1}', 'é', '\u{fffd}', '\u{10fffd}', '\u{200d}'];
        let longest = if self.below(20) == 0 { 5000 } else { 12 };
        (0..self.below(longest)).map(|_| ALPHABET[self.below(8) as usize]).collect()
    }

    /// A value of the type that `signature` begins with, which is taken from it.
    fn value(&mut self, signature: &mut &str, depth: u32) -> Value {
        let (code, rest) = signature.split_at(1);
        *signature = rest;
        let number = self.number();
        match code {
            "y" => Value::Byte(number as u8),
            "b" => Value::Bool(number & 1 == 1),
            "n" => Value::I16(number as i16),
            "q" => Value::U16(number as u16),
            "i" => Value::I32(number as i32),
            "u" => Value::U32(number as u32),
            "x" => Value::I64(number as i64),
            "t" => Value::U64(number),
            "d" => Value::F64(f64::from_bits(number)),
            "s" => Value::Str(self.text()),
            "o" => Value::ObjectPath(if number & 1 == 0 { "/".into() } else { format!("/_{number}/x") }),
            "g" => Value::Signature((0..self.below(4)).map(|_| self.kind(2)).collect()),
            "h" => Value::Fd(self.fd.clone()),
            "v" => {
                let depth = depth.saturating_sub(1);
                let kind = self.kind(depth);
                Value::Variant(Box::new(self.value(&mut kind.as_str(), depth)))
            }
            "(" => {
                let mut fields = Vec::new();
                while !signature.starts_with(')') {
                    fields.push(self.value(signature, depth));
                }
                *signature = &signature[1..];
                Value::Struct(fields)
            }
            "a" if signature.starts_with('{') => {
                *signature = &signature[1..];
                let (key, rest) = signature.split_at(1);
                let value = one_type(rest);
                *signature = &rest[value.len() + 1..];
                let entries = (0..self.below(4))
                    .map(|_| (self.value(&mut { key }, depth), self.value(&mut { value }, depth)))
                    .collect();
                Value::Dict(Signature::new(key).unwrap(), Signature::new(value).unwrap(), entries)
            }
            "a" => {
                let element = one_type(signature);
                *signature = &signature[element.len()..];
                let count = self.below(4);
                if element == "y" {
                    return Value::Bytes((0..count * 100).map(|n| n as u8).collect());
                }
                let elements = (0..count).map(|_| self.value(&mut { element }, depth)).collect();
                Value::Array(Signature::new(element).unwrap(), elements)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The first complete type of several.
fn one_type(signature: &str) -> &str {
    let end = (1..=signature.len()).find(|end| Signature::new(&signature[..*end]).is_ok()).unwrap();
    &signature[..end]
}

/// Descriptors are duplicates on arrival: they are the same ones if they are of the same file.
fn alike(one: &Value, other: &Value) -> bool {
    let pairs = |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b));
    match (one, other) {
        (Value::Fd(a), Value::Fd(b)) => {
            let inode = |fd: &OwnedFd| nix::sys::stat::fstat(fd).unwrap().st_ino;
            inode(a) == inode(b)
        }
        (Value::Array(s, a), Value::Array(t, b)) => s == t && pairs(a, b),
        (Value::Struct(a), Value::Struct(b)) => pairs(a, b),
        (Value::Variant(a), Value::Variant(b)) => alike(a, b),
        (Value::Dict(k, v, a), Value::Dict(l, w, b)) => {
            let entries = |a: &(Value, Value), b: &(Value, Value)| alike(&a.0, &b.0) && alike(&a.1, &b.1);
            k == l && v == w && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| entries(a, b))
        }
        (one, other) => one == other,
    }
}

#[test]
fn any_value_arrives_as_it_was_sent() {
    let (bus, peer) = connected();
    for seed in 0..1000 {
        let mut maker = Maker::new(seed);
        let kind = maker.kind(6);
        let value = maker.value(&mut kind.as_str(), 6);
        assert_eq!(value.signature(), kind, "seed {seed}");
        let mut message = signal(&bus);
        value.append_to(&mut message).and(value.append_variant_to(&mut message)).unwrap();
        bus.send_only(message).unwrap();
        let message = peer.next();
        assert_eq!(message.signature(), format!("{kind}v"), "seed {seed}");
        let plain = Value::read_from(&message).unwrap().unwrap();
        assert!(alike(&plain, &value), "seed {seed}: {value:?} is now {plain:?}");
        assert_eq!(plain.signature(), kind, "seed {seed}");
        let variant = Value::read_from(&message).unwrap().unwrap();
        assert!(alike(&variant, &Value::Variant(Box::new(value))), "seed {seed}: {variant:?}");
        assert!(Value::read_from(&message).unwrap().is_none());
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let s = || Signature::new("s").unwrap();
    let u = || Signature::new("u").unwrap();
    let (bus, peer) = connected();
    let refused = [
        Value::Array(s(), vec![Value::from("x"), Value::from(1u32)]),
        Value::Array(s(), vec![Value::ObjectPath("/x".into())]),
        Value::Array(Signature::new("as").unwrap(), vec![Value::from(["x"]), Value::Array(u(), vec![])]),
        Value::Array(Signature::new("v").unwrap(), vec![Value::from("x")]),
        Value::Dict(s(), u(), vec![(Value::from("x"), Value::from("y"))]),
        Value::Dict(s(), u(), vec![(Value::from(1u32), Value::from(1u32))]),
        Value::Dict(Signature::new("v").unwrap(), u(), vec![]),
        Value::Dict(Signature::new("as").unwrap(), u(), vec![]),
        Value::Struct(vec![]),
        Value::Struct(vec![Value::from("x"), Value::Struct(vec![])]),
        Value::Struct(vec![Value::Byte(0); 254]),
        Value::from("nul\0"),
        Value::from(["fine", "nul\0"]),
        Value::from("\u{ffff}"),
        Value::ObjectPath("not a path".into()),
        Value::Signature("a".into()),
        (0..33).fold(Value::Byte(0), |inner, _| Value::Struct(vec![inner])),
        (0..33).fold(Value::Byte(0), |inner, _| Value::Array(Signature::new(&inner.signature()).unwrap(), vec![inner])),
        Value::Array(Signature::new(&format!("{}y", "a".repeat(32))).unwrap(), vec![]),
    ];
    for value in &refused {
        for appended in [
            value.append_variant_to(&mut signal(&bus)),
            Value::Variant(Box::new(value.clone())).append_to(&mut signal(&bus)),
            Value::Struct(vec![Value::Byte(0), value.clone()]).append_to(&mut signal(&bus)),
        ] {
            assert!(matches!(appended, Err(Error::Invalid { .. } | Error::System { .. })), "{value:?}: {appended:?}");
        }
        // By itself too, where it is not part of a signature that is checked as a whole.
        if Signature::new(&value.signature()).is_ok() {
            assert!(value.append_to(&mut signal(&bus)).is_err(), "{value:?}");
        }
    }
    // Nothing of all that was sent.
    bus.send_only(signal(&bus)).unwrap();
    assert_eq!(peer.next().signature(), "");
    assert!(peer.poll().is_none());
}

#[test]
fn a_value_that_is_refused_says_what_is_wrong_with_it() {
    let (bus, _peer) = connected();
    let said = |value: Value| value.append_variant_to(&mut signal(&bus)).unwrap_err().to_string();
    assert_eq!(
        said(Value::Array(Signature::new("s").unwrap(), vec![Value::from(1u32)])),
        "value of type \"u\" does not fit into an array of \"s\""
    );
    let dictionary = |key, value| {
        let (keys, values) = (Signature::new("s").unwrap(), Signature::new("u").unwrap());
        said(Value::Dict(keys, values, vec![(key, value)]))
    };
    assert!(dictionary(Value::from(1u8), Value::from(1u32)).contains("\"y\" does not fit"));
    assert!(dictionary(Value::from("x"), Value::from("y")).contains("\"s\" does not fit"));
    assert_eq!(said(Value::from("a\0b")), "text holds a NUL byte, which D-Bus cannot carry");
    assert!(said(Value::Struct(vec![])).contains("\"()\""));
}

#[test]
fn values_are_equal_when_they_are_sent_the_same() {
    let mut maker = Maker::new(7);
    let values: Vec<Value> = "ybnqiuxtdsoghv"
        .chars()
        .map(|code| maker.value(&mut code.to_string().as_str(), 2))
        .chain([
            Value::Bytes(vec![1]),
            Value::from(["x"]),
            Value::from(["x", "y"]),
            Value::Struct(vec![Value::Byte(1)]),
        ])
        .chain([Value::Dict(Signature::new("s").unwrap(), Signature::new("u").unwrap(), vec![])])
        .chain([Value::Dict(Signature::new("s").unwrap(), Signature::new("s").unwrap(), vec![])])
        .collect();
    for (at, one) in values.iter().enumerate() {
        for (other_at, other) in values.iter().enumerate() {
            assert_eq!(one == &other.clone(), at == other_at, "{one:?} {other:?}");
        }
    }
    assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
    assert_ne!(Value::F64(0.0), Value::F64(-0.0));
}

#[test]
fn reading_nests_no_deeper_than_sd_bus() {
    // A peer may nest variants as deep as it likes; reading one level is one level of our stack.
    let (bus, mut stream) = super::raw::connected();
    let mut body = super::raw::Wire::default();
    for _ in 0..100_000 {
        body.signature("v");
    }
    body.signature("y").byte(1);
    std::thread::spawn(move || {
        let bytes = super::raw::Raw::signal("v", body).bytes();
        std::io::Write::write_all(&mut stream, &bytes).unwrap();
        stream
    });
    let ours = super::Peer::new(bus);
    assert!(matches!(Value::read_from(&ours.next()), Err(Error::Message { .. })));
}

#[test]
fn an_array_of_structs_is_read_to_its_end_only() {
    let (bus, peer) = connected();
    let mut message = signal(&bus);
    message
        .container(Container::Array, c"(s)", |m| {
            (0..3).try_for_each(|_| m.container(Container::Struct, c"s", |m| m.append_str("x")))
        })
        .unwrap();
    message.append(9u8).unwrap();
    bus.send_only(message).unwrap();
    let message = peer.next();
    let x = Value::Struct(vec![Value::from("x")]);
    let array = Value::Array(Signature::new("(s)").unwrap(), vec![x.clone(), x.clone(), x]);
    assert_eq!(Value::read_from(&message).unwrap(), Some(array));
    assert_eq!(Value::read_from(&message).unwrap(), Some(Value::Byte(9)));
}
