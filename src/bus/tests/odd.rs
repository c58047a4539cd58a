//! A peer that does not keep to the rules: what arrives is an error or nothing, and never more than that.

use std::io::Write;
use std::os::fd::AsFd;

use super::Peer;
use super::raw::{Raw, Wire, connected};
use crate::bus::message::Kind;
use crate::bus::{Message, Value};
use crate::error::{Error, Result};

fn wire(fill: impl FnOnce(&mut Wire) -> &mut Wire) -> Wire {
    let mut wire = Wire::default();
    fill(&mut wire);
    wire
}

/// What is read of a message with this body.
fn read_of<T>(signature: &str, body: Wire, read: impl FnOnce(&Message<'_>) -> Result<T>) -> Result<T> {
    let (bus, mut stream) = connected();
    stream.write_all(&Raw::signal(signature, body).bytes()).unwrap();
    let ours = Peer::new(bus);
    let message = ours.next();
    assert_eq!((message.kind(), message.member(), message.signature()), (Some(Kind::Signal), Some("Odd"), signature));
    read(&message)
}

fn is_malformed<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Message { .. })), "{result:?}");
}

#[test]
fn bytes_made_by_hand_are_read_like_any() {
    let body = wire(|w| w.u32(7).text("x").byte(1).u64(9));
    let read = read_of("usyt", body, |m| Ok((m.read::<u32>()?, m.read_str()?.to_owned(), m.read::<u8>()?, m.read()?)));
    assert_eq!(read.unwrap(), (7, "x".to_owned(), 1, 9u64));
}

#[test]
fn bodies_that_are_too_short_are_errors() {
    let wires: [(&str, Wire); 10] = [
        ("u", wire(|w| w)),
        ("u", wire(|w| w.byte(1).byte(2))),
        ("t", wire(|w| w.u32(1))),
        ("s", wire(|w| w.u32(100).byte(b'x'))),
        ("s", wire(|w| w.u32(u32::MAX))),
        ("s", wire(|w| w.u32(u32::MAX - 4).byte(0))),
        ("g", wire(|w| w.byte(255).byte(b's'))),
        ("ay", wire(|w| w.u32(100).byte(1))),
        ("v", wire(|w| w.signature("u"))),
        ("(su)", wire(|w| w.text("x"))),
    ];
    for (signature, body) in wires {
        is_malformed(read_of(signature, body, Value::read_from));
    }
}

#[test]
fn arrays_with_a_false_size_are_errors() {
    // Longer than the body, longer than any array may be, ending inside of an element.
    for size in [16, 1 << 27, u32::MAX, 3] {
        let body = wire(|w| w.u32(size).u32(1));
        is_malformed(read_of("au", body, Value::read_from));
    }
    let body = wire(|w| w.u32(5).pad(8).text("x"));
    is_malformed(read_of("a{sv}", body, |m| m.read_properties(|_| Ok(crate::bus::Took::Nothing))));
}

#[test]
fn text_that_is_none_is_an_error() {
    for bytes in [&b"\xff"[..], b"\xc3", b"a\0b", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        is_malformed(read_of("s", wire(|w| w.text(bytes)), |m| m.read_str().map(str::to_owned)));
    }
    // No NUL at the end.
    let body = wire(|w| w.u32(1).byte(b'x').byte(b'y'));
    is_malformed(read_of("s", body, |m| m.read_str().map(str::to_owned)));
    for path in ["", "x", "/x/", "//"] {
        is_malformed(read_of("o", wire(|w| w.text(path)), |m| m.read_path().map(str::to_owned)));
    }
    for signature in ["a", "(", "z", "()"] {
        let body = || wire(|w| w.signature(signature).byte(0));
        is_malformed(read_of("g", body(), |m| m.read_signature().map(str::to_owned)));
        is_malformed(read_of("v", body(), Value::read_from));
    }
    // Two types, or none, in one variant.
    for signature in ["", "yy", "{sv}"] {
        let body = wire(|w| w.signature(signature).byte(0).byte(0));
        is_malformed(read_of("v", body, Value::read_from));
    }
}

#[test]
fn padding_that_is_not_zero_is_an_error() {
    let body = wire(|w| w.byte(1).byte(1).u32(5));
    is_malformed(read_of("yu", body, |m| m.read::<u8>().and(m.read::<u32>())));
}

#[test]
fn a_bool_is_true_whatever_number_it_is() {
    assert!(read_of("b", wire(|w| w.u32(1)), |m| m.read::<bool>()).unwrap());
    assert!(read_of("b", wire(|w| w.u32(0x0100_0000)), |m| m.read::<bool>()).unwrap());
    assert!(!read_of("b", wire(|w| w.u32(0)), |m| m.read::<bool>()).unwrap());
}

#[test]
fn descriptors_that_did_not_come_are_errors() {
    for index in [0, 1, u32::MAX] {
        is_malformed(read_of("h", wire(|w| w.u32(index)), |m| m.read_fd()));
    }
}

