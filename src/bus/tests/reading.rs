//! Reading what a message does not hold: always an error, and the message can be read on.

use std::ffi::CStr;
use std::os::fd::AsFd;

use super::connected;
use super::message::signal;
use crate::bus::{Bus, Container, Message, Value};
use crate::error::{Error, Result};

fn sealed(bus: &Bus, fill: impl FnOnce(&mut Message<'_>) -> Result<()>) -> Message<'_> {
    let mut message = signal(bus);
    fill(&mut message).unwrap();
    message.seal().unwrap();
    message
}

fn is_malformed<T: std::fmt::Debug>(result: Result<T>) -> bool {
    match result {
        Err(Error::Message { .. }) => true,
        other => panic!("not an error about the message: {other:?}"),
    }
}

type Fill = fn(&mut Message<'_>) -> Result<()>;
type Read = fn(&Message<'_>) -> Result<()>;

fn read_strs(message: &Message<'_>) -> Result<()> {
    if !message.enter(Container::Array, Some(c"s"))? {
        return Err(Error::message("an array"));
    }
    message.skip(c"s")?;
    message.exit()
}

/// One of each type: how it is written and how it is read.
const TYPES: [(&str, Fill, Read); 19] = [
    ("y", |m| m.append(1u8), |m| m.read::<u8>().map(drop)),
    ("b", |m| m.append(true), |m| m.read::<bool>().map(drop)),
    ("n", |m| m.append(1i16), |m| m.read::<i16>().map(drop)),
    ("q", |m| m.append(1u16), |m| m.read::<u16>().map(drop)),
    ("i", |m| m.append(1i32), |m| m.read::<i32>().map(drop)),
    ("u", |m| m.append(1u32), |m| m.read::<u32>().map(drop)),
    ("x", |m| m.append(1i64), |m| m.read::<i64>().map(drop)),
    ("t", |m| m.append(1u64), |m| m.read::<u64>().map(drop)),
    ("d", |m| m.append(1f64), |m| m.read::<f64>().map(drop)),
    ("s", |m| m.append_str("/x"), |m| m.read_str().map(drop)),
    ("o", |m| m.append_path("/x"), |m| m.read_path().map(drop)),
    ("g", |m| m.append_signature("s"), |m| m.read_signature().map(drop)),
    ("h", |m| m.append_fd(std::io::stderr().as_fd()), |m| m.read_fd().map(drop)),
    ("ay", |m| m.append_bytes(b"x"), |m| m.read_bytes().map(drop)),
    ("as", |m| m.append_strs(["x"]), read_strs),
    (
        "a{sv}",
        |m| m.container(Container::Array, c"{sv}", |_| Ok(())),
        |m| m.read_properties(|_| Err(Error::message("no property"))),
    ),
    ("(s)", |m| m.container(Container::Struct, c"s", |m| m.append_str("x")), |m| m.in_struct(c"s", || m.skip(c"s"))),
    ("v", |m| m.container(Container::Variant, c"s", |m| m.append_str("x")), |m| m.in_variant(c"s", || m.skip(c"s"))),
    (
        "(v)",
        |m| m.container(Container::Struct, c"v", |m| Value::from(1u32).append_variant_to(m)),
        |m| m.in_struct(c"v", || m.read_variant::<u32>().map(drop)),
    ),
];

#[test]
fn every_wrong_type_is_an_error_and_the_right_one_still_reads() {
    let (bus, _peer) = connected();
    for (there, fill, right) in TYPES {
        let message = sealed(&bus, fill);
        assert_eq!(message.signature(), there);
        for (asked, _, read) in TYPES.iter().filter(|(asked, ..)| *asked != there) {
            assert!(is_malformed(read(&message)), "{asked} of {there}");
        }
        right(&message).unwrap_or_else(|error| panic!("{there}: {error}"));
    }
}

#[test]
fn past_the_end_everything_is_an_error() {
    let (bus, _peer) = connected();
    let empty = sealed(&bus, |_| Ok(()));
    for (asked, _, read) in TYPES {
        assert!(is_malformed(read(&empty)), "{asked}");
    }
    assert_eq!(Value::read_from(&empty).unwrap(), None);
    assert!(empty.peek().unwrap().is_none());
    assert!(is_malformed(empty.exit()));
}

#[test]
fn at_the_end_of_an_array_everything_is_an_error() {
    let (bus, _peer) = connected();
    for (element, _, read) in TYPES {
        let contents = std::ffi::CString::new(element).unwrap();
        let message = sealed(&bus, |m| m.container(Container::Array, &contents, |_| Ok(())));
        assert!(message.enter(Container::Array, Some(&contents)).unwrap());
        // sd-bus itself calls this a success with nothing in it.
        assert!(is_malformed(read(&message)), "{element}");
        message.exit().unwrap_or_else(|error| panic!("{element}: {error}"));
    }
}

#[test]
fn variants_of_another_type_are_refused() {
    let (bus, _peer) = connected();
    let message = sealed(&bus, |m| m.container(Container::Variant, c"u", |m| m.append(1u32)));
    assert!(is_malformed(message.read_variant::<i32>()));
    assert!(is_malformed(message.read_variant::<bool>()));
    assert!(is_malformed(message.in_variant(c"s", || message.read_str())));
    assert!(is_malformed(message.in_variant(c"au", || Ok(()))));
    assert!(is_malformed(message.in_variant(c"not a type", || Ok(()))));
    assert!(is_malformed(message.in_variant(c"", || Ok(()))));
    assert_eq!(message.read_variant::<u32>().unwrap(), 1);
}

#[test]
fn wrong_containers_are_refused() {
    let (bus, _peer) = connected();
    let message = sealed(&bus, |m| m.container(Container::Array, c"(su)", |_| Ok(())));
    let attempts: [(Container, Option<&CStr>); 8] = [
        (Container::Array, Some(c"s")),
        (Container::Array, Some(c"(s)")),
        (Container::Array, Some(c"(ss)")),
        (Container::Array, Some(c"")),
        (Container::Array, Some(c"{sv}")),
        (Container::Struct, None),
        (Container::Variant, None),
        (Container::DictEntry, Some(c"su")),
    ];
    for (container, contents) in attempts {
        assert!(is_malformed(message.enter(container, contents)), "{container:?} {contents:?}");
    }
    assert!(message.enter(Container::Array, Some(c"(su)")).unwrap());
}

#[test]
fn a_container_is_left_only_at_its_end() {
    let (bus, _peer) = connected();
    let message = sealed(&bus, |m| {
        m.container(Container::Struct, c"sas", |m| {
            m.append_str("x")?;
            m.append_strs(["y", "z"])
        })
    });
    message.enter(Container::Struct, None).unwrap();
    assert!(is_malformed(message.exit()));
    assert_eq!(message.read_str().unwrap(), "x");
    assert!(is_malformed(message.exit()));
    message.enter(Container::Array, None).unwrap();
    assert_eq!(message.read_str().unwrap(), "y");
    assert!(is_malformed(message.exit()));
    assert_eq!(message.read_str().unwrap(), "z");
    message.exit().unwrap();
    message.exit().unwrap();
    assert!(is_malformed(message.exit()));
}

#[test]
fn what_was_peeked_at_stays_what_it_was() {
    let (bus, _peer) = connected();
    let message = sealed(&bus, |m| {
        m.append_strs(["x"])?;
        m.container(Container::Struct, c"a{sv}u", |m| {
            m.container(Container::Array, c"{sv}", |_| Ok(()))?;
            m.append(1u32)
        })?;
        m.append(1u8)
    });
    // sd-bus keeps the contents of the last peek only, in memory that the next one, or leaving the container, frees.
    let (code, first) = message.peek().unwrap().unwrap();
    assert_eq!(code, b'a');
    message.skip(c"as").unwrap();
    let (code, second) = message.peek().unwrap().unwrap();
    assert_eq!(code, b'r');
    message.enter(Container::Struct, None).unwrap();
    let (code, third) = message.peek().unwrap().unwrap();
    assert_eq!(code, b'a');
    message.skip(c"a{sv}").unwrap();
    assert_eq!(message.read::<u32>().unwrap(), 1);
    message.exit().unwrap();
    assert_eq!([&*first, &*second, &*third], [c"s", c"a{sv}u", c"{sv}"]);
    assert_eq!(message.peek().unwrap().unwrap(), (b'y', c"".into()));
}
