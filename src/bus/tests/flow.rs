//! Much at once, nothing at all, and timers.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::connection::shrink_buffer;
use super::probe::{Told, call, linked, over, tick};
use super::{connected, soon};
use crate::bus::Link;
use crate::error::Result;

#[tokio::test]
async fn a_burst_of_signals_starves_nobody() {
    const BURST: usize = 100_000;
    let (link, _tales, peer) = linked().await;
    let counts = link.with(|probe, _| {
        probe.quiet = true;
        probe.counts.clone()
    });
    let counts = counts.unwrap();
    let peer = std::thread::spawn(move || {
        for n in 0..BURST {
            tick(&peer);
            if n % 1000 == 0 {
                peer.flush();
            }
        }
        peer.flush();
        peer
    });
    // A task like the driver: the future of `block_on` itself has its turn less often.
    let other = tokio::spawn(async move {
        let (mut turns, mut longest, mut before) = (0, 0, 0);
        while before < BURST {
            tokio::task::yield_now().await;
            let now = counts.signals();
            longest = longest.max(now - before);
            turns += usize::from(now > before);
            before = now;
        }
        (turns, longest)
    });
    let (turns, longest) = soon(other).await.unwrap();
    // Others have to wait for the driver's budget, or for a few where it is woken twice.
    assert!(longest <= 4 * 256, "another task waited for {longest} signals");
    assert!(turns >= BURST / (4 * 256), "{turns} turns");
    drop(peer.join().unwrap());
}

#[tokio::test]
async fn who_is_told_at_once_runs_before_more_is_read() {
    let (link, mut tales, peer) = linked().await;
    let counts = link.with(|probe, _| {
        probe.urgent = true;
        probe.counts.clone()
    });
    let counts = counts.unwrap();
    (0..3).for_each(|_| tick(&peer));
    peer.flush();
    for read in 1..=3 {
        tales.next().await;
        assert_eq!(counts.signals(), read);
    }
}

/// How many descriptors of this process are of this socket.
fn copies(socket: &PathBuf) -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    // Those of other tests come and go meanwhile.
    fds.filter(|fd| fd.as_ref().is_ok_and(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == *socket))).count()
}

