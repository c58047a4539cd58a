//! Starts: accepted, refused, answered with nonsense, and their places.

use std::ffi::CStr;
use std::future::IntoFuture;

use futures::FutureExt;

use super::{ALL, Fake, begin, begin_with, how, is_forgotten, manager, places, settle, soon, started};
use crate::bus::{Container, Message, Value};
use crate::error::{Error, Result};
use crate::manager::{Manager, Pace};
use crate::unit::{Outcome, Status};

#[tokio::test]
async fn a_unit_is_started_runs_and_ends() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let starting = begin(&manager, "a.service");
        let call = fake.start("a.service");
        assert_eq!(call.signature(), "ssa(sv)a(sa(sv))");
        assert!(call.wants_reply());
        assert_eq!(call.path(), Some("/org/freedesktop/systemd1"));
        let job = fake.accept(&call);
        let unit = starting.unit().await.unwrap();
        assert!(unit.try_wait().unwrap().is_none());
        fake.runs("a.service", job, 7);
        let exit = soon(unit.wait()).await.unwrap();
        assert_eq!(
            (&*exit.unit, &exit.result, exit.status),
            ("a.service", &Outcome::ExitCode, Some(Status::Exited(7)))
        );
        assert_eq!(exit.runtime.unwrap().as_millis(), 500);
        assert_eq!(exit.invocation_id, unit.invocation_id());
        assert_eq!(exit.invocation_id.unwrap().as_bytes()[..3], [1, 2, 3]);
        assert_eq!(places(&manager), ALL);
        assert!(fake.peer.poll().is_none(), "one call a unit, and no more");
    }
}

#[tokio::test]
async fn the_second_unit_costs_one_message() {
    let (manager, fake) = manager(false).await;
    let (first, _) = started(&manager, &fake, "a.service").await;
    let starting = begin(&manager, "b.service");
    fake.accept(&fake.expect("StartTransientUnit"));
    let second = starting.unit().await.unwrap();
    assert!(fake.peer.poll().is_none());
    drop((first, second));
}

