//! A manager that says much too much: nothing here grows with it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use futures::{FutureExt, StreamExt};

use super::fake::{State, before, dead, running, unit_properties};
use super::{ALL, Fake, begin, begin_with, kept, manager, over, places, soon, started};
use crate::bus::raw::{PATIENCE, Raw, Wire, connected};
use crate::bus::tests::alone::{alone, descriptors, has_not_grown, memory};
use crate::bus::{Message, Value};
use crate::error::Error;
use crate::manager::{Manager, Pace};
use crate::unit::Outcome;
use crate::unit::runs::Runs;
use crate::unit::tracked::Tracked;

const NAME: &str = "a.service";
const MIB: usize = 1 << 20;

/// Signals of a thousand units of others, and of what is no unit.
fn foreign() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..250 {
        let name = format!("other-{number}.service");
        let path = format!("/org/freedesktop/systemd1/unit/other_2d{number}_2eservice");
        let mut changed = Wire::default();
        changed.text("org.freedesktop.systemd1.Unit").array(8, |wire| {
            wire.pad(8).text("ActiveState").signature("s").text("failed");
            wire.pad(8).text("SubState").signature("s").text("dead");
        });
        let properties = "org.freedesktop.DBus.Properties";
        let member = Some("PropertiesChanged");
        let object = (path.as_str(), properties);
        bytes.extend(Raw { object, member, ..Raw::signal("sa{sv}", changed) }.bytes());
        let odd = format!("/not/a/unit/{number}");
        let mut changed = Wire::default();
        changed.text("org.freedesktop.systemd1.Unit").array(8, |_| {});
        let object = (odd.as_str(), properties);
        bytes.extend(Raw { object, member, ..Raw::signal("sa{sv}", changed) }.bytes());
        let manager = "org.freedesktop.systemd1.Manager";
        let mut removed = Wire::default();
        removed.u32(number).text(format!("/org/freedesktop/systemd1/job/{number}")).text(&name).text("done");
        let object = ("/org/freedesktop/systemd1", manager);
        bytes.extend(Raw { object, member: Some("JobRemoved"), ..Raw::signal("uoss", removed) }.bytes());
        let mut new = Wire::default();
        new.text(&name).text(&path);
        bytes.extend(Raw { object, member: Some("UnitNew"), ..Raw::signal("so", new) }.bytes());
    }
    bytes
}

/// A manager that is bytes.
struct Bytes {
    manager: Manager,
    stream: Option<UnixStream>,
    /// How many calls it got, each of which has its number.
    calls: u32,
}

impl Bytes {
    async fn new() -> Self {
        let (bus, stream) = connected();
        Bytes { manager: over(bus, true).await, stream: Some(stream), calls: 0 }
    }

    /// Says this so often, from a thread, since it need not fit into the socket.
    async fn say(&mut self, bytes: Vec<u8>, times: usize) {
        let mut stream = self.stream.take().unwrap();
        let said = tokio::task::spawn_blocking(move || {
            (0..times).for_each(|_| stream.write_all(&bytes).unwrap());
            stream
        });
        self.stream = Some(soon(said).await.unwrap());
    }

    /// The next call, which is made by whoever is about to.
    fn call(&mut self) -> u32 {
        self.calls += 1;
        self.calls
    }

    /// Lets the manager read all that was said.
    async fn settle(&mut self) {
        let call = self.call();
        let manager = self.manager.clone();
        let mut asking = Box::pin(manager.property("settle.service", "an.Interface", "Property"));
        assert!((&mut asking).now_or_never().is_none());
        self.say(refusal(call, "an.Error", "").bytes(), 1).await;
        assert!(matches!(soon(asking).await, Err(Error::Call { .. })));
    }
}

fn wire(fill: impl FnOnce(&mut Wire)) -> Wire {
    let mut wire = Wire::default();
    fill(&mut wire);
    wire
}

