//! Calls and their replies, signals, and what a peer asks of us.

use std::io::Write;

use super::probe::{Told, answer, call, linked, over, tick, told_reply};
use super::raw::{Raw, Wire};
use super::soon;
use crate::bus::message::Kind;

#[tokio::test]
async fn replies_find_their_tickets_in_whatever_order_they_come() {
    let (link, mut tales, peer) = linked().await;
    (1..=3).for_each(|ticket| call(&link, ticket).unwrap());
    let calls: Vec<_> = (1..=3).map(|_| peer.expect("Method")).collect();
    answer(&peer, &calls[2], "third");
    peer.refuse(&calls[0], c"an.Error", c"first");
    tick(&peer);
    answer(&peer, &calls[1], "second");
    assert_eq!(tales.next().await, told_reply(3, "third"));
    assert_eq!(tales.next().await, Told::Reply(1, Err(("an.Error".into(), "first".into()))));
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
    assert_eq!(tales.next().await, told_reply(2, "second"));
    assert!(!link.is_lost());
}

#[tokio::test]
async fn a_reply_counts_once() {
    let (link, mut tales, peer) = linked().await;
    call(&link, 1).unwrap();
    let first = peer.expect("Method");
    answer(&peer, &first, "once");
    answer(&peer, &first, "twice");
    peer.refuse(&first, c"an.Error", c"thrice");
    call(&link, 2).unwrap();
    answer(&peer, &peer.expect("Method"), "next");
    assert_eq!(tales.next().await, told_reply(1, "once"));
    assert_eq!(tales.next().await, told_reply(2, "next"));
}

#[tokio::test]
async fn replies_to_nothing_are_passed_over() {
    let (bus, mut stream) = super::raw::connected();
    let (link, mut tales) = over(bus).await;
    call(&link, 1).unwrap();
    let text = |text: &str| {
        let mut wire = Wire::default();
        wire.text(text);
        wire
    };
    for cookie in [0, 2, 77, u32::MAX] {
        stream.write_all(&Raw::reply(cookie, "s", text("to nobody")).bytes()).unwrap();
        let refusal = Raw { kind: 3, error: Some("an.Error"), ..Raw::reply(cookie, "s", text("to nobody")) };
        stream.write_all(&refusal.bytes()).unwrap();
    }
    // A type that is none yet, and a reply without anything in it.
    stream.write_all(&Raw { kind: 77, ..Raw::reply(1, "s", text("what am I")) }.bytes()).unwrap();
    stream.write_all(&Raw::reply(1, "", Wire::default()).bytes()).unwrap();
    assert_eq!(tales.next().await, told_reply(1, "no text"));
}

#[tokio::test]
async fn an_error_without_a_text_is_told_with_its_name() {
    let (bus, mut stream) = super::raw::connected();
    let (link, mut tales) = over(bus).await;
    call(&link, 1).unwrap();
    stream.write_all(&Raw { kind: 3, error: Some("an.Error"), ..Raw::reply(1, "", Wire::default()) }.bytes()).unwrap();
    assert_eq!(tales.next().await, Told::Reply(1, Err(("an.Error".into(), String::new()))));
}

#[tokio::test]
async fn signals_come_in_order_and_all_of_them() {
    let (_link, mut tales, peer) = linked().await;
    for member in [c"One", c"Two", c"Three"] {
        peer.signal(c"/a", c"an.Interface", member, |m| m.append_str(&"x".repeat(10_000)));
    }
    for member in ["One", "Two", "Three"] {
        assert_eq!(tales.next().await, Told::Signal(member.into()));
    }
}

#[tokio::test]
async fn calls_of_the_peer_are_answered() {
    let (link, mut tales, peer) = linked().await;
    let asked = |interface, member| peer.bus.method_call(None, c"/a", interface, member).unwrap();
    let cookie = peer.bus.send(asked(c"an.Interface", c"Method")).unwrap();
    // Nobody waits for this one's answer, so there is none.
    peer.bus.send_only(asked(c"an.Interface", c"Method")).unwrap();
    let ping = peer.bus.send(asked(c"org.freedesktop.DBus.Peer", c"Ping")).unwrap();
    tick(&peer);
    assert_eq!(tales.next().await, Told::Signal("Tick".into()));
    let refusal = peer.next();
    assert_eq!((refusal.kind(), refusal.reply_cookie()), (Some(Kind::MethodError), Some(cookie)));
    assert_eq!(refusal.error().unwrap().0, "org.freedesktop.DBus.Error.UnknownObject");
    let pong = peer.next();
    assert_eq!((pong.kind(), pong.reply_cookie()), (Some(Kind::MethodReturn), Some(ping)));
    assert!(peer.poll().is_none());
    assert!(tales.rest().is_empty());
    drop(link);
}

