//! A service that a timer starts again and again: which signals are of which run.

use std::sync::{Arc, OnceLock};

use futures::{FutureExt, StreamExt};

use super::fake::{State, before, dead, running, unit_properties};
use super::{Fake, how, manager, settle, soon};
use crate::bus::Value;
use crate::error::{Error, Result};
use crate::manager::{Manager, Pace, Triggers};
use crate::unit::runs::Runs;
use crate::unit::tracked::Tracked;
use crate::unit::{Activations, Exit, Outcome, Trigger, Unit};

const TIMER: &str = "t.timer";
const NAME: &str = "t.service";

/// A timer that was accepted, and is active.
async fn triggered(manager: &Manager, fake: &Fake, restarts: bool) -> Trigger {
    let (trigger, start) = starting(manager, restarts);
    let mut start = std::pin::pin!(start);
    assert!((&mut start).now_or_never().is_none());
    let job = fake.accept(&fake.start(TIMER));
    soon(start).await.unwrap();
    fake.unit(TIMER, before(job));
    fake.unit(TIMER, waiting());
    fake.job_removed(job, TIMER, "done");
    trigger
}

fn starting(manager: &Manager, restarts: bool) -> (Trigger, impl Future<Output = Result<()>> + use<>) {
    let tracked = Arc::new(Tracked::new(TIMER));
    let unit = Unit::new(tracked.clone(), Arc::new(OnceLock::from(manager.clone())));
    let runs = Arc::new(Runs::default());
    let trigger = Trigger::new(unit, NAME, runs.clone(), manager.clone());
    let manager = manager.clone();
    let start = async move {
        let triggers = Triggers { service: NAME, restarts, runs: &runs };
        manager.start_triggering(&tracked, how(Pace::Quick, false), (|_| Ok(()), |_| Ok(())), Some(triggers)).await
    };
    (trigger, start)
}

fn waiting() -> State {
    State { sub: "waiting", ..running() }
}

/// The timer ends.
fn timer_ends(fake: &Fake) {
    fake.unit(TIMER, dead());
}

/// Both signals of the service: how its main process ended, if it has, and its state in the run with this ID.
fn says(fake: &Fake, code: Option<i32>, state: State, id: u8) {
    says_more(fake, code, state, id, &[]);
}

