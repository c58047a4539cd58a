//! How a connection ends, and that everyone who waits is told: once, and with no lock held.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

use super::probe::{Probe, Told, answer, call, linked, over, tick};
use super::raw::{Raw, Wire};
use super::{PATIENCE, soon};
use crate::bus::Link;
use crate::error::Error;

const GONE: &str = "the tokio runtime that drove the connection was shut down";

fn disconnected(told: &Told, tickets: &[u32]) -> bool {
    let Told::Lost(error, outstanding) = told else { return false };
    error.starts_with("the connection to the service manager was lost: ") && outstanding == tickets
}

/// Nothing can be had of a connection that is lost but the reason, as often as one asks.
fn is_over(link: &Link<Probe>, expected: fn(&Error) -> bool) {
    assert!(link.is_lost());
    for _ in 0..2 {
        let refused = link.with(|_, _| panic!("the connection is gone"));
        assert!(matches!(&refused, Err(error) if expected(error)), "{refused:?}");
    }
}

#[tokio::test]
async fn whoever_waits_is_told_once_when_the_peer_goes() {
    let (link, mut tales, peer) = linked().await;
    (1..=5).for_each(|ticket| call(&link, ticket).unwrap());
    answer(&peer, &peer.expect("Method"), "the last");
    drop(peer);
    assert_eq!(tales.next().await, super::probe::told_reply(1, "the last"));
    assert_eq!(tales.next().await, Told::Signal("Disconnected".into()));
    assert!(disconnected(&tales.next().await, &[2, 3, 4, 5]));
    is_over(&link, |error| matches!(error, Error::Disconnected { reason } if !reason.is_empty()));
    drop(link);
    tales.end().await;
}

#[tokio::test]
async fn the_driver_ends_when_the_peer_goes() {
    let (link, mut tales, peer) = linked().await;
    let metrics = Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(peer);
    tales.next().await;
    tales.next().await;
    let ended = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(ended).await;
    drop(link);
}

#[tokio::test]
async fn the_peer_may_go_after_any_number_of_messages() {
    for received in 0..4 {
        for sent in 0..4 {
            let (link, mut tales, peer) = linked().await;
            (0..3).for_each(|ticket| call(&link, ticket).unwrap());
            (0..received).for_each(|_| drop(peer.expect("Method")));
            (0..sent).for_each(|_| tick(&peer));
            drop(peer);
            for _ in 0..sent {
                assert_eq!(tales.next().await, Told::Signal("Tick".into()));
            }
            assert_eq!(tales.next().await, Told::Signal("Disconnected".into()));
            assert!(disconnected(&tales.next().await, &[0, 1, 2]));
            is_over(&link, |error| matches!(error, Error::Disconnected { .. }));
        }
    }
}

#[tokio::test]
async fn a_message_cut_short_is_the_end() {
    let whole = Raw::reply(1, "s", {
        let mut wire = Wire::default();
        wire.text("cut");
        wire
    })
    .bytes();
    for length in [1, 15, 16, 17, whole.len() - 1] {
        let (bus, mut stream) = super::raw::connected();
        let (link, mut tales) = over(bus).await;
        call(&link, 1).unwrap();
        stream.write_all(&whole[..length]).unwrap();
        drop(stream);
        assert_eq!(tales.next().await, Told::Signal("Disconnected".into()), "{length}");
        assert!(disconnected(&tales.next().await, &[1]));
    }
}

#[tokio::test]
async fn a_peer_that_speaks_nonsense_is_left() {
    let (bus, mut stream) = super::raw::connected();
    let (link, mut tales) = over(bus).await;
    call(&link, 1).unwrap();
    stream.write_all(&b"nonsense".repeat(100)).unwrap();
    assert!(disconnected(&tales.next().await, &[1]));
    is_over(&link, |error| matches!(error, Error::Disconnected { .. }));
    // It sees that we have gone.
    drop(link);
    let mut left = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = std::io::Read::read_to_end(&mut stream, &mut left);
}

