//! A manager that answers out of order, twice, late, or with what is no answer: each handle gets its own end or a clear
//! error.

use std::ffi::CStr;

use futures::{FutureExt, StreamExt};

use super::fake::{State, before, dead, running, unit_properties};
use super::{ALL, Fake, begin, is_forgotten, kept, manager, places, settle, soon, started};
use crate::bus::{Container, Message, Signature, Value};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::{Outcome, Status};

const NAME: &str = "a.service";

#[tokio::test]
async fn answers_in_any_order_find_who_asked() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let names: Vec<_> = (0..20).map(|n| format!("{n}.service")).collect();
        let starting: Vec<_> = names.iter().map(|name| begin(&manager, name)).collect();
        let mut calls: Vec<_> = names.iter().map(|name| (name, fake.start(name))).collect();
        // Odd ones first, each pair the other way round; the signals of some come before their replies.
        calls.sort_by_key(|(name, _)| (name.len(), name.ends_with(['0', '2', '4', '6', '8']), name.to_string()));
        calls.reverse();
        for (at, (name, call)) in calls.iter().enumerate() {
            let job = fake.new_job();
            let code = name.split('.').next().unwrap().parse().unwrap();
            if at % 3 == 0 {
                fake.runs(name, job, code);
                fake.accept_as(call, job);
            } else {
                fake.accept_as(call, job);
                fake.runs(name, job, code);
            }
        }
        for (code, starting) in starting.into_iter().enumerate() {
            let unit = starting.unit().await.unwrap();
            assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(code as i32));
        }
        settle(&manager, &fake).await;
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn the_first_answer_counts() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, NAME);
    let tracked = starting.tracked.clone();
    let call = fake.start(NAME);
    fake.accept_as(&call, 7);
    // Then another job, a refusal, nonsense; and all of it again, and again at the end.
    let again = || {
        fake.accept_as(&call, 8);
        fake.peer.refuse(&call, c"an.Error", c"after all");
        fake.peer.reply(&call, |m| m.append(1u32));
        fake.accept_as(&call, 7);
    };
    again();
    let unit = starting.unit().await.unwrap();
    fake.unit(NAME, before(7));
    fake.job_removed(8, NAME, "failed");
    again();
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.unit(NAME, running());
    fake.job_removed(7, NAME, "done");
    // So are signals that come twice.
    fake.job_removed(7, NAME, "failed");
    fake.ends(NAME, 3);
    fake.ends(NAME, 4);
    again();
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
    settle(&manager, &fake).await;
    assert_eq!((soon(unit.wait()).await.unwrap().code(), places(&manager)), (Some(3), ALL));
    drop(unit);
    assert!(is_forgotten(&tracked));
}

#[tokio::test]
async fn a_refusal_that_is_followed_by_an_answer_is_a_refusal() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, NAME);
    let call = fake.start(NAME);
    fake.peer.refuse(&call, c"an.Error", c"no");
    fake.accept_as(&call, 7);
    fake.runs(NAME, 7, 0);
    assert!(matches!(starting.unit().await, Err(Error::Call { .. })));
    settle(&manager, &fake).await;
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn who_is_never_answered_holds_up_nobody_else() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let mut never = begin(&manager, "never.service");
        let call = fake.start("never.service");
        let (unit, job) = started(&manager, &fake, NAME).await;
        let mut stopping = Box::pin(unit.stop());
        assert!((&mut stopping).now_or_never().is_none());
        let stop = fake.expect("StopUnit");
        let mut reading = Box::pin(unit.get("Property"));
        assert!((&mut reading).now_or_never().is_none());
        let read = fake.expect("Get");
        fake.runs(NAME, job, 3);
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
        settle(&manager, &fake).await;
        let waiting = (&mut never.future).now_or_never().is_none();
        assert!(waiting && (&mut stopping).now_or_never().is_none() && (&mut reading).now_or_never().is_none());
        // Whoever gives up waiting leaves nothing but what the answer is for; that may come whenever it likes.
        drop((stopping, reading));
        let tracked = never.give_up();
        fake.accept_as(&stop, 9);
        fake.peer.reply(&read, |m| m.append(1u8));
        let job = fake.accept(&call);
        fake.job_removed(job, "never.service", "done");
        settle_stops(&manager, &fake, 1).await;
        fake.job_removed(9, NAME, "done");
        settle(&manager, &fake).await;
        assert_eq!(places(&manager), ALL);
        assert!(is_forgotten(&tracked));
    }
}