fn says_more(fake: &Fake, code: Option<i32>, state: State, id: u8, more: &[(&'static str, Value)]) {
    let result = if code.unwrap_or(0) == 0 { "success" } else { "exit-code" };
    let service = [
        ("Result", Value::from(result)),
        ("ExecMainCode", Value::from(i32::from(code.is_some()))),
        ("ExecMainStatus", Value::from(code.unwrap_or(0))),
        ("ExecMainExitTimestampMonotonic", Value::from(if code.is_some() { state.entered } else { 0 })),
    ];
    fake.changed(NAME, "org.freedesktop.systemd1.Service", &service);
    let mut unit = unit_properties(state);
    unit.retain(|(name, _)| *name != "InvocationID" && !more.iter().any(|(other, _)| other == name));
    unit.push(("InvocationID", Value::Bytes(if id == 0 { Vec::new() } else { vec![id; 16] })));
    unit.extend_from_slice(more);
    fake.changed(NAME, "org.freedesktop.systemd1.Unit", &unit);
}

/// The times of a run: each begins when the one before has ended.
fn at(run: u8, state: State) -> State {
    let second = |run: u8| u64::from(run) * 1_000_000;
    match state.active {
        _ if state.left == 0 => State { left: second(run - 1), entered: second(run) - 500_000, ..state },
        "inactive" | "failed" => State { left: second(run), entered: second(run + 1) - 500_000, ..state },
        _ => State { left: second(run), entered: second(run) - 500_000, ..state },
    }
}

/// The state before the first run: nothing has ever happened.
fn first(job: u32) -> State {
    before(job)
}

/// All signals of a run that comes after the one before it, but those of its end.
fn begins(fake: &Fake, run: u8) {
    let job = u32::from(run) * 100;
    let (earlier, previous) = match run {
        1 => (first(job), None),
        _ => (State { job, ..at(run - 1, dead()) }, Some(i32::from(run) - 1)),
    };
    says(fake, previous, earlier, run - 1);
    says(fake, None, earlier, run);
    says(fake, None, State { job, ..at(run, running()) }, run);
    fake.job_removed(job, NAME, "done");
    says(fake, None, at(run, running()), run);
}

async fn next(runs: &mut Activations) -> Unit {
    soon(runs.next()).await.expect("a run").unwrap()
}

async fn exit(runs: &mut Activations) -> Exit {
    let unit = next(runs).await;
    soon(unit.wait()).await.unwrap()
}

fn is_run(exit: &Exit, run: u8) {
    assert_eq!(exit.code(), Some(run.into()), "{exit:?}");
    assert_eq!(exit.invocation_id.unwrap().as_bytes(), &[run; 16]);
    assert_eq!(exit.runtime.unwrap().as_millis(), 500);
}

/// Nothing is left of it in the registry.
fn is_idle(manager: &Manager) -> bool {
    manager.inner.link.with(|registry, _| registry.is_idle() && registry.triggering.is_empty()).unwrap()
}

/// The manager is asked if there is another run, and says no.
async fn ends(manager: &Manager, fake: &Fake, runs: &mut Activations, run: u8) {
    settle(manager, fake).await;
    answers(fake, at(run, dead()), run);
    assert!(soon(runs.next()).await.is_none());
}

fn answers(fake: &Fake, state: State, id: u8) {
    let call = fake.asked_all(NAME, "Unit");
    let mut unit = unit_properties(state);
    unit.retain(|(name, _)| *name != "InvocationID");
    unit.push(("InvocationID", Value::Bytes(if id == 0 { Vec::new() } else { vec![id; 16] })));
    fake.give_all(&call, &unit);
}

#[tokio::test]
async fn each_run_has_its_own_exit() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let trigger = triggered(&manager, &fake, false).await;
        let mut runs = trigger.activations();
        for run in 1..5 {
            begins(&fake, run);
            let unit = next(&mut runs).await;
            settle(&manager, &fake).await;
            assert!(unit.try_wait().unwrap().is_none(), "run {run}");
            assert_eq!(unit.invocation_id().unwrap().as_bytes(), &[run; 16]);
            says(&fake, Some(run.into()), at(run, dead()), run);
            is_run(&soon(unit.wait()).await.unwrap(), run);
            // What there will be of the name is another run.
            let states: Vec<_> = soon(unit.states().map(|state| state.unwrap().to_string()).collect()).await;
            assert_eq!(states, ["inactive (dead)"]);
        }
        // What was not taken yet is not lost.
        for run in 5..8 {
            begins(&fake, run);
            says(&fake, Some(run.into()), at(run, dead()), run);
        }
        timer_ends(&fake);
        settle(&manager, &fake).await;
        answers(&fake, at(7, dead()), 7);
        for run in 5..8 {
            is_run(&exit(&mut runs).await, run);
        }
        assert!(soon(runs.next()).await.is_none());
        assert!(is_idle(&manager));
        assert!(fake.peer.poll().is_none());
    }
}

/// The signal of the end names the job of the next start.
#[tokio::test]
async fn a_run_that_is_followed_at_once() {
    for restarts in [false, true] {
        let (manager, fake) = manager(true).await;
        let trigger = triggered(&manager, &fake, restarts).await;
        let mut runs = trigger.activations();
        begins(&fake, 1);
        for run in 2..6 {
            let job = u32::from(run) * 100;
            says(&fake, Some(i32::from(run) - 1), State { job, ..at(run - 1, dead()) }, run - 1);
            is_run(&exit(&mut runs).await, run - 1);
            says(&fake, None, State { job, ..at(run, running()) }, run);
            fake.job_removed(job, NAME, "done");
            says(&fake, None, at(run, running()), run);
        }
        assert!(fake.peer.poll().is_none(), "nothing is to be asked");
    }
}

/// A oneshot is inactive again before its job is removed, and the signal after that says no more.
#[tokio::test]
async fn a_oneshot_is_one_run() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, false).await;
    let mut runs = trigger.activations();
    let oneshot = |run: u8, end: bool| {
        let job = u32::from(run) * 100;
        let activating = State { active: "activating", sub: "start", ..running() };
        says(&fake, None, State { job, ..at(run, activating) }, run);
        if end {
            says(&fake, Some(run.into()), State { job, ..at(run, dead()) }, run);
        }
        fake.job_removed(job, NAME, "done");
    };
    says(&fake, None, first(100), 0);
    oneshot(1, true);
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&exit(&mut runs).await, 1);
    says(&fake, Some(1), State { job: 200, ..at(1, dead()) }, 1);
    // Its end is told of in the signal that has the next job too.
    oneshot(2, false);
    says(&fake, Some(2), State { job: 300, ..at(2, dead()) }, 2);
    is_run(&exit(&mut runs).await, 2);
    oneshot(3, true);
    says(&fake, Some(3), at(3, dead()), 3);
    is_run(&exit(&mut runs).await, 3);
    settle(&manager, &fake).await;
    assert!(runs.next().now_or_never().is_none());
}

