//! Building a message, and reading what was built: here, and at the other end of a socket.

use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{connected, last_words};
use crate::bus::message::Kind;
use crate::bus::{Bus, Container, Message, Took, Value};
use crate::error::{Error, Result};

pub(super) fn signal(bus: &Bus) -> Message<'_> {
    bus.signal(c"/a/path", c"an.Interface", c"Member").unwrap()
}

/// Reads what `fill` wrote, twice where it was written, and once where it was sent to.
fn round_trip(
    signature: &str,
    fill: impl Fn(&mut Message<'_>) -> Result<()>,
    read: impl Fn(&Message<'_>) -> Result<()>,
) {
    let (bus, peer) = connected();
    let mut sealed = signal(&bus);
    fill(&mut sealed).unwrap();
    sealed.seal().unwrap();
    let mut sent = signal(&bus);
    fill(&mut sent).unwrap();
    bus.send_only(sent).unwrap();
    let received = peer.next();
    for message in [&sealed, &received] {
        assert_eq!(message.signature(), signature);
        for _ in 0..2 {
            read(message).unwrap();
            assert!(message.peek().unwrap().is_none(), "something is left unread");
            message.rewind().unwrap();
        }
    }
    assert_eq!(sealed.size(), body_size(fill));
}

/// How large the body is that goes over the socket, by the message's own header.
fn body_size(fill: impl Fn(&mut Message<'_>) -> Result<()>) -> usize {
    let (bus, mut stream) = super::raw::connected();
    let mut message = signal(&bus);
    fill(&mut message).unwrap();
    bus.send_only(message).unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    u32::from_ne_bytes([header[4], header[5], header[6], header[7]]) as usize
}

/// A message that is too large is refused while it is filled, by a name and with what to do, and what is sent after it
/// arrives.
#[test]
fn too_large_messages_are_refused() {
    const MIB: usize = 1 << 20;
    const HEADER: usize = 4096;
    let refusal = |largest: usize, fill: &dyn Fn(&mut Message<'_>) -> Result<()>| {
        let (bus, peer) = connected();
        let filled = fill(&mut signal(&bus).of_at_most(largest));
        bus.send_only(signal(&bus)).unwrap();
        assert_eq!(peer.next().signature(), "");
        filled.map_err(|error| error.to_string())
    };
    let text = "a".repeat(32 * MIB - HEADER - 5);
    let bytes = vec![0; 64 * MIB + 1];
    refusal(32 * MIB, &|m| m.append_str(&text)).unwrap();
    let error = refusal(32 * MIB, &|m| m.append_str(&text).and_then(|()| m.append(1u8))).unwrap_err();
    assert!(error.starts_with("message would be larger than 32 MiB") && error.contains("through a pipe"), "{error}");
    // The largest array, and one byte more.
    refusal(128 * MIB, &|m| m.append_bytes(&bytes[1..])).unwrap();
    let error = refusal(128 * MIB, &|m| m.append_bytes(&bytes)).unwrap_err();
    assert!(error.starts_with("array in a message would be larger than 64 MiB"), "{error}");
    // One in others, with what is around it.
    let error = refusal(128 * MIB, &|m| m.container(Container::Array, c"ay", |m| m.append_bytes(&bytes[1..])));
    assert!(error.unwrap_err().contains("64 MiB"));
    // Two of them one after the other.
    let half = &bytes[..64 * MIB - HEADER];
    refusal(128 * MIB, &|m| m.append_bytes(half).and_then(|()| m.append_bytes(half))).unwrap();
    let error = refusal(128 * MIB, &|m| m.append_bytes(half).and_then(|()| m.append_bytes(&bytes[..64 * MIB])));
    assert!(error.unwrap_err().contains("128 MiB"));
}

/// A descriptor that something has closed behind its owner's back.
#[test]
fn a_closed_descriptor_is_refused() {
    let (bus, peer) = connected();
    // SAFETY: nothing is read from it or written to it, and its number is larger than any that is open.
    let closed = unsafe { std::os::fd::BorrowedFd::borrow_raw(1 << 29) };
    let error = signal(&bus).append_fd(closed).unwrap_err();
    assert!(matches!(&error, Error::Invalid { what: "descriptor", .. }), "{error:?}");
    assert!(error.to_string().contains("is not open"), "{error}");
    bus.send_only(signal(&bus)).unwrap();
    assert_eq!(peer.next().signature(), "");
}

#[test]
fn numbers_arrive_with_their_extremes() {
    round_trip(
        "ybbnnqiiuxxtddd",
        |m| {
            m.append(u8::MAX)?;
            m.append(true)?;
            m.append(false)?;
            m.append(i16::MIN)?;
            m.append(i16::MAX)?;
            m.append(u16::MAX)?;
            m.append(i32::MIN)?;
            m.append(i32::MAX)?;
            m.append(u32::MAX)?;
            m.append(i64::MIN)?;
            m.append(i64::MAX)?;
            m.append(u64::MAX)?;
            m.append(-0.0f64)?;
            m.append(f64::MIN_POSITIVE)?;
            m.append(f64::INFINITY)
        },
        |m| {
            assert_eq!(m.read::<u8>()?, u8::MAX);
            assert_eq!((m.read::<bool>()?, m.read::<bool>()?), (true, false));
            assert_eq!((m.read::<i16>()?, m.read::<i16>()?), (i16::MIN, i16::MAX));
            assert_eq!(m.read::<u16>()?, u16::MAX);
            assert_eq!((m.read::<i32>()?, m.read::<i32>()?), (i32::MIN, i32::MAX));
            assert_eq!(m.read::<u32>()?, u32::MAX);
            assert_eq!((m.read::<i64>()?, m.read::<i64>()?), (i64::MIN, i64::MAX));
            assert_eq!(m.read::<u64>()?, u64::MAX);
            assert_eq!(m.read::<f64>()?.to_bits(), (-0.0f64).to_bits());
            assert_eq!(m.read::<f64>()?, f64::MIN_POSITIVE);
            assert_eq!(m.read::<f64>()?, f64::INFINITY);
            Ok(())
        },
    );
}

#[test]
fn texts_arrive_whole() {
    let long = "é\u{10fffd}x".repeat(150_000);
    let longest_signature = format!("a{}", "s".repeat(253));
    round_trip(
        "sssosggg",
        |m| {
            m.append_str("")?;
            m.append_str(&long)?;
            m.append_str("\u{1}\n\t\u{7f}\u{85}")?;
            m.append_path("/")?;
            m.append_str("after a path")?;
            m.append_signature("")?;
            m.append_signature("a{sv}(is)v")?;
            m.append_signature(&longest_signature)
        },
        |m| {
            assert_eq!(m.read_str()?, "");
            assert_eq!(m.read_str()?, long);
            assert_eq!(m.read_str()?, "\u{1}\n\t\u{7f}\u{85}");
            assert_eq!(m.read_path()?, "/");
            assert_eq!(m.read_str()?, "after a path");
            assert_eq!(m.read_signature()?, "");
            assert_eq!(m.read_signature()?, "a{sv}(is)v");
            assert_eq!(m.read_signature()?, longest_signature);
            Ok(())
        },
    );
}

#[test]
fn text_stays_readable_while_the_message_is_read_on() {
    let (bus, peer) = connected();
    let mut message = signal(&bus);
    (0..200).try_for_each(|n| message.append_str(&format!("text {n}"))).unwrap();
    bus.send_only(message).unwrap();
    let message = peer.next();
    let texts: Vec<&str> = (0..200).map(|_| message.read_str().unwrap()).collect();
    message.rewind().unwrap();
    assert!(message.read::<u8>().is_err());
    assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("text {n}")));
    assert_eq!((message.path(), message.interface()), (Some("/a/path"), Some("an.Interface")));
}

#[test]
fn containers_arrive_as_they_were_nested() {
    round_trip(
        "a(sasb)a{sv}vayay(i(u(t)))",
        |m| {
            m.container(Container::Array, c"(sasb)", |m| {
                for (name, words) in [("one", &["a", "", "c"][..]), ("two", &[])] {
                    m.container(Container::Struct, c"sasb", |m| {
                        m.append_str(name)?;
                        m.append_strs(words)?;
                        m.append(name == "one")
                    })?;
                }
                Ok(())
            })?;
            m.container(Container::Array, c"{sv}", |m| {
                for (name, value) in [("x", 1u64), ("y", 2)] {
                    m.container(Container::DictEntry, c"sv", |m| {
                        m.append_str(name)?;
                        m.container(Container::Variant, c"t", |m| m.append(value))
                    })?;
                }
                Ok(())
            })?;
            m.container(Container::Variant, c"v", |m| {
                m.container(Container::Variant, c"as", |m| m.append_strs(["deep"]))
            })?;
            m.append_bytes(&[0, 1, 255])?;
            m.append_bytes(&[])?;
            m.container(Container::Struct, c"i(u(t))", |m| {
                m.append(-1i32)?;
                m.container(Container::Struct, c"u(t)", |m| {
                    m.append(2u32)?;
                    m.container(Container::Struct, c"t", |m| m.append(3u64))
                })
            })
        },
        |m| {
            assert!(m.enter(Container::Array, Some(c"(sasb)"))?);
            for (name, words) in [("one", 3), ("two", 0)] {
                m.in_struct(c"sasb", || {
                    assert_eq!(m.read_str()?, name);
                    assert!(m.enter(Container::Array, Some(c"s"))?);
                    for _ in 0..words {
                        m.read_str()?;
                    }
                    m.exit()?;
                    assert_eq!(m.read::<bool>()?, name == "one");
                    Ok(())
                })?;
            }
            assert!(!m.enter(Container::Struct, Some(c"sasb"))?, "an array's end");
            m.exit()?;
            let mut seen = Vec::new();
            m.read_properties(|name| {
                seen.push((String::from_utf8(name.to_vec()).unwrap(), m.read_variant::<u64>()?));
                Ok(Took::Value)
            })?;
            assert_eq!(seen, [("x".to_owned(), 1), ("y".to_owned(), 2)]);
            m.in_variant(c"v", || {
                m.in_variant(c"as", || {
                    assert!(m.enter(Container::Array, None)?);
                    assert_eq!(m.read_str()?, "deep");
                    m.exit()
                })
            })?;
            assert_eq!(*m.read_bytes()?, [0, 1, 255]);
            assert!(m.read_bytes()?.is_empty());
            m.in_struct(c"i(u(t))", || {
                assert_eq!(m.read::<i32>()?, -1);
                m.in_struct(c"u(t)", || {
                    assert_eq!(m.read::<u32>()?, 2);
                    m.in_struct(c"t", || m.read::<u64>()).map(|value| assert_eq!(value, 3))
                })
            })
        },
    );
}

#[test]
fn empty_containers_are_padded_right() {
    // The size of an empty array of 8-byte elements is followed by padding, and what comes next is aligned.
    round_trip(
        "yaty a{tv} as y".replace(' ', "").as_str(),
        |m| {
            m.append(1u8)?;
            m.container(Container::Array, c"t", |_| Ok(()))?;
            m.append(2u8)?;
            m.container(Container::Array, c"{tv}", |_| Ok(()))?;
            m.append_strs::<&str>([])?;
            m.append(3u8)
        },
        |m| {
            assert_eq!(m.read::<u8>()?, 1);
            assert!(m.enter(Container::Array, Some(c"t"))?);
            assert!(m.peek()?.is_none());
            m.exit()?;
            assert_eq!(m.read::<u8>()?, 2);
            assert!(m.enter(Container::Array, Some(c"{tv}"))?);
            assert!(!m.enter(Container::DictEntry, Some(c"tv"))?);
            m.exit()?;
            m.skip(c"as")?;
            assert_eq!(m.read::<u8>()?, 3);
            Ok(())
        },
    );
}

#[test]
fn properties_are_taken_left_alone_or_enough() {
    let (bus, _peer) = connected();
    let mut message = signal(&bus);
    let fill = |m: &mut Message<'_>| {
        for name in ["a", "b", "c"] {
            m.container(Container::DictEntry, c"sv", |m| {
                m.append_str(name)?;
                m.container(Container::Variant, c"s", |m| m.append_str(name))
            })?;
        }
        Ok(())
    };
    message.container(Container::Array, c"{sv}", fill).unwrap();
    message.seal().unwrap();
    let mut names = Vec::new();
    message
        .read_properties(|name| {
            names.push(String::from_utf8(name.to_vec()).unwrap());
            Ok(if name == b"b" { Took::Enough } else { Took::Nothing })
        })
        .unwrap();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(message.in_variant(c"s", || message.read_str()).unwrap(), "b", "where it was left");
}