fn refusal<'a>(call: u32, name: &'a str, text: &str) -> Raw<'a> {
    let body = wire(|wire| {
        wire.text(text);
    });
    Raw { kind: 3, error: Some(name), ..Raw::reply(call, "s", body) }
}

fn accepted(call: u32, path: &str) -> Raw<'static> {
    Raw::reply(
        call,
        "o",
        wire(|wire| {
            wire.text(path);
        }),
    )
}

fn job_removed(job: u32, unit: &str, result: &str) -> Raw<'static> {
    let object = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
    let body = wire(|wire| {
        wire.u32(job).text(format!("/org/freedesktop/systemd1/job/{job}")).text(unit).text(result);
    });
    Raw { object, member: Some("JobRemoved"), ..Raw::signal("uoss", body) }
}

/// A change of these properties, which are text.
fn changed<'a>(path: &'a str, interface: &str, properties: &[(&str, &str)], more: impl FnOnce(&mut Wire)) -> Raw<'a> {
    let mut body = Wire::default();
    body.text(interface).array(8, |wire| {
        for (name, text) in properties {
            wire.pad(8).text(name).signature("s").text(text);
        }
        more(wire);
    });
    let object = (path, "org.freedesktop.DBus.Properties");
    Raw { object, member: Some("PropertiesChanged"), ..Raw::signal("sa{sv}", body) }
}

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const A: &str = "/org/freedesktop/systemd1/unit/a_2eservice";
const B: &str = "/org/freedesktop/systemd1/unit/b_2eservice";

#[tokio::test]
async fn a_million_signals_of_others_leave_nothing_behind() {
    if !alone("manager::tests::growth::a_million_signals_of_others_leave_nothing_behind") {
        return;
    }
    let mut fake = Bytes::new().await;
    fake.call();
    let mut starting = begin(&fake.manager, NAME);
    let once = foreign();
    fake.say(once.clone(), 20).await;
    fake.settle().await;
    let (memory, descriptors_before) = (memory(), descriptors());
    fake.say(once, 1000).await;
    fake.settle().await;
    has_not_grown(memory, 8 * MIB, "a million signals");
    assert_eq!(descriptors(), descriptors_before);
    assert!((&mut starting.future).now_or_never().is_none());
    assert_eq!(kept(&fake.manager), 0);
}

/// What the two ends of the connection need for messages that long they have needed after this many.
const WARM: u32 = 2;

#[tokio::test]
async fn errors_keep_no_long_texts() {
    if !alone("manager::tests::growth::errors_keep_no_long_texts") {
        return;
    }
    let mut fake = Bytes::new().await;
    let (mut kept, mut before) = (Vec::new(), 0);
    let text = "é".repeat(8 * MIB);
    let paths = [format!("/{}", "x".repeat(16 * MIB)), format!("/{}", "x".repeat(60_000))];
    for round in 0..8 {
        for path in &paths {
            let call = fake.call();
            let starting = begin(&fake.manager, NAME);
            fake.say(accepted(call, path).bytes(), 1).await;
            kept.push(starting.unit().await.unwrap_err());
            assert!(matches!(kept.last(), Some(Error::Message { .. })));
        }
        for name in ["an.Error", "org.freedesktop.systemd1.UnitExists", "org.freedesktop.DBus.Error.ServiceUnknown"] {
            let call = fake.call();
            let starting = begin(&fake.manager, NAME);
            fake.say(refusal(call, name, &text).bytes(), 1).await;
            kept.push(starting.unit().await.unwrap_err());
        }
        if round == WARM {
            before = memory();
        }
    }
    for error in &kept {
        let length = error.to_string().len();
        assert!(length < 3000, "{length}");
    }
    has_not_grown(before, 64 * MIB, "errors");
}