/// A manager that is busy merges signals.
#[tokio::test]
async fn runs_of_which_little_is_told() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, false).await;
    let mut runs = trigger.activations();
    // All of a run in one.
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&exit(&mut runs).await, 1);
    // No more than that it runs.
    says(&fake, None, at(2, running()), 2);
    let second = next(&mut runs).await;
    // The next one runs already.
    says(&fake, None, at(3, running()), 3);
    let unknown = soon(second.wait()).await;
    assert!(matches!(unknown, Err(Error::Message { .. })), "{unknown:?}");
    says(&fake, Some(3), at(3, dead()), 3);
    is_run(&exit(&mut runs).await, 3);
    // The same signal again is nothing new.
    says(&fake, Some(3), at(3, dead()), 3);
    timer_ends(&fake);
    ends(&manager, &fake, &mut runs, 3).await;
}

#[tokio::test]
async fn starts_that_come_to_nothing() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, false).await;
    let mut runs = trigger.activations();
    begins(&fake, 1);
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&exit(&mut runs).await, 1);
    let idle = |job: u32| State { job, ..at(1, dead()) };
    // A condition is not met.
    says(&fake, Some(1), idle(200), 1);
    fake.job_removed(200, NAME, "done");
    let unmet = [("ConditionResult", Value::from(false)), ("ConditionTimestampMonotonic", Value::from(3_000_000u64))];
    says_more(&fake, Some(1), idle(0), 1, &unmet);
    let skipped = exit(&mut runs).await;
    assert_eq!((&skipped.result, skipped.status, skipped.started), (&Outcome::Condition, None, None), "{skipped:?}");
    // Stopped though it does not run: no run at all.
    says_more(&fake, Some(1), idle(300), 1, &unmet);
    fake.job_removed(300, NAME, "done");
    says_more(&fake, Some(1), idle(0), 1, &unmet);
    // Starts that fail, or are given up.
    for (job, came_to, result) in [
        (400, "canceled", Outcome::Canceled),
        (500, "dependency", Outcome::Dependency),
        (600, "failed", Outcome::Other("failed".into())),
    ] {
        says_more(&fake, Some(1), idle(job), 1, &unmet);
        fake.job_removed(job, NAME, came_to);
        says_more(&fake, Some(1), idle(0), 1, &unmet);
        let exit = exit(&mut runs).await;
        assert_eq!((&exit.result, exit.status, exit.invocation_id), (&result, None, None), "{exit:?}");
    }
    timer_ends(&fake);
    ends(&manager, &fake, &mut runs, 1).await;
}

/// `Restart=` and restarts by hand go on with the run.
#[tokio::test]
async fn a_run_that_is_restarted() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, true).await;
    let mut runs = trigger.activations();
    let asked = async |answer: &str| {
        settle(&manager, &fake).await;
        let question = fake.expect("Get");
        fake.peer.reply(&question, |m| Value::from(answer).append_variant_to(m));
    };
    begins(&fake, 1);
    let unit = next(&mut runs).await;
    says(&fake, Some(9), State { active: "failed", sub: "failed", ..at(1, dead()) }, 1);
    asked("auto-restart").await;
    says(&fake, Some(9), State { active: "activating", sub: "auto-restart", ..at(1, dead()) }, 1);
    says(&fake, None, at(2, running()), 2);
    // By hand.
    says(&fake, None, State { job: 7, ..at(2, running()) }, 2);
    says(&fake, None, State { active: "deactivating", sub: "stop-sigterm", job: 7, ..at(2, running()) }, 2);
    says(&fake, Some(0), State { job: 7, ..at(2, dead()) }, 2);
    says(&fake, None, State { job: 7, ..at(3, running()) }, 3);
    fake.job_removed(7, NAME, "done");
    says(&fake, None, at(3, running()), 3);
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    assert!(runs.next().now_or_never().is_none());
    // The next run begins before the answer.
    says(&fake, Some(3), at(3, dead()), 3);
    settle(&manager, &fake).await;
    let question = fake.expect("Get");
    says(&fake, Some(3), State { job: 400, ..at(3, dead()) }, 3);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
    says(&fake, None, State { job: 400, ..at(4, running()) }, 4);
    fake.peer.reply(&question, |m| Value::from("dead").append_variant_to(m));
    fake.job_removed(400, NAME, "done");
    let unit = next(&mut runs).await;
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn the_last_run_is_waited_for() {
    let (manager, fake) = manager(false).await;
    let trigger = triggered(&manager, &fake, false).await;
    let mut runs = trigger.activations();
    begins(&fake, 1);
    timer_ends(&fake);
    let unit = next(&mut runs).await;
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none(), "as long as it runs nothing is asked");
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&soon(unit.wait()).await.unwrap(), 1);
    // One has begun of which there was no signal yet.
    answers(&fake, State { job: 200, ..at(1, dead()) }, 1);
    settle(&manager, &fake).await;
    assert!(runs.next().now_or_never().is_none());
    begins(&fake, 2);
    says(&fake, Some(2), at(2, dead()), 2);
    is_run(&exit(&mut runs).await, 2);
    let call = fake.asked_all(NAME, "Unit");
    fake.peer.refuse(&call, c"org.freedesktop.systemd1.NoSuchUnit", c"");
    assert!(soon(runs.next()).await.is_none());
    assert!(is_idle(&manager));
}

