//! Units that someone else has started, and streams of states: answers and signals in whatever order.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::fake::{State, before, dead, running, unit_properties};
use super::{ALL, Fake, manager, places, settle, soon, started};
use crate::bus::{Message, Value};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::Unit;

const NAME: &str = "a.service";
const NO_SUCH_UNIT: &std::ffi::CStr = c"org.freedesktop.systemd1.NoSuchUnit";

type Adopting = BoxFuture<'static, Result<Unit>>;

/// An adoption whose two questions were sent, and they.
async fn adopting<'f>(manager: &Manager, fake: &'f Fake) -> (Adopting, Message<'f>, Message<'f>) {
    let theirs = manager.clone();
    let mut future = async move { theirs.unit(NAME).await }.boxed();
    assert!((&mut future).now_or_never().is_none());
    let call = fake.expect("GetUnit");
    assert_eq!(call.read_str().unwrap(), NAME);
    fake.peer.reply(&call, |m| m.append_path("/org/freedesktop/systemd1/unit/a_2eservice"));
    settle(manager, fake).await;
    assert!((&mut future).now_or_never().is_none());
    (future, fake.asked_all(NAME, "Unit"), fake.asked_all(NAME, "Service"))
}

fn says_dead(fake: &Fake, question: &Message<'_>) {
    fake.peer.reply(question, |m| Value::from("dead").append_variant_to(m));
}

fn is(fake: &Fake, call: &Message<'_>, state: State) {
    let mut properties = unit_properties(state);
    properties.push(("LoadState", Value::from("loaded")));
    properties.push(("ActiveEnterTimestampMonotonic", Value::from(5_000_000u64)));
    fake.give_all(call, &properties);
}

fn service_is(fake: &Fake, call: &Message<'_>, (code, status): (i32, i32)) {
    let properties = [
        ("Restart", Value::from("no")),
        ("Result", Value::from(if status == 0 { "success" } else { "exit-code" })),
        ("ExecMainCode", Value::from(code)),
        ("ExecMainStatus", Value::from(status)),
    ];
    fake.give_all(call, &properties);
}

#[tokio::test]
async fn the_end_comes_before_between_or_after_the_answers() {
    for direct in [true, false] {
        for at in 0..3 {
            // Whether it is still loaded when it has ended.
            for loaded in [true, false] {
                let (manager, fake) = manager(direct).await;
                let (future, unit_call, service_call) = adopting(&manager, &fake).await;
                let refuse = |call: &Message<'_>| fake.peer.refuse(call, NO_SUCH_UNIT, c"");
                if at == 0 {
                    fake.ends(NAME, 7);
                }
                match (at, loaded) {
                    (0, false) => refuse(&unit_call),
                    (0, true) => is(&fake, &unit_call, dead()),
                    _ => is(&fake, &unit_call, running()),
                }
                if at == 1 {
                    fake.ends(NAME, 7);
                }
                match (at, loaded) {
                    (2, _) => service_is(&fake, &service_call, (0, 0)),
                    (_, true) => service_is(&fake, &service_call, (1, 7)),
                    (_, false) => refuse(&service_call),
                }
                let unit = soon(future).await.unwrap();
                if at == 2 {
                    settle(&manager, &fake).await;
                    assert!(unit.try_wait().unwrap().is_none());
                    fake.ends(NAME, 7);
                }
                // Before it is known whether systemd restarts it there is a question.
                let question = (at < 2).then(|| fake.expect("Get"));
                match question {
                    Some(question) if loaded => says_dead(&fake, &question),
                    Some(question) => refuse(&question),
                    None => {}
                }
                assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(7), "{direct} {at} {loaded}");
                settle(&manager, &fake).await;
                assert!(fake.peer.poll().is_none());
                assert_eq!((places(&manager), super::kept(&manager)), (ALL, 0));
            }
        }
    }
}

#[tokio::test]
async fn one_that_has_ended_gives_its_exit_from_the_answers() {
    let (manager, fake) = manager(false).await;
    let (future, unit_call, service_call) = adopting(&manager, &fake).await;
    is(&fake, &unit_call, dead());
    service_is(&fake, &service_call, (1, 9));
    // Answers of two times: it might have been about to restart.
    let unit = soon(future).await.unwrap();
    says_dead(&fake, &fake.expect("Get"));
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(9));
}