#[tokio::test]
async fn a_peer_that_no_longer_reads_is_noticed_by_whoever_writes() {
    let (bus, peer) = super::connected();
    let (link, mut tales) = over(bus).await;
    call(&link, 1).unwrap();
    tokio::task::yield_now().await;
    // Nothing becomes readable at this end by that.
    UnixStream::from(peer.bus.fd().unwrap()).shutdown(Shutdown::Read).unwrap();
    // It is as one that was sent and not answered.
    call(&link, 2).unwrap();
    let told = tales.next().await;
    assert!(disconnected(&told, &[1, 2]) || told == Told::Signal("Disconnected".into()), "{told:?}");
    if told == Told::Signal("Disconnected".into()) {
        assert!(disconnected(&tales.next().await, &[1, 2]));
    }
    is_over(&link, |error| matches!(error, Error::Disconnected { .. }));
    drop(peer);
}

#[tokio::test]
async fn a_peer_that_no_longer_reads_is_noticed_when_the_driver_writes() {
    let (bus, peer) = super::connected();
    let (link, mut tales) = over(bus).await;
    call(&link, 1).unwrap();
    tokio::task::yield_now().await;
    UnixStream::from(peer.bus.fd().unwrap()).shutdown(Shutdown::Read).unwrap();
    // sd-bus had nothing to do just before, and then it is broken.
    link.with(|probe, _| {
        probe.calls_on_time = true;
        probe.deadline = Some(Instant::now() + Duration::from_millis(10));
    })
    .unwrap();
    assert_eq!(tales.next().await, Told::Timer);
    assert_eq!(tales.next().await, Told::Signal("Disconnected".into()));
    assert!(disconnected(&tales.next().await, &[1, 99]));
    drop(peer);
}

#[tokio::test]
async fn the_last_link_closes_the_connection() {
    let (link, mut tales, peer) = linked().await;
    let metrics = Handle::current().metrics();
    let more = [link.clone(), link.clone()];
    call(&link, 1).unwrap();
    drop(link);
    tick(&peer);
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
    drop(more);
    assert_eq!(peer.until_closed(), ["Method"]);
    // There is nobody left to be told.
    tales.end().await;
    let ended = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(ended).await;
}

#[tokio::test]
async fn a_link_may_go_before_the_driver_has_run() {
    let (link, mut tales, peer) = linked().await;
    drop(link);
    assert!(peer.until_closed().is_empty());
    tales.end().await;
}

#[tokio::test]
async fn an_obliged_receiver_keeps_the_connection_open_until_it_is_not() {
    for by_signal in [true, false] {
        let (link, mut tales, peer) = linked().await;
        call(&link, 1).unwrap();
        link.with(|probe, _| {
            probe.obliged = !by_signal;
            probe.obliged_by_signal = by_signal;
        })
        .unwrap();
        tick(&peer);
        assert_eq!(tales.next().await, Told::Signal("Tick".into()));
        drop(link);
        tokio::task::yield_now().await;
        // It is there for the reply still, and then no more.
        answer(&peer, &peer.expect("Method"), "still there");
        assert_eq!(tales.next().await, super::probe::told_reply(1, "still there"));
        assert!(peer.until_closed().is_empty());
        tales.end().await;
    }
}

#[tokio::test]
async fn an_obligation_ends_with_the_connection() {
    let (link, mut tales, peer) = linked().await;
    link.with(|probe, _| probe.obliged = true).unwrap();
    drop((link, peer));
    assert_eq!(tales.next().await, Told::Signal("Disconnected".into()));
    assert!(disconnected(&tales.next().await, &[]));
    tales.end().await;
}

