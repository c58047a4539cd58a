//! Units that someone else has started: found again, and their exits too.

mod support;

use futures::future::join_all;
use sdrun::{Command, Error, Exit, Manager, Outcome, Status, Transport, Unit, Whom};
use support::{managers, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn named(name: &str) -> String {
    format!("sdrun-adopt-{name}-{}", std::process::id())
}

fn systemctl(arguments: &[&str]) {
    let scope = if support::is_root() { "--system" } else { "--user" };
    let status = std::process::Command::new("systemctl").arg(scope).args(arguments).status().unwrap();
    assert!(status.success(), "systemctl {arguments:?}: {status}");
}

/// Another connection of the same kind.
async fn another(manager: &Manager) -> Manager {
    let transport = if manager.is_private() { Transport::Private } else { Transport::Bus };
    Manager::builder().transport(transport).connect().await.unwrap()
}

async fn exit(unit: &Unit) -> Exit {
    soon("the exit", unit.wait()).await.unwrap()
}

#[tokio::test]
async fn a_running_unit_is_adopted() {
    for (transport, manager) in managers().await {
        let name = named(transport);
        let script = "trap 'exit 7' USR1; while :; do sleep 0.01; done";
        let own = shell(script).name(&name).start(&manager).await.unwrap();
        soon("the activation", own.activated()).await.unwrap();
        let other = another(&manager).await;
        let unit = soon("the adoption", other.unit(&name)).await.unwrap();
        assert_eq!(unit.name(), own.name());
        assert!(unit.invocation_id().is_some());
        assert_eq!(unit.invocation_id().unwrap().to_string(), own.invocation_id().unwrap().to_string());
        assert!(unit.try_wait().unwrap().is_none());
        soon("the activation", unit.activated()).await.unwrap();
        assert_eq!(unit.main_pid().await.unwrap(), own.main_pid().await.unwrap());
        // Also by who has it already.
        let again = soon("the adoption", manager.unit(own.name())).await.unwrap();
        let twice = soon("the adoption", other.unit(own.name())).await.unwrap();
        // The shell may not have set its trap yet.
        while unit.try_wait().unwrap().is_none() {
            let _ = unit.kill(10, Whom::Main).await;
            tokio::task::yield_now().await;
        }
        let exits = join_all([&own, &unit, &again, &twice].map(exit)).await;
        assert!(exits.iter().all(|other| *other == exits[0]), "{transport}: {exits:?}");
    }
}

#[tokio::test]
async fn what_systemd_run_started() {
    for (transport, manager) in managers().await {
        let name = named(&format!("run-{transport}"));
        let scope = if support::is_root() { "--system" } else { "--user" };
        let arguments = [scope, "--quiet", "--collect", "--unit", &name, "/bin/sh", "-c", "sleep 0.3; exit 12"];
        let status = std::process::Command::new("systemd-run").args(arguments).status().unwrap();
        assert!(status.success());
        let unit = soon("the adoption", manager.unit(&name)).await.unwrap();
        assert_eq!(exit(&unit).await.status, Some(Status::Exited(12)), "{transport}");
        unit.activated().await.unwrap();
        let gone = manager.unit(&name).await;
        assert!(matches!(&gone, Err(Error::NoSuchUnit { name: gone, .. }) if **gone == format!("{name}.service")));
    }
}

/// A supervisor that is gone, and one that comes after it.
#[tokio::test]
async fn a_supervisor_that_is_restarted() {
    for (transport, manager) in managers().await {
        let name = |number: usize| named(&format!("{transport}-{number}"));
        let units = join_all((0..100).map(|number| {
            let manager = &manager;
            async move {
                let script = format!("trap 'exit {number}' USR1; systemd-notify --ready; while :; do sleep 0.05; done");
                let mut command = shell(&script);
                command.name(name(number)).extra("Type", "notify").extra("NotifyAccess", "all");
                let unit = command.start(manager).await.unwrap();
                soon("the activation", unit.activated()).await.unwrap();
            }
        }));
        units.await;
        let transport_of = if manager.is_private() { Transport::Private } else { Transport::Bus };
        drop(manager);
        let manager = Manager::builder().transport(transport_of).connect().await.unwrap();
        let units = join_all((0..100).map(|number| manager.unit(name(number)))).await;
        let units: Vec<_> = units.into_iter().map(Result::unwrap).collect();
        for (number, unit) in units.iter().enumerate() {
            soon("the activation", unit.activated()).await.unwrap();
            let signal = if number % 3 == 0 { 9 } else { 10 };
            unit.kill(signal, if number % 3 == 0 { Whom::All } else { Whom::Main }).await.unwrap();
        }
        for (number, unit) in units.iter().enumerate() {
            let expected = if number % 3 == 0 { Status::Killed(9) } else { Status::Exited(number as u8) };
            assert_eq!(exit(unit).await.status, Some(expected), "{transport}, {number}");
        }
    }
}

#[tokio::test]
async fn units_that_have_ended() {
    for (transport, manager) in managers().await {
        let other = another(&manager).await;
        let failed = Command::from(["/bin/sh", "-c", "exit 21"]).name(named(transport)).start(&manager).await.unwrap();
        let seen = exit(&failed).await;
        let unit = soon("the adoption", other.unit(failed.name())).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap(), seen, "{transport}");
        soon("the activation", unit.activated()).await.unwrap();
        unit.reset_failed().await.unwrap();

        let mut oneshot = Command::from(["/bin/sh", "-c", "exit 22"]);
        let failed = oneshot.extra("Type", "oneshot").name(named(transport)).start(&manager).await.unwrap();
        let seen = exit(&failed).await;
        let unit = soon("the adoption", other.unit(failed.name())).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap(), seen, "{transport}");
        assert!(matches!(soon("the activation", unit.activated()).await, Err(Error::Failed { .. })));
        unit.reset_failed().await.unwrap();

        let mut remaining = shell("exit 0");
        let remaining = remaining.extra("RemainAfterExit", true).name(named(transport)).start(&manager).await.unwrap();
        let seen = exit(&remaining).await;
        let unit = soon("the adoption", other.unit(remaining.name())).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap(), seen, "{transport}");
        soon("the activation", unit.activated()).await.unwrap();
        unit.stop().await.unwrap();
    }
}

