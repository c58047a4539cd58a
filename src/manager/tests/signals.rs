//! Signals: in every order, of others, forged, and malformed.

use super::fake::{SYSTEMD, State, before, dead, running, unit_properties};
use super::{ALL, Fake, begin, is_forgotten, kept, manager, places, settle, soon, started};
use crate::bus::{Container, Message, Signature, Value};
use crate::error::Result;
use crate::unit::{Outcome, Status};

const NAME: &str = "a.service";

#[tokio::test]
async fn the_reply_and_the_end_of_the_job_may_come_anywhere() {
    // What the manager sends in this order, and at which places among it the other two may come. As long as the job is
    // there, every signal of the unit names it.
    let signals: [fn(&Fake, u32); 4] = [
        |fake, job| fake.unit(NAME, before(job)),
        |fake, job| fake.unit(NAME, State { job, ..running() }),
        |fake, _| fake.service(NAME, "exit-code", 1, 3),
        |fake, job| fake.unit(NAME, State { active: "failed", sub: "failed", job, ..dead() }),
    ];
    for direct in [true, false] {
        for reply_at in 0..=signals.len() {
            for removed_at in 1..=signals.len() {
                for reply_first in [true, false] {
                    let (manager, fake) = manager(direct).await;
                    let starting = begin(&manager, NAME);
                    let tracked = starting.tracked.clone();
                    let call = fake.start(NAME);
                    let job = fake.new_job();
                    for at in 0..=signals.len() {
                        let reply = || {
                            if at == reply_at {
                                fake.accept_as(&call, job);
                            }
                        };
                        let removed = || {
                            if at == removed_at {
                                fake.job_removed(job, NAME, "done");
                            }
                        };
                        if reply_first {
                            reply();
                            removed();
                        } else {
                            removed();
                            reply();
                        }
                        if let Some(signal) = signals.get(at) {
                            signal(&fake, if at < removed_at { job } else { 0 });
                        }
                    }
                    let case = format!("direct {direct}, reply {reply_at}, job {removed_at}, {reply_first}");
                    let unit = starting.unit().await.unwrap();
                    let exit = soon(unit.wait()).await.unwrap();
                    assert_eq!((&exit.result, exit.status), (&Outcome::ExitCode, Some(Status::Exited(3))), "{case}");
                    settle(&manager, &fake).await;
                    assert_eq!(places(&manager), ALL, "{case}");
                    drop(unit);
                    assert!(is_forgotten(&tracked), "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn before_its_start_a_unit_has_not_ended() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.service(NAME, "success", 0, 0);
    fake.unit(NAME, before(job));
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    // Nor when the job is over: the signal was from before that.
    fake.job_removed(job, NAME, "done");
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.ends(NAME, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_oneshot_ends_before_its_job_does() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.unit(NAME, State { active: "activating", sub: "start", job, ..running() });
    fake.service(NAME, "success", 1, 0);
    fake.unit(NAME, State { job, ..dead() });
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.job_removed(job, NAME, "done");
    let exit = soon(unit.wait()).await.unwrap();
    assert_eq!((&exit.result, exit.status), (&Outcome::Success, Some(Status::Exited(0))));
}

#[tokio::test]
async fn jobs_of_others_do_not_count() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.unit(NAME, before(job));
    fake.job_removed(job + 1000, NAME, "done");
    fake.job_removed(job, "b.service", "done");
    fake.ends(NAME, 0);
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    assert_eq!(places(&manager).0, ALL.0 - 1);
    fake.job_removed(job, NAME, "canceled");
    let exit = soon(unit.wait()).await.unwrap();
    assert_eq!(places(&manager), ALL);
    assert_eq!(exit.status, Some(Status::Exited(0)));
}

#[tokio::test]
async fn signals_of_other_units_are_passed_over() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    for other in ["b.service", "a", "a.service.service", "A.service", "system.slice"] {
        fake.runs(other, job, 1);
    }
    for path in [c"/", c"/org/freedesktop/systemd1/unit", c"/org/freedesktop/systemd1/unit/a_2eservice/deeper"] {
        fake.peer.signal(path, c"org.freedesktop.DBus.Properties", c"PropertiesChanged", |m| m.append_str("x"));
    }
    fake.peer.signal(c"/x", c"an.Interface", c"JobRemoved", |_| Ok(()));
    fake.peer.signal(c"/x", c"org.freedesktop.systemd1.Manager", c"UnitRemoved", |m| m.append_str(NAME));
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.runs(NAME, job, 2);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(2));
}

#[tokio::test]
async fn units_are_told_apart_by_their_names() {
    let (manager, fake) = manager(false).await;
    let names = ["a.service", "a-b.service", "a_b.service", "a@x.service", "a\\x2db.service", "1.service"];
    let mut units = Vec::new();
    for name in names {
        units.push(started(&manager, &fake, name).await);
    }
    for (code, (unit, job)) in units.iter().enumerate().rev() {
        fake.runs(unit.name(), *job, code as i32);
    }
    for (code, (unit, _)) in units.iter().enumerate() {
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(code as i32), "{}", unit.name());
    }
}

#[tokio::test]
async fn a_name_can_be_used_again_at_once() {
    let (manager, fake) = manager(true).await;
    let (first, job) = started(&manager, &fake, NAME).await;
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    // The next one is called before anything says that the first has ended.
    let starting = begin(&manager, NAME);
    let call = fake.start(NAME);
    fake.ends(NAME, 1);
    let next = fake.accept(&call);
    let second = starting.unit().await.unwrap();
    assert_eq!(soon(first.wait()).await.unwrap().code(), Some(1));
    settle(&manager, &fake).await;
    assert!(second.try_wait().unwrap().is_none());
    assert_eq!(second.invocation_id(), None, "that was the first one's");
    fake.runs(NAME, next, 2);
    assert_eq!(soon(second.wait()).await.unwrap().code(), Some(2));
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn signals_that_others_send_are_not_believed() {
    let (manager, fake) = manager(false).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    for liar in [c":1.666", c"org.freedesktop.systemd1", c"org.freedesktop.DBus"] {
        fake.speak_as(liar);
        fake.runs(NAME, job, 66);
    }
    fake.peer.sender.set(None);
    fake.runs(NAME, job, 66);
    // To say who the manager is takes the bus daemon itself.
    for liar in [c":1.666", c"org.freedesktop.systemd1", c":1.1"] {
        fake.speak_as(liar);
        owner_changed(&fake, "org.freedesktop.systemd1", ":1.1", ":1.666");
    }
    fake.speak_as(c":1.666");
    fake.runs(NAME, job, 66);
    fake.speak_as(SYSTEMD);
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    assert_eq!(places(&manager).0, ALL.0 - 1);
    fake.runs(NAME, job, 1);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(1));
}

fn owner_changed(fake: &Fake, name: &str, old: &str, new: &str) {
    fake.peer.signal(c"/org/freedesktop/DBus", c"org.freedesktop.DBus", c"NameOwnerChanged", |m| {
        [name, old, new].iter().try_for_each(|text| m.append_str(text))
    });
}

#[tokio::test]
async fn before_it_is_known_who_the_manager_is_nobody_is() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, NAME);
    for _ in 0..4 {
        let (call, _) = fake.expect_rule("AddMatch");
        fake.daemon(|daemon| daemon.reply(&call, |_| Ok(())));
    }
    let subscribe = fake.expect("Subscribe");
    let call = fake.expect("StartTransientUnit");
    fake.speak_as(c":1.666");
    fake.runs(NAME, 5, 66);
    fake.speak_as(SYSTEMD);
    fake.peer.reply(&subscribe, |_| Ok(()));
    fake.accept_as(&call, 5);
    let unit = starting.unit().await.unwrap();
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.runs(NAME, 5, 1);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_manager_that_is_executed_anew_is_followed() {
    let (manager, fake) = manager(false).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.unit(NAME, running());
    // Other names change owners too.
    fake.daemon(|_| owner_changed(&fake, "org.freedesktop.other", ":1.1", ":1.9"));
    fake.job_removed(job, NAME, "done");
    settle(&manager, &fake).await;
    assert_eq!(places(&manager), ALL, "it is the manager still");
    // In two steps, as newer ones do it. The old one is nobody now.
    fake.daemon(|_| owner_changed(&fake, "org.freedesktop.systemd1", ":1.1", ""));
    fake.ends(NAME, 66);
    fake.daemon(|_| owner_changed(&fake, "org.freedesktop.systemd1", "", ":1.2"));
    fake.ends(NAME, 66);
    // Malformed, from the daemon or whoever it is: ignored.
    fake.daemon(|daemon| {
        let signal = |fill: fn(&mut Message<'_>) -> Result<()>| {
            daemon.signal(c"/org/freedesktop/DBus", c"org.freedesktop.DBus", c"NameOwnerChanged", fill);
        };
        signal(|_| Ok(()));
        signal(|m| m.append_str("org.freedesktop.systemd1"));
        signal(|m| m.append(1u32));
    });
    fake.speak_as(c":1.2");
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.ends(NAME, 4);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(4));
}

