//! Timers, paths and sockets that start a command, on a real systemd.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{Activations, Command, Error, Exit, Outcome, PathUnit, SocketUnit, Status, TimerUnit, Trigger, Unit, Value};
use support::{managers, soon};

const MILLISECOND: Duration = Duration::from_millis(1);

fn shell(script: &str) -> Command {
    Command::from(["/bin/sh", "-c", script])
}

/// A path that is nobody else's.
fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sdrun-triggers-{}-{count}-{name}", std::process::id()))
}

async fn next(runs: &mut Activations) -> Unit {
    soon("the next run", runs.next()).await.expect("there is one").unwrap()
}

async fn exit(unit: &Unit) -> Exit {
    soon("the exit", unit.wait()).await.unwrap()
}

async fn over(runs: &mut Activations) {
    let more = soon("the end of the stream", runs.next()).await;
    assert!(more.is_none(), "{more:?}");
}

async fn stop(trigger: &Trigger) {
    soon("the stop", trigger.unit().stop()).await.unwrap();
}

#[tokio::test]
async fn a_timer_that_elapses_once() {
    for (transport, manager) in managers().await {
        for code in [0, 7] {
            let mut timer = TimerUnit::new();
            timer.on_active(20 * MILLISECOND).accuracy(MILLISECOND);
            let mut command = shell(&format!("exit {code}"));
            let trigger = timer.start(&manager, command.collect(true)).await.unwrap();
            assert_eq!(trigger.unit().name().strip_suffix(".timer"), trigger.service_name().strip_suffix(".service"));
            let mut runs = trigger.activations();
            let run = next(&mut runs).await;
            assert!(run.invocation_id().is_some());
            assert_eq!(run.name(), trigger.service_name());
            let exit = exit(&run).await;
            assert_eq!(exit.status, Some(Status::Exited(code)), "{transport}: {exit:?}");
            assert_eq!(exit.invocation_id, run.invocation_id(), "{transport}");
            assert_eq!(exit.success(), code == 0, "{transport}");
            assert!(exit.started.is_some() && exit.ended >= exit.started, "{transport}: {exit:?}");
            soon("the activation", run.activated()).await.unwrap();
            over(&mut runs).await;
            over(&mut trigger.activations()).await;
            assert!(soon("the timer's end", trigger.unit().wait()).await.unwrap().success(), "{transport}");
        }
    }
}

#[tokio::test]
async fn every_run_of_twenty_is_there_once() {
    for (transport, manager) in managers().await {
        for kind in ["simple", "oneshot", "exec"] {
            let counter = scratch("count");
            let mut timer = TimerUnit::new();
            timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
            let mut command = shell(&format!("echo >>{0}; exit $(wc -l <{0})", counter.display()));
            let trigger = timer.start(&manager, command.property(format!("Type={kind}")).unwrap()).await.unwrap();
            let mut runs = trigger.activations();
            let mut ids = Vec::new();
            for number in 1..=20 {
                let run = next(&mut runs).await;
                let exit = exit(&run).await;
                assert_eq!(exit.status, Some(Status::Exited(number)), "{transport}, {kind}");
                assert_eq!(exit.result, Outcome::ExitCode, "{transport}, {kind}");
                ids.push(exit.invocation_id.unwrap());
            }
            stop(&trigger).await;
            let mut number = 20;
            while let Some(run) = soon("the last runs", runs.next()).await {
                number += 1;
                assert_eq!(exit(&run.unwrap()).await.status, Some(Status::Exited(number)), "{transport}, {kind}");
            }
            let lines = std::fs::read_to_string(&counter).unwrap().lines().count();
            assert_eq!(usize::from(number), lines, "{transport}, {kind}");
            ids.sort_by_key(|id| *id.as_bytes());
            ids.dedup();
            assert_eq!(ids.len(), 20, "{transport}, {kind}");
            std::fs::remove_file(counter).unwrap();
        }
    }
}