#[tokio::test]
async fn units_keep_no_long_texts() {
    if !alone("manager::tests::growth::units_keep_no_long_texts") {
        return;
    }
    let mut fake = Bytes::new().await;
    let long = "é".repeat(8 * MIB);
    let call = fake.call();
    let starting = begin(&fake.manager, "b.service");
    fake.say(accepted(call, "/org/freedesktop/systemd1/job/20").bytes(), 1).await;
    let unit = starting.unit().await.unwrap();
    let look = fake.call();
    let mut states = unit.states();
    let call = fake.call();
    let starting = begin(&fake.manager, NAME);
    let mut before = 0;
    for number in 0..8 {
        // Names of units, results of jobs before the reply, states, and a property that nobody knows.
        fake.say(job_removed(number, &long, "done").bytes(), 1).await;
        fake.say(job_removed(number, NAME, &long).bytes(), 1).await;
        // (An array has 64 MiB at most.)
        let properties = [("ActiveState", &*long), ("SubState", &long), (&long, "x")];
        let since = |wire: &mut Wire| {
            wire.pad(8).text("StateChangeTimestamp").signature("t").u64(number.into());
        };
        fake.say(changed(B, UNIT, &properties, since).bytes(), 1).await;
        let result = [("Result", &*long)];
        fake.say(changed(A, "org.freedesktop.systemd1.Service", &result, |_| {}).bytes(), 1).await;
        fake.settle().await;
        if number == WARM {
            before = memory();
        }
    }
    has_not_grown(before, 64 * MIB, "states and jobs");
    // The job is one that was removed before the reply.
    fake.say(accepted(call, "/org/freedesktop/systemd1/job/7").bytes(), 1).await;
    let waiting = starting.unit().await.unwrap();
    for _ in 0..8 {
        let state = soon(states.next()).await.unwrap().unwrap();
        assert!(state.sub.starts_with("éé") && state.to_string().len() < 600);
    }
    fake.say(refusal(look, "an.Error", "").bytes(), 1).await;
    drop(states);
    fake.say(job_removed(20, "b.service", "done").bytes(), 1).await;
    let end = [("ActiveState", "failed"), ("SubState", "failed")];
    let entered = |wire: &mut Wire| {
        wire.pad(8).text("InactiveEnterTimestampMonotonic").signature("t").u64(5_500_000);
    };
    for (path, unit) in [(A, &waiting), (B, &unit)] {
        let result = [("Result", &*long)];
        fake.say(changed(path, "org.freedesktop.systemd1.Service", &result, |_| {}).bytes(), 1).await;
        fake.say(changed(path, UNIT, &end, entered).bytes(), 1).await;
        let exit = soon(unit.wait()).await.unwrap();
        assert!(exit.to_string().len() < 600);
        assert!(matches!(&exit.result, Outcome::Other(text) if text.starts_with("éé")));
    }
    fake.settle().await;
    has_not_grown(before, 64 * MIB, "exits");
    assert_eq!(kept(&fake.manager), 0);
    assert_eq!(places(&fake.manager), ALL);
}

/// Lets the manager read what the fake has sent, also where that does not fit into the socket. What it asked meanwhile.
async fn settled<'f>(manager: &Manager, fake: &'f Fake) -> Vec<Message<'f>> {
    let mut asking = Box::pin(manager.property("settle.service", "an.Interface", "Property"));
    assert!((&mut asking).now_or_never().is_none());
    let mut asked = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it does not answer");
        match fake.peer.poll() {
            Some(call) if call.path().is_some_and(|path| path.ends_with("/settle_2eservice")) => {
                fake.peer.refuse(&call, c"an.Error", c"");
            }
            Some(call) => asked.push(call),
            None => {}
        }
        if let Some(answer) = (&mut asking).now_or_never() {
            assert!(matches!(answer, Err(Error::Call { .. })));
            return asked;
        }
        tokio::task::yield_now().await;
    }
}

/// The same where nothing is asked.
async fn settle(manager: &Manager, fake: &Fake) {
    assert!(settled(manager, fake).await.is_empty());
}

