//! `daemon-reload` and `daemon-reexec` under 500 handles, again and again.
//!
//! Of each hundred, half end while the manager is busy with itself, half while all is quiet.

use sdrun::Manager;

use crate::crowd::{Crowd, Gate, KINDS, Kind, Told, Waiting, all_exits, all_told};
use crate::faults::{bus_is_back, reexec, reload};
use crate::{FAULTS, managers, number};

/// 500 units of all kinds that run, in groups that end when their gate is opened.
async fn ten_groups(crowd: &Crowd, manager: &Manager) -> Vec<(Gate, Vec<Waiting>)> {
    let mut groups = Vec::new();
    for _ in 0..10 {
        let gate = crowd.gate();
        let waiting = crowd.start(manager, &gate, &KINDS, number("HANDLES", 500) / 10 / KINDS.len() + 1).await;
        groups.push((gate, waiting));
    }
    for (_, waiting) in &groups {
        crowd.runs(waiting).await;
    }
    groups
}

/// No connection is lost by it, so no exit may be.
#[tokio::test]
async fn daemon_reload_under_500_handles() {
    let _alone = FAULTS.lock().await;
    for (transport, manager) in managers().await {
        let crowd = Crowd::new();
        let mut groups = ten_groups(&crowd, &manager).await;
        for (round, (gate, waiting)) in groups.iter_mut().enumerate() {
            if round % 2 == 0 {
                gate.open();
                reload();
                reload();
            } else {
                reload();
                gate.open();
            }
            all_exits(&format!("{transport}, round {round}"), waiting).await;
        }
    }
}

/// The connection to the bus survives it, and so does the subscription: all exits arrive. The one to the private socket
/// does not: only what ended in that moment may be unknown.
#[tokio::test]
async fn daemon_reexec_under_500_handles() {
    let _alone = FAULTS.lock().await;
    for (transport, manager) in managers().await {
        let crowd = Crowd::new();
        let mut groups = ten_groups(&crowd, &manager).await;
        let mut unknown = 0;
        for (round, (gate, waiting)) in groups.iter_mut().enumerate() {
            let at = format!("{transport}, round {round}");
            if round % 2 == 0 {
                gate.open();
                reexec();
                bus_is_back().await;
                if transport == "bus" {
                    all_exits(&at, waiting).await;
                    continue;
                }
                for (case, told) in all_told(waiting).await {
                    let safe = matches!(case.kind, Kind::Durable) || (case.kind == Kind::Kept && !case.ends_well());
                    assert!(told == Told::Exit || !safe, "{at}: {:?} {} {told:?}", case.kind, case.name);
                    unknown += usize::from(told != Told::Exit);
                }
            } else {
                reexec();
                bus_is_back().await;
                // Our own connection comes back by itself; when a call is answered it has.
                crowd.is_answered(&manager).await;
                gate.open();
                all_exits(&at, waiting).await;
            }
        }
        println!("{transport}: of those that ended during daemon-reexec {unknown} were not told by the manager");
    }
}

/// They wait through all of it, and end after it.
#[tokio::test]
async fn everything_again_and_again() {
    let _alone = FAULTS.lock().await;
    for (transport, manager) in managers().await {
        let crowd = Crowd::new();
        let mut gate = crowd.gate();
        let waiting = crowd.start(&manager, &gate, &KINDS, number("HANDLES", 500) / KINDS.len() + 1).await;
        crowd.runs(&waiting).await;
        for _ in 0..5 {
            reload();
            reexec();
            reload();
        }
        bus_is_back().await;
        crowd.is_answered(&manager).await;
        assert!(
            waiting.iter().all(|waiting| matches!(waiting.unit.try_wait(), Ok(None))),
            "{transport}: none has ended"
        );
        gate.open();
        all_exits(transport, &waiting).await;
    }
}