/// A start job that waits for another unit counts.
#[tokio::test]
async fn a_unit_whose_start_is_queued() {
    for (transport, manager) in managers().await {
        let other = another(&manager).await;
        let first = format!("{}.service", named(&format!("first-{transport}")));
        let slow = shell("sleep 1000").name(&first).extra("Type", "oneshot").start(&manager).await.unwrap();
        let mut second = shell("exit 5");
        second.name(named(&format!("second-{transport}"))).extra("After", [first.as_str()]);
        let second = second.start(&manager).await.unwrap();
        let unit = soon("the adoption", other.unit(second.name())).await.unwrap();
        let starting = soon("the adoption", other.unit(slow.name())).await.unwrap();
        assert!(unit.try_wait().unwrap().is_none(), "{transport}");
        assert!(starting.try_wait().unwrap().is_none(), "{transport}");
        while slow.main_pid().await.unwrap().is_none() {} // there is nobody to kill
        slow.kill(9, Whom::All).await.unwrap();
        assert_eq!(exit(&unit).await.status, Some(Status::Exited(5)), "{transport}");
        soon("the activation", unit.activated()).await.unwrap();
        assert!(soon("the activation", starting.activated()).await.is_err(), "{transport}");
        assert_eq!(exit(&starting).await.status, Some(Status::Killed(9)), "{transport}");
    }
}

/// With `Restart=` the exit is the last one, for an adopted unit too.
#[tokio::test]
async fn a_unit_that_is_restarted() {
    for (transport, manager) in managers().await {
        let other = another(&manager).await;
        let counter = std::env::temp_dir().join(named(&format!("count-{transport}")));
        let script = format!("sleep 0.1; echo >>{0}; test $(wc -l <{0}) -ge 4 && exit 0; exit 5", counter.display());
        let mut command = shell(&script);
        command.extra("Restart", "on-failure").extra("RestartUSec", 1000u64);
        let own = command.start(&manager).await.unwrap();
        let unit = soon("the adoption", other.unit(own.name())).await.unwrap();
        assert_eq!(exit(&unit).await.status, Some(Status::Exited(0)), "{transport}");
        assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), 4, "{transport}");
        std::fs::remove_file(counter).unwrap();
    }
}

#[tokio::test]
async fn names() {
    for (transport, manager) in managers().await {
        for name in ["", "a b", "a/b.service", "x@.service", "a\0b"] {
            assert!(matches!(manager.unit(name).await, Err(Error::Invalid { .. })), "{name:?}");
        }
        let missing = manager.unit("sdrun-no-such-unit.scope").await;
        assert!(matches!(missing, Err(Error::NoSuchUnit { .. })), "{transport}: {missing:?}");
        let slice = soon("the adoption", manager.unit("-.slice")).await.unwrap();
        soon("the activation", slice.activated()).await.unwrap();
        assert_eq!(slice.main_pid().await.unwrap(), None, "{transport}");
        assert!(slice.try_wait().unwrap().is_none());
    }
}