#[tokio::test]
async fn on_its_own_socket_nobody_else_can_speak() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    // There is no bus daemon whose word would count.
    owner_changed(&fake, "org.freedesktop.systemd1", ":1.1", ":1.2");
    fake.runs(NAME, job, 1);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn malformed_signals_are_passed_over() {
    let bodies: [fn(&mut Message<'_>) -> Result<()>; 12] = [
        |_| Ok(()),
        |m| m.append(1u32),
        |m| m.append_path("/org/freedesktop/systemd1/Unit"),
        |m| m.append_str("org.freedesktop.systemd1.Unit"),
        |m| m.append_str("org.freedesktop.systemd1.Unit").and(m.append_str("x")),
        |m| m.append_str("org.freedesktop.systemd1.Unit").and(m.append_strs(["ActiveState"])),
        // A dictionary, but not of properties.
        |m| dictionary(m, Value::Dict(text(), text(), vec![(Value::from("ActiveState"), Value::from("failed"))])),
        // No state in it.
        |m| dictionary(m, properties(vec![("Id", Value::from("x"))])),
        // Another type than it has.
        |m| dictionary(m, properties(vec![("ActiveState", Value::from(7u32))])),
        |m| dictionary(m, properties(vec![("ActiveState", Value::Variant(Box::new(Value::from("failed"))))])),
        |m| {
            let job = ("Job", Value::Struct(vec![Value::from("0"), Value::ObjectPath("/".into())]));
            dictionary(m, properties(vec![("ActiveState", Value::from("failed")), job]))
        },
        |m| {
            let entered = ("InactiveEnterTimestampMonotonic", Value::from(1i64));
            dictionary(m, properties(vec![("ActiveState", Value::from("failed")), entered]))
        },
    ];
    let jobs: [fn(&mut Message<'_>) -> Result<()>; 5] = [
        |_| Ok(()),
        |m| m.append_str("x"),
        |m| m.append(101u32),
        |m| m.append(101u32).and(m.append_path("/")),
        |m| m.append(101u32).and(m.append_path("/")).and(m.append_str(NAME)).and(m.append(1u8)),
    ];
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let (unit, job) = started(&manager, &fake, NAME).await;
        assert_eq!(job, 101);
        let nonsense = || {
            bodies.iter().for_each(|body| fake.changed_by(NAME, body));
            for body in jobs {
                fake.peer.signal(
                    c"/org/freedesktop/systemd1",
                    c"org.freedesktop.systemd1.Manager",
                    c"JobRemoved",
                    body,
                );
            }
        };
        nonsense();
        fake.unit(NAME, before(job));
        fake.unit(NAME, running());
        nonsense();
        fake.job_removed(job, NAME, "done");
        nonsense();
        settle(&manager, &fake).await;
        assert!(unit.try_wait().unwrap().is_none());
        fake.ends(NAME, 5);
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(5));
    }
}