#[tokio::test]
async fn questions_that_are_never_answered_do_not_pile_up() {
    let (manager, fake) = manager(true).await;
    let starting = begin_with(&manager, NAME, Pace::Quick, true);
    let job = fake.accept(&fake.start(NAME));
    let unit = starting.unit().await.unwrap();
    fake.unit(NAME, before(job));
    fake.job_removed(job, NAME, "done");
    let mut asked = Vec::new();
    for entered in 1..=1000 {
        fake.unit(NAME, State { active: "failed", entered: 5_000_000 + entered, ..dead() });
        asked.extend(settled(&manager, &fake).await);
        assert_eq!(kept(&manager), 0, "nothing waits in a queue");
    }
    assert!((1..=4).contains(&asked.len()), "{} questions", asked.len());
    // They are answered after all: what counts is what is said to a question that was asked after the last signal.
    asked.iter().for_each(|question| fake.peer.reply(question, |m| Value::from("dead").append_variant_to(m)));
    let last = settled(&manager, &fake).await;
    assert_eq!(last.len(), 1);
    assert!(unit.try_wait().unwrap().is_none());
    fake.peer.reply(&last[0], |m| Value::from("dead").append_variant_to(m));
    assert_eq!(soon(unit.wait()).await.unwrap().runtime, Some(std::time::Duration::from_micros(1000)));
}

#[tokio::test]
async fn states_and_runs_that_nobody_takes_are_the_last_ones() {
    let (manager, fake) = manager(true).await;
    let (unit, _) = started(&manager, &fake, NAME).await;
    let states = unit.states();
    fake.give_all(&fake.asked_all(NAME, "Unit"), &unit_properties(running()));
    for number in 0..10_100u64 {
        let mut properties = unit_properties(running());
        properties.push(("StateChangeTimestamp", Value::from(1_000_000 + number)));
        fake.changed(NAME, "org.freedesktop.systemd1.Unit", &properties);
        if number % 100 == 0 {
            settle(&manager, &fake).await;
        }
    }
    settle(&manager, &fake).await;
    drop(fake);
    let told: Vec<_> = soon(states.collect::<Vec<_>>()).await;
    assert!((10_000..=10_001).contains(&told.len()), "{}", told.len());
    let (lost, last) = (told[told.len() - 1].as_ref(), told[told.len() - 2].as_ref());
    assert!(matches!(lost, Err(Error::Disconnected { .. })));
    let since = std::time::UNIX_EPOCH + std::time::Duration::from_micros(1_010_099);
    assert_eq!(last.unwrap().since, Some(since));

    let (runs, mut wakers) = (Runs::default(), Vec::new());
    let all: Vec<_> = (0..10_005).map(|number| Arc::new(Tracked::new(format!("{number}.service")))).collect();
    for run in &all {
        runs.push(run.clone(), &mut wakers);
        // The handle of the registry.
        run.release();
    }
    assert!(all.iter().enumerate().all(|(number, run)| run.is_released() == (number < 5)));
    assert_eq!(runs.drain().first().map(|run| run.name().to_owned()).as_deref(), Some("5.service"));
}

/// Jobs of a unit that are over before the reply to a stop that never comes.
#[tokio::test]
async fn jobs_before_a_reply_that_never_comes_are_forgotten() {
    if !alone("manager::tests::growth::jobs_before_a_reply_that_never_comes_are_forgotten") {
        return;
    }
    let (manager, fake) = manager(true).await;
    let (unit, _) = started(&manager, &fake, NAME).await;
    let mut stopping = Box::pin(unit.stop());
    assert!((&mut stopping).now_or_never().is_none());
    let stop = fake.expect("StopUnit");
    let starting = begin(&manager, "b.service");
    fake.start("b.service");
    let mut before = 0;
    for number in 0..100_000 {
        fake.job_removed(1000 + number, if number % 2 == 0 { NAME } else { "b.service" }, "a result that is new");
        if number % 100 == 99 {
            settle(&manager, &fake).await;
        }
        if number == 10_000 {
            before = memory();
        }
    }
    has_not_grown(before, 8 * MIB, "jobs");
    fake.accept_as(&stop, 7);
    fake.job_removed(7, NAME, "done");
    soon(stopping).await.unwrap();
    drop(starting);
}