/// A unit of another type is followed to its end.
#[tokio::test]
async fn a_scope_ends() {
    for (transport, manager) in managers().await {
        let name = format!("{}.scope", named(&format!("scope-{transport}")));
        let scope = if support::is_root() { "--system" } else { "--user" };
        let arguments = [scope, "--quiet", "--scope", "--unit", &name, "/bin/sleep", "1000"];
        let mut child = std::process::Command::new("systemd-run").args(arguments).spawn().unwrap();
        // A scope around a zombie does not end.
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        let unit = loop {
            match manager.unit(&name).await {
                Ok(unit) => break unit,
                Err(Error::NoSuchUnit { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        soon("the activation", unit.activated()).await.unwrap();
        assert!(unit.try_wait().unwrap().is_none(), "{transport}");
        soon("the stop", unit.stop()).await.unwrap();
        let exit = exit(&unit).await;
        assert_eq!((exit.result, exit.status), (Outcome::Success, None), "{transport}");
        reaper.join().unwrap();
    }
}

#[tokio::test]
async fn an_alias() {
    let id = std::process::id();
    let folder = match support::is_root() {
        true => "/run/systemd/system".to_owned(),
        false => format!("{}/systemd/user", std::env::var("XDG_RUNTIME_DIR").unwrap()),
    };
    std::fs::create_dir_all(&folder).unwrap();
    let (real, alias) = (format!("sdrun-real-{id}.service"), format!("sdrun-alias-{id}.service"));
    let file = "[Service]\nExecStart=/bin/sh -c 'sleep 1000'\n";
    std::fs::write(format!("{folder}/{real}"), file).unwrap();
    std::os::unix::fs::symlink(&real, format!("{folder}/{alias}")).unwrap();
    for (transport, manager) in managers().await {
        systemctl(&["daemon-reload"]);
        systemctl(&["start", &alias]);
        let unit = soon("the adoption", manager.unit(&alias)).await.unwrap();
        assert_eq!(unit.name(), real, "{transport}");
        unit.stop().await.unwrap();
        assert_eq!(exit(&unit).await.status, Some(Status::Killed(15)), "{transport}");
    }
    std::fs::remove_file(format!("{folder}/{alias}")).unwrap();
    std::fs::remove_file(format!("{folder}/{real}")).unwrap();
    systemctl(&["daemon-reload"]);
}

/// Units that end just when they are adopted: there is either no such unit, or its exit is right.
#[tokio::test]
async fn units_that_end_at_that_moment() {
    for (transport, manager) in managers().await {
        let other = another(&manager).await;
        let mut adopted = 0;
        for round in 0..200u32 {
            let code = (round % 250) as u8 + 1;
            let script = format!("sleep 0.00{}; exit {code}", round % 10);
            let own = shell(&script).collect(round % 2 == 0).start(&manager).await.unwrap();
            match soon("the adoption", other.unit(own.name())).await {
                Ok(unit) => {
                    adopted += 1;
                    assert_eq!(exit(&unit).await.status, Some(Status::Exited(code)), "{transport}, round {round}");
                }
                Err(Error::NoSuchUnit { .. }) => {}
                Err(error) => panic!("{transport}, round {round}: {error}"),
            }
            assert_eq!(exit(&own).await.status, Some(Status::Exited(code)));
            if round % 2 == 1 {
                own.reset_failed().await.unwrap();
            }
        }
        assert!(adopted >= 100, "{transport}: {adopted}");
    }
}

/// An adoption that is given up leaves nothing behind.
#[tokio::test]
async fn adoptions_that_are_given_up() {
    use futures::FutureExt;
    for (_, manager) in managers().await {
        let other = another(&manager).await;
        let own = shell("sleep 1000").start(&manager).await.unwrap();
        for turns in 0..20 {
            let mut adopting = Box::pin(other.unit(own.name()));
            for _ in 0..turns {
                if (&mut adopting).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let unit = soon("the adoption", other.unit(own.name())).await.unwrap();
        unit.stop().await.unwrap();
        assert_eq!(exit(&unit).await, exit(&own).await);
    }
}
