//! Opening a connection: the peer may go, or say something else, at every point of it.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use super::probe::{Probe, Tales, Told};
use super::raw::{Raw, WELCOME, Wire, read_handshake};
use super::{PATIENCE, soon};
use crate::bus::{Link, Target, Way};
use crate::error::{Error, Result};

/// Listens at an address that is nobody else's.
fn listen() -> (CString, UnixListener) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("sdrun-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    (CString::new(format!("unix:abstract={name}")).unwrap(), listener)
}

/// A server that says this, all at once, when somebody comes, and after it does `then`.
fn serve<T: Send + 'static>(
    says: Vec<u8>,
    then: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> (CString, JoinHandle<T>) {
    let (address, listener) = listen();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The client may have gone already.
        let _ = stream.write_all(&says);
        then(stream)
    });
    (address, server)
}

async fn open(target: Target) -> Result<(Link<Probe>, Tales)> {
    let (probe, tales) = Probe::new();
    Ok((soon(Link::open(Way::once(target), probe)).await?, tales))
}

fn tick() -> Vec<u8> {
    Raw { member: Some("Tick"), ..Raw::signal("", Wire::default()) }.bytes()
}

/// The bus daemon's answer to `Hello`.
fn hello_reply() -> Vec<u8> {
    let mut name = Wire::default();
    name.text(":1.42");
    let sender = Some("org.freedesktop.DBus");
    Raw { sender, destination: Some(":1.42"), ..Raw::reply(1, "s", name) }.bytes()
}

/// Sees the client go.
fn until_closed(mut stream: UnixStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    said
}

#[tokio::test]
async fn a_peer_is_reached_and_what_it_says_at_once_is_not_lost() {
    let (address, server) = serve([WELCOME, &tick(), &tick()].concat(), |mut stream| {
        read_handshake(&mut stream);
        until_closed(stream)
    });
    let (link, mut tales) = open(Target::Peer(address)).await.unwrap();
    assert_eq!([tales.next().await, tales.next().await], [Told::Signal("Tick".into()), Told::Signal("Tick".into())]);
    drop(link);
    assert!(server.join().unwrap().is_empty(), "a peer is not greeted");
}

#[tokio::test]
async fn a_bus_is_reached_and_what_it_says_at_once_is_not_lost() {
    let (address, server) = serve([WELCOME, &hello_reply(), &tick(), &tick()].concat(), |mut stream| {
        read_handshake(&mut stream);
        until_closed(stream)
    });
    let (link, mut tales) = open(Target::Bus(address)).await.unwrap();
    assert_eq!([tales.next().await, tales.next().await], [Told::Signal("Tick".into()), Told::Signal("Tick".into())]);
    drop(link);
    let said = server.join().unwrap();
    assert!(said.windows(5).any(|word| word == b"Hello"));
}

#[tokio::test]
async fn a_peer_that_goes_during_the_handshake_is_an_error() {
    for length in 0..WELCOME.len() {
        let (address, server) = serve(WELCOME[..length].to_vec(), drop);
        // With everything but AGREE_UNIX_FD said, it may be that the connection stands for a moment.
        let opened = open(Target::Peer(address)).await;
        assert!(matches!(opened, Err(Error::System { .. })), "{length}: {:?}", opened.map(|_| ()));
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_bus_that_goes_during_the_handshake_is_an_error() {
    let all = [WELCOME, &hello_reply()].concat();
    for length in 0..all.len() {
        let (address, server) = serve(all[..length].to_vec(), drop);
        let opened = open(Target::Bus(address)).await;
        assert!(matches!(opened, Err(Error::System { .. })), "{length}: {:?}", opened.map(|_| ()));
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_bus_that_goes_right_after_the_handshake_is_lost() {
    let (address, server) = serve([WELCOME, &hello_reply()].concat(), |mut stream| read_handshake(&mut stream));
    match open(Target::Bus(address)).await {
        Ok((link, mut tales)) => {
            assert_eq!(tales.next().await, Told::Signal("Disconnected".into()));
            assert!(matches!(tales.next().await, Told::Lost(..)));
            assert!(link.is_lost());
        }
        // It was gone before the greeting could be written.
        Err(error) => assert!(matches!(error, Error::System { .. }), "{error:?}"),
    }
    server.join().unwrap();
}

#[tokio::test]
async fn a_bus_that_refuses_us_is_an_error() {
    let mut number = Wire::default();
    number.u32(5);
    let refusals = [
        Raw { kind: 3, error: Some("org.freedesktop.DBus.Error.LimitsExceeded"), ..Raw::reply(1, "", Wire::default()) },
        Raw::reply(1, "", Wire::default()),
        Raw::reply(1, "u", number),
        Raw::signal("", Wire::default()),
    ];
    for refusal in refusals {
        let (address, server) = serve([WELCOME, &refusal.bytes()].concat(), until_closed);
        let opened = open(Target::Bus(address)).await;
        assert!(matches!(opened, Err(Error::System { .. })), "{:?}", opened.map(|_| ()));
        // And we do not stay.
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_speaks_nonsense_is_an_error() {
    let long = "x".repeat(1 << 20);
    let nonsense = [
        "HTTP/1.1 400 Bad Request\r\n\r\n\r\n\r\n",
        "REJECTED EXTERNAL\r\nREJECTED\r\nREJECTED\r\n",
        "DATA\r\nOK xyz\r\nAGREE_UNIX_FD\r\n",
        "DATA\r\nERROR\r\nERROR\r\n",
        &long,
    ];
    for says in nonsense {
        let (address, server) = serve(says.into(), until_closed);
        let opened = open(Target::Peer(address)).await;
        assert!(matches!(opened, Err(Error::System { .. })), "{says:.40}: {:?}", opened.map(|_| ()));
        server.join().unwrap();
    }
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    for target in [Target::Peer, Target::Bus] {
        for says in [Vec::new(), WELCOME[..20].to_vec()] {
            let (address, server) = serve(says, |mut stream| {
                read_handshake(&mut stream);
                until_closed(stream)
            });
            let (probe, _tales) = Probe::new();
            let mut opening = Box::pin(Link::open(Way::once(target(address)), probe));
            // It has to be polled to begin; the server waits for what it says.
            assert!(futures::poll!(&mut opening).is_pending());
            drop(opening);
            server.join().unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_comes_slowly_is_waited_for() {
    let (address, server) = serve(Vec::new(), |mut stream| {
        read_handshake(&mut stream);
        for byte in [WELCOME, &hello_reply()[..], &tick()].concat() {
            stream.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        stream
    });
    let (link, mut tales) = open(Target::Bus(address)).await.unwrap();
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
    drop(link);
    server.join().unwrap();
}

#[tokio::test]
async fn where_nobody_listens_there_is_an_error() {
    let (address, listener) = listen();
    drop(listener);
    for target in [Target::Peer(address.clone()), Target::Bus(address)] {
        let opened = open(target).await;
        assert!(matches!(opened, Err(Error::System { errno: nix::errno::Errno::ECONNREFUSED, .. })));
    }
}
