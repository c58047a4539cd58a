//! Messages as no manager sends them, chosen by the bytes of an input. They come over a socket, as bytes, and through
//! libsystemd: whatever they are, what reads them gives an error or what they say, and whoever waits is told in the end.

use std::cell::LazyCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::awaited::Told;
use super::calls::{MANAGER_PATH, Method};
use super::jobs::{Jobs, Most, Pace, Places, STARTING};
use super::registry::Registry;
use super::signals::Reach;
use super::{JobMode, Start, signals};
use crate::bus::raw::{Raw, WELCOME, Wire, connected};
use crate::bus::{Bus, Link, Message, Value};
use crate::error::{Error, Result};
use crate::fuzzing::Source;
use crate::unit::tracked::Tracked;

/// Fuzz target: one message through every reader, or a conversation with the registry.
pub fn message(data: &[u8]) {
    let source = &mut Source::new(data);
    if source.flag() { converse(source) } else { read_one(source) }
}

/// One message, read by all that reads messages, each from its beginning.
fn read_one(source: &mut Source<'_>) {
    let (bus, mut stream) = connected();
    let bytes = frame(source);
    // More than what the socket takes would be waited for.
    stream.set_nonblocking(true).unwrap();
    let _ = stream.write(&bytes);
    drop(stream);
    while let Ok(step) = bus.process() {
        if let crate::bus::Step::Message(message) = step {
            read_as_everything(&bus, &message);
        }
    }
}

fn read_as_everything(bus: &Bus, message: &Message<'_>) {
    let _ = (message.kind(), message.path(), message.interface(), message.member(), message.sender());
    let _ = (message.error(), message.reply_cookie(), message.signature());
    let again = || message.rewind().expect("it can be read again");
    let past_the_interface = || {
        again();
        drop(message.read_str());
    };
    for begin in [&again as &dyn Fn(), &past_the_interface] {
        let read = |reader: &dyn Fn(&Message<'_>) -> Result<String>| {
            begin();
            is_due(reader(message))
        };
        read(&|m| signals::unit_state(m, Reach::Running).map(|(state, _)| format!("{state:?}")));
        let wanted = read(&|m| signals::unit_state(m, Reach::All).map(|(state, _)| format!("{state:?}")));
        let details = read(&|m| signals::unit_details(m).map(|(state, _)| format!("{state:?}")));
        // Who reads more of it may find an error there, or what was not to be met; but never another state.
        if let (Some(wanted), Some(details)) = (wanted, details) {
            let met = |text: String| text.replace("condition: false", "condition: true");
            assert_eq!(met(wanted), met(details));
        }
        let state = read(&|m| signals::service_state(m).map(|state| format!("{state:?}")));
        let details = read(&|m| signals::service_details(m).map(|(state, _)| format!("{state:?}")));
        if let (Some(state), Some(details)) = (state, details) {
            assert_eq!(state, details);
        }
        read(&|m| signals::usage(m).map(|usage| format!("{usage:?}")));
        read(&|m| signals::job_removed(m).map(|removed| format!("{removed:?}")));
        read(&|m| signals::job_of_reply(m).map(|job| job.to_string()));
        read(&|m| m.in_variant(c"s", || m.read_str().map(str::to_owned)));
        begin();
        loop {
            match Value::read_from(message) {
                Ok(Some(value)) => is_sent_as_it_was_read(bus, &value),
                Ok(None) => break,
                Err(error) => {
                    is_due::<()>(Err(error));
                    break;
                }
            }
        }
    }
}

/// An error about a message says that it is about the message, and can be shown.
fn is_due<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(matches!(error, Error::Message { .. }), "{error:?}");
            assert!(error.to_string().len() < 2000, "a long error");
            None
        }
    }
}

fn is_sent_as_it_was_read(bus: &Bus, value: &Value) {
    let signature = value.signature();
    let mut copy = bus.signal(c"/", c"an.Interface", c"Signal").unwrap();
    // What systemd does not read is refused when it is sent; what nests too deep too.
    if value.append_to(&mut copy).is_err() {
        return;
    }
    copy.seal().expect("it is whole");
    let read = Value::read_from(&copy).expect("what was sent is read").expect("a value");
    assert_eq!(read.signature(), signature);
    // Descriptors are duplicated.
    assert!(value.descriptors() > 0 || read == *value, "{value:?} is read as {read:?}");
}

