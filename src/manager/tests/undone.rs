//! Starts that nobody waits for any more.

use super::fake::{before, running};
use super::{ALL, Fake, begin, is_forgotten, manager, places, settle, soon, started};
use crate::manager::Manager;

fn stops(fake: &Fake, name: &str) {
    let stop = fake.expect("StopUnit");
    assert_eq!((stop.read_str().unwrap(), stop.read_str().unwrap()), (name, "replace"));
    assert!(stop.wants_reply());
    let job = fake.new_job();
    fake.peer.reply(&stop, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
}

async fn quiet(manager: &Manager, fake: &Fake) {
    settle(manager, fake).await;
    assert!(fake.peer.poll().is_none());
}

#[tokio::test]
async fn a_start_given_up_before_the_reply_is_undone_after_it() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let starting = begin(&manager, "a.service");
        let call = fake.start("a.service");
        let tracked = starting.give_up();
        // It is not known yet whether there is anything to undo.
        quiet(&manager, &fake).await;
        let job = fake.accept(&call);
        settle(&manager, &fake).await;
        stops(&fake, "a.service");
        quiet(&manager, &fake).await;
        // The job counts until it is gone.
        assert!(!is_forgotten(&tracked));
        assert_eq!(places(&manager).0, ALL.0 - 1);
        fake.job_removed(job, "a.service", "canceled");
        quiet(&manager, &fake).await;
        assert!(is_forgotten(&tracked));
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn a_start_given_up_and_then_refused_is_just_gone() {
    let (manager, fake) = manager(false).await;
    let starting = begin(&manager, "a.service");
    let call = fake.start("a.service");
    let tracked = starting.give_up();
    fake.peer.refuse(&call, c"org.freedesktop.systemd1.UnitExists", c"");
    quiet(&manager, &fake).await;
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn a_start_given_up_just_after_the_reply_is_undone_at_once() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, "a.service");
    let job = fake.accept(&fake.start("a.service"));
    // The driver has read it, but the future was not polled.
    settle(&manager, &fake).await;
    let tracked = starting.give_up();
    stops(&fake, "a.service");
    fake.job_removed(job, "a.service", "done");
    quiet(&manager, &fake).await;
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn a_start_given_up_when_its_job_is_over_is_undone_and_forgotten() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, "a.service");
    let job = fake.accept(&fake.start("a.service"));
    fake.unit("a.service", before(job));
    fake.unit("a.service", running());
    fake.job_removed(job, "a.service", "done");
    settle(&manager, &fake).await;
    let tracked = starting.give_up();
    assert!(is_forgotten(&tracked));
    stops(&fake, "a.service");
    quiet(&manager, &fake).await;
}

#[tokio::test]
async fn signals_of_a_start_that_was_given_up_change_nothing() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, "a.service");
    let call = fake.start("a.service");
    let tracked = starting.give_up();
    let job = fake.new_job();
    fake.unit("a.service", before(job));
    fake.unit("a.service", running());
    fake.job_removed(job, "a.service", "done");
    fake.accept_as(&call, job);
    fake.ends("a.service", 0);
    settle(&manager, &fake).await;
    stops(&fake, "a.service");
    quiet(&manager, &fake).await;
    assert!(is_forgotten(&tracked));
    assert_eq!(places(&manager), ALL);
    assert!(fake.peer.poll().is_none());
}

#[tokio::test]
async fn what_has_to_be_undone_keeps_the_connection_open() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let starting = begin(&manager, "a.service");
        let call = fake.start("a.service");
        let tracked = starting.give_up();
        drop(manager);
        fake.accept(&call);
        drop(call);
        // The driver has to run for that.
        let fake = soon(tokio::task::spawn_blocking(move || {
            stops(&fake, "a.service");
            fake
        }))
        .await
        .unwrap();
        let closed = soon(tokio::task::spawn_blocking(move || fake.peer.until_closed())).await.unwrap();
        assert!(closed.is_empty(), "{closed:?}");
        assert!(is_forgotten(&tracked));
    }
}