#[test]
fn descriptors_arrive_usable_and_are_nobodys_but_the_receivers() {
    let (reader, writer) = std::io::pipe().unwrap();
    {
        let (bus, peer) = connected();
        let mut message = signal(&bus);
        message.append_fd(writer.as_fd()).unwrap();
        message.append_str("between").unwrap();
        message.append_fd(writer.as_fd()).unwrap();
        bus.send_only(message).unwrap();
        let message = peer.next();
        let first = message.read_fd().unwrap();
        assert_eq!(message.read_str().unwrap(), "between");
        let second = message.read_fd().unwrap();
        message.rewind().unwrap();
        let again = message.read_fd().unwrap();
        let numbers = [writer.as_raw_fd(), first.as_raw_fd(), second.as_raw_fd(), again.as_raw_fd()];
        assert!(numbers.iter().all(|number| numbers.iter().filter(|other| number == *other).count() == 1));
        // The message may go, its descriptors stay.
        drop(message);
        for fd in [first, second, again] {
            assert_eq!(fcntl(&fd, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
            std::fs::File::from(fd).write_all(b"x").unwrap();
        }
    }
    drop(writer);
    // Every copy is closed: those of the sent and of the received message too.
    assert_eq!(last_words(reader), "xxx");
}

#[test]
fn what_text_may_not_hold_is_refused_and_the_message_stays_usable() {
    let (bus, _peer) = connected();
    let mut message = signal(&bus);
    for refused in [message.append_str("a\0b"), message.append_path("/a\0b"), message.append_signature("s\0")] {
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    // What is no character is valid UTF-8, but systemd throws a message away that has it.
    for text in ["\u{ffff}", "\u{fffe}", "x\u{fdd0}y", "\u{fdef}", "\u{1fffe}", "\u{10ffff}"] {
        assert!(matches!(message.append_str(text), Err(Error::Invalid { .. })), "{text:?}");
    }
    message.append_str("fine").unwrap();
    message.seal().unwrap();
    assert_eq!((message.signature(), message.read_str().unwrap()), ("s", "fine"));

    for path in ["", "a", "/a/", "//", "/a//b", "/a-b", "/é"] {
        assert!(signal(&bus).append_path(path).is_err(), "{path:?}");
    }
    for signature in ["a", "(", "()", "z", "a{vs}", "(s", "s)", &"a".repeat(33), &"s".repeat(256)] {
        assert!(signal(&bus).append_signature(signature).is_err(), "{signature:?}");
    }
}

type Fill = fn(&mut Message<'_>) -> Result<()>;

#[test]
fn a_container_takes_only_what_it_was_opened_for() {
    let (bus, _peer) = connected();
    let attempts: [(Container, &CStr, Fill); 8] = [
        (Container::Array, c"s", |m| m.append(1u32)),
        (Container::Array, c"s", |m| m.append_str("x").and(m.append_path("/"))),
        (Container::Struct, c"su", |m| m.append_str("not complete")),
        (Container::Struct, c"s", |m| m.append_str("x").and(m.append_str("too much"))),
        (Container::Variant, c"s", |_| Ok(())),
        (Container::Variant, c"ss", |_| Ok(())),
        (Container::DictEntry, c"sv", |_| Ok(())),
        (Container::Array, c"", |_| Ok(())),
    ];
    for (container, contents, fill) in attempts {
        let mut message = signal(&bus);
        assert!(message.container(container, contents, fill).is_err(), "{container:?} {contents:?}");
        // Half a container is not sent.
        if !message.signature().is_empty() {
            assert!(bus.send_only(message).is_err(), "{container:?} {contents:?}");
        }
    }
}

#[test]
fn nesting_ends_where_a_bus_daemon_would_throw_us_out() {
    let nested = |variants: u32| (0..variants).fold(Value::Byte(7), |inner, _| Value::Variant(Box::new(inner)));
    let (bus, peer) = connected();
    let mut message = signal(&bus);
    nested(64).append_to(&mut message).unwrap();
    bus.send_only(message).unwrap();
    assert_eq!(Value::read_from(&peer.next()).unwrap(), Some(nested(64)));
    for variants in [65, 128, 1000] {
        let mut message = signal(&bus);
        let refused = nested(variants).append_to(&mut message);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    // One after the other is not one in the other.
    let mut message = signal(&bus);
    (0..100).try_for_each(|_| nested(64).append_to(&mut message)).unwrap();
    message.seal().unwrap();
}

#[test]
fn a_sealed_message_takes_no_more_and_an_unsealed_one_is_not_read() {
    let (bus, _peer) = connected();
    let mut message = signal(&bus);
    message.append_str("x").unwrap();
    assert!(message.read_str().is_err());
    assert!(message.peek().is_err());
    assert!(message.rewind().is_err());
    message.seal().unwrap();
    assert!(message.append_str("y").is_err());
    assert!(message.append(1u8).is_err());
    assert!(message.append_bytes(b"y").is_err());
    assert!(message.container(Container::Array, c"s", |_| Ok(())).is_err());
    assert!(message.seal().is_err());
    assert_eq!(message.read_str().unwrap(), "x");
}

#[test]
fn headers_say_what_they_were_given() {
    let (bus, peer) = connected();
    let call = bus.method_call(Some(c"a.Name"), c"/a/path", c"an.Interface", c"Member").unwrap();
    assert_eq!((call.kind(), call.destination()), (Some(Kind::MethodCall), Some("a.Name")));
    assert!(call.wants_reply());
    let cookie = bus.send(call).unwrap();
    let call = peer.next();
    assert_eq!((call.kind(), call.destination()), (Some(Kind::MethodCall), Some("a.Name")));
    assert_eq!((call.path(), call.interface(), call.member()), (Some("/a/path"), Some("an.Interface"), Some("Member")));
    assert_eq!((call.sender(), call.error(), call.reply_cookie(), call.signature()), (None, None, None, ""));
    peer.sender.set(Some(c":1.7"));
    peer.reply(&call, |_| Ok(()));
    peer.refuse(&call, c"an.Error", c"said why");

    let ours = super::Peer::new(bus);
    let reply = ours.next();
    assert_eq!((reply.kind(), reply.reply_cookie()), (Some(Kind::MethodReturn), Some(cookie)));
    assert_eq!((reply.sender(), reply.error(), reply.member()), (Some(":1.7"), None, None));
    let refusal = ours.next();
    assert_eq!((refusal.kind(), refusal.reply_cookie()), (Some(Kind::MethodError), Some(cookie)));
    assert_eq!(refusal.error(), Some(("an.Error", "said why")));
    // Only a call can be answered.
    assert!(reply.error_reply(c"an.Error", c"").is_err());
}

#[test]
fn bad_headers_are_refused() {
    let (bus, _peer) = connected();
    let good = (c"a.Name", c"/a", c"an.Interface", c"Member");
    let made = |name, path, interface, member| bus.method_call(Some(name), path, interface, member).is_ok();
    assert!(made(good.0, good.1, good.2, good.3));
    assert!(!made(c"no name", good.1, good.2, good.3));
    assert!(!made(good.0, c"a", good.2, good.3));
    assert!(!made(good.0, good.1, c"interface", good.3));
    assert!(!made(good.0, good.1, good.2, c"a-b"));
}

#[test]
fn a_call_that_wants_no_reply_says_so_and_gets_none() {
    let (bus, peer) = connected();
    bus.send_only(bus.method_call(None, c"/a", c"an.Interface", c"Member").unwrap()).unwrap();
    let call = peer.next();
    assert!(!call.wants_reply());
    peer.refuse(&call, c"an.Error", c"");
    peer.signal(c"/a", c"an.Interface", c"Last", |_| Ok(()));
    assert_eq!(super::Peer::new(bus).next().member(), Some("Last"));
}
