//! Units that are stopped, restarted, reloaded, signalled, frozen and changed through their handle.

mod support;

use futures::FutureExt;
use futures::future::join_all;
use sdrun::{Command, Error, Manager, Outcome, Signature, Status, Unit, Value, Whom};
use support::{exec_line, managers, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn sleeper(manager: &Manager) -> Unit {
    let unit = Command::from(["/bin/sleep", "1000"]).collect(true).start(manager).await.unwrap();
    soon("the activation", unit.activated()).await.unwrap();
    unit
}

#[tokio::test]
async fn a_unit_is_stopped() {
    for (transport, manager) in managers().await {
        let unit = sleeper(&manager).await;
        let process = unit.main_pid().await.unwrap().expect("a main process");
        assert!(std::fs::exists(format!("/proc/{process}")).unwrap(), "{transport}");
        soon("the stop", unit.stop()).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!((&exit.result, exit.status), (&Outcome::Success, Some(Status::Killed(15))), "{transport}");
        // A success to systemd, work that was not done to who checks.
        assert!(exit.success());
        assert!(matches!(exit.check(), Err(Error::Failed { exit: inner }) if *inner == exit));
        assert_eq!(unit.main_pid().await.unwrap(), None);
        let gone = soon("another stop", unit.stop()).await;
        assert!(matches!(&gone, Err(Error::NoSuchUnit { name, .. }) if **name == *unit.name()), "{gone:?}");
        let gone = unit.kill(15, Whom::All).await;
        assert!(matches!(gone, Err(Error::NoSuchUnit { .. })), "{gone:?}");
        let gone = unit.reset_failed().await;
        assert!(matches!(gone, Err(Error::NoSuchUnit { .. })), "{gone:?}");
    }
}

/// Many units, each of them stopped by two at once.
#[tokio::test]
async fn many_are_stopped_at_once() {
    for (transport, manager) in managers().await {
        let units = join_all((0..300).map(|_| sleeper(&manager))).await;
        let stops = join_all(units.iter().map(|unit| async move { futures::join!(unit.stop(), unit.stop()) }));
        for (one, two) in soon("the stops", stops).await {
            // The second may come after the end of the first.
            for stop in [one, two] {
                assert!(matches!(stop, Ok(()) | Err(Error::NoSuchUnit { .. })), "{transport}: {stop:?}");
            }
        }
        for exit in soon("the exits", join_all(units.iter().map(Unit::wait))).await {
            assert_eq!(exit.unwrap().status, Some(Status::Killed(15)), "{transport}");
        }
    }
}

/// Stops that nobody waits for any more are carried out all the same, and others after them.
#[tokio::test]
async fn stops_that_are_given_up() {
    for (transport, manager) in managers().await {
        for round in 0..20 {
            let units = join_all((0..10).map(|_| sleeper(&manager))).await;
            for (number, unit) in units.iter().enumerate() {
                let mut stop = Box::pin(unit.stop());
                assert!((&mut stop).now_or_never().is_none());
                if number % 2 == round % 2 {
                    tokio::task::yield_now().await;
                    let _ = (&mut stop).now_or_never();
                }
            }
            for exit in soon("the exits", join_all(units.iter().map(Unit::wait))).await {
                assert_eq!(exit.unwrap().status, Some(Status::Killed(15)), "{transport}");
            }
        }
        soon("the stop", sleeper(&manager).await.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn a_restart_is_no_end() {
    for (transport, manager) in managers().await {
        let unit = sleeper(&manager).await;
        let mut waiting = Box::pin(unit.wait());
        let mut last = unit.main_pid().await.unwrap().unwrap();
        // systemd lets a unit be started five times in ten seconds.
        for _ in 0..4 {
            assert!((&mut waiting).now_or_never().is_none());
            soon("the restart", unit.restart()).await.unwrap();
            let process = unit.main_pid().await.unwrap().expect("a main process");
            assert_ne!(process, last, "{transport}");
            last = process;
        }
        let refused = soon("one too many", unit.restart()).await.unwrap_err();
        assert!(matches!(&refused, Error::Job { job: "restart", result, .. } if &**result == "failed"), "{refused:?}");
        assert_eq!(soon("the exit", waiting).await.unwrap().status, Some(Status::Killed(15)), "{transport}");
        let unit = sleeper(&manager).await;
        let mut waiting = Box::pin(unit.wait());
        soon("the restart", unit.restart()).await.unwrap();
        assert!((&mut waiting).now_or_never().is_none(), "{transport}: it runs");
        soon("the stop", unit.stop()).await.unwrap();
        assert_eq!(soon("the exit", waiting).await.unwrap().status, Some(Status::Killed(15)), "{transport}");
    }
}

/// A stop whose job someone else's takes the place of.
#[tokio::test]
async fn a_job_that_is_not_carried_out() {
    for (transport, manager) in managers().await {
        let mut command = shell("trap : TERM; systemd-notify --ready; while :; do sleep 0.1; done");
        command.extra("Type", "notify").extra("NotifyAccess", "all").extra("TimeoutStopUSec", 20_000_000u64);
        let unit = command.start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        let mut stop = Box::pin(unit.stop());
        assert!((&mut stop).now_or_never().is_none());
        let mut restart = Box::pin(unit.restart());
        let canceled = futures::future::select(&mut stop, &mut restart);
        let futures::future::Either::Left((canceled, _)) = soon("the stop's end", canceled).await else {
            panic!("{transport}: the restart is over first")
        };
        let Err(error) = canceled else { panic!("{transport}: stopped") };
        assert!(matches!(&error, Error::Job { job: "stop", result, .. } if &**result == "canceled"), "{error:?}");
        assert!(error.to_string().contains(unit.name()), "{error}");
        unit.kill(9, Whom::All).await.unwrap();
        soon("the restart", restart).await.unwrap();
        unit.kill(9, Whom::All).await.unwrap();
        soon("the end", unit.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_unit_is_reloaded() {
    for (transport, manager) in managers().await {
        let unit = sleeper(&manager).await;
        let refused = unit.reload().await;
        assert!(matches!(&refused, Err(Error::Call { method: "ReloadUnit", .. })), "{transport}: {refused:?}");
        unit.stop().await.unwrap();

        let log = std::env::temp_dir().join(format!("sdrun-reload-{transport}-{}", std::process::id()));
        let reload = exec_line(&["/bin/sh", "-c", &format!("echo reloaded >>{}", log.display())]);
        let unit = shell("sleep 1000").extra("ExecReload", reload).start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        for count in 1..=3 {
            soon("the reload", unit.reload()).await.unwrap();
            assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), count, "{transport}");
        }
        unit.stop().await.unwrap();
        std::fs::remove_file(log).unwrap();
    }
}

#[tokio::test]
async fn signals_are_sent() {
    for (transport, manager) in managers().await {
        for (whom, status) in [(Whom::Main, Status::Killed(10)), (Whom::All, Status::Killed(10))] {
            let unit = sleeper(&manager).await;
            for signal in [0, -1, 65, i32::MAX] {
                let error = unit.kill(signal, whom).await.unwrap_err();
                assert!(matches!(&error, Error::Invalid { what: "signal", .. }), "{error:?}");
                assert!(error.to_string().contains(&signal.to_string()));
            }
            let error = unit.kill(10, Whom::Control).await.unwrap_err();
            assert!(matches!(error, Error::Call { method: "KillUnit", .. }), "{error:?}");
            unit.kill(10, whom).await.unwrap();
            assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(status), "{transport}");
        }
        let unit = sleeper(&manager).await;
        unit.kill(64, Whom::Main).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Killed(64)), "{transport}");
    }
}

#[tokio::test]
async fn a_unit_is_frozen_and_thawed() {
    for (transport, manager) in managers().await {
        let unit = sleeper(&manager).await;
        match soon("the freezing", unit.freeze()).await {
            Ok(()) => {
                assert_eq!(unit.get("FreezerState").await.unwrap(), "frozen".into(), "{transport}");
                soon("the thawing", unit.thaw()).await.unwrap();
                assert_eq!(unit.get("FreezerState").await.unwrap(), "running".into(), "{transport}");
            }
            // Not every kernel and sandbox lets it.
            Err(Error::Call { method: "FreezeUnit", message, .. }) => eprintln!("{transport}: {message}"),
            Err(error) => panic!("{error:?}"),
        }
        unit.stop().await.unwrap();
        let ended = unit.thaw().await;
        assert!(matches!(ended, Err(Error::NoSuchUnit { .. })), "{ended:?}");
    }
}

#[tokio::test]
async fn properties_are_set() {
    for (transport, manager) in managers().await {
        let unit = sleeper(&manager).await;
        unit.set_property("TasksMax", 77u64).await.unwrap();
        assert_eq!(unit.get("TasksMax").await.unwrap(), 77u64.into(), "{transport}");
        unit.set_property("Description", "another").await.unwrap();
        assert_eq!(unit.get("Description").await.unwrap(), "another".into());
        let refused = unit.set_property("Nice", 5).await;
        assert!(matches!(refused, Err(Error::Call { method: "SetUnitProperties", .. })), "{refused:?}");
        assert!(matches!(unit.set_property("a\0b", 1u32).await, Err(Error::Invalid { .. })));
        assert!(matches!(unit.set_property("Description", "a\0b").await, Err(Error::Invalid { .. })));
        unit.stop().await.unwrap();
        let gone = unit.set_property("TasksMax", 78u64).await;
        assert!(matches!(gone, Err(Error::NoSuchUnit { .. })), "{gone:?}");
    }
}

/// A failed unit that is not collected stays loaded until it is reset.
#[tokio::test]
async fn a_failed_unit_is_reset() {
    for (transport, manager) in managers().await {
        let unit = Command::new("/bin/false").start(&manager).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert!(matches!(exit.check(), Err(Error::Failed { .. })));
        assert_eq!(unit.get("ActiveState").await.unwrap(), "failed".into(), "{transport}");
        unit.reset_failed().await.unwrap();
        assert!(matches!(unit.stop().await, Err(Error::NoSuchUnit { .. })), "{transport}");
    }
}

#[tokio::test]
async fn what_is_a_success() {
    for (_, manager) in managers().await {
        let exit = shell("exit 0").start(&manager).await.unwrap().await.unwrap();
        exit.check().unwrap();
        let ints = |values: &[i32]| {
            Value::Array(Signature::new("i").unwrap(), values.iter().map(|value| Value::I32(*value)).collect())
        };
        let codes = Value::Struct(vec![ints(&[7]), ints(&[])]);
        let exit = shell("exit 7").extra("SuccessExitStatus", codes).start(&manager).await.unwrap().await.unwrap();
        assert_eq!(exit.code(), Some(7));
        exit.check().unwrap();
    }
}
