//! What a unit has used is read at its end, or is not: the exit comes in any case.

use futures::FutureExt;

use super::fake::{before, running};
use super::{ALL, Fake, Starting, kept, manager, places, settle, soon};
use crate::bus::{Message, Value};
use crate::manager::{JobMode, Manager, Pace, Start};
use crate::unit::Unit;
use crate::unit::tracked::Tracked;
use std::sync::Arc;

const NAME: &str = "a.service";

/// A start that is on its way to have its unit kept.
fn begin(manager: &Manager) -> Starting {
    let tracked = Arc::new(Tracked::new(NAME));
    let (theirs, inside) = (manager.clone(), tracked.clone());
    let how = Start { pace: Pace::Quick, restarts: false, usage: true, durable: false, mode: JobMode::Fail };
    let mut future = async move { theirs.start(&inside, how, |_| Ok(()), |_| Ok(())).await }.boxed();
    assert!((&mut future).now_or_never().is_none());
    Starting { tracked, manager: manager.clone(), future }
}

/// The properties of a start have a reference among them.
fn is_referenced(start: &Message<'_>) -> bool {
    let properties = Value::read_from(start).unwrap();
    format!("{properties:?}").contains("AddRef")
}

/// The start of a slice, and its name.
fn keeper(fake: &Fake) -> (Message<'_>, String) {
    let call = fake.expect("StartTransientUnit");
    let name = call.read_str().unwrap().to_owned();
    assert!(name.starts_with("sdrunkeep") && name.ends_with(".slice"), "{name}");
    (call, name)
}

/// The stop of the slice, to its end.
async fn keeper_goes(manager: &Manager, fake: &Fake, name: &str) {
    let call = fake.expect("StopUnit");
    assert_eq!(call.read_str().unwrap(), name);
    let job = fake.new_job();
    fake.accept_as(&call, job);
    fake.job_removed(job, name, "done");
    settle(manager, fake).await;
}

async fn accepted(fake: &Fake, starting: Starting) -> (Unit, bool) {
    let call = fake.start(NAME);
    let referenced = is_referenced(&call);
    let job = fake.accept(&call);
    let unit = starting.unit().await.unwrap();
    fake.unit(NAME, before(job));
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    (unit, referenced)
}

/// A unit that is kept: by a slice of this name where there is no bus.
async fn started(manager: &Manager, fake: &Fake, direct: bool) -> (Unit, Option<String>) {
    let mut starting = begin(manager);
    let keeper = direct.then(|| {
        let (call, name) = keeper(fake);
        let job = fake.accept(&call);
        fake.job_removed(job, &name, "done");
        name
    });
    if direct {
        settle(manager, fake).await;
        assert!((&mut starting.future).now_or_never().is_none());
    }
    let (unit, referenced) = accepted(fake, starting).await;
    assert_eq!(referenced, !direct);
    (unit, keeper)
}

#[tokio::test]
async fn the_reading_may_fail() {
    let answers: [fn(&Fake, &Message<'_>); 6] = [
        |fake, call| {
            fake.give_all(call, &[("CPUUsageNSec", Value::from(12u64)), ("IOReadBytes", Value::from(u64::MAX))])
        },
        |fake, call| fake.peer.refuse(call, c"org.freedesktop.systemd1.NoSuchUnit", c""),
        |fake, call| fake.peer.reply(call, |_| Ok(())),
        |fake, call| fake.give_all(call, &[("CPUUsageNSec", Value::from("much"))]),
        // What an older manager says of I/O after the end is what someone asked for before it.
        |fake, call| fake.give_all(call, &[("CPUUsageNSec", 12u64.into()), ("IOReadBytes", 5u64.into())]),
        |fake, call| {
            let newer = ("ManagedOOMMemoryPressureDurationUSec", 5u64.into());
            fake.give_all(call, &[("CPUUsageNSec", 12u64.into()), ("IOReadBytes", 5u64.into()), newer]);
        },
    ];
    for direct in [true, false] {
        for (number, answer) in answers.iter().enumerate() {
            let (manager, fake) = manager(direct).await;
            let (unit, keeper) = started(&manager, &fake, direct).await;
            fake.ends(NAME, 7);
            settle(&manager, &fake).await;
            assert!(unit.try_wait().unwrap().is_none(), "the exit waits for the reading");
            // What comes meanwhile changes nothing.
            fake.unit(NAME, super::fake::dead());
            let call = fake.asked_all(NAME, "Service");
            if !direct {
                let unref = fake.expect("UnrefUnit");
                assert!(!unref.wants_reply());
                assert_eq!(unref.read_str().unwrap(), NAME);
            }
            answer(&fake, &call);
            if let Some(keeper) = keeper {
                settle(&manager, &fake).await;
                assert!(unit.try_wait().unwrap().is_none(), "and for the slice to be let go of");
                assert!(unit.wait().now_or_never().is_none());
                keeper_goes(&manager, &fake, &keeper).await;
            }
            let exit = soon(unit.wait()).await.unwrap();
            assert_eq!(exit.code(), Some(7));
            assert_eq!(
                exit.usage.map(|usage| (usage.cpu.map(|cpu| cpu.as_nanos()), usage.io_read)),
                match number {
                    0 | 4 => Some((Some(12), None)),
                    5 => Some((Some(12), Some(5))),
                    _ => None,
                }
            );
            settle(&manager, &fake).await;
            assert!(fake.peer.poll().is_none());
            assert_eq!((places(&manager), kept(&manager)), (ALL, 0));
        }
    }
}

/// The slice is to be stopped, and that is refused, or never answered.
#[tokio::test]
async fn the_end_does_not_wait_for_the_slice_for_long() {
    for refused in [true, false] {
        let (manager, fake) = manager(true).await;
        let (unit, _keeper) = started(&manager, &fake, true).await;
        fake.ends(NAME, 7);
        settle(&manager, &fake).await;
        let call = fake.asked_all(NAME, "Service");
        fake.give_all(&call, &[]);
        settle(&manager, &fake).await;
        let call = fake.expect("StopUnit");
        if refused {
            fake.peer.refuse(&call, c"org.freedesktop.systemd1.NoSuchUnit", c"");
        }
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(7));
        // It was told, and not only known.
        assert_eq!(unit.try_wait().unwrap().unwrap().code(), Some(7));
    }
}

