//! On a bus: asking for no more signals when there is nothing to be heard. These wait for real time to pass.

use std::time::{Duration, Instant};

use super::fake::{before, running};
use super::{Fake, begin, manager, settle, soon, started};
use crate::manager::Manager;

/// Waits until signals are asked for no more.
async fn until_quiet(manager: Manager, fake: Fake) -> (Manager, Fake) {
    let fake = soon(tokio::task::spawn_blocking(move || {
        fake.listen_no_more();
        fake
    }))
    .await
    .unwrap();
    (manager, fake)
}

#[tokio::test]
async fn when_nothing_is_outstanding_nothing_is_listened_to() {
    let (manager, fake) = manager(false).await;
    let begun = Instant::now();
    let (unit, job) = started(&manager, &fake, "a.service").await;
    fake.runs("a.service", job, 0);
    soon(unit.wait()).await.unwrap();
    let (manager, fake) = until_quiet(manager, fake).await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "another unit could have followed");
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none());
    // The next unit is listened to again, and after it nothing is.
    let (unit, job) = started(&manager, &fake, "b.service").await;
    fake.runs("b.service", job, 0);
    soon(unit.wait()).await.unwrap();
    until_quiet(manager, fake).await;
}

#[tokio::test]
async fn what_is_outstanding_is_listened_to_for_as_long_as_it_takes() {
    let (manager, fake) = manager(false).await;
    let (unit, job) = started(&manager, &fake, "a.service").await;
    fake.runs("a.service", job, 0);
    soon(unit.wait()).await.unwrap();
    // One comes just before it would be over, and takes longer than that.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (unit, job) = started(&manager, &fake, "b.service").await;
    fake.unit("b.service", before(job));
    fake.unit("b.service", running());
    fake.job_removed(job, "b.service", "done");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(fake.peer.poll().is_none(), "there is still one");
    fake.ends("b.service", 0);
    let ended = Instant::now();
    soon(unit.wait()).await.unwrap();
    until_quiet(manager, fake).await;
    assert!(ended.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn every_unit_makes_it_listen_on() {
    let (manager, fake) = manager(false).await;
    let mut ended = Instant::now();
    for name in ["a.service", "b.service"] {
        let (unit, job) = started(&manager, &fake, name).await;
        fake.runs(name, job, 0);
        ended = Instant::now();
        soon(unit.wait()).await.unwrap();
        // The next one comes in between.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(fake.peer.poll().is_none());
    }
    until_quiet(manager, fake).await;
    assert!(ended.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_handle_that_is_dropped_does_not_keep_it_listening() {
    let (manager, fake) = manager(false).await;
    let (unit, job) = started(&manager, &fake, "a.service").await;
    drop(unit);
    fake.job_removed(job, "a.service", "done");
    until_quiet(manager, fake).await;
}

#[tokio::test]
async fn a_refused_start_does_not_keep_it_listening() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    fake.peer.refuse(&fake.start("a.service"), c"an.Error", c"");
    starting.unit().await.unwrap_err();
    until_quiet(manager, fake).await;
}
