//! A peer that says too much, does not listen, or says nothing at all.

use std::ffi::CString;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use super::Peer;
use super::alone::{alone, descriptors, has_not_grown, memory};
use super::probe::{Told, linked, over, tick};
use super::raw::{Raw, WELCOME, Wire, connected, pair, read_handshake};
use crate::bus::connection::Step;
use crate::bus::{Bus, Target, Value};
use crate::error::Error;

const MIB: usize = 1 << 20;

/// libsystemd itself gives up on a peer that falls silent, whether in the greeting or in the bus daemon's answer to it.
#[test]
fn a_peer_that_falls_silent_before_it_is_reached_is_given_up() {
    let is_bounded = |bus: &Bus| {
        while !matches!(bus.process().unwrap(), Step::Idle) {}
        assert!(!bus.is_ready().unwrap());
        let timeout = bus.timeout().unwrap().expect("it waits for ever");
        assert!(timeout <= Duration::from_secs(100), "{timeout:?}");
    };
    let (bus, mut stream) = pair();
    is_bounded(&bus);
    stream.write_all(&WELCOME[..30]).unwrap();
    is_bounded(&bus);

    let name = format!("sdrun-hostile-{}", std::process::id());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let address = CString::new(format!("unix:abstract={name}")).unwrap();
    let bus = Bus::open(&Target::Bus(address)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    is_bounded(&bus);
    stream.write_all(WELCOME).unwrap();
    read_handshake(&mut stream);
    is_bounded(&bus);
}

/// A call of a method that nobody has here, or of one that libsystemd answers itself.
fn call(object: (&str, &str), member: &str, serial: u32) -> Vec<u8> {
    let raw = Raw { kind: 1, object, member: Some(member), ..Raw::signal("", Wire::default()) };
    let mut bytes = raw.bytes();
    bytes[8..12].copy_from_slice(&serial.to_le_bytes());
    bytes
}

/// Writes as much as is taken, while others run. Whether all was.
async fn write_on(stream: &mut UnixStream, bytes: &[u8]) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
            Err(_) => return false,
        }
    }
    true
}

/// Who calls and calls, and does not read what it is told, is told no more.
#[tokio::test]
async fn calls_of_a_peer_that_does_not_read_do_not_pile_up() {
    if !alone("bus::tests::hostile::calls_of_a_peer_that_does_not_read_do_not_pile_up") {
        return;
    }
    let (bus, mut stream) = connected();
    let (link, mut tales) = over(bus).await;
    let before = memory();
    let calls: Vec<u8> = (1..=1000).flat_map(|serial| call(("/odd", "odd.Interface"), "Odd", serial)).collect();
    for _ in 0..500 {
        assert!(write_on(&mut stream, &calls).await);
    }
    has_not_grown(before, 16 * MIB, "half a million calls");
    // It is heard all the same.
    assert!(write_on(&mut stream, &Raw { member: Some("Tick"), ..Raw::signal("", Wire::default()) }.bytes()).await);
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
    drop(link);
}

#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_do_not_pile_up() {
    if !alone("bus::tests::hostile::pings_of_a_peer_that_does_not_read_do_not_pile_up") {
        return;
    }
    let (bus, mut stream) = connected();
    let (link, mut tales) = over(bus).await;
    let before = memory();
    let pings: Vec<u8> =
        (1..=1000).flat_map(|serial| call(("/", "org.freedesktop.DBus.Peer"), "Ping", serial)).collect();
    let mut pinged = 0;
    while write_on(&mut stream, &pings).await {
        pinged += 1;
        assert!(pinged < 200, "it is answered and answered");
    }
    has_not_grown(before, 32 * MIB, "pings");
    loop {
        match tales.next().await {
            Told::Lost(error, _) => break assert!(error.contains("lost"), "{error}"),
            told => assert_eq!(told, Told::Signal("Disconnected".into())),
        }
    }
    assert!(link.is_lost());
}

/// What is announced and does not come is no memory that is used, and its sender's end is the end.
#[tokio::test]
async fn a_message_that_is_announced_and_does_not_come_costs_nothing() {
    if !alone("bus::tests::hostile::a_message_that_is_announced_and_does_not_come_costs_nothing") {
        return;
    }
    let before = memory();
    for size in [100 << 20, 127 << 20, (128 << 20) - 64, u32::MAX as usize, 1 << 31] {
        let (bus, mut stream) = connected();
        let (link, mut tales) = over(bus).await;
        let mut bytes = Raw::signal("s", Wire::default()).bytes();
        bytes[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        // What is too large by any rule is refused at once.
        let _ = write_on(&mut stream, &bytes).await;
        let _ = write_on(&mut stream, &[0; 5000]).await;
        drop(stream);
        loop {
            match tales.next().await {
                Told::Lost(error, _) => break assert!(error.contains("lost"), "{error}"),
                told => assert_eq!(told, Told::Signal("Disconnected".into())),
            }
        }
        assert!(link.is_lost());
        has_not_grown(before, 16 * MIB, "announced");
    }
}

#[tokio::test]
async fn descriptors_of_signals_that_nobody_reads_are_closed() {
    if !alone("bus::tests::hostile::descriptors_of_signals_that_nobody_reads_are_closed") {
        return;
    }
    let (link, mut tales, peer) = linked().await;
    let before = descriptors();
    for _ in 0..200 {
        peer.signal(c"/x", c"an.Interface", c"Tock", |m| {
            (0..16).try_for_each(|_| m.append_fd(std::io::stderr().as_fd()))
        });
        peer.flush();
        tokio::task::yield_now().await;
    }
    tick(&peer);
    while tales.next().await != Told::Signal("Tick".into()) {}
    assert_eq!(descriptors(), before);
    drop(link);
}

/// In a message a value may take a byte or four; here each takes many.
#[test]
fn a_value_of_too_many_is_an_error() {
    let read = |count: u32| {
        let (bus, mut stream) = connected();
        let mut body = Wire::default();
        body.array(4, |wire| {
            (0..count).for_each(|number| {
                wire.u32(number);
            })
        });
        let bytes = Raw::signal("au", body).bytes();
        let writer = std::thread::spawn(move || stream.write_all(&bytes).map(|()| stream));
        let ours = Peer::new(bus);
        let read = Value::read_from(&ours.next());
        drop(writer.join().unwrap().unwrap());
        read
    };
    assert!(matches!(read(1 << 20), Err(Error::Message { .. })));
    assert!(matches!(read((1 << 20) - 1), Ok(Some(Value::Array(_, values))) if values.len() == (1 << 20) - 1));
}
