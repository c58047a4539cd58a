//! Units that are more than a program, and handles that are more than a wait, across a gap.

use std::time::Duration;

use futures::StreamExt;
use sdrun::{ActiveState, Restart, Scope, ServiceType, Status};

use crate::FAULTS;
use crate::bus::known_after_a_gap;
use crate::crowd::{Crowd, KINDS, Kind, Told, Waiting, all_exits, all_told};
use crate::relay::relays;
use crate::support::{soon, systemctl, until};

/// What systemd has started again inside the gap has not ended.
#[tokio::test]
async fn a_restart_inside_a_gap_is_no_end() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let (mut first, mut again) = (crowd.gate(), crowd.gate());
        let mut units = Vec::new();
        for code in [0, 3] {
            let (mut command, case) = crowd.command_that(&first, Kind::Collected, Status::Exited(code));
            command.restart(Restart::Always).restart_delay(Duration::from_millis(20));
            units.push((command.start(&manager).await.unwrap(), case));
        }
        until("the programs run", || units.iter().all(|(_, case)| case.runs().len() == 1)).await;
        relay.cut().await;
        // The second run waits again.
        first.open_and_hold(&mut again);
        until("the second run", || units.iter().all(|(_, case)| case.runs().len() == 2)).await;
        relay.mend();
        crowd.is_answered(&manager).await;
        for (unit, case) in &units {
            assert!(matches!(unit.try_wait(), Ok(None)), "{transport}: {} {:?}", case.name, unit.try_wait());
            soon("the stop", unit.stop()).await.unwrap();
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Killed(15)), "{transport}: {exit:?}");
            assert_eq!(exit.invocation_id.map(|id| id.to_string()).as_ref(), case.runs().last());
        }
    }
}

/// Another handle to the same unit, which its finder has adopted, says the same.
#[tokio::test]
async fn adopted_units() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let (starter, finder) = (relay.manager().await, relay.manager().await);
        let crowd = Crowd::new();
        let (mut inside, mut after) = (crowd.gate(), crowd.gate());
        // Kept loaded for who has started it: whoever else has a handle then is not sure to be as quick.
        let kinds = &KINDS.map(|kind| if kind == Kind::Durable { Kind::Kept } else { kind });
        let gone = crowd.start(&starter, &inside, kinds, 8).await;
        let late = crowd.start(&starter, &after, kinds, 8).await;
        for waiting in [&gone, &late] {
            crowd.runs(waiting).await;
        }
        let adopt = async |group: Vec<Waiting>| {
            let mut adopted = Vec::new();
            for Waiting { case, unit } in group {
                let found = soon("the adoption", finder.unit(&case.name)).await.unwrap();
                drop(unit);
                adopted.push(Waiting { case, unit: found });
            }
            adopted
        };
        let (gone, late) = (adopt(gone).await, adopt(late).await);
        drop(starter);
        relay.cut().await;
        crowd.ended(&mut inside).await;
        relay.mend();
        known_after_a_gap(&format!("{transport}, inside the gap"), &gone).await;
        after.open();
        all_exits(&format!("{transport}, after the gap"), &late).await;
    }
}

/// The stream of states goes on, and ends with the end.
#[tokio::test]
async fn streams_of_states() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        for inside in [false, true] {
            let mut gate = crowd.gate();
            let waiting = crowd.start(&manager, &gate, &[Kind::Kept, Kind::Durable], 2).await;
            crowd.runs(&waiting).await;
            let streams: Vec<_> = waiting.iter().map(|waiting| waiting.unit.states()).collect();
            relay.cut().await;
            if inside {
                crowd.ended(&mut gate).await;
            }
            relay.mend();
            gate.open_if_closed();
            for ((case, told), stream) in all_told(&waiting).await.into_iter().zip(streams) {
                let states: Vec<_> = soon("the end of the stream", stream.collect::<Vec<_>>()).await;
                if told == Told::Exit {
                    let last = states.last().expect("a state").as_ref().unwrap();
                    let over = [ActiveState::Inactive, ActiveState::Failed];
                    assert!(over.contains(&last.active), "{transport}, inside {inside}: {} {states:?}", case.name);
                }
            }
        }
    }
}

/// The scope of a child that ended inside the gap has ended too; the child is our own, and is never lost.
#[tokio::test]
async fn scopes() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        for inside in [true, false] {
            let mut command = tokio::process::Command::new("/bin/cat");
            command.stdin(std::process::Stdio::piped());
            let mut scoped = soon("the start", Scope::new().collect(true).spawn(command, &manager)).await.unwrap();
            relay.cut().await;
            if inside {
                drop(scoped.child.stdin.take());
                assert!(soon("the child", scoped.child.wait()).await.unwrap().success());
                let name = scoped.unit.name();
                let left = || systemctl(&["list-units", "--all", "--plain", "--no-legend", name]);
                until("the scope is unloaded", || left().is_empty()).await;
                relay.mend();
            } else {
                relay.mend();
                crate::crowd::Crowd::new().is_answered(&manager).await;
                assert!(matches!(scoped.unit.try_wait(), Ok(None)), "{transport}");
                drop(scoped.child.stdin.take());
                assert!(soon("the child", scoped.child.wait()).await.unwrap().success());
            }
            match soon("the scope", scoped.unit.wait()).await {
                Ok(exit) => assert!(exit.success() && exit.status.is_none(), "{transport}: {exit:?}"),
                Err(error) => assert!(inside && crate::is_lost(&error), "{transport}, inside {inside}: {error:?}"),
            }
        }
    }
}

/// A unit that became active inside the gap is active.
#[tokio::test]
async fn activation() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        for inside in [true, false] {
            let (mut ready, mut end) = (crowd.gate(), crowd.gate());
            let (mut command, case) = crowd.command_that(&end, Kind::Kept, Status::Exited(5));
            // Type=exec is active when its program is executed, which is when the one before it has ended.
            command.service_type(ServiceType::Exec).start_pre(ready.waiter());
            let unit = soon("the start", command.start(&manager)).await.unwrap();
            relay.cut().await;
            if inside {
                ready.open();
                until("the program runs", || case.runs().len() == 1).await;
            }
            relay.mend();
            ready.open_if_closed();
            soon("the activation", unit.activated()).await.unwrap_or_else(|error| panic!("{transport}: {error}"));
            end.open();
            all_exits(transport, &[Waiting { case, unit }]).await;
        }
    }
}