#[tokio::test]
async fn one_that_is_gone_or_cannot_be_asked_about() {
    for unloaded in [true, false] {
        let (manager, fake) = manager(false).await;
        let (future, unit_call, service_call) = adopting(&manager, &fake).await;
        // Unloaded and loaded again by the question: its signal says nothing.
        fake.unit(NAME, State { left: 0, ..before(0) });
        match unloaded {
            true => {
                let mut properties = unit_properties(before(0));
                properties.push(("LoadState", Value::from("not-found")));
                fake.give_all(&unit_call, &properties);
            }
            false => fake.peer.refuse(&unit_call, c"org.freedesktop.DBus.Error.AccessDenied", c"no"),
        }
        service_is(&fake, &service_call, (0, 0));
        let end = soon(future).await;
        match unloaded {
            true => assert!(matches!(end, Err(Error::NoSuchUnit { .. })), "{end:?}"),
            false => assert!(matches!(end, Err(Error::AccessDenied { .. })), "{end:?}"),
        }
        settle(&manager, &fake).await;
        assert!(fake.peer.poll().is_none());
    }
}

fn stopping() -> State {
    State { active: "deactivating", sub: "stop-sigterm", ..running() }
}

async fn words(states: crate::unit::States) -> Vec<String> {
    soon(states.map(|state| state.unwrap().to_string()).collect()).await
}

async fn running_unit(manager: &Manager, fake: &Fake) -> Unit {
    let (unit, job) = started(manager, fake, NAME).await;
    fake.unit(NAME, before(job));
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    settle(manager, fake).await;
    unit
}

#[tokio::test]
async fn a_stream_that_begins_while_signals_are_on_their_way() {
    const ALL_OF_IT: &[&str] = &["active (running)", "deactivating (stop-sigterm)", "inactive (dead)"];
    for at in 0..4 {
        let (manager, fake) = manager(at % 2 == 0).await;
        let unit = running_unit(&manager, &fake).await;
        let states = unit.states();
        let call = fake.asked_all(NAME, "Unit");
        // The answer says what is when it is given.
        let answer = |state| is(&fake, &call, state);
        if at == 0 {
            answer(running());
        }
        fake.unit(NAME, stopping());
        if at == 1 {
            answer(stopping());
        }
        fake.service(NAME, "success", 2, 15);
        if at == 2 {
            answer(stopping());
        }
        fake.unit(NAME, dead());
        if at == 3 {
            fake.peer.refuse(&call, NO_SUCH_UNIT, c"");
        }
        let expected = if at == 0 { ALL_OF_IT } else { &ALL_OF_IT[1..] };
        assert_eq!(words(states).await, expected, "{at}");
        assert_eq!(soon(unit.wait()).await.unwrap().signal(), Some(15));
        settle(&manager, &fake).await;
        assert!(fake.peer.poll().is_none());
    }
}

#[tokio::test]
async fn streams_begin_one_after_the_other() {
    let (manager, fake) = manager(true).await;
    let unit = running_unit(&manager, &fake).await;
    let first = unit.states();
    is(&fake, &fake.asked_all(NAME, "Unit"), running());
    fake.unit(NAME, stopping());
    settle(&manager, &fake).await;
    let second = unit.states();
    is(&fake, &fake.asked_all(NAME, "Unit"), stopping());
    drop(unit);
    fake.ends(NAME, 0);
    assert_eq!(words(first).await, ["active (running)", "deactivating (stop-sigterm)", "inactive (dead)"]);
    assert_eq!(words(second).await, ["deactivating (stop-sigterm)", "inactive (dead)"]);
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none());
}

/// The signal of the service came before the adoption, that of the unit after it.
#[tokio::test]
async fn half_of_the_end_is_not_taken_for_the_whole() {
    let (manager, fake) = manager(true).await;
    let (future, unit_call, service_call) = adopting(&manager, &fake).await;
    fake.unit(NAME, dead());
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none());
    is(&fake, &unit_call, dead());
    service_is(&fake, &service_call, (1, 7));
    let unit = soon(future).await.unwrap();
    says_dead(&fake, &fake.expect("Get"));
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(7));
}
