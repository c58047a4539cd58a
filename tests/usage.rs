//! What units have used, never at the price of an exit.

mod support;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use sdrun::{Command, Error, Manager, Status};
use support::{managers, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn shell(script: &str) -> Command {
    let mut command = Command::from(["/bin/sh", "-c", script]);
    command.collect(true).usage(true);
    command
}

/// The units of these names that are loaded.
fn loaded(pattern: &str) -> String {
    let scope = if support::is_root() { "--system" } else { "--user" };
    let arguments = [scope, "list-units", "--all", "--plain", "--no-legend", pattern];
    let output = std::process::Command::new("systemctl").args(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until none of these units is loaded: a slice of ours is stopped when the handle has its exit already.
async fn until_unloaded(pattern: &str) {
    let gone = async {
        while !loaded(pattern).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(pattern, gone).await;
}

/// Slices of this process.
fn keepers() -> String {
    format!("sdrunkeep{}x*", std::process::id())
}

async fn used(manager: &Manager, code: u8) {
    let unit = shell(&format!("exit {code}")).start(manager).await.unwrap();
    let exit = soon("the exit", unit.wait()).await.unwrap();
    assert_eq!(exit.status, Some(Status::Exited(code)));
    assert!(exit.usage.expect("a usage").cpu.expect("CPU time").as_nanos() > 0, "{exit:?}");
}

#[tokio::test]
async fn one_at_a_time_and_many_at_once() {
    for (transport, manager) in managers().await {
        used(&manager, 3).await;
        let manager = &manager;
        let count = std::env::var("COUNT").map_or(300, |count| count.parse().unwrap());
        let runs = stream::iter(0..count).map(|run| used(manager, run as u8)).buffer_unordered(500);
        assert_eq!(runs.collect::<Vec<_>>().await.len(), count, "{transport}");
    }
    until_unloaded(&keepers()).await;
}

#[tokio::test]
async fn more_is_counted_for_more_work() {
    for (transport, manager) in managers().await {
        let unit = shell("i=0; while test $i -lt 100000; do i=$((i+1)); done").start(&manager).await.unwrap();
        let usage = soon("the exit", unit.wait()).await.unwrap().usage.expect("a usage");
        assert!(usage.cpu.unwrap().as_millis() > 10, "{transport}: {usage:?}");
        let unit = Command::from("/bin/true").collect(true).start(&manager).await.unwrap();
        assert!(soon("the exit", unit.wait()).await.unwrap().usage.is_none(), "{transport}: nobody asked");
    }
    until_unloaded(&keepers()).await;
}

/// Nothing keeps a unit that failed, remains, was refused, given up or forgotten.
#[tokio::test]
async fn nothing_is_left() {
    for (transport, manager) in managers().await {
        let name = |kind: &str| format!("sdrun-used-{transport}-{kind}-{}", std::process::id());
        for _ in 0..2 {
            let mut failing = shell("exit 9");
            let unit = failing.collect(false).name(name("fails")).start(&manager).await.unwrap();
            assert!(soon("the exit", unit.wait()).await.unwrap().usage.is_some());
            unit.reset_failed().await.unwrap();

            let mut remaining = shell("exit 0");
            let remaining = remaining.extra("RemainAfterExit", true).name(name("remains"));
            let unit = remaining.start(&manager).await.unwrap();
            assert!(soon("the exit", unit.wait()).await.unwrap().usage.is_some());
            unit.stop().await.unwrap();

            let refused = shell("exit 0").extra("NoSuchProperty", 1u32).start(&manager).await;
            assert!(matches!(refused, Err(Error::Call { .. })), "{refused:?}");

            drop(shell("sleep 0.05").name(name("dropped")).start(&manager).await.unwrap());
            for turns in 0..8 {
                let mut command = shell("sleep 1000");
                command.name(name(&format!("given-up-{turns}")));
                let mut start = Box::pin(command.start(&manager));
                for _ in 0..turns {
                    if futures::poll!(&mut start).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                drop(start);
            }
            // One that nobody dropped in time.
            let units = loaded(&format!("sdrun-used-{transport}-given-up-*"));
            for unit in units.lines().filter_map(|line| line.split_whitespace().next()) {
                if let Ok(unit) = manager.unit(unit).await {
                    let _ = unit.stop().await;
                }
            }
            until_unloaded(&format!("sdrun-used-{transport}-*")).await;
        }
    }
    until_unloaded(&keepers()).await;
}

/// With streams and waits of many kinds beside it.
#[tokio::test]
async fn streams_end_after_the_reading() {
    for (transport, manager) in managers().await {
        let units = join_all((0..20).map(|_| {
            let manager = &manager;
            async move {
                let unit = shell("sleep 0.2; exit 4").start(manager).await.unwrap();
                (unit.states(), unit)
            }
        }));
        for (states, unit) in units.await {
            let states: Vec<_> = soon("the states", states.collect::<Vec<_>>()).await;
            assert_eq!(states.last().unwrap().as_ref().unwrap().to_string(), "failed (failed)", "{transport}");
            unit.activated().await.unwrap();
            assert!(unit.wait().await.unwrap().usage.is_some(), "{transport}");
        }
    }
    // With the runtime, what is still to be stopped would stay.
    until_unloaded(&keepers()).await;
}