thread_local! {
    static RUNTIME: LazyCell<Runtime> =
        const { LazyCell::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime")) };
}

/// A manager that says anything at all, and then goes.
fn converse(source: &mut Source<'_>) {
    RUNTIME.with(|runtime| runtime.block_on(converse_on(source)));
}

async fn converse_on(source: &mut Source<'_>) {
    let direct = source.flag();
    let (ours, mut stream) = UnixStream::pair().expect("a pair of sockets");
    stream.write_all(WELCOME).expect("the socket is empty");
    stream.set_nonblocking(true).expect("a socket");
    let jobs = Arc::new(Jobs::new(!direct, Most::default()));
    let bus = Bus::over(ours.into(), false).expect("a connection");
    let link = Link::over(bus, Registry::new(direct, jobs.clone())).await.expect("the handshake is over");
    let outstanding = outstanding(&link, &jobs, source);
    tokio::task::yield_now().await;
    for _ in 0..64 {
        if source.is_empty() || stream.write_all(&frame(source)).is_err() {
            break;
        }
        // Now and then they come one by one.
        if source.flag() {
            tokio::task::yield_now().await;
        }
    }
    drop(stream);
    let Outstanding { tracked, mut job } = outstanding;
    for tracked in &tracked {
        let ended = tokio::time::timeout(Duration::from_secs(20), tracked.ended()).await;
        match ended.expect("whoever waits is told") {
            Ok(exit) => drop(format!("{exit} {exit:?}")),
            Err(error) => assert!(error.to_string().len() < 5000, "a long error"),
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(20), &mut job).await.expect("whoever waits is told");
    drop(link);
    // The driver has to see that.
    while tracked.iter().any(|tracked| Arc::strong_count(tracked) > 1) {
        tokio::task::yield_now().await;
    }
    let free = std::iter::from_fn(|| tokio::task::unconstrained(jobs.admit(Pace::Quick)).now_or_never());
    assert_eq!(free.take(100).collect::<Vec<_>>().len(), STARTING, "places are lost");
}

/// What is waited for.
struct Outstanding {
    tracked: Vec<Arc<Tracked>>,
    job: oneshot::Receiver<Result<crate::unit::machine::JobResult>>,
}

/// Two units are started, of which the second may be restarted and is watched; one is adopted, and one stopped.
fn outstanding(link: &Link<Registry>, jobs: &Arc<Jobs>, source: &mut Source<'_>) -> Outstanding {
    let (told, job) = oneshot::channel();
    let mut tracked: Vec<_> = UNITS[..2].iter().map(|name| Arc::new(Tracked::new(*name))).collect();
    let acted = link.with(|registry, cx| -> Result<()> {
        for (at, tracked) in tracked.iter().enumerate() {
            let admission = jobs.admit(Pace::Quick).now_or_never().expect("a place");
            let how = Start { pace: Pace::Quick, restarts: at == 1, usage: false, durable: false, mode: JobMode::Fail };
            registry.start(tracked, how, &mut None, admission, (|_: &mut _| Ok(()), |_: &mut _| Ok(())), cx)?;
        }
        tracked.push(registry.adopt(UNITS[2], cx)?);
        let method =
            Method { path: MANAGER_PATH, interface: super::MANAGER_INTERFACE, member: c"StopUnit", name: "StopUnit" };
        registry.order(method, UNITS[3], (Told::Future(told), Places::default()), |m| m.append_str(UNITS[3]), cx)
    });
    acted.expect("a connection").expect("calls can be sent");
    if source.flag() {
        tracked[1].watch();
    }
    Outstanding { tracked, job }
}

const UNITS: [&str; 4] = ["a.service", "b.service", "c.scope", "d.service"];
const PATHS: [&str; 8] = [
    "/org/freedesktop/systemd1/unit/a_2eservice",
    "/org/freedesktop/systemd1/unit/b_2eservice",
    "/org/freedesktop/systemd1/unit/c_2escope",
    "/org/freedesktop/systemd1/unit/d_2eservice",
    "/org/freedesktop/systemd1/unit/",
    "/org/freedesktop/systemd1/unit",
    "/",
    "no path",
];
const SENDERS: [Option<&str>; 4] = [Some(":1.1"), None, Some("org.freedesktop.DBus"), Some(":1.666")];
const PROPERTIES: (&str, &str) = ("org.freedesktop.DBus.Properties", "PropertiesChanged");
const MANAGER: (&str, &str) = ("org.freedesktop.systemd1.Manager", "JobRemoved");

/// The bytes of one message, or what looks like one.
fn frame(source: &mut Source<'_>) -> Vec<u8> {
    let mut body = Wire { big: source.below(16) == 15, bytes: Vec::new() };
    let mut path = PATHS[0];
    let mut signature = String::new();
    let mut raw = Raw::signal("", Wire::default());
    raw.sender = SENDERS[0];
    let reply_to = u32::from(source.below(16));
    match source.below(16) {
        0 | 1 => {
            raw = Raw { sender: raw.sender, ..Raw::reply(reply_to, "", Wire::default()) };
            signature.push('o');
            body.text(job_path(source));
        }
        2 => {
            raw = Raw { sender: raw.sender, ..Raw::reply(reply_to, "", Wire::default()) };
            signature.push_str("a{sv}");
            properties(source, &mut body);
        }
        3 => {
            raw = Raw { sender: raw.sender, ..Raw::reply(reply_to, "", Wire::default()) };
            signature.push('v');
            variant(source, &mut body, 0);
        }
        4 => {
            raw = Raw { sender: raw.sender, kind: 3, ..Raw::reply(reply_to, "", Wire::default()) };
            raw.error = Some(source.one_of(&[
                "org.freedesktop.systemd1.NoSuchUnit",
                "org.freedesktop.systemd1.UnitExists",
                "org.freedesktop.systemd1.AlreadySubscribed",
                "org.freedesktop.DBus.Error.AccessDenied",
                "no name",
            ]));
            signature.push('s');
            text(source, &mut body);
        }
        5..=7 => {
            raw.object = ("", MANAGER.0);
            raw.member = Some(MANAGER.1);
            path = "/org/freedesktop/systemd1";
            signature.push_str("uoss");
            body.u32(u32::from(source.below(4))).text(job_path(source)).text(source.one_of(&UNITS));
            text(source, &mut body);
        }
        8..=12 => {
            raw.object = ("", PROPERTIES.0);
            raw.member = Some(PROPERTIES.1);
            path = source.one_of(&PATHS);
            signature.push_str("sa{sv}as");
            body.text(source.one_of(&[
                "org.freedesktop.systemd1.Unit",
                "org.freedesktop.systemd1.Service",
                "org.freedesktop.systemd1.Scope",
                "org.freedesktop.systemd1.Timer",
            ]));
            properties(source, &mut body);
            body.array(4, |_| {});
        }
        13 => {
            raw.object = ("", "org.freedesktop.DBus");
            raw.member = Some("NameOwnerChanged");
            raw.sender = Some("org.freedesktop.DBus");
            path = "/org/freedesktop/DBus";
            signature.push_str("sss");
            body.text("org.freedesktop.systemd1").text(":1.1");
            text(source, &mut body);
        }
        14 => {
            raw.kind = source.byte();
            raw.reply_to = source.flag().then_some(reply_to);
            raw.descriptors = source.below(3).into();
            signature.extend((0..source.below(32)).map(|_| char::from(source.one_of(b"ybnqiuxtdsogvha(){}z"))));
            let len = source.byte();
            body.bytes.extend(source.take(len.into()));
        }
        _ => {
            let len = source.byte();
            return source.take(len.into()).to_vec();
        }
    }
    if source.below(8) == 7 {
        raw.sender = source.one_of(&SENDERS);
    }
    // Here and there another byte in the body, more of it, or less.
    for _ in 0..source.byte().saturating_sub(250) {
        if let Some(at) = usize::from(source.byte()).checked_rem(body.bytes.len()) {
            body.bytes[at] = source.byte();
        }
    }
    match source.byte() {
        255 => body.bytes.truncate(source.byte().into()),
        254 => body.bytes.extend(source.take(8)),
        _ => {}
    }
    raw.object.0 = path;
    Raw { signature: &signature, body, ..raw }.bytes()
}

fn job_path(source: &mut Source<'_>) -> String {
    match source.byte() {
        255 => "/".to_owned(),
        254 => String::from_utf8_lossy(source.take(20)).into_owned(),
        253 => format!("/org/freedesktop/systemd1/job/{}", source.number()),
        job => format!("/org/freedesktop/systemd1/job/{}", job % 4),
    }
}

/// A word that means something to whoever reads it, mostly.
fn text(source: &mut Source<'_>, body: &mut Wire) {
    const WORDS: [&str; 22] = [
        "done",
        "inactive",
        "failed",
        "active",
        "activating",
        "reloading",
        "dead",
        "exited",
        "running",
        "auto-restart",
        "dead-before-auto-restart",
        "success",
        "exit-code",
        "timeout",
        "canceled",
        "dependency",
        "no",
        "always",
        "not-found",
        ":1.1",
        ":1.2",
        "",
    ];
    match source.byte() {
        byte @ 240.. => body.text(source.take(usize::from(byte - 240))),
        byte => body.text(WORDS[usize::from(byte) % WORDS.len()]),
    };
}

/// A dictionary of those properties that are read, mostly with values of their types.
fn properties(source: &mut Source<'_>, body: &mut Wire) {
    const NAMES: [(&str, &str); 27] = [
        ("ActiveState", "s"),
        ("SubState", "s"),
        ("Job", "(uo)"),
        ("InactiveEnterTimestampMonotonic", "t"),
        ("ConditionResult", "b"),
        ("InactiveExitTimestampMonotonic", "t"),
        ("InactiveExitTimestamp", "t"),
        ("InactiveEnterTimestamp", "t"),
        ("InvocationID", "ay"),
        ("StateChangeTimestamp", "t"),
        ("LoadState", "s"),
        ("ActiveEnterTimestampMonotonic", "t"),
        ("ConditionTimestampMonotonic", "t"),
        ("Result", "s"),
        ("ExecMainPID", "u"),
        ("ControlPID", "u"),
        ("ExecMainCode", "i"),
        ("ExecMainStatus", "i"),
        ("ExecMainExitTimestamp", "t"),
        ("ExecMainExitTimestampMonotonic", "t"),
        ("Restart", "s"),
        ("RestartForceExitStatus", "(aiai)"),
        ("CPUUsageNSec", "t"),
        ("MemoryPeak", "t"),
        ("IOReadBytes", "t"),
        ("Unknown", "v"),
        ("", "s"),
    ];
    let count = source.below(16);
    body.array(8, |body| {
        for at in 0..count {
            // In their order, unless another one is asked for.
            let at = match source.byte() {
                255 => usize::from(source.byte()) % NAMES.len(),
                _ => usize::from(at) % NAMES.len(),
            };
            let (name, signature) = NAMES[at];
            body.pad(8).text(name);
            match source.byte() {
                255 => variant(source, body, 0),
                _ => {
                    body.signature(signature);
                    value(source, body, signature, 0);
                }
            }
        }
    });
}

fn variant(source: &mut Source<'_>, body: &mut Wire, depth: u8) {
    const SIGNATURES: [&str; 18] =
        ["s", "u", "t", "b", "i", "(uo)", "ay", "as", "v", "a{sv}", "o", "g", "y", "d", "(aiai)", "av", "aay", "a(su)"];
    let signature = if depth > 8 { "s" } else { source.one_of(&SIGNATURES) };
    body.signature(signature);
    value(source, body, signature, depth);
}

fn value(source: &mut Source<'_>, body: &mut Wire, signature: &str, depth: u8) {
    match signature {
        "s" => text(source, body),
        "b" => {
            body.u32(source.below(3).into());
        }
        "i" | "u" => {
            body.u32(source.number() as u32);
        }
        "t" | "d" => {
            body.u64(source.number());
        }
        "y" => {
            body.byte(source.byte());
        }
        "o" => {
            body.text(job_path(source));
        }
        "g" => {
            body.signature(source.one_of(&["", "s", "a{sv}", "(", "zz", "ay"]));
        }
        "v" => variant(source, body, depth + 1),
        "(uo)" => {
            let job = source.below(4);
            let path = if job == 0 { "/".to_owned() } else { job_path(source) };
            body.pad(8).u32(job.into()).text(path);
        }
        "(aiai)" => {
            body.pad(8);
            for _ in 0..2 {
                let count = source.below(3);
                body.array(4, |body| {
                    for code in 0..count {
                        body.u32(code.into());
                    }
                });
            }
        }
        "ay" => {
            let bytes = source.one_of(&[16, 0, 15, 17]);
            let bytes = source.take(bytes);
            body.array(1, |body| body.bytes.extend(bytes));
        }
        "a{sv}" => properties(source, body),
        "as" | "av" | "aay" | "a(su)" => {
            let count = source.below(4);
            let alignment = match signature {
                "av" => 1,
                "a(su)" => 8,
                _ => 4,
            };
            body.array(alignment, |body| {
                for _ in 0..count {
                    match signature {
                        "as" => text(source, body),
                        "av" => variant(source, body, depth + 1),
                        "aay" => value(source, body, "ay", depth + 1),
                        _ => {
                            text(source, body.pad(8));
                            body.u32(count.into());
                        }
                    }
                }
            });
        }
        other => unreachable!("{other}"),
    }
}
