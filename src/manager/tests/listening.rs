//! On a bus: asking for signals.

use std::ffi::CStr;

use super::{ALL, Fake, begin, is_forgotten, manager, places, settle, soon, started};
use crate::error::Error;

#[tokio::test]
async fn rules_match_what_is_needed_and_no_more() {
    let (manager, fake) = manager(false).await;
    let _starting = begin(&manager, "a.service");
    let rules = [(); 4].map(|()| fake.expect_rule("AddMatch").1);
    for rule in &rules {
        assert!(rule.contains("type='signal'") && rule.contains("sender="), "{rule}");
        assert!(!rule.contains("a.service"), "a rule for each unit does not scale");
    }
    for needed in [
        "member='JobRemoved'",
        "arg0='org.freedesktop.systemd1.Unit'",
        "arg0='org.freedesktop.systemd1.Service'",
        "member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
    ] {
        assert_eq!(rules.iter().filter(|rule| rule.contains(needed)).count(), 1, "{needed}");
    }
    fake.expect("Subscribe");
    fake.expect("StartTransientUnit");
}

#[tokio::test]
async fn on_its_own_socket_nothing_is_asked_for() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, "a.service").await;
    fake.runs("a.service", job, 0);
    soon(unit.wait()).await.unwrap();
    assert!(fake.peer.poll().is_none());
}

/// Refuses the `at`th of the five calls with which signals are asked for.
fn refuse_one(fake: &Fake, at: usize, name: &CStr) {
    for n in 0..4 {
        let (call, _) = fake.expect_rule("AddMatch");
        fake.daemon(|daemon| match n == at {
            true => daemon.refuse(&call, name, c"no more"),
            false => daemon.reply(&call, |_| Ok(())),
        });
    }
    let call = fake.expect("Subscribe");
    match at == 4 {
        true => fake.peer.refuse(&call, name, c"no more"),
        false => fake.peer.reply(&call, |_| Ok(())),
    }
}

/// The stop of the unit that nobody could follow.
fn stops(fake: &Fake) {
    let stop = fake.expect("StopUnit");
    assert_eq!(stop.read_str().unwrap(), "a.service");
    fake.peer.reply(&stop, |m| m.append_path("/org/freedesktop/systemd1/job/7"));
}

#[tokio::test]
async fn who_may_not_listen_starts_nothing() {
    for at in 0..5 {
        let (manager, fake) = manager(false).await;
        let starting = begin(&manager, "a.service");
        let tracked = starting.tracked.clone();
        refuse_one(&fake, at, c"org.freedesktop.DBus.Error.LimitsExceeded");
        let call = fake.expect("StartTransientUnit");
        let error = starting.unit().await.unwrap_err();
        let method = if at == 4 { "Subscribe" } else { "AddMatch" };
        assert!(matches!(&error, Error::Call { method: called, .. } if *called == method), "{error:?}");
        // systemd has started it all the same.
        let job = fake.accept(&call);
        settle(&manager, &fake).await;
        stops(&fake);
        fake.job_removed(job, "a.service", "canceled");
        settle(&manager, &fake).await;
        assert!(is_forgotten(&tracked));
        assert_eq!(places(&manager), ALL);
        // The next one asks again.
        let (unit, job) = started(&manager, &fake, "b.service").await;
        fake.runs("b.service", job, 0);
        assert!(soon(unit.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn who_may_not_listen_and_not_start_is_told_once() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    let tracked = starting.tracked.clone();
    refuse_one(&fake, 4, c"org.freedesktop.DBus.Error.AccessDenied");
    fake.peer.refuse(&fake.expect("StartTransientUnit"), c"an.Error", c"");
    assert!(matches!(starting.unit().await, Err(Error::AccessDenied { method: "Subscribe", .. })));
    settle(&manager, &fake).await;
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
    assert!(fake.peer.poll().is_none());
}

#[tokio::test]
async fn who_may_not_listen_hears_of_no_job_either() {
    // Of the signals that were asked for none comes, so neither does that of a start job.
    let (manager, fake) = manager(false).await;
    let starting: Vec<_> = (0..ALL.0).map(|_| begin(&manager, "a.service")).collect();
    refuse_one(&fake, 0, c"org.freedesktop.DBus.Error.LimitsExceeded");
    let calls: Vec<_> = starting.iter().map(|_| fake.expect("StartTransientUnit")).collect();
    for starting in starting {
        starting.unit().await.unwrap_err();
    }
    for call in &calls {
        fake.accept(call);
    }
    settle(&manager, &fake).await;
    calls.iter().for_each(|_| stops(&fake));
    settle(&manager, &fake).await;
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn units_that_run_when_listening_fails_are_told() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    let tracked = starting.tracked.clone();
    let calls = [(); 4].map(|()| fake.expect_rule("AddMatch").0);
    let subscribe = fake.expect("Subscribe");
    let job = fake.accept(&fake.expect("StartTransientUnit"));
    let unit = starting.unit().await.unwrap();
    fake.daemon(|daemon| daemon.refuse(&calls[3], c"org.freedesktop.DBus.Error.LimitsExceeded", c"no more"));
    assert!(matches!(soon(unit.wait()).await, Err(Error::Call { method: "AddMatch", .. })));
    fake.peer.reply(&subscribe, |_| Ok(()));
    fake.job_removed(job, "a.service", "done");
    settle(&manager, &fake).await;
    drop(unit);
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn to_be_subscribed_already_is_fine() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    refuse_one(&fake, 4, c"org.freedesktop.systemd1.AlreadySubscribed");
    let job = fake.accept(&fake.expect("StartTransientUnit"));
    let unit = starting.unit().await.unwrap();
    fake.runs("a.service", job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}
