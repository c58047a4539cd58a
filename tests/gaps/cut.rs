//! The connection alone is cut: the manager is there all the time, so that what ends inside the gap surely does.

use std::time::Duration;

use sdrun::{Command, Transport};

use crate::bus::known_after_a_gap;
use crate::crowd::{Crowd, KINDS, Kind, all_exits};
use crate::faults::{bus_is_back, reexec, reload, restart_bus};
use crate::relay::{Relay, relays};
use crate::support::{DEADLINE, soon, systemctl};
use crate::{FAULTS, number, roomy};

#[tokio::test]
async fn ended_before_inside_and_after_a_gap() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        for round in 0..number("ROUNDS", 3) {
            let at = |when: &str| format!("{transport}, round {round}, {when} the gap");
            let crowd = Crowd::new();
            let (mut before, mut inside, mut after) = (crowd.gate(), crowd.gate(), crowd.gate());
            let early = crowd.start(&manager, &before, &KINDS, 8).await;
            let gone = crowd.start(&manager, &inside, &KINDS, 16).await;
            let late = crowd.start(&manager, &after, &KINDS, 8).await;
            for waiting in [&early, &gone, &late] {
                crowd.runs(waiting).await;
            }
            crowd.ended(&mut before).await;
            all_exits(&at("before"), &early).await;
            relay.cut().await;
            crowd.ended(&mut inside).await;
            assert!(late.iter().all(|waiting| waiting.unit.try_wait().is_ok_and(|end| end.is_none())));
            relay.mend();
            known_after_a_gap(&at("inside"), &gone).await;
            after.open();
            all_exits(&at("after"), &late).await;
        }
    }
}

/// With `durable(true)` nothing is lost, whatever goes away and comes back while the connection is cut.
#[tokio::test]
async fn durable_units_lose_nothing() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let (mut inside, mut after) = (crowd.gate(), crowd.gate());
        let gone = crowd.start(&manager, &inside, &[Kind::Durable], 64).await;
        let late = crowd.start(&manager, &after, &[Kind::Durable], 64).await;
        crowd.runs(&gone).await;
        crowd.runs(&late).await;
        relay.cut().await;
        reload();
        crowd.ended(&mut inside).await;
        reload();
        reexec();
        restart_bus();
        bus_is_back().await;
        relay.mend();
        all_exits(&format!("{transport}, inside the gap"), &gone).await;
        after.open();
        all_exits(&format!("{transport}, after the gap"), &late).await;
        // What kept them is gone too.
        crowd.until_unloaded().await;
    }
}

/// 20 gaps, one soon after the other, also while the last one is being made good.
#[tokio::test]
async fn cut_again_and_again() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let mut groups = Vec::new();
        for _ in 0..20 {
            let gate = crowd.gate();
            let waiting = crowd.start(&manager, &gate, &KINDS, 2).await;
            crowd.runs(&waiting).await;
            groups.push((gate, waiting));
        }
        for (round, (gate, waiting)) in groups.iter_mut().enumerate() {
            relay.cut().await;
            if round % 4 == 3 {
                crowd.ended(gate).await;
                relay.mend();
                known_after_a_gap(&format!("{transport}, round {round}"), waiting).await;
                continue;
            }
            relay.mend();
            if round % 4 == 1 {
                // Cut in the middle of the recovery.
                tokio::time::sleep(Duration::from_millis(round as u64)).await;
                relay.cut().await;
                relay.mend();
            }
            crowd.is_answered(&manager).await;
            gate.open();
            all_exits(&format!("{transport}, round {round}"), waiting).await;
        }
    }
}

/// Where the connection does not come back, every handle says so, and nothing hangs.
#[tokio::test]
async fn a_gap_without_end() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = crate::patience(relay.builder(), Duration::from_secs(2)).connect().await.unwrap();
        let crowd = Crowd::new();
        let gate = crowd.gate();
        let mut waiting = crowd.start(&manager, &gate, &KINDS, 8).await;
        crowd.runs(&waiting).await;
        relay.cut().await;
        for waiting in &waiting {
            // Not how they ended, for they did not.
            assert!(waiting.told().await.1 == crate::crowd::Told::Lost, "{transport}");
        }
        let (mut command, case) = crowd.command(&gate, Kind::Collected);
        assert!(soon("a start", command.start(&manager)).await.is_err(), "{transport}");
        assert_eq!(case.runs(), Vec::<String>::new());
        for waiting in &mut waiting {
            assert!(soon("a stop", waiting.unit.stop()).await.is_err(), "{transport}");
        }
        drop(waiting);
        drop(manager);
    }
}

/// A gap in which nothing happens is not noticed, whatever one is doing: the calls of the handle too go through.
#[tokio::test]
async fn calls_after_a_gap() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let gate = crowd.gate();
        let waiting = crowd.start(&manager, &gate, &[Kind::Collected], 4).await;
        crowd.runs(&waiting).await;
        relay.cut().await;
        relay.mend();
        crowd.is_answered(&manager).await;
        for waiting in &waiting {
            assert!(soon("the process", waiting.unit.main_pid()).await.unwrap().is_some(), "{transport}");
            soon("the stop", waiting.unit.stop()).await.unwrap();
            let exit = soon("the exit", waiting.unit.wait()).await.unwrap();
            assert_eq!(exit.signal(), Some(15), "{transport}");
        }
    }
}

/// The descriptors and connections of a gap are not kept.
#[tokio::test]
async fn gaps_leave_nothing_behind() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let mut gate = crowd.gate();
        let waiting = crowd.start(&manager, &gate, &[Kind::Collected, Kind::Durable], 4).await;
        crowd.runs(&waiting).await;
        let gap = async |relay: &mut Relay| {
            relay.cut().await;
            relay.mend();
            crowd.is_answered(&manager).await;
        };
        gap(&mut relay).await;
        let before = own_sockets();
        for _ in 0..20 {
            gap(&mut relay).await;
        }
        crate::support::until(&format!("{transport}: no more sockets than before"), || own_sockets() <= before).await;
        gate.open();
        all_exits(transport, &waiting).await;
    }
}

fn own_sockets() -> usize {
    crate::support::list_descriptors().iter().filter(|descriptor| descriptor.contains("socket:")).count()
}

/// A program that ends with its last units leaves none of the slices of durable units, although those are stopped some at a
/// time.
#[test]
fn a_runtime_that_ends_leaves_no_slices() {
    for (transport, units) in [(Transport::Private, 100), (Transport::Bus, 1), (Transport::Bus, 20)] {
        let name = |number: usize| format!("sdrun-ended-{}-{number}.service", std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let manager = roomy().transport(transport).connect().await.unwrap();
            let exits = (0..units).map(async |number| {
                let mut command = Command::new("/bin/true");
                let unit = command.name(name(number)).collect(true).durable(true).start(&manager).await.unwrap();
                unit.wait().await.unwrap()
            });
            for exit in soon("the exits", futures::future::join_all(exits)).await {
                assert!(exit.success(), "{exit}");
            }
        });
        drop(runtime);
        let left = || {
            let slices = systemctl(&["list-units", "--plain", "--no-legend", "sdrunkeep*"]);
            (0..units).filter(|number| slices.contains(&format!(" Keeps {} ", name(*number)))).count()
        };
        let deadline = std::time::Instant::now() + DEADLINE;
        while left() > 0 {
            assert!(std::time::Instant::now() < deadline, "{transport:?}: {} slices of {units} are left", left());
        }
    }
}
