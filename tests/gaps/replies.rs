//! The call, or its reply, is lost: a unit is started exactly once, or it is said that it is not known.

use sdrun::Status;

use crate::FAULTS;
use crate::bus::known_after_a_gap;
use crate::crowd::{Crowd, KINDS, Kind, Waiting, all_exits};
use crate::relay::relays;
use crate::support::{soon, until};

/// The manager has the call and started the unit, and its reply does not come.
#[tokio::test]
async fn the_reply_to_a_start_is_lost() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        for kind in KINDS {
            for ends_inside in [false, true] {
                let at = format!("{transport}, {kind:?}, ends inside the gap: {ends_inside}");
                let crowd = Crowd::new();
                let mut gate = crowd.gate();
                let (mut command, case) = crowd.command_that(&gate, kind, Status::Exited(7));
                let is_kept = || {
                    crate::support::systemctl(&["list-units", "--plain", "--no-legend", "sdrunkeep*"])
                        .contains(&format!(" Keeps {} ", case.name))
                };
                // The last cut may not be mended yet, and no connection is made where nothing is answered.
                crowd.is_answered(&manager).await;
                relay.swallow_answers(true);
                let start = command.start(&manager);
                let fault = async {
                    if matches!(kind, Kind::Durable) {
                        // It is the answer to the start of what keeps it that is lost: until then the unit is not started.
                        until("its slice is there", is_kept).await;
                        relay.cut().await;
                        relay.mend();
                    }
                    until("the program runs", || !case.runs().is_empty()).await;
                    if ends_inside {
                        crowd.ended(&mut gate).await;
                    }
                    relay.cut().await;
                    relay.mend();
                };
                let (started, ()) = soon(&at, async { tokio::join!(start, fault) }).await;
                match started {
                    Ok(unit) => {
                        gate.open_if_closed();
                        let waiting = [Waiting { case, unit }];
                        if ends_inside {
                            known_after_a_gap_without_an_id(&at, &waiting).await;
                        } else {
                            all_exits(&at, &waiting).await;
                        }
                    }
                    // It may be known no more only where the manager does not know it either.
                    Err(error) => {
                        assert!(ends_inside && crate::is_lost(&error), "{at}: {error:?}");
                        assert!(!matches!(kind, Kind::Kept | Kind::Durable), "{at}: {error:?}");
                        assert_eq!(case.runs().len(), 1, "{at}");
                    }
                }
            }
        }
    }
}

/// Nothing was ever heard of it, not even its invocation ID, so what was unloaded meanwhile cannot be found in the journal.
async fn known_after_a_gap_without_an_id(at: &str, waiting: &[Waiting]) {
    for waiting in waiting {
        match waiting.case.kind {
            Kind::Kept | Kind::Durable => all_exits(at, std::slice::from_ref(waiting)).await,
            _ => drop(waiting.told().await),
        }
    }
}

/// The call itself is lost, so nothing was started. Whether it is then sent again or refused: never twice.
#[tokio::test]
async fn the_call_of_a_start_is_lost() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let mut gate = crowd.gate();
        relay.swallow_calls(true);
        let mut commands: Vec<_> = (0..20).map(|_| crowd.command(&gate, Kind::Collected)).collect();
        let starts = futures::future::join_all(commands.iter_mut().map(|(command, _)| command.start(&manager)));
        let fault = async {
            // As many as are sent at once are: all others wait for a place, or for this thread.
            tokio::task::yield_now().await;
            relay.cut().await;
            relay.mend();
        };
        let (started, ()) = soon(transport, async { tokio::join!(starts, fault) }).await;
        gate.open();
        let mut waiting = Vec::new();
        for (start, (_, case)) in started.into_iter().zip(commands) {
            match start {
                Ok(unit) => waiting.push(Waiting { case, unit }),
                Err(error) => {
                    assert!(crate::is_lost(&error), "{transport}: {error:?}");
                    assert_eq!(case.runs().len(), 0, "{transport}: {error:?}");
                }
            }
        }
        println!("{transport}: {} of 20 were started", waiting.len());
        all_exits(transport, &waiting).await;
    }
}

/// The start is given up while its reply is lost: no unit stays that nobody knows.
#[tokio::test]
async fn a_start_that_is_given_up_inside_a_gap() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let gate = crowd.gate();
        for given_up_before in [true, false] {
            let (mut command, case) = crowd.command(&gate, Kind::Collected);
            relay.swallow_answers(true);
            {
                let mut start = std::pin::pin!(command.start(&manager));
                tokio::select! {
                    biased;
                    _ = &mut start => panic!("{transport}: there is no reply"),
                    () = until("the program runs", || !case.runs().is_empty()) => {}
                }
                if !given_up_before {
                    relay.cut().await;
                }
            }
            if given_up_before {
                relay.cut().await;
            }
            relay.mend();
            crowd.is_answered(&manager).await;
            crowd.until_unloaded().await;
            assert_eq!(case.runs().len(), 1);
        }
    }
}

/// A call of a handle whose reply is lost ends, one way or the other; and the unit's end is told.
#[tokio::test]
async fn the_reply_to_a_stop_is_lost() {
    let _alone = FAULTS.lock().await;
    for (transport, mut relay) in relays() {
        let manager = relay.manager().await;
        let crowd = Crowd::new();
        let gate = crowd.gate();
        for kind in [Kind::Durable, Kind::Kept] {
            // To a oneshot SIGTERM is a failure, so that it stays.
            let (mut command, case) = crowd.command_that(&gate, kind, Status::Killed(15));
            let unit = soon("the start", command.start(&manager)).await.unwrap();
            until("the program runs", || !case.runs().is_empty()).await;
            relay.swallow_answers(true);
            let stop = unit.stop();
            let fault = async {
                let name = &case.name;
                let state = || crate::support::systemctl(&["show", "--value", "--property=ActiveState", name]);
                until("the unit is stopped", || matches!(state().trim(), "inactive" | "failed")).await;
                relay.cut().await;
                relay.mend();
            };
            let (stopped, ()) = soon("the stop", async { tokio::join!(stop, fault) }).await;
            println!("{transport}, {kind:?}: {stopped:?}");
            let waiting = [Waiting { case, unit }];
            match kind {
                Kind::Durable => all_exits(transport, &waiting).await,
                _ => known_after_a_gap(transport, &waiting).await,
            }
        }
    }
}