#[tokio::test]
async fn what_a_call_fails_with_leaves_no_trace() {
    let (link, mut tales, peer) = linked().await;
    // Half a container: sd-bus refuses to send it.
    let sent = link.with(|_, cx| {
        let mut message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Method")?;
        let _ = message.container(crate::bus::Container::Array, c"s", |m| m.append(1u8));
        cx.call(message, 1)
    });
    assert!(sent.unwrap().is_err());
    drop(peer);
    assert!(matches!(tales.next().await, Told::Signal(disconnected) if disconnected == "Disconnected"));
    assert!(matches!(tales.next().await, Told::Lost(_, outstanding) if outstanding.is_empty()));
}

/// One call and its reply, with nothing else about.
async fn one_call() {
    let (link, mut tales, peer) = linked().await;
    let peer = std::thread::spawn(move || {
        answer(&peer, &peer.expect("Method"), "answered");
        peer.until_closed()
    });
    call(&link, 1).unwrap();
    assert_eq!(tales.next().await, told_reply(1, "answered"));
    drop(link);
    assert!(soon(tokio::task::spawn_blocking(|| peer.join().unwrap())).await.unwrap().is_empty());
    tales.end().await;
}

#[tokio::test]
async fn it_works_on_one_thread() {
    one_call().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn it_works_on_many_threads() {
    one_call().await;
    let others: Vec<_> = (0..8).map(|_| tokio::spawn(one_call())).collect();
    for other in others {
        other.await.unwrap();
    }
}

#[tokio::test]
async fn it_works_inside_a_local_set() {
    let local = tokio::task::LocalSet::new();
    let inside = local.spawn_local(one_call());
    local.run_until(one_call()).await;
    local.await;
    inside.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_share_it() {
    const EACH: u32 = 500;
    let (link, mut tales, peer) = linked().await;
    let peer = std::thread::spawn(move || {
        for _ in 0..4 * EACH {
            let call = peer.expect("Method");
            let ticket = call.read::<u32>().unwrap();
            answer(&peer, &call, &format!("answer {ticket}"));
        }
        peer.flush();
        peer
    });
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let link = link.clone();
            std::thread::spawn(move || (0..EACH).for_each(|n| call(&link, caller * EACH + n).unwrap()))
        })
        .collect();
    let mut answered = Vec::new();
    for _ in 0..4 * EACH {
        match tales.next().await {
            Told::Reply(ticket, Ok(text)) => {
                assert_eq!(text, format!("answer {ticket}"));
                answered.push(ticket);
            }
            other => panic!("{other:?}"),
        }
    }
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..4 * EACH));
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    drop(peer.join().unwrap());
}

/// How many calls may be unanswered.
const MOST: u32 = 112;

fn tell_only(link: &crate::bus::Link<super::probe::Probe>) {
    let sent = link.with(|_, cx| {
        let message = cx.bus.method_call(None, c"/a", c"an.Interface", c"Only")?;
        cx.send_only(message)
    });
    sent.unwrap().unwrap();
}

#[tokio::test]
async fn calls_past_what_a_bus_bears_wait_in_order() {
    const ALL: u32 = 3 * MOST + 50;
    let (link, mut tales, peer) = linked().await;
    tell_only(&link);
    (0..ALL).for_each(|ticket| call(&link, ticket).unwrap());
    // What wants no reply keeps its place too.
    tell_only(&link);
    call(&link, ALL).unwrap();
    assert!(!peer.expect("Only").wants_reply());
    let mut calls: std::collections::VecDeque<_> = (0..MOST).map(|_| peer.expect("Method")).collect();
    assert!(peer.poll().is_none());
    let mut next = MOST;
    for answered in 0..=ALL {
        // In turns the oldest and the newest is answered, or refused.
        let call = if answered % 2 == 0 { calls.pop_front() } else { calls.pop_back() }.unwrap();
        match answered % 3 {
            0 => peer.refuse(&call, c"an.Error", c"no"),
            _ => answer(&peer, &call, "yes"),
        }
        assert!(matches!(tales.next().await, Told::Reply(..)));
        if next == ALL {
            assert!(!peer.expect("Only").wants_reply());
        }
        if next <= ALL {
            let call = peer.expect("Method");
            assert_eq!(call.read::<u32>().unwrap(), next);
            calls.push_back(call);
            next += 1;
        }
        assert!(peer.poll().is_none());
    }
    assert!(calls.is_empty());
    assert_eq!(link.with(|_, cx| cx.bus.parked()).unwrap(), 0);
    // And none waits any more.
    call(&link, 7).unwrap();
    answer(&peer, &peer.expect("Method"), "at once");
    assert_eq!(tales.next().await, told_reply(7, "at once"));
}

#[tokio::test]
async fn what_waits_for_its_turn_is_lost_with_the_connection() {
    let (link, mut tales, peer) = linked().await;
    (0..2 * MOST).for_each(|ticket| call(&link, ticket).unwrap());
    tell_only(&link);
    for _ in 0..MOST {
        peer.expect("Method");
    }
    drop(peer);
    assert!(matches!(tales.next().await, Told::Signal(disconnected) if disconnected == "Disconnected"));
    let outstanding = (0..2 * MOST).collect::<Vec<_>>();
    assert!(matches!(tales.next().await, Told::Lost(_, lost) if lost == outstanding));
    assert!(call(&link, 1).is_err());
}