#[tokio::test]
async fn what_was_refused_after_all_keeps_no_connection_open() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, "a.service");
    let call = fake.start("a.service");
    drop((starting, manager));
    fake.peer.refuse(&call, c"an.Error", c"");
    drop(call);
    let closed = soon(tokio::task::spawn_blocking(move || fake.peer.until_closed())).await.unwrap();
    assert!(closed.is_empty());
}

#[tokio::test]
async fn a_handle_that_is_dropped_leaves_the_unit_alone() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let starting = begin(&manager, "a.service");
        let tracked = starting.tracked.clone();
        let job = fake.accept(&fake.start("a.service"));
        drop(starting.unit().await.unwrap());
        // Its start job is followed still.
        assert!(!is_forgotten(&tracked));
        fake.unit("a.service", before(job));
        fake.unit("a.service", running());
        quiet(&manager, &fake).await;
        assert!(!is_forgotten(&tracked));
        fake.job_removed(job, "a.service", "done");
        quiet(&manager, &fake).await;
        assert!(is_forgotten(&tracked));
        assert_eq!(places(&manager), ALL);
        // What comes of it later is of no concern.
        fake.ends("a.service", 0);
        quiet(&manager, &fake).await;
    }
}

#[tokio::test]
async fn a_handle_that_is_dropped_while_the_unit_runs_is_forgotten_at_once() {
    let (manager, fake) = manager(true).await;
    let starting = begin(&manager, "a.service");
    let tracked = starting.tracked.clone();
    let job = fake.accept(&fake.start("a.service"));
    let unit = starting.unit().await.unwrap();
    fake.unit("a.service", running());
    fake.job_removed(job, "a.service", "done");
    settle(&manager, &fake).await;
    drop(unit);
    assert!(is_forgotten(&tracked));
    assert!(fake.peer.poll().is_none());
}

#[tokio::test]
async fn a_wait_that_is_dropped_can_be_taken_up_again() {
    use futures::FutureExt;

    let (manager, fake) = manager(true).await;
    let (unit, job) = started(&manager, &fake, "a.service").await;
    for _ in 0..3 {
        assert!(unit.wait().now_or_never().is_none());
    }
    fake.runs("a.service", job, 0);
    let (one, other) = soon(async { tokio::join!(unit.wait(), unit.wait()) }).await;
    assert_eq!(one.unwrap(), other.unwrap());
    assert!(unit.wait().now_or_never().unwrap().unwrap().success());
    assert!(unit.try_wait().unwrap().is_some());
}

/// Each of these jobs counts among what a bus bears, however many handles are dropped at once.
#[tokio::test]
async fn only_so_many_are_undone_at_once() {
    let (manager, fake) = manager(false).await;
    let most = manager.inner.jobs.undoing();
    let name = |n: usize| format!("{n}.service");
    let mut units = Vec::new();
    for n in 0..2 * most {
        let (unit, job) = started(&manager, &fake, &name(n)).await;
        fake.unit(&name(n), running());
        fake.job_removed(job, &name(n), "done");
        units.push(unit);
    }
    settle(&manager, &fake).await;
    units.iter().for_each(|unit| manager.give_up(unit.shared().0));
    let mut stops = Vec::new();
    for n in 0..most {
        let stop = fake.expect("StopUnit");
        assert_eq!(stop.read_str().unwrap(), name(n));
        stops.push(stop);
    }
    quiet(&manager, &fake).await;
    for (n, stop) in stops.iter().enumerate() {
        // One is refused, the others end, some before the reply.
        let job = fake.new_job();
        let reply = || fake.peer.reply(stop, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
        match n % 3 {
            0 => fake.peer.refuse(stop, c"org.freedesktop.systemd1.NoSuchUnit", c""),
            1 => {
                reply();
                quiet(&manager, &fake).await;
                fake.job_removed(job, &name(n), "done");
            }
            _ => {
                fake.job_removed(job, &name(n), "done");
                reply();
            }
        }
        settle(&manager, &fake).await;
        assert_eq!(fake.expect("StopUnit").read_str().unwrap(), name(most + n));
        quiet(&manager, &fake).await;
    }
}
