//! The connection goes: everyone who waits is told, and nothing is left behind.

use futures::FutureExt;

use super::fake::running;
use super::{ALL, begin, begin_with, how, is_forgotten, manager, places, soon, started};
use crate::error::Error;
use crate::manager::Pace;
use crate::unit::Unit;

#[tokio::test]
async fn everyone_who_waits_is_told_when_systemd_goes() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let (accepted, _) = started(&manager, &fake, "accepted.service").await;
        let (up, job) = started(&manager, &fake, "running.service").await;
        fake.unit("running.service", running());
        fake.job_removed(job, "running.service", "done");
        let (ended, job) = started(&manager, &fake, "ended.service").await;
        fake.runs("ended.service", job, 0);
        let starting = begin_with(&manager, "starting.service", Pace::Lasting, false);
        let tracked = starting.tracked.clone();
        let given_up = begin(&manager, "given-up.service").give_up();
        let mut reading = Box::pin(up.get("MainPID"));
        assert!((&mut reading).now_or_never().is_none());

        drop(fake);
        let (one, other, started, read) =
            soon(async { tokio::join!(accepted.wait(), up.wait(), starting.unit(), reading) }).await;
        let is_lost = |error: &Error| matches!(error, Error::Disconnected { reason } if !reason.is_empty());
        assert!(
            [one.err(), other.err(), started.err(), read.err()].iter().flatten().filter(|e| is_lost(e)).count() == 4
        );
        assert!(ended.wait().now_or_never().unwrap().unwrap().success(), "it is known how this one ended");
        // It stays so.
        for unit in [&accepted, &up] {
            assert!(is_lost(&unit.wait().now_or_never().unwrap().unwrap_err()));
            assert!(is_lost(&unit.try_wait().unwrap_err()));
            assert!(is_lost(&unit.get("MainPID").now_or_never().unwrap().unwrap_err()));
        }
        assert!(manager.is_lost());
        assert!(is_forgotten(&tracked) && is_forgotten(&given_up));
        assert_eq!(places(&manager), ALL);
        let tracked = std::sync::Arc::new(crate::unit::tracked::Tracked::new("next.service"));
        let next = manager.start(&tracked, how(Pace::Quick, false), |_| Ok(()), |_| Ok(()));
        assert!(is_lost(&soon(next).await.unwrap_err()));
        assert!(is_forgotten(&tracked));
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn whoever_waits_for_a_place_is_told_too() {
    let (manager, fake) = manager(true).await;
    let mut units = Vec::new();
    for n in 0..ALL.0 {
        units.push(started(&manager, &fake, &format!("{n}.service")).await.0);
    }
    let waiting: Vec<_> = (0..10).map(|n| begin(&manager, &format!("waiting-{n}.service"))).collect();
    assert!(fake.peer.poll().is_none());
    drop(fake);
    for starting in waiting {
        assert!(matches!(starting.unit().await, Err(Error::Disconnected { .. })));
    }
    assert!(units.iter().all(|unit| matches!(unit.try_wait(), Err(Error::Disconnected { .. }))));
    assert_eq!(places(&manager), ALL);
}

#[test]
fn everyone_who_waits_is_told_when_the_runtime_goes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (manager, unit, starting, fake) = runtime.block_on(async {
        let (manager, fake) = manager(true).await;
        let (unit, _) = started(&manager, &fake, "a.service").await;
        let starting = begin(&manager, "b.service");
        fake.start("b.service");
        (manager, unit, starting, fake)
    });
    drop(runtime);
    let tracked = starting.tracked.clone();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(matches!(other.block_on(async { soon(unit.wait()).await }), Err(Error::RuntimeGone)));
    assert!(matches!(other.block_on(starting.unit()), Err(Error::RuntimeGone)));
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
    assert!(fake.peer.until_closed().is_empty());
}

#[tokio::test]
async fn a_unit_keeps_the_connection_that_it_came_over() {
    let (manager, fake) = manager(true).await;
    let (unit, job): (Unit, u32) = started(&manager, &fake, "a.service").await;
    drop(manager);
    fake.runs("a.service", job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
    drop(unit);
    assert!(fake.peer.until_closed().is_empty());
}

#[tokio::test]
async fn waiting_for_a_unit_needs_no_other_hold_on_the_connection() {
    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, "a.service").await;
    drop(manager);
    let waiting = unit.into_future();
    fake.runs("a.service", job, 0);
    assert!(soon(waiting).await.unwrap().success());
    assert!(fake.peer.until_closed().is_empty());
}