#[tokio::test]
async fn the_connection_is_lost_while_it_is_read() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let (unit, _keeper) = started(&manager, &fake, direct).await;
        fake.ends(NAME, 7);
        settle(&manager, &fake).await;
        fake.asked_all(NAME, "Service");
        drop(fake);
        let exit = soon(unit.wait()).await.unwrap();
        assert_eq!((exit.code(), exit.usage), (Some(7), None));
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn without_a_slice_there_is_no_usage() {
    let (manager, fake) = manager(true).await;
    for refused in [true, false] {
        let mut starting = begin(&manager);
        let (call, name) = keeper(&fake);
        match refused {
            true => fake.peer.refuse(&call, c"org.freedesktop.DBus.Error.AccessDenied", c"no"),
            false => {
                let job = fake.accept(&call);
                fake.job_removed(job, &name, "canceled");
            }
        }
        settle(&manager, &fake).await;
        assert!((&mut starting.future).now_or_never().is_none());
        keeper_goes_first(&fake, &name);
        let (unit, referenced) = accepted(&fake, starting).await;
        assert!(!referenced);
        fake.ends(NAME, 7);
        let exit = soon(unit.wait()).await.unwrap();
        assert_eq!((exit.code(), exit.usage), (Some(7), None));
        settle(&manager, &fake).await;
        assert!(fake.peer.poll().is_none());
        assert_eq!(places(&manager), ALL);
    }
}

/// It is stopped, lest it be there all the same.
fn keeper_goes_first(fake: &Fake, name: &str) {
    let call = fake.expect("StopUnit");
    assert_eq!(call.read_str().unwrap(), name);
    fake.peer.refuse(&call, c"org.freedesktop.systemd1.NoSuchUnit", c"");
}

#[tokio::test]
async fn a_start_given_up_lets_go_of_its_slice() {
    let (manager, fake) = manager(true).await;
    // While the slice is being started.
    let starting = begin(&manager);
    let (call, name) = keeper(&fake);
    drop(starting.give_up());
    keeper_goes_first(&fake, &name);
    let job = fake.accept(&call);
    fake.job_removed(job, &name, "canceled");
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none());
    // When the unit's own start is refused.
    let mut starting = begin(&manager);
    let (call, name) = keeper(&fake);
    let job = fake.accept(&call);
    fake.job_removed(job, &name, "done");
    settle(&manager, &fake).await;
    assert!((&mut starting.future).now_or_never().is_none());
    fake.peer.refuse(&fake.start(NAME), c"org.freedesktop.systemd1.UnitExists", c"");
    assert!(starting.unit().await.is_err());
    keeper_goes(&manager, &fake, &name).await;
    assert_eq!(places(&manager), ALL);
}

/// Where signals are refused no slice stays: neither one that is being started, nor one that is being stopped or waits for
/// that, and later ones are stopped as ever.
#[tokio::test]
async fn slices_are_stopped_where_nothing_is_heard() {
    let (manager, fake) = manager(false).await;
    // No unit may be referenced any more.
    let references: Vec<_> = std::iter::from_fn(|| manager.inner.jobs.try_reference()).collect();
    {
        let let_go = |number: usize| {
            let keeper = format!("sdrunkeep{number}.slice");
            manager.inner.link.with(|registry, cx| registry.let_go(keeper.into(), cx)).unwrap();
        };
        let starting = begin(&manager);
        (0..100).for_each(let_go);
        let (rule, _) = fake.expect_rule("AddMatch");
        for _ in 0..3 {
            fake.expect_rule("AddMatch");
        }
        fake.expect("Subscribe");
        let (_, started) = keeper(&fake);
        let most = manager.inner.jobs.stopping();
        for number in 0..most {
            assert_eq!(fake.expect("StopUnit").read_str().unwrap(), format!("sdrunkeep{number}.slice"));
        }
        assert!(fake.peer.poll().is_none());
        fake.daemon(|daemon| daemon.refuse(&rule, c"an.Error", c"no more"));
        settle(&manager, &fake).await;
        for number in most..100 {
            assert_eq!(fake.expect("StopUnit").read_str().unwrap(), format!("sdrunkeep{number}.slice"));
        }
        let mut future = starting.future;
        assert!((&mut future).now_or_never().is_none());
        // It goes on, and asks once more.
        for _ in 0..4 {
            fake.expect_rule("AddMatch");
        }
        fake.expect("Subscribe");
        assert_eq!(fake.expect("StopUnit").read_str().unwrap(), started);
        assert_eq!(fake.expect("StartTransientUnit").read_str().unwrap(), NAME);
    }
    drop(references);
}
