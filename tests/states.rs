//! Every change of a unit that its manager reports, in order.

mod support;

use futures::{FutureExt, StreamExt};
use sdrun::{ActiveState, Command, State, States};
use support::{exec_line, managers, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn all(states: States) -> Vec<State> {
    soon("the states", states.map(Result::unwrap).collect::<Vec<_>>()).await
}

fn words(states: &[State]) -> Vec<String> {
    states.iter().map(ToString::to_string).collect()
}

/// Whether these come in this order, with others between them.
fn are_in_order(states: &[String], wanted: &[&str]) -> bool {
    let mut states = states.iter();
    wanted.iter().all(|wanted| states.any(|state| state == wanted))
}

#[tokio::test]
async fn the_life_of_a_service() {
    for (transport, manager) in managers().await {
        let mut command = shell("sleep 0.1; systemd-notify --ready; sleep 1000");
        command.extra("Type", "notify").extra("NotifyAccess", "all");
        let unit = command.extra("ExecStartPre", exec_line(&["/bin/sleep", "0.2"])).start(&manager).await.unwrap();
        let states = unit.states();
        let second = unit.states();
        soon("the activation", unit.activated()).await.unwrap();
        let late = unit.states();
        soon("the stop", unit.stop()).await.unwrap();
        soon("the exit", unit.wait()).await.unwrap();
        let (states, second, late) = (all(states).await, all(second).await, all(late).await);
        let seen = words(&states);
        let wanted = ["activating (start-pre)", "activating (start)", "active (running)", "inactive (dead)"];
        assert!(are_in_order(&seen, &wanted), "{transport}: {seen:?}");
        assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "{transport}: {states:?}");
        assert!(states.windows(2).all(|pair| pair[0].since <= pair[1].since), "{transport}: {states:?}");
        assert_eq!(states.last(), second.last());
        assert_eq!(states.last().unwrap().active, ActiveState::Inactive);
        assert!(are_in_order(&words(&late), &["active (running)", "inactive (dead)"]), "{transport}: {late:?}");
        assert_eq!(words(&late)[0], "active (running)", "{transport}");
        assert!(states.ends_with(&late) || late.len() > states.len(), "{transport}: {late:?} of {states:?}");
        // One that begins after the end.
        assert_eq!(words(&all(unit.states()).await), ["inactive (dead)"], "{transport}");
    }
}

#[tokio::test]
async fn restarts() {
    for (transport, manager) in managers().await {
        let mut command = shell("sleep 0.05; exit 5");
        command.extra("Restart", "on-failure").extra("RestartUSec", 50_000u64).extra("StartLimitBurst", 3u32);
        let unit = command.start(&manager).await.unwrap();
        let states = all(unit.states()).await;
        let seen = words(&states);
        let running = seen.iter().filter(|state| *state == "active (running)").count();
        assert_eq!(running, 3, "{transport}: {seen:?}");
        let wanted = ["active (running)", "activating (auto-restart)", "active (running)", "failed (failed)"];
        assert!(are_in_order(&seen, &wanted), "{transport}: {seen:?}");
        assert_eq!(states.last().unwrap().active, ActiveState::Failed);
        let mut runs: Vec<_> = states.iter().filter_map(|state| state.invocation_id).map(|id| *id.as_bytes()).collect();
        runs.dedup();
        assert!(runs.len() >= 3, "{transport}: {states:?}");
        soon("the exit", unit.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_unit_that_remains() {
    for (transport, manager) in managers().await {
        let unit = shell("sleep 0.1").extra("RemainAfterExit", true).start(&manager).await.unwrap();
        let mut states = unit.states();
        soon("the exit", unit.wait()).await.unwrap();
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "active (exited)") {
            seen.push(soon("a state", states.next()).await.unwrap().unwrap().to_string());
        }
        assert!(states.next().now_or_never().is_none(), "{transport}: it goes on");
        let after = unit.states();
        soon("the stop", unit.stop()).await.unwrap();
        let rest = words(&all(states).await);
        assert_eq!(rest.last().unwrap(), "inactive (dead)", "{transport}: {rest:?}");
        let after = words(&all(after).await);
        assert_eq!(
            (&*after[0], after.last().unwrap()),
            ("active (exited)", &"inactive (dead)".to_owned()),
            "{transport}"
        );
        // A stream that begins when no other is there.
        let unit = shell("exit 0").extra("RemainAfterExit", true).start(&manager).await.unwrap();
        soon("the exit", unit.wait()).await.unwrap();
        let mut states = unit.states();
        let first = soon("a state", states.next()).await.unwrap().unwrap();
        assert_eq!(first.to_string(), "active (exited)", "{transport}");
        drop(states);
        let states = unit.states();
        soon("the stop", unit.stop()).await.unwrap();
        assert_eq!(words(&all(states).await).last().unwrap(), "inactive (dead)", "{transport}");
    }
}

/// The handle goes, the stream stays; the stream goes, the handle stays.
#[tokio::test]
async fn streams_and_handles() {
    for (transport, manager) in managers().await {
        let unit = shell("sleep 0.2; exit 3").start(&manager).await.unwrap();
        let states = unit.states();
        drop(unit);
        let seen = words(&all(states).await);
        assert!(are_in_order(&seen, &["active (running)", "failed (failed)"]), "{transport}: {seen:?}");

        let unit = shell("sleep 0.2; exit 3").start(&manager).await.unwrap();
        let mut states = unit.states();
        soon("a state", states.next()).await.unwrap().unwrap();
        drop(states);
        drop(unit.states());
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(3));
    }
}

/// Of a unit that was spawned, whose start was not sent when the stream began.
#[tokio::test]
async fn a_spawned_unit() {
    let unit = shell("sleep 0.1; exit 3").spawn().unwrap();
    let seen = words(&all(unit.states()).await);
    assert!(are_in_order(&seen, &["active (running)", "failed (failed)"]), "{seen:?}");
    let refused = Command::new("/bin/true").extra("NoSuchProperty", 1u32).spawn().unwrap();
    let states: Vec<_> = soon("the states", refused.states().collect::<Vec<_>>()).await;
    assert!(matches!(&states[..], [Err(_)]), "{states:?}");
    assert!(refused.wait().await.is_err());
    let states: Vec<_> = soon("the states", refused.states().collect::<Vec<_>>()).await;
    assert!(matches!(&states[..], [Err(_)]), "{states:?}");
}
