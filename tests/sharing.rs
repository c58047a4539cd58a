//! One manager for many: tasks, threads, runtimes of every flavour.

mod support;

use std::sync::mpsc;

use futures::future::join_all;
use sdrun::{Command, Error, Exit, Manager, Result, Status};
use support::{managers, on_bus, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn run(manager: &Manager, code: u8) -> Result<Exit> {
    let script = format!("exit {code}");
    Command::from(["/bin/sh", "-c", &script]).collect(true).start(manager).await?.wait().await
}

fn code(exit: Exit) -> Option<Status> {
    exit.status
}

#[tokio::test(flavor = "current_thread")]
async fn two_managers_and_a_thousand_units() {
    let managers = managers().await;
    let runs = (0..1000usize).map(|number| {
        let manager = &managers[number % 2].1;
        async move { (number as u8, run(manager, number as u8).await.unwrap()) }
    });
    for (expected, exit) in soon("all exits", join_all(runs)).await {
        assert_eq!(code(exit), Some(Status::Exited(expected)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn units_are_sent_across_threads() {
    for (_, manager) in managers().await {
        let tasks = (0..100u8).map(|number| {
            let manager = manager.clone();
            tokio::spawn(async move {
                let script = format!("exit {number}");
                let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await.unwrap();
                // Started here, awaited there.
                let exit = tokio::spawn(async move { unit.await.unwrap() }).await.unwrap();
                assert_eq!(code(exit), Some(Status::Exited(number)));
            })
        });
        for task in soon("all tasks", join_all(tasks)).await {
            task.unwrap();
        }
    }
}

/// A unit is awaited on another runtime than the one that drives its connection.
#[test]
fn units_are_sent_across_runtimes() {
    let (units, others) = mpsc::channel();
    let (done, over) = tokio::sync::oneshot::channel::<()>();
    let driver = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            for (_, manager) in managers().await {
                let unit = Command::from(["/bin/sh", "-c", "exit 6"]).collect(true).start(&manager).await.unwrap();
                units.send((unit, manager)).unwrap();
            }
            drop(units);
            over.await.unwrap();
        });
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (unit, manager) in others {
        let exit = runtime.block_on(async {
            let elsewhere = soon("a run from here", run(&manager, 8)).await.unwrap();
            assert_eq!(code(elsewhere), Some(Status::Exited(8)));
            soon("the exit", unit.wait()).await.unwrap()
        });
        assert_eq!(code(exit), Some(Status::Exited(6)));
    }
    done.send(()).unwrap();
    driver.join().unwrap();
}

#[test]
fn inside_a_local_set() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for (_, manager) in managers().await {
            let runs = (0..50u8).map(|number| {
                let manager = manager.clone();
                tokio::task::spawn_local(async move { run(&manager, number).await.unwrap() })
            });
            for (number, exit) in soon("all runs", join_all(runs)).await.into_iter().enumerate() {
                assert_eq!(code(exit.unwrap()), Some(Status::Exited(number as u8)));
            }
        }
    });
}

/// A unit that many wait for; each wait gives the same exit, also one that begins after the end.
#[tokio::test]
async fn many_wait_for_one_unit() {
    let manager = on_bus().await;
    let unit = Command::from(["/bin/sh", "-c", "exit 5"]).collect(true).start(&manager).await.unwrap();
    let exits = soon("all waits", join_all((0..100).map(|_| unit.wait()))).await;
    let last = unit.wait().await.unwrap();
    assert!(exits.into_iter().all(|exit| exit.unwrap() == last));
}

#[test]
fn handles_may_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Manager>();
    check::<sdrun::Unit>();
    check::<Command>();
    check::<Exit>();
    check::<Error>();
    fn future<T: Send>(_: T) {}
    future(sdrun::run("/bin/true"));
    future(Manager::system());
}