fn text() -> Signature {
    Signature::new("s").unwrap()
}

fn dictionary(message: &mut Message<'_>, value: Value) -> Result<()> {
    message.append_str("org.freedesktop.systemd1.Unit")?;
    value.append_to(message)
}

fn properties(properties: Vec<(&str, Value)>) -> Value {
    let entries = properties.into_iter().map(|(name, value)| (Value::from(name), Value::Variant(Box::new(value))));
    Value::Dict(text(), Signature::new("v").unwrap(), entries.collect())
}

#[tokio::test]
async fn a_service_signal_that_cannot_be_read_is_an_error_of_its_unit_only() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    let (other, other_job) = started(&manager, &fake, "b.service").await;
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    // It is looked at when the unit has ended, and not before.
    fake.changed(NAME, "org.freedesktop.systemd1.Service", &[("ExecMainCode", Value::from("x"))]);
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    fake.unit(NAME, dead());
    assert!(matches!(soon(unit.wait()).await, Err(crate::error::Error::Message { .. })));
    fake.runs("b.service", other_job, 0);
    assert!(soon(other.wait()).await.unwrap().success());
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn what_is_known_outlasts_a_malformed_signal() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.service(NAME, "success", 1, 0);
    fake.unit(NAME, State { job, ..dead() });
    fake.changed_by(NAME, |m| dictionary(m, properties(vec![("Id", Value::from("x"))])));
    fake.job_removed(job, NAME, "done");
    assert!(soon(unit.wait()).await.unwrap().success());
}