#[test]
fn an_obligation_ends_with_the_runtime() {
    let runtime = runtime();
    let (link, mut tales, peer) = runtime.block_on(linked());
    link.with(|probe, _| probe.obliged = true).unwrap();
    drop(link);
    drop(runtime);
    assert_eq!(tales.rest(), [Told::Lost(GONE.into(), vec![])]);
    assert!(peer.until_closed().is_empty());
    Builder::new_current_thread().enable_time().build().unwrap().block_on(tales.end());
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn whoever_waits_is_told_when_the_runtime_goes() {
    let shutdowns: [fn(Runtime); 3] =
        [drop, Runtime::shutdown_background, |runtime| runtime.shutdown_timeout(Duration::from_secs(5))];
    for shutdown in shutdowns {
        let runtime = runtime();
        let (link, mut tales, peer) = runtime.block_on(linked());
        (1..=3).for_each(|ticket| call(&link, ticket).unwrap());
        shutdown(runtime);
        // From another runtime, as what waits must be.
        let other = Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(other.block_on(tales.next()), Told::Lost(GONE.into(), vec![1, 2, 3]));
        is_over(&link, |error| matches!(error, Error::RuntimeGone));
        assert_eq!(peer.until_closed(), ["Method"; 3]);
        drop(link);
        other.block_on(tales.end());
    }
}

#[test]
fn a_runtime_of_one_thread_may_go_too() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (link, mut tales, peer) = runtime.block_on(linked());
    call(&link, 1).unwrap();
    drop(runtime);
    assert_eq!(tales.rest(), [Told::Lost(GONE.into(), vec![1])]);
    is_over(&link, |error| matches!(error, Error::RuntimeGone));
    assert_eq!(peer.until_closed(), ["Method"]);
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_not_a_panic() {
    let (probe, _tales) = Probe::new();
    let opening = Link::open(crate::bus::Way::once(crate::bus::Target::System), probe);
    let opened = futures::executor::block_on(opening);
    assert!(matches!(opened, Err(Error::NoRuntime)));
}

/// What is done after the lock may do anything with the connection, by whichever way it comes to be done.
fn reentrant(link: &Link<Probe>) {
    let mine = Mutex::new(Some(link.clone()));
    let also = move |_: &Told| {
        let mut mine = mine.lock().unwrap();
        if let Some(link) = &*mine {
            let _ = link.is_lost();
            let _ = link.with(|probe, _| probe.deadline = Some(Instant::now() + PATIENCE));
        }
        *mine = None;
    };
    link.with(|probe, _| probe.also = Some(Arc::new(also))).unwrap();
}

/// Runs something that could deadlock, and does not wait for it for ever.
fn must_return(what: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        what();
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(PATIENCE) {
        // Whether it is done or has panicked, it can be joined.
        Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("deadlock"),
    }
}

#[test]
fn what_is_woken_by_a_reply_may_use_the_connection() {
    must_return(|| {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (link, mut tales, peer) = linked().await;
            reentrant(&link);
            call(&link, 1).unwrap();
            answer(&peer, &peer.expect("Method"), "x");
            tales.next().await;
        });
    });
}

#[test]
fn what_is_woken_by_a_reply_may_drop_the_last_link() {
    must_return(|| {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (link, mut tales, peer) = linked().await;
            reentrant(&link);
            call(&link, 1).unwrap();
            drop(link);
            answer(&peer, &peer.expect("Method"), "x");
            tales.next().await;
            assert!(peer.until_closed().is_empty());
            tales.end().await;
        });
    });
}

#[test]
fn what_is_woken_by_the_end_may_use_the_connection() {
    must_return(|| {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (link, mut tales, peer) = linked().await;
            reentrant(&link);
            drop((link, peer));
            tales.next().await;
            tales.next().await;
            tales.end().await;
        });
    });
}

#[test]
fn what_is_woken_by_the_end_of_the_runtime_may_use_the_connection() {
    must_return(|| {
        let runtime = runtime();
        let (link, mut tales, peer) = runtime.block_on(linked());
        reentrant(&link);
        drop(link);
        drop(runtime);
        assert_eq!(tales.rest(), [Told::Lost(GONE.into(), vec![])]);
        assert!(peer.until_closed().is_empty());
    });
}

#[test]
fn what_a_caller_completes_itself_may_use_the_connection() {
    must_return(|| {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let (link, _tales, _peer) = linked().await;
            let (mine, done) = (link.clone(), Arc::new(Mutex::new(false)));
            let told = done.clone();
            link.with(|_, cx| {
                cx.after.acts.push(Box::new(move || *told.lock().unwrap() = mine.with(|_, _| ()).is_ok()));
            })
            .unwrap();
            assert!(*done.lock().unwrap());
        });
    });
}

#[tokio::test]
async fn a_receiver_that_panics_takes_only_its_connection_along() {
    let (link, mut tales, peer) = linked().await;
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| link.with(|_, _| panic!("on purpose"))));
    assert!(caught.is_err());
    // The lock is whole: nothing was half done.
    call(&link, 1).unwrap();
    answer(&peer, &peer.expect("Method"), "x");
    assert_eq!(tales.next().await, super::probe::told_reply(1, "x"));
}