#[tokio::test]
async fn a_large_message_is_written_whole_and_then_nothing_is_watched_for_writing() {
    let (bus, mut peer) = connected();
    shrink_buffer(&bus);
    let socket = {
        let fd = bus.fd().unwrap();
        std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
    };
    let (link, mut tales) = over(bus).await;
    assert_eq!(copies(&socket), 2, "sd-bus's own and the one that is watched");
    for round in 0..3 {
        let text = Arc::new("x".repeat(2_000_000 + round));
        let send = |link: &Link<_>| -> Result<()> {
            link.with(|_, cx| {
                let mut message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Large")?;
                message.append_str(&text)?;
                cx.call(message, 1)
            })?
        };
        send(&link).unwrap();
        send(&link).unwrap();
        // The driver sees that there is more to write.
        let watched = async {
            while copies(&socket) == 2 {
                tokio::task::yield_now().await;
            }
        };
        soon(watched).await;
        let (expected, reads) = (text.clone(), peer);
        let reader = tokio::task::spawn_blocking(move || {
            for _ in 0..2 {
                let message = reads.expect("Large");
                assert!(*message.read_str().unwrap() == **expected);
            }
            tick(&reads);
            reads
        });
        peer = soon(reader).await.unwrap();
        assert_eq!(tales.next().await, Told::Signal("Tick".into()));
        assert_eq!(copies(&socket), 2, "still watched for writing");
    }
    drop(link);
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_nothing() {
    let (bus, peer) = connected();
    shrink_buffer(&bus);
    let (link, _tales) = over(bus).await;
    let counts = link.with(|probe, _| probe.counts.clone()).unwrap();
    let sent = link.with(|_, cx| {
        let mut message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Large")?;
        message.append_bytes(&vec![0; 1_000_000])?;
        cx.bus.send_only(message)
    });
    sent.unwrap().unwrap();
    // What is under way comes to rest.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let looks = counts.looks();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(counts.looks(), looks, "the driver has run");
    drop(peer);
}

#[tokio::test]
async fn both_ends_may_write_much_at_once() {
    const TIMES: usize = 20;
    let (bus, peer) = connected();
    shrink_buffer(&bus);
    shrink_buffer(&peer.bus);
    let (link, _tales) = over(bus).await;
    let counts = link.with(|probe, _| {
        probe.quiet = true;
        probe.counts.clone()
    });
    let counts = counts.unwrap();
    let text = "y".repeat(200_000);
    let their_text = text.clone();
    let peer = std::thread::spawn(move || {
        for _ in 0..TIMES {
            peer.signal(c"/a", c"an.Interface", c"Large", |m| m.append_str(&their_text));
        }
        // Reading writes too.
        (0..TIMES).for_each(|_| assert!(*peer.expect("Large").read_str().unwrap() == *their_text));
        peer.flush();
        peer
    });
    for _ in 0..TIMES {
        let sent = link.with(|_, cx| {
            let mut message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Large")?;
            message.append_str(&text)?;
            cx.bus.send_only(message)
        });
        sent.unwrap().unwrap();
    }
    let all = async {
        while counts.signals() < TIMES {
            tokio::task::yield_now().await;
        }
    };
    soon(all).await;
    // The runtime has to run for the peer to get the rest.
    drop(soon(tokio::task::spawn_blocking(|| peer.join().unwrap())).await.unwrap());
}

#[tokio::test]
async fn an_idle_connection_costs_nothing() {
    let (bus, peer) = connected();
    shrink_buffer(&bus);
    let (link, mut tales) = over(bus).await;
    let counts = link.with(|probe, _| probe.counts.clone()).unwrap();
    // Some traffic, one partial write and one timer, so that there is something to be left behind.
    for ticket in 0..3 {
        call(&link, ticket).unwrap();
        super::probe::answer(&peer, &peer.expect("Method"), "x");
        tales.next().await;
    }
    let sent = link.with(|probe, cx| {
        probe.deadline = Some(Instant::now());
        let mut message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Large")?;
        message.append_bytes(&vec![0; 1_000_000])?;
        cx.bus.send_only(message)
    });
    sent.unwrap().unwrap();
    let peer = soon(tokio::task::spawn_blocking(move || {
        peer.expect("Large");
        tick(&peer);
        peer
    }));
    let peer = peer.await.unwrap();
    let mut told = [tales.next().await, tales.next().await];
    told.sort_by_key(|told| *told == Told::Timer);
    assert_eq!(told, [Told::Signal("Tick".into()), Told::Timer]);

    let metrics = Handle::current().metrics();
    // What is under way comes to rest.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (looks, parks) = (counts.looks(), metrics.worker_park_count(0));
    // A task that wakes itself would run each time that this one does.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // One that something else wakes would keep the thread from sleeping on: this is the time that is measured.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counts.looks(), looks, "the driver has run");
    assert!(metrics.worker_park_count(0) - parks <= 5, "the thread was woken");
    drop((link, peer));
}

#[tokio::test]
async fn a_deadline_is_kept_and_may_be_moved() {
    let (link, mut tales, peer) = linked().await;
    let set = |deadline: Option<Instant>| link.with(|probe, _| probe.deadline = deadline).unwrap();
    let soon = Instant::now() + Duration::from_millis(30);
    set(Some(soon));
    assert_eq!(tales.next().await, Told::Timer);
    assert!(Instant::now() >= soon);
    // Sooner than it was, and in the past.
    set(Some(Instant::now() + Duration::from_secs(1000)));
    tokio::task::yield_now().await;
    let sooner = Instant::now() + Duration::from_millis(20);
    set(Some(sooner));
    assert_eq!(tales.next().await, Told::Timer);
    assert!(Instant::now() >= sooner && Instant::now() < soon + Duration::from_secs(500));
    set(Some(Instant::now()));
    assert_eq!(tales.next().await, Told::Timer);
    // Later than it was, and not at all.
    set(Some(Instant::now() + Duration::from_millis(5)));
    set(None);
    let later = Instant::now() + Duration::from_millis(40);
    set(Some(later));
    assert_eq!(tales.next().await, Told::Timer);
    assert!(Instant::now() >= later);
    assert!(tales.rest().is_empty());
    // It is one that a message moves, too.
    set(None);
    tick(&peer);
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
}