/// Lets the manager read what was sent, upon which it stops so many units.
async fn settle_stops(manager: &Manager, fake: &Fake, stops: usize) {
    let mut asking = Box::pin(manager.property("settle.service", "an.Interface", "Property"));
    assert!((&mut asking).now_or_never().is_none());
    let mut asked = None;
    let mut seen = 0;
    while seen < stops || asked.is_none() {
        tokio::task::yield_now().await;
        let Some(call) = fake.peer.poll() else { continue };
        if call.member() == Some("StopUnit") {
            fake.accept(&call);
            seen += 1;
        } else {
            asked = Some(call);
        }
    }
    fake.peer.refuse(&asked.unwrap(), c"an.Error", c"");
    let _ = soon(asking).await.unwrap_err();
}

type Fill = fn(&mut Message<'_>) -> Result<()>;

/// Bodies that are no answer to anything that is asked here.
const NO_ANSWERS: [Fill; 8] = [
    |_| Ok(()),
    |m| m.append(1u8),
    |m| m.append_str("/org/freedesktop/systemd1/job/7"),
    |m| m.append_path("/org/freedesktop/systemd1/unit/a_2eservice"),
    |m| m.append_strs(["x"]),
    |m| Value::Struct(vec![Value::from(1u32)]).append_to(m),
    |m| Value::Variant(Box::new(Value::Variant(Box::new(Value::from(false))))).append_to(m),
    |m| m.container(Container::Array, c"{ss}", |_| Ok(())),
];

#[tokio::test]
async fn what_is_no_answer_is_an_error_of_whoever_asked() {
    fn is_due<T: std::fmt::Debug>(answer: Result<T>, body: usize) {
        assert!(matches!(answer, Err(Error::Message { .. })), "{body}: {answer:?}");
    }
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.unit(NAME, before(job));
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    for (at, body) in NO_ANSWERS.into_iter().enumerate() {
        let starting = begin(&manager, "b.service");
        fake.peer.reply(&fake.start("b.service"), body);
        is_due(starting.unit().await.map(drop), at);

        let mut stopping = Box::pin(unit.stop());
        assert!((&mut stopping).now_or_never().is_none());
        fake.peer.reply(&fake.expect("StopUnit"), body);
        is_due(soon(stopping).await, at);

        let mut asking = Box::pin(manager.version());
        assert!((&mut asking).now_or_never().is_none());
        fake.peer.reply(&fake.expect("Get"), body);
        is_due(soon(asking).await, at);

        let mut asking = Box::pin(manager.environment());
        assert!((&mut asking).now_or_never().is_none());
        fake.peer.reply(&fake.expect("Get"), body);
        is_due(soon(asking).await, at);

        // (It is the path of a unit that is asked for first.)
        let path = |m: &mut Message<'_>| m.append_path("/org/freedesktop/systemd1/unit/c_2eservice");
        for (body, is_path) in [(body, false), (path as Fill, true)].into_iter().filter(|_| at != 3) {
            let mut adopting = manager.unit("c.service").boxed();
            assert!((&mut adopting).now_or_never().is_none());
            fake.peer.reply(&fake.expect("GetUnit"), body);
            if !is_path {
                is_due(soon(adopting).await.map(drop), at);
                continue;
            }
            settle(&manager, &fake).await;
            assert!((&mut adopting).now_or_never().is_none());
            let (of_unit, of_service) = (fake.asked_all("c.service", "Unit"), fake.asked_all("c.service", "Service"));
            if at % 2 == 0 {
                fake.give_all(&of_unit, &unit_properties(running()));
                fake.peer.reply(&of_service, body);
            } else {
                fake.peer.reply(&of_unit, body);
                fake.give_all(&of_service, &[]);
            }
            is_due(soon(adopting).await.map(drop), at);
        }
    }
    // What it was told of itself meanwhile is all the same to the unit. A stream that cannot begin says why, and is not
    // the unit's only way to tell.
    let mut states = unit.states();
    fake.peer.reply(&fake.asked_all(NAME, "Unit"), NO_ANSWERS[1]);
    settle(&manager, &fake).await;
    let first = states.next().now_or_never();
    assert!(!matches!(first, Some(Some(Ok(_)))), "{first:?}");
    fake.ends(NAME, 3);
    let end = soon(unit.wait()).await;
    assert!(matches!(&end, Ok(exit) if exit.code() == Some(3)) || matches!(end, Err(Error::Message { .. })), "{end:?}");
    assert_eq!(places(&manager), ALL);
    assert_eq!(kept(&manager), 0);
}

/// One value of every type that a property of a unit has, or may have.
fn values() -> Vec<Value> {
    let text = || Signature::new("s").unwrap();
    vec![
        Value::from(7u8),
        Value::from(true),
        Value::from(7i16),
        Value::from(7u16),
        Value::from(7i32),
        Value::from(7u32),
        Value::from(7i64),
        Value::from(7u64),
        Value::from(7f64),
        Value::from("7"),
        Value::ObjectPath("/7".into()),
        Value::Signature("s".into()),
        Value::Bytes(vec![7; 16]),
        Value::from(["7"]),
        Value::Dict(text(), text(), vec![(Value::from("7"), Value::from("7"))]),
        Value::Struct(vec![Value::from(7u32), Value::ObjectPath("/7".into())]),
        Value::Struct(vec![Value::from(7u32), Value::from("/7")]),
        Value::Variant(Box::new(Value::from("7"))),
    ]
}

const OF_THE_UNIT: [(&str, &str); 12] = [
    ("ActiveState", "s"),
    ("SubState", "s"),
    ("Job", "(uo)"),
    ("ConditionResult", "b"),
    ("InactiveExitTimestamp", "t"),
    ("InactiveExitTimestampMonotonic", "t"),
    ("InactiveEnterTimestamp", "t"),
    ("InactiveEnterTimestampMonotonic", "t"),
    ("InvocationID", "ay"),
    ("StateChangeTimestamp", "t"),
    ("ActiveEnterTimestampMonotonic", "t"),
    ("ConditionTimestampMonotonic", "t"),
];
const OF_THE_SERVICE: [(&str, &str); 7] = [
    ("Result", "s"),
    ("ExecMainPID", "u"),
    ("ControlPID", "u"),
    ("ExecMainCode", "i"),
    ("ExecMainStatus", "i"),
    ("ExecMainExitTimestamp", "t"),
    ("ExecMainExitTimestampMonotonic", "t"),
];

#[tokio::test]
async fn a_state_with_a_value_of_another_type_says_nothing() {
    for watched in [false, true] {
        let (manager, fake) = manager(true).await;
        let (unit, job) = started(&manager, &fake, NAME).await;
        let states = watched.then(|| unit.states());
        if watched {
            fake.give_all(&fake.asked_all(NAME, "Unit"), &unit_properties(before(job)));
        }
        fake.unit(NAME, before(job));
        fake.job_removed(job, NAME, "done");
        let mut said = 0;
        for (name, signature) in OF_THE_UNIT {
            // Those last three are read for streams alone.
            let others = !watched && OF_THE_UNIT[9..].iter().any(|(other, _)| *other == name);
            for value in values().into_iter().filter(|value| value.signature() != signature && !others) {
                let end = State { active: "failed", sub: "failed", ..dead() };
                let mut properties = unit_properties(end);
                properties.retain(|(other, _)| *other != name);
                properties.push((name, value));
                fake.changed(NAME, "org.freedesktop.systemd1.Unit", &properties);
                said += 1;
            }
        }
        assert!(said > 150);
        settle(&manager, &fake).await;
        assert!(unit.try_wait().unwrap().is_none());
        fake.ends(NAME, 3);
        let exit = soon(unit.wait()).await.unwrap();
        assert_eq!((&exit.result, exit.status), (&Outcome::ExitCode, Some(Status::Exited(3))));
        if let Some(states) = states {
            let states: Vec<_> = soon(states.map(Result::unwrap).map(|state| state.to_string()).collect()).await;
            assert_eq!(states, ["inactive (dead)"]);
        }
    }
}

#[tokio::test]
async fn an_end_with_a_value_of_another_type_is_an_error() {
    for (name, signature) in OF_THE_SERVICE {
        for value in values().into_iter().filter(|value| value.signature() != signature) {
            let (manager, fake) = manager(true).await;
            let (unit, job) = started(&manager, &fake, NAME).await;
            let (other, other_job) = started(&manager, &fake, "b.service").await;
            fake.unit(NAME, running());
            fake.job_removed(job, NAME, "done");
            fake.changed(NAME, "org.freedesktop.systemd1.Service", &[("Type", Value::from("x")), (name, value)]);
            fake.unit(NAME, dead());
            let end = soon(unit.wait()).await;
            assert!(matches!(end, Err(Error::Message { .. })), "{name}: {end:?}");
            // It is that of this unit only.
            fake.runs("b.service", other_job, 0);
            assert!(soon(other.wait()).await.unwrap().success());
            settle(&manager, &fake).await;
            assert_eq!((kept(&manager), places(&manager)), (0, ALL));
        }
    }
}

/// Members that nobody knows, signals of paths that are none of a unit's, and calls: all passed over, or refused.
#[tokio::test]
async fn what_nobody_knows_is_passed_over() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let (unit, job) = started(&manager, &fake, NAME).await;
        let paths: [&CStr; 9] = [
            c"/",
            c"/org/freedesktop/systemd1",
            c"/org/freedesktop/systemd1/unit",
            c"/org/freedesktop/systemd1/unit/a",
            c"/org/freedesktop/systemd1/unit/a_2eservice/x",
            c"/org/freedesktop/systemd1/unit/a_2Eservice",
            c"/org/freedesktop/systemd1/unit/_61_2eservice",
            c"/org/freedesktop/systemd1/unit/_",
            c"/org/freedesktop/systemd1/job/101",
        ];
        let interfaces: [(&CStr, &CStr); 6] = [
            (c"org.freedesktop.DBus.Properties", c"PropertiesChanged"),
            (c"org.freedesktop.DBus.Properties", c"PropertiesRemoved"),
            (c"org.freedesktop.systemd1.Manager", c"JobNew"),
            (c"org.freedesktop.systemd1.Manager", c"UnitRemoved"),
            (c"org.freedesktop.systemd1.Manager", c"Reloading"),
            (c"org.freedesktop.systemd2.Manager", c"JobRemoved"),
        ];
        for path in paths {
            for (interface, member) in interfaces {
                fake.peer.signal(path, interface, member, |m| {
                    m.append_str("org.freedesktop.systemd1.Unit")?;
                    m.container(Container::Array, c"{sv}", |m| {
                        m.container(Container::DictEntry, c"sv", |m| {
                            m.append_str("ActiveState")?;
                            Value::from("failed").append_variant_to(m)
                        })
                    })?;
                    m.append_strs::<&str>([])
                });
            }
        }
        // Of an interface that the unit does not have, or of a property that it did not have yesterday.
        let odd = [("ActiveState", Value::from("failed")), ("NewState", Value::from(vec!["x".to_owned()]))];
        fake.changed(NAME, "org.freedesktop.systemd1.Timer", &odd);
        fake.changed(NAME, "", &odd);
        settle(&manager, &fake).await;
        assert!(unit.try_wait().unwrap().is_none());
        fake.unit(NAME, before(job));
        let mut properties = unit_properties(running());
        properties.insert(0, ("New", Value::Variant(Box::new(Value::Variant(Box::new(Value::from(1u8)))))));
        fake.changed(NAME, "org.freedesktop.systemd1.Unit", &properties);
        fake.job_removed(job, NAME, "done");
        fake.ends(NAME, 3);
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
        assert_eq!(kept(&manager), 0);
    }
}
