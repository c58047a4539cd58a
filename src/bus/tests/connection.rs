//! Sending, and messages that are left with their bus.

use std::os::fd::AsFd;

use super::message::signal;
use super::{Peer, connected, last_words};
use crate::bus::connection::Interest;
use crate::bus::{Bus, Message, Target};
use crate::error::Error;

fn numbered(bus: &Bus, number: u32) -> Message<'_> {
    let mut message = signal(bus);
    message.append(number).unwrap();
    message.seal().unwrap();
    message
}

#[test]
fn parked_messages_are_found_again() {
    let (bus, _peer) = connected();
    let mut parked: Vec<_> = (0..5).map(|number| bus.park(numbered(&bus, number)).unwrap()).collect();
    // Places are used again, in whatever order they become free.
    let third = parked.remove(3);
    assert_eq!(bus.unpark(third).unwrap().read::<u32>().unwrap(), 3);
    let first = parked.remove(0);
    assert_eq!(bus.unpark(first).unwrap().read::<u32>().unwrap(), 0);
    parked.extend((5..8).map(|number| bus.park(numbered(&bus, number)).unwrap()));
    let numbers: Vec<u32> = parked.into_iter().map(|parked| bus.unpark(parked).unwrap().read().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 4, 5, 6, 7]);
}

#[test]
fn a_parked_message_goes_on_being_read_where_it_was_left() {
    let (bus, peer) = connected();
    let mut message = signal(&bus);
    message.append_str("skipped").and(message.append_str("read later")).unwrap();
    bus.send_only(message).unwrap();
    let message = peer.next();
    message.read_str().unwrap();
    let parked = peer.bus.park(message).unwrap();
    bus.send_only(numbered_unsealed(&bus)).unwrap();
    assert_eq!(peer.next().read::<u32>().unwrap(), 7);
    assert_eq!(peer.bus.unpark(parked).unwrap().read_str().unwrap(), "read later");
}

fn numbered_unsealed(bus: &Bus) -> Message<'_> {
    let mut message = signal(bus);
    message.append(7u32).unwrap();
    message
}

#[test]
fn parked_messages_go_with_their_bus() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (bus, _peer) = connected();
    let mut message = signal(&bus);
    message.append_fd(writer.as_fd()).unwrap();
    let _ = bus.park(message).unwrap();
    drop(writer);
    drop(bus);
    // The descriptor in it is closed with it.
    assert_eq!(last_words(reader), "");
}

#[test]
fn a_message_of_another_bus_is_refused() {
    let ((one, _peer), (other, far)) = (connected(), connected());
    assert!(matches!(one.send(signal(&other)), Err(Error::System { .. })));
    assert!(matches!(one.send_only(signal(&other)), Err(Error::System { .. })));
    assert!(matches!(one.park(signal(&other)), Err(Error::System { .. })));
    // Neither has suffered from it.
    let parked = one.park(numbered(&one, 1)).unwrap();
    assert_eq!(one.unpark(parked).unwrap().read::<u32>().unwrap(), 1);
    other.send_only(signal(&other)).unwrap();
    assert_eq!(far.next().member(), Some("Member"));
}

#[test]
fn a_bus_may_be_made_used_and_closed_on_different_threads() {
    let (bus, peer) = connected();
    let bus = std::thread::spawn(move || {
        let parked = bus.park(numbered(&bus, 5)).unwrap();
        bus.send_only(signal(&bus)).unwrap();
        (bus, parked)
    });
    let (bus, parked) = bus.join().unwrap();
    assert_eq!(bus.unpark(parked).unwrap().read::<u32>().unwrap(), 5);
    assert_eq!(peer.next().member(), Some("Member"));
    std::thread::spawn(move || drop(bus)).join().unwrap();
    assert!(peer.until_closed().is_empty());
}

/// Has the socket take little at once. sd-bus has made its buffer as large as it may.
pub(super) fn shrink_buffer(bus: &Bus) {
    nix::sys::socket::setsockopt(&bus.fd().unwrap(), nix::sys::socket::sockopt::SndBuf, &4096).unwrap();
}

#[test]
fn what_the_socket_does_not_take_is_queued_and_asks_to_be_written() {
    let (bus, peer) = connected();
    assert_eq!(bus.interest().unwrap(), Interest::READABLE);
    let big = "x".repeat(4 << 20);
    shrink_buffer(&bus);
    let mut message = signal(&bus);
    message.append_str(&big).unwrap();
    bus.send_only(message).unwrap();
    assert_eq!(bus.interest().unwrap(), Interest::READABLE | Interest::WRITABLE);
    let reader = std::thread::spawn(move || assert!(*peer.next().read_str().unwrap() == *big));
    let writer = Peer::new(bus);
    writer.flush();
    reader.join().unwrap();
    assert_eq!(writer.bus.interest().unwrap(), Interest::READABLE);
}

#[test]
fn the_descriptor_outlives_what_sd_bus_does_with_its_own() {
    let (bus, peer) = connected();
    let fd = bus.fd().unwrap();
    drop(peer);
    while bus.process().is_ok() {}
    // sd-bus has closed its own; whoever watches has another one.
    nix::fcntl::fcntl(fd.as_fd(), nix::fcntl::FcntlArg::F_GETFD).unwrap();
}

#[test]
fn nothing_is_sent_once_the_other_end_is_gone() {
    let (bus, peer) = connected();
    drop(peer);
    while bus.process().is_ok() {}
    // A message can be made still, or not; in either case it is an error and not a crash.
    assert!(bus.method_call(None, c"/a", c"an.Interface", c"Member").and_then(|call| bus.send(call)).is_err());
    assert!(bus.interest().is_err());
    assert!(!bus.is_ready().unwrap());
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    for address in
        [c"", c"nonsense", c"unix:", c"unix:path=", c"unix:path=/nonexistent/socket", c"unix:abstract=sdrun-no"]
    {
        for target in [Target::Peer(address.into()), Target::Bus(address.into())] {
            let opened = Bus::open(&target);
            assert!(matches!(opened, Err(Error::System { .. })), "{target:?}");
        }
    }
}

/// What the reasons for `unsafe` rely on: a message is neither sent to another thread nor used from one, a connection is not
/// used from two.
#[test]
fn messages_stay_on_their_thread() {
    trait Maybe<Which> {
        fn is_fine() {}
    }
    struct Sendable;
    struct Shareable;
    impl<T: ?Sized> Maybe<()> for T {}
    impl<T: ?Sized + Send> Maybe<Sendable> for T {}
    impl<T: ?Sized + Sync> Maybe<Shareable> for T {}
    // Each compiles only where one of the three implementations fits.
    <Message<'static> as Maybe<_>>::is_fine();
    fn bus_is_send<T: Send>() {}
    bus_is_send::<Bus>();
    struct NotShared;
    trait Never<Which> {
        fn is_fine() {}
    }
    impl<T: ?Sized> Never<()> for T {}
    impl<T: ?Sized + Sync> Never<NotShared> for T {}
    <Bus as Never<_>>::is_fine();
}