/// A start that is refused with this error.
async fn refused(name: &CStr) -> Error {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    let tracked = starting.tracked.clone();
    fake.peer.refuse(&fake.start("a.service"), name, c"said so");
    let error = starting.unit().await.unwrap_err();
    assert!(is_forgotten(&tracked), "{error}");
    assert_eq!(places(&manager), ALL);
    // What is refused is not stopped, and the connection is as good as before.
    assert!(fake.peer.poll().is_none());
    let (unit, job) = started(&manager, &fake, "a.service").await;
    fake.runs("a.service", job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
    error
}

#[tokio::test]
async fn a_refusal_is_the_error_that_it_means() {
    let error = refused(c"org.freedesktop.systemd1.UnitExists").await;
    assert!(matches!(error, Error::UnitExists { name, message } if &*name == "a.service" && &*message == "said so"));
    for denied in
        [c"org.freedesktop.DBus.Error.AccessDenied", c"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"]
    {
        let error = refused(denied).await;
        assert!(
            matches!(error, Error::AccessDenied { method: "StartTransientUnit", message } if &*message == "said so")
        );
    }
    for nobody in [
        c"org.freedesktop.DBus.Error.ServiceUnknown",
        c"org.freedesktop.DBus.Error.NameHasNoOwner",
        c"org.freedesktop.DBus.Error.Spawn.ChildExited",
    ] {
        assert!(matches!(refused(nobody).await, Error::Unavailable { .. }));
    }
    for other in [c"org.freedesktop.DBus.Error.InvalidArgs", c"System.Error.ENOMEM", c"x.y"] {
        let error = refused(other).await;
        let Error::Call { method: "StartTransientUnit", name, message } = error else { panic!("{error:?}") };
        assert_eq!((&*name, &*message), (other.to_str().unwrap(), "said so"));
    }
}

#[tokio::test]
async fn a_reply_that_names_no_job_is_an_error() {
    let replies: [fn(&mut Message<'_>) -> Result<()>; 8] = [
        |_| Ok(()),
        |m| m.append_str("/org/freedesktop/systemd1/job/5"),
        |m| m.append(5u32),
        |m| m.append_path("/"),
        |m| m.append_path("/org/freedesktop/systemd1/job/x"),
        |m| m.append_path("/org/freedesktop/systemd1/job"),
        |m| m.append_path("/org/freedesktop/systemd1/job/99999999999"),
        |m| m.container(Container::Array, c"o", |m| m.append_path("/org/freedesktop/systemd1/job/5")),
    ];
    let (manager, fake) = manager(true).await;
    for reply in replies {
        let starting = begin(&manager, "a.service");
        let tracked = starting.tracked.clone();
        fake.peer.reply(&fake.start("a.service"), reply);
        let error = starting.unit().await.unwrap_err();
        assert!(matches!(error, Error::Message { .. }), "{error:?}");
        assert!(is_forgotten(&tracked));
    }
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_and_holds_nothing() {
    let (manager, fake) = manager(false).await;
    for _ in 0..100 {
        let tracked = std::sync::Arc::new(crate::unit::tracked::Tracked::new("a.service"));
        let start = manager.start(
            &tracked,
            how(Pace::Lasting, false),
            |m| {
                m.container(Container::Struct, c"sv", |m| {
                    m.append_str("Description")?;
                    Value::from("nul\0").append_variant_to(m)
                })
            },
            |_| Ok(()),
        );
        assert!(matches!(soon(start).await, Err(Error::Invalid { .. })));
        assert!(is_forgotten(&tracked));
    }
    assert_eq!(places(&manager), ALL);
    // Not even signals were asked for.
    assert!(fake.peer.poll().is_none());
}

/// Starts one after the other, and none that went badly takes a place away.
async fn again_and_again(direct: bool, pace: Pace, mut go: impl AsyncFnMut(&Manager, &Fake, super::Starting)) {
    let (manager, fake) = manager(direct).await;
    for _ in 0..300 {
        let starting = begin_with(&manager, "a.service", pace, false);
        let tracked = starting.tracked.clone();
        go(&manager, &fake, starting).await;
        assert!(is_forgotten(&tracked));
    }
    assert_eq!(places(&manager), ALL);
    assert!(fake.peer.poll().is_none());
}

#[tokio::test]
async fn refused_starts_give_their_places_back() {
    for pace in [Pace::Quick, Pace::Lasting] {
        again_and_again(false, pace, async |_, fake, starting| {
            fake.peer.refuse(&fake.start("a.service"), c"an.Error", c"");
            starting.unit().await.unwrap_err();
        })
        .await;
    }
}

#[tokio::test]
async fn starts_answered_with_nonsense_give_their_places_back() {
    again_and_again(false, Pace::Lasting, async |_, fake, starting| {
        fake.peer.reply(&fake.start("a.service"), |m| m.append(7u8));
        starting.unit().await.unwrap_err();
    })
    .await;
}

#[tokio::test]
async fn units_that_end_give_their_places_back() {
    for (direct, pace) in [(true, Pace::Quick), (false, Pace::Lasting)] {
        again_and_again(direct, pace, async |_, fake, starting| {
            let job = fake.accept(&fake.start("a.service"));
            fake.runs("a.service", job, 0);
            soon(starting.unit().await.unwrap().into_future()).await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn starts_that_are_given_up_give_their_places_back() {
    for (direct, pace) in [(true, Pace::Quick), (false, Pace::Lasting)] {
        again_and_again(direct, pace, async |manager, fake, starting| {
            let call = fake.start("a.service");
            drop(starting.give_up());
            let job = fake.accept(&call);
            settle_stop(manager, fake, job).await;
        })
        .await;
    }
}

/// The stop of a start that was given up, and what comes of it.
async fn settle_stop(manager: &Manager, fake: &Fake, job: u32) {
    settle(manager, fake).await;
    let stop = fake.expect("StopUnit");
    assert_eq!((stop.read_str().unwrap(), stop.read_str().unwrap()), ("a.service", "replace"));
    fake.peer.reply(&stop, |m| m.append_path("/org/freedesktop/systemd1/job/1"));
    fake.job_removed(job, "a.service", "canceled");
    fake.job_removed(1, "a.service", "done");
    settle(manager, fake).await;
}

#[tokio::test]
async fn handles_that_are_dropped_give_their_places_back() {
    for (direct, pace) in [(true, Pace::Quick), (false, Pace::Lasting)] {
        again_and_again(direct, pace, async |manager, fake, starting| {
            let job = fake.accept(&fake.start("a.service"));
            drop(starting.unit().await.unwrap());
            fake.job_removed(job, "a.service", "done");
            settle(manager, fake).await;
        })
        .await;
    }
}

#[tokio::test]
async fn only_so_many_jobs_are_in_flight() {
    let (manager, fake) = manager(true).await;
    let mut units = Vec::new();
    for n in 0..ALL.0 {
        units.push(started(&manager, &fake, &format!("{n}.service")).await);
    }
    let mut waiting = begin(&manager, "waiting.service");
    assert!(fake.peer.poll().is_none(), "there is no place for it");
    // One whose handle is gone counts as long as its job does.
    let (unit, job) = units.pop().unwrap();
    drop(unit);
    settle(&manager, &fake).await;
    assert!((&mut waiting.future).now_or_never().is_none());
    assert!(fake.peer.poll().is_none());
    fake.job_removed(job, &format!("{}.service", ALL.0 - 1), "done");
    settle(&manager, &fake).await;
    assert!((&mut waiting.future).now_or_never().is_none(), "it waits for the reply");
    fake.accept(&fake.start("waiting.service"));
    drop(waiting.unit().await.unwrap());
}

#[tokio::test]
async fn whoever_gives_up_waiting_for_a_place_sends_nothing() {
    let (manager, fake) = manager(true).await;
    let mut units = Vec::new();
    for n in 0..ALL.0 {
        units.push(started(&manager, &fake, &format!("{n}.service")).await);
    }
    let given_up = begin(&manager, "waiting.service").give_up();
    assert!(is_forgotten(&given_up));
    for (n, (_, job)) in units.iter().enumerate() {
        fake.job_removed(*job, &format!("{n}.service"), "done");
    }
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none());
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn a_lasting_start_holds_up_no_quick_one() {
    let (manager, fake) = manager(false).await;
    let mut units = Vec::new();
    for n in 0..50 {
        let starting = begin_with(&manager, &format!("{n}.service"), Pace::Lasting, false);
        let job = fake.accept(&fake.start(&format!("{n}.service")));
        units.push((starting.unit().await.unwrap(), job));
    }
    assert_eq!(places(&manager), (ALL.0, 10), "50 of 60 are taken, and no quick one's");
    let (unit, job) = started(&manager, &fake, "quick.service").await;
    fake.runs("quick.service", job, 0);
    soon(unit.wait()).await.unwrap();
}

type Answer = fn(&Fake, &Message<'_>);
type Expected = fn(Result<Value>) -> bool;

#[tokio::test]
async fn a_property_is_what_systemd_answers() {
    let (manager, fake) = manager(false).await;
    let (unit, _) = started(&manager, &fake, "a.service").await;
    let answers: [(Answer, Expected); 7] = [
        (
            |fake, call| fake.peer.reply(call, |m| Value::from(["x"]).append_variant_to(m)),
            |got| got.is_ok_and(|value| value == Value::from(["x"])),
        ),
        (
            |fake, call| {
                let empty = crate::bus::Signature::new("s").unwrap();
                let dictionary = Value::Dict(empty.clone(), empty, vec![(Value::from("k"), Value::from("v"))]);
                fake.peer.reply(call, |m| dictionary.append_variant_to(m));
            },
            |got| matches!(got, Ok(Value::Dict(_, _, entries)) if entries.len() == 1),
        ),
        (|fake, call| fake.peer.reply(call, |_| Ok(())), |got| matches!(got, Err(Error::Message { .. }))),
        (|fake, call| fake.peer.reply(call, |m| m.append_str("x")), |got| matches!(got, Err(Error::Message { .. }))),
        (|fake, call| fake.peer.reply(call, |m| m.append(1u8)), |got| matches!(got, Err(Error::Message { .. }))),
        (
            |fake, call| fake.peer.refuse(call, c"org.freedesktop.DBus.Error.AccessDenied", c""),
            |got| matches!(got, Err(Error::AccessDenied { method: "Get", .. })),
        ),
        (
            |fake, call| fake.peer.refuse(call, c"x.y", c"z"),
            |got| matches!(got, Err(Error::Call { method: "Get", .. })),
        ),
    ];
    for (answer, expected) in answers {
        let mut asking = Box::pin(unit.get("Property"));
        assert!((&mut asking).now_or_never().is_none());
        let call = fake.expect("Get");
        assert_eq!(call.path(), Some("/org/freedesktop/systemd1/unit/a_2eservice"));
        assert_eq!(call.read_str().unwrap(), "org.freedesktop.systemd1.Service");
        assert_eq!(call.read_str().unwrap(), "Property");
        answer(&fake, &call);
        let got = soon(asking).await;
        assert!(expected(got.clone()), "{got:?}");
    }
    // One that nobody waits for any more.
    let mut asking = Box::pin(unit.get("Property"));
    assert!((&mut asking).now_or_never().is_none());
    drop(asking);
    fake.peer.reply(&fake.expect("Get"), |m| Value::from(1u8).append_variant_to(m));
    settle(&manager, &fake).await;
}