#[tokio::test]
async fn no_more_is_kept_unread_than_the_end_may_need() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.service(NAME, "success", 0, 0);
    fake.service(NAME, "success", 0, 0);
    fake.unit(NAME, before(job));
    settle(&manager, &fake).await;
    assert_eq!(kept(&manager), 2, "it may fail any moment");
    fake.service(NAME, "success", 0, 0);
    fake.unit(NAME, running());
    settle(&manager, &fake).await;
    assert_eq!(kept(&manager), 3, "it may have failed, and nothing was read yet");
    fake.job_removed(job, NAME, "done");
    settle(&manager, &fake).await;
    assert_eq!(kept(&manager), 1, "it runs, and may be asked for its ID");
    assert_eq!(unit.invocation_id().unwrap().to_string(), "0102030405060708090a0b0c0d0e0f10");
    assert_eq!(kept(&manager), 0, "it runs, for years perhaps");
    fake.unit(NAME, running());
    settle(&manager, &fake).await;
    assert_eq!(kept(&manager), 0);
    fake.ends(NAME, 0);
    soon(unit.wait()).await.unwrap();
    assert_eq!(kept(&manager), 0);
    // Whatever becomes of the unit, nothing is kept.
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.job_removed(job, NAME, "done");
    fake.service(NAME, "success", 0, 0);
    settle(&manager, &fake).await;
    drop(unit);
    assert_eq!(kept(&manager), 0);
    let starting = begin(&manager, NAME);
    let call = fake.start(NAME);
    fake.service(NAME, "success", 0, 0);
    fake.peer.refuse(&call, c"an.Error", c"");
    starting.unit().await.unwrap_err();
    assert_eq!(kept(&manager), 0);
}

#[tokio::test]
async fn little_is_kept_unread_of_many_units() {
    let (manager, fake) = manager(true).await;
    let mut units = Vec::new();
    for number in 0..100 {
        let name = format!("u{number}.service");
        let (unit, job) = started(&manager, &fake, &name).await;
        fake.unit(&name, before(job));
        fake.unit(&name, running());
        fake.job_removed(job, &name, "done");
        units.push(unit);
    }
    settle(&manager, &fake).await;
    assert_eq!(kept(&manager), 64);
    assert!(units.iter().all(|unit| unit.invocation_id().is_some()));
    assert_eq!(kept(&manager), 0);
    for unit in &units {
        fake.ends(unit.name(), 0);
        assert!(soon(unit.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn only_the_last_service_signal_counts() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.service(NAME, "success", 0, 0);
    fake.unit(NAME, before(job));
    fake.service(NAME, "exit-code", 1, 9);
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    fake.service(NAME, "exit-code", 1, 8);
    fake.service(NAME, "signal", 2, 9);
    fake.unit(NAME, State { active: "failed", sub: "failed", ..dead() });
    let exit = soon(unit.wait()).await.unwrap();
    assert_eq!((&exit.result, exit.status), (&Outcome::Signal, Some(Status::Killed(9))));
}

#[tokio::test]
async fn properties_may_come_in_any_order_and_with_others() {
    for rotation in 0..8 {
        let (manager, fake) = manager(true).await;
        let (unit, job) = started(&manager, &fake, NAME).await;
        fake.unit(NAME, running());
        fake.job_removed(job, NAME, "done");
        fake.service(NAME, "success", 1, 0);
        let mut properties = unit_properties(dead());
        properties.push(("Requires", Value::from(["x", "y"])));
        let at = rotation % properties.len();
        properties.rotate_left(at);
        fake.changed(NAME, "org.freedesktop.systemd1.Unit", &properties);
        assert!(soon(unit.wait()).await.unwrap().success(), "{rotation}");
    }
}

#[tokio::test]
async fn an_invocation_id_of_another_length_is_none() {
    for bytes in [0, 15, 17] {
        let (manager, fake) = manager(true).await;
        let (unit, job) = started(&manager, &fake, NAME).await;
        let mut properties = unit_properties(running());
        properties.last_mut().unwrap().1 = Value::Bytes(vec![1; bytes]);
        fake.changed(NAME, "org.freedesktop.systemd1.Unit", &properties);
        settle(&manager, &fake).await;
        assert_eq!(unit.invocation_id(), None);
        fake.job_removed(job, NAME, "done");
        fake.ends(NAME, 0);
        assert!(soon(unit.wait()).await.unwrap().invocation_id.is_some());
    }
}

#[tokio::test]
async fn an_array_that_ends_in_the_middle_is_an_error() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    fake.changed_by(NAME, |m| {
        m.append_str("org.freedesktop.systemd1.Unit")?;
        m.container(Container::Array, c"{sv}", |_| Ok(()))
    });
    fake.runs(NAME, job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}