#[test]
fn the_other_byte_order_is_read_too() {
    let mut body = Wire { big: true, bytes: Vec::new() };
    body.u32(7).text("x").u64(9).u32(3).byte(1).byte(2).byte(3).u32(0);
    let read = read_of("ustayay", body, |m| {
        let numbers = (m.read::<u32>()?, m.read_str()?.to_owned(), m.read::<u64>()?);
        Ok((numbers, m.read_bytes()?.to_vec(), m.read_bytes()?.to_vec()))
    });
    assert_eq!(read.unwrap(), ((7, "x".to_owned(), 9), vec![1, 2, 3], vec![]));
}

#[test]
fn an_error_reply_needs_no_text() {
    let bodies = [
        ("", Wire::default(), ""),
        ("u", wire(|w| w.u32(1)), ""),
        ("s", wire(|w| w.text(b"\xff")), ""),
        ("s", wire(|w| w.text("why")), "why"),
        ("su", wire(|w| w.text("why").u32(1)), "why"),
    ];
    for (signature, body, text) in bodies {
        let (bus, mut stream) = connected();
        let reply = Raw { kind: 3, error: Some("an.Error"), ..Raw::reply(1, signature, body) };
        stream.write_all(&reply.bytes()).unwrap();
        let ours = Peer::new(bus);
        let message = ours.next();
        assert_eq!((message.kind(), message.reply_cookie()), (Some(Kind::MethodError), Some(1)));
        assert_eq!(message.error(), Some(("an.Error", text)));
        // It comes unread, whatever sd-bus has looked at.
        assert_eq!(message.peek().unwrap().map(|(code, _)| code), signature.bytes().next());
    }
}

/// What the connection does after these bytes: the kind of the next message, or the error.
fn after(bytes: &[u8], then_close: bool) -> Result<Option<Option<Kind>>> {
    let (bus, mut stream) = connected();
    let mut stream = {
        stream.write_all(bytes).unwrap();
        (!then_close).then_some(stream)
    };
    if let Some(stream) = &mut stream {
        stream.write_all(&Raw::signal("", Wire::default()).bytes()).unwrap();
    }
    loop {
        match bus.process()? {
            crate::bus::connection::Step::Message(message) => return Ok(Some(message.kind())),
            crate::bus::connection::Step::Progress => {}
            crate::bus::connection::Step::Idle => return Ok(None),
        }
    }
}

#[test]
fn messages_that_are_none_are_passed_over_or_end_the_connection() {
    let whole = Raw::signal("s", wire(|w| w.text("x"))).bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    // An unknown byte order, version, and a type that is none; serial 0; a header longer than all; a body longer than
    // any; garbage.
    let mut serial = whole.clone();
    serial[8..12].fill(0);
    let odd = [with(0, b'x'), with(3, 3), with(1, 0), serial, with(14, 0xff), with(7, 0xff), b"garbage".repeat(50)];
    for bytes in odd {
        match after(&bytes, false) {
            // Passed over: the good one after it comes, or all the rest is taken for its body.
            Ok(Some(kind)) => assert_eq!(kind, Some(Kind::Signal)),
            Ok(None) | Err(Error::System { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    // A type that is not known yet.
    assert_eq!(after(&with(1, 200), false).unwrap(), Some(None));
}

#[test]
fn every_flipped_byte_is_survived() {
    let whole = Raw {
        reply_to: Some(1),
        error: Some("an.Error"),
        sender: Some(":1.5"),
        destination: Some(":1.6"),
        ..Raw::signal(
            "sa{sv}(uo)ay",
            wire(|w| {
                w.text("x").u32(29).pad(8).text("n").signature("as").u32(6).text("y").pad(8);
                w.u32(1).text("/p").u32(2).byte(1).byte(2)
            }),
        )
    }
    .bytes();
    for at in 0..whole.len() {
        for byte in [0, 1, b's', b'v', 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let (bus, mut stream) = connected();
            stream.write_all(&bytes).unwrap();
            drop(stream);
            while let Ok(step) = bus.process() {
                let crate::bus::connection::Step::Message(message) = step else { continue };
                let _ = (message.path(), message.interface(), message.member(), message.sender(), message.error());
                while let Ok(Some(_)) = Value::read_from(&message) {}
            }
        }
    }
}

#[test]
fn the_end_of_the_connection_is_an_error_wherever_it_comes() {
    let whole = Raw::signal("s", wire(|w| w.text("x"))).bytes();
    for length in 0..whole.len() {
        let (bus, mut stream) = connected();
        stream.write_all(&whole[..length]).unwrap();
        drop(stream);
        let mut members = Vec::new();
        let error = loop {
            match bus.process() {
                Ok(crate::bus::connection::Step::Message(message)) => {
                    members.push(message.member().unwrap_or_default().to_owned());
                }
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::System { .. }), "{length}: {error:?}");
        assert_eq!(members, ["Disconnected"], "{length}");
    }
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (bus, peer) = super::connected();
    let mut message = super::message::signal(&bus);
    message.append(5u32).and(message.append_fd(writer.as_fd())).and(message.append_fd(writer.as_fd())).unwrap();
    bus.send_only(message).unwrap();
    drop(writer);
    let message = peer.next();
    assert!(message.read_fd().is_err());
    assert_eq!(message.read::<u32>().unwrap(), 5);
    drop(message);
    assert_eq!(super::last_words(reader), "");
}