/// What comes before the reply is of an earlier service of the same name.
#[tokio::test]
async fn an_earlier_service_of_the_name() {
    let (manager, fake) = manager(true).await;
    let (trigger, start) = starting(&manager, false);
    let mut start = std::pin::pin!(start);
    assert!((&mut start).now_or_never().is_none());
    let call = fake.start(TIMER);
    says(&fake, None, at(9, running()), 9);
    says(&fake, Some(9), at(9, dead()), 9);
    fake.accept(&call);
    soon(start).await.unwrap();
    let mut runs = trigger.activations();
    settle(&manager, &fake).await;
    assert!(runs.next().now_or_never().is_none());
    begins(&fake, 1);
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&exit(&mut runs).await, 1);
}

#[tokio::test]
async fn a_timer_that_is_refused() {
    let (manager, fake) = manager(true).await;
    let first = triggered(&manager, &fake, false).await;
    let (trigger, start) = starting(&manager, false);
    let mut start = std::pin::pin!(start);
    assert!((&mut start).now_or_never().is_none());
    fake.peer.refuse(&fake.start(TIMER), c"org.freedesktop.systemd1.UnitExists", c"It exists.");
    assert!(matches!(soon(start).await, Err(Error::UnitExists { .. })));
    drop(trigger);
    // That it has the same name is nothing to the one that exists.
    let mut runs = first.activations();
    begins(&fake, 1);
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&exit(&mut runs).await, 1);
    drop((first, runs));
    settle(&manager, &fake).await;
    assert!(is_idle(&manager));
}

#[tokio::test]
async fn nobody_wants_to_know_any_more() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, false).await;
    begins(&fake, 1);
    settle(&manager, &fake).await;
    let mut runs = trigger.activations();
    let unit = next(&mut runs).await;
    drop(runs);
    drop(trigger);
    settle(&manager, &fake).await;
    assert!(!is_idle(&manager), "the run is followed still");
    says(&fake, Some(1), at(1, dead()), 1);
    is_run(&soon(unit.wait()).await.unwrap(), 1);
    assert!(is_idle(&manager));

    // A run that nobody has taken.
    let trigger = triggered(&manager, &fake, false).await;
    begins(&fake, 1);
    settle(&manager, &fake).await;
    drop(trigger);
    settle(&manager, &fake).await;
    assert!(is_idle(&manager));
}

#[tokio::test]
async fn the_connection_is_lost() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let trigger = triggered(&manager, &fake, false).await;
        begins(&fake, 1);
        let mut runs = trigger.activations();
        let unit = next(&mut runs).await;
        let mut waiting = Box::pin(runs.next());
        assert!((&mut waiting).now_or_never().is_none());
        drop(fake);
        let last = soon(waiting).await.unwrap();
        assert!(matches!(last, Err(Error::Disconnected { .. })), "{last:?}");
        assert!(soon(runs.next()).await.is_none());
        assert!(matches!(soon(unit.wait()).await, Err(Error::Disconnected { .. })));
    }
}

/// Of several streams each gets what the others do not.
#[tokio::test]
async fn several_streams_share_the_runs() {
    let (manager, fake) = manager(true).await;
    let trigger = triggered(&manager, &fake, false).await;
    let (mut one, mut other) = (trigger.activations(), trigger.activations());
    assert!(one.next().now_or_never().is_none() && other.next().now_or_never().is_none());
    for run in 1..4 {
        begins(&fake, run);
        says(&fake, Some(run.into()), at(run, dead()), run);
    }
    is_run(&exit(&mut one).await, 1);
    is_run(&exit(&mut other).await, 2);
    // The one that was woken too may be dropped.
    drop(one);
    is_run(&exit(&mut other).await, 3);
}
