//! Bytes of a manager that goes at any of them, or gets one wrong: whoever waits is told, and told the truth where all
//! of it has come.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::{ALL, begin, is_forgotten, over, places, soon};
use crate::bus::raw::{Raw, Wire, connected};
use crate::error::{Error, Result};
use crate::unit::{Exit, Status};

const NAME: &str = "a.service";
const JOB: u32 = 101;
const PROPERTIES: (&str, &str) = ("/org/freedesktop/systemd1/unit/a_2eservice", "org.freedesktop.DBus.Properties");

fn reply(to: u32, signature: &'static str, fill: impl FnOnce(&mut Wire)) -> Raw<'static> {
    let mut body = Wire::default();
    fill(&mut body);
    Raw { sender: Some(":1.1"), ..Raw::reply(to, signature, body) }
}

fn changed(interface: &str, fill: impl FnOnce(&mut Wire)) -> Raw<'static> {
    let mut body = Wire::default();
    body.text(interface).array(8, fill).array(4, |_| {});
    let member = Some("PropertiesChanged");
    Raw { sender: Some(":1.1"), object: PROPERTIES, member, ..Raw::signal("sa{sv}as", body) }
}

fn property<'w>(wire: &'w mut Wire, name: &str, signature: &str) -> &'w mut Wire {
    wire.pad(8).text(name).signature(signature)
}

fn job_path(job: u32) -> String {
    if job == 0 { "/".into() } else { format!("/org/freedesktop/systemd1/job/{job}") }
}

fn unit(active: &str, sub: &str, job: u32, entered: u64) -> Raw<'static> {
    changed("org.freedesktop.systemd1.Unit", |wire| {
        property(wire, "ActiveState", "s").text(active);
        property(wire, "SubState", "s").text(sub);
        property(wire, "Following", "s").text("");
        property(wire, "InactiveExitTimestampMonotonic", "t").u64(5_000_000);
        property(wire, "InactiveEnterTimestampMonotonic", "t").u64(entered);
        property(wire, "Job", "(uo)").pad(8).u32(job).text(job_path(job));
        property(wire, "InvocationID", "ay").array(1, |wire| wire.bytes.extend(1..=16));
    })
}

fn service(status: u32) -> Raw<'static> {
    changed("org.freedesktop.systemd1.Service", |wire| {
        property(wire, "Type", "s").text("simple");
        property(wire, "Result", "s").text("exit-code");
        property(wire, "ExecMainCode", "i").u32(1);
        property(wire, "ExecMainStatus", "i").u32(status);
    })
}

fn removed(unit: &str) -> Raw<'static> {
    let mut body = Wire::default();
    body.u32(JOB).text(job_path(JOB)).text(unit).text("done");
    let object = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
    Raw { sender: Some(":1.1"), object, member: Some("JobRemoved"), ..Raw::signal("uoss", body) }
}

/// Which of the calls is the start: on a bus it is the one after four matches and the subscription.
fn start(direct: bool) -> u32 {
    if direct { 1 } else { 6 }
}

/// All that a manager says in a run.
fn whole(direct: bool) -> Vec<Raw<'static>> {
    let listened = (1..start(direct)).map(|call| reply(call, "", |_| {}));
    let run = [
        reply(start(direct), "o", |wire| {
            wire.text(job_path(JOB));
        }),
        unit("inactive", "dead", JOB, 0),
        unit("active", "running", JOB, 0),
        removed(NAME),
        unit("active", "running", 0, 0),
        service(3),
        unit("failed", "failed", 0, 5_500_000),
    ];
    listened.chain(run).collect()
}

fn bytes(messages: &[Raw<'_>]) -> Vec<u8> {
    messages.iter().flat_map(Raw::bytes).collect()
}

/// What a unit that was started hears of itself when the manager says this and goes. Where it has `heard` our calls the
/// connection is shut down, else it is reset.
async fn told(direct: bool, says: &[u8], heard: bool) -> Result<Exit> {
    let (bus, mut stream) = connected();
    let manager = over(bus, direct).await;
    let starting = begin(&manager, NAME);
    if heard {
        hear(&mut stream);
    }
    stream.write_all(says).unwrap();
    drop(stream);
    let tracked = starting.tracked.clone();
    let end = match starting.unit().await {
        Ok(unit) => soon(unit.wait()).await,
        Err(error) => Err(error),
    };
    // Nobody waits any more, whatever it was.
    while !manager.is_lost() {
        tokio::task::yield_now().await;
    }
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
    end
}

/// Reads what was written.
fn hear(stream: &mut UnixStream) {
    stream.set_nonblocking(true).unwrap();
    let mut calls = [0; 64 << 10];
    assert!(stream.read(&mut calls).unwrap() > 100);
    stream.set_nonblocking(false).unwrap();
}

fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Disconnected { reason } if !reason.is_empty())
}

