//! The bus daemon goes away, comes back, or falls silent.

use std::time::Duration;

use futures::future::join_all;

use crate::crowd::{Crowd, KINDS, Kind, Told, Waiting, all_exits, all_told};
use crate::faults::{bus_is_back, kill_bus, pause_bus, restart_bus, start_bus, stop_bus};
use crate::support::{is_root, soon};
use crate::{FAULTS, number, on_bus};

/// Of each kind one group that ends while the bus is there, one inside the gap and one after it.
#[tokio::test]
async fn bus_stopped_and_started() {
    let _alone = FAULTS.lock().await;
    let manager = on_bus().await;
    let crowd = Crowd::new();
    let each = number("EACH", 16);
    let (mut before, mut inside, mut after) = (crowd.gate(), crowd.gate(), crowd.gate());
    let early = crowd.start(&manager, &before, &KINDS, each).await;
    let gone = crowd.start(&manager, &inside, &KINDS, each).await;
    let late = crowd.start(&manager, &after, &KINDS, each).await;
    for waiting in [&early, &gone, &late] {
        crowd.runs(waiting).await;
    }
    before.open();
    all_exits("before the gap", &early).await;
    stop_bus();
    crowd.ended(&mut inside).await;
    assert!(late.iter().all(|waiting| waiting.unit.try_wait().is_ok_and(|end| end.is_none())));
    start_bus();
    // The manager may be asked as soon as it is there, and there is nobody else whom we wait for.
    known_after_a_gap("inside the gap", &gone).await;
    after.open();
    all_exits("after the gap", &late).await;
    all_exits("before the gap, asked again", &early).await;
}

/// What ended inside a gap is told by whoever knows it, and else is known not to be.
pub async fn known_after_a_gap(at: &str, waiting: &[Waiting]) {
    for (case, told) in all_told(waiting).await {
        let well = case.ends_well();
        let expected = match case.kind {
            Kind::Durable => &[Told::Exit][..],
            // It is there still: failed, or active without a process.
            Kind::Kept if !well => &[Told::Exit],
            Kind::Remains if well => &[Told::Exit],
            Kind::Silent => &[Told::Lost],
            // The system manager says of a success that it was one, a user manager nothing. A oneshot's is that of
            // its job.
            _ if well && !is_root() => &[Told::Lost],
            _ if well => &[Told::Journal, Told::Lost],
            _ => &[Told::Journal],
        };
        assert!(expected.contains(&told), "{at}: {:?} {} {:?}: {told:?}", case.kind, case.name, case.status);
    }
}

/// It ends without a word to anyone, and another one is there as soon as somebody connects: the manager, or we.
#[tokio::test]
async fn bus_killed() {
    let _alone = FAULTS.lock().await;
    let manager = on_bus().await;
    let crowd = Crowd::new();
    let (mut during, mut after) = (crowd.gate(), crowd.gate());
    let caught = crowd.start(&manager, &during, &KINDS, 8).await;
    let late = crowd.start(&manager, &after, &KINDS, 8).await;
    crowd.runs(&caught).await;
    crowd.runs(&late).await;
    during.open();
    kill_bus();
    for (case, told) in all_told(&caught).await {
        assert!(told == Told::Exit || case.kind != Kind::Durable, "{} {told:?}", case.name);
    }
    crowd.is_answered(&manager).await;
    after.open();
    all_exits("after the gap", &late).await;
}

/// Each is started once, or it is said that it is not known; and what was started ends as it should.
#[tokio::test]
async fn bus_restarted_while_starts_are_in_flight() {
    let _alone = FAULTS.lock().await;
    let manager = on_bus().await;
    for round in 0..number("ROUNDS", 5) {
        let crowd = Crowd::new();
        let mut gate = crowd.gate();
        let starts = join_all((0..number("STARTS", 300)).map(|n| {
            let (mut command, case) = crowd.command(&gate, if n % 2 == 0 { Kind::Collected } else { Kind::Durable });
            let manager = &manager;
            async move { (command.start(manager).await, case) }
        }));
        let fault = async {
            // Some are on their way, some wait for a place. In each round at another moment.
            tokio::time::sleep(Duration::from_millis(60 * round as u64)).await;
            tokio::task::spawn_blocking(restart_bus).await.unwrap();
            bus_is_back().await;
        };
        let (starts, ()) = soon("the starts", async { tokio::join!(starts, fault) }).await;
        let mut started = Vec::new();
        let mut unknown = 0;
        for (start, case) in starts {
            match start {
                Ok(unit) => started.push(Waiting { case, unit }),
                Err(error) => {
                    assert!(crate::is_lost(&error), "{}: {error:?}", case.name);
                    // A call that the daemon never passed on looks like one that was carried out and is over already,
                    // but for a unit that would have been kept.
                    assert_eq!(case.kind, Kind::Collected, "{}: {error:?}", case.name);
                    assert!(case.runs().len() <= 1, "{}: {:?}", case.name, case.runs());
                    unknown += 1;
                }
            }
        }
        crowd.runs(&started).await;
        gate.open();
        all_exits("started around the gap", &started).await;
        println!("round {round}: {} started, {unknown} unknown", started.len());
    }
}

/// It is there and says nothing for half a minute. Nothing is lost by that, and nothing ends early.
#[tokio::test]
async fn bus_silent_for_30_seconds() {
    let _alone = FAULTS.lock().await;
    let manager = on_bus().await;
    let crowd = Crowd::new();
    let (mut inside, mut after) = (crowd.gate(), crowd.gate());
    let early = crowd.start(&manager, &inside, &KINDS, 8).await;
    let late = crowd.start(&manager, &after, &KINDS, 8).await;
    crowd.runs(&early).await;
    crowd.runs(&late).await;
    let meanwhile = async {
        inside.open();
        // What the daemon has not passed on yet is carried out when it goes on.
        join_all((0..24).map(|_| {
            let (mut command, case) = crowd.command(&inside, Kind::Kept);
            let manager = &manager;
            async move { (command.start(manager).await, case) }
        }))
        .await
    };
    let pause = pause_bus(Duration::from_secs(number("PAUSE", 30) as u64));
    let (starts, ()) = soon("the starts", async { tokio::join!(meanwhile, pause) }).await;
    all_exits("inside the pause", &early).await;
    let mut started = Vec::new();
    for (start, case) in starts {
        match start {
            Ok(unit) => started.push(Waiting { case, unit }),
            // The manager asks the daemon who has sent a call, waits for 25 s, and answers with a time-out.
            Err(error) => {
                // It may have been started all the same, which is looked up; what is not there was not, or is over.
                assert!(crate::is_lost(&error), "{}: {error}", case.name);
                assert!(case.runs().len() <= 1, "{}: {error}", case.name);
            }
        }
    }
    all_exits("started inside the pause", &started).await;
    assert!(late.iter().all(|waiting| waiting.unit.try_wait().is_ok_and(|end| end.is_none())));
    after.open();
    all_exits("after the pause", &late).await;
}