#[tokio::test]
async fn the_whole_of_it_is_an_exit() {
    for direct in [true, false] {
        for heard in [true, false] {
            let exit = told(direct, &bytes(&whole(direct)), heard).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(3)));
        }
    }
}

#[tokio::test]
async fn a_manager_that_goes_after_any_message_is_lost() {
    for direct in [true, false] {
        let all = whole(direct);
        for messages in 0..all.len() {
            for heard in [true, false] {
                let error = told(direct, &bytes(&all[..messages]), heard).await.unwrap_err();
                assert!(is_lost(&error), "direct {direct}, after {messages}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_manager_that_goes_at_any_byte_is_lost() {
    for direct in [true, false] {
        let all = bytes(&whole(direct));
        for length in 0..all.len() {
            let error = told(direct, &all[..length], length % 2 == 0).await.unwrap_err();
            assert!(is_lost(&error), "direct {direct}, after {length} bytes: {error:?}");
        }
    }
}

#[tokio::test]
async fn any_byte_may_be_wrong() {
    let all = bytes(&whole(true));
    for at in 0..all.len() {
        for byte in [all[at] ^ 1, 0xff] {
            let mut bytes = all.clone();
            bytes[at] = byte;
            // What it says then is what it says; but somebody is told something, and can show it.
            match told(true, &bytes, at % 2 == 0).await {
                Ok(exit) => drop(exit.to_string()),
                Err(error) => assert!(is_lost(&error) || matches!(error, Error::Message { .. }), "at {at}: {error:?}"),
            }
        }
    }
}

/// Signals whose bodies end too early, with headers that are right about that.
#[tokio::test]
async fn signals_that_are_cut_short_say_nothing() {
    let all = whole(true);
    let (bus, mut stream) = connected();
    let manager = over(bus, true).await;
    let starting = begin(&manager, NAME);
    stream.write_all(&all[0].bytes()).unwrap();
    let unit = starting.unit().await.unwrap();
    let says = |message: &Raw<'_>| {
        stream.write_all(&message.bytes()).unwrap();
    };
    let mut says = says;
    let cut = || [self::unit("failed", "failed", 0, 5_500_000), removed(NAME)];
    for at in 0..cut().len() {
        // What is left out at the end of a change are the names of properties that have changed without a value, which
        // nobody reads; and an array that is empty.
        let read = cut()[at].body.bytes.len() - [8, 0][at];
        for length in 0..read {
            let mut message = cut().into_iter().nth(at).unwrap();
            message.body.bytes.truncate(length);
            says(&message);
            tokio::task::yield_now().await;
        }
    }
    for message in &all[1..] {
        assert!(unit.try_wait().unwrap().is_none());
        says(message);
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
}

/// The signal of how the service ended is read when the unit has: then there is an error, or an exit that is right.
#[tokio::test]
async fn an_end_that_is_cut_short_is_an_error() {
    let whole_body = service(3).body.bytes.len();
    let mut errors = 0;
    for length in 0..whole_body {
        let mut all = whole(true);
        let at = all.len() - 2;
        all[at].body.bytes.truncate(length);
        match told(true, &bytes(&all), true).await {
            Ok(exit) => assert!(exit.status.is_none() || exit.code() == Some(3), "{length}: {exit:?}"),
            Err(error) => {
                assert!(matches!(error, Error::Message { .. }), "{length}: {error:?}");
                errors += 1;
            }
        }
    }
    assert!(errors > whole_body / 2, "{errors} of {whole_body}");
}

#[tokio::test]
async fn a_reply_that_is_cut_short_is_an_error() {
    let good = || {
        reply(1, "o", |wire| {
            wire.text(job_path(JOB));
        })
    };
    for length in 0..good().body.bytes.len() {
        let mut message = good();
        message.body.bytes.truncate(length);
        let error = told(true, &message.bytes(), true).await.unwrap_err();
        assert!(matches!(error, Error::Message { .. }), "{length}: {error:?}");
    }
}
