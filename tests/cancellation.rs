//! Futures that are dropped half-way: nothing is left behind, and later runs are unharmed.

mod support;

use sdrun::{Command, Manager, Status};
use support::{managers, poll_at_most, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn works(manager: &Manager, code: u8) {
    let script = format!("exit {code}");
    let mut command = Command::from(["/bin/sh", "-c", &script]);
    let unit = soon("a later start", command.collect(true).start(manager)).await.expect("a later start");
    let exit = soon("a later exit", unit.wait()).await.expect("a later exit");
    assert_eq!(exit.status, Some(Status::Exited(code)));
}

/// `run()` from its first poll to its end, on a connection that is new each time and on one that is warm.
#[tokio::test]
async fn run_dropped_at_every_await_point() {
    for (transport, warm) in managers().await {
        for (fresh, late) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut polls = 0;
            loop {
                let name = format!("sdrun-dropped-{transport}-{fresh}-{late}-{polls}-{}.service", std::process::id());
                let attempt = async {
                    let manager = if fresh { cold(&warm).await } else { warm.clone() };
                    let mut command = Command::from(["/bin/sleep", "1000"]);
                    command.name(&name).collect(true).start(&manager).await
                };
                let finished = soon("the polls", poll_at_most(polls, late, attempt)).await;
                // The connection answers in order, so once this run is over, so is what was given up before it.
                works(&warm, polls as u8).await;
                match finished {
                    None => soon("the dropped start", wait_for(&name, false)).await,
                    Some(unit) => {
                        // It is there, and dropping its handle leaves it running.
                        let unit = unit.unwrap();
                        soon("the unit", wait_for(&name, true)).await;
                        drop(unit);
                        works(&warm, 1).await;
                        soon("the unit", wait_for(&name, true)).await;
                        stop(&name);
                        break;
                    }
                }
                polls += 1;
            }
            assert!(polls >= 2, "{transport}: only {polls} await points");
        }
    }
}

/// A connection of its own, on the same transport.
async fn cold(like: &Manager) -> Manager {
    let transport = if like.is_private() { sdrun::Transport::Private } else { sdrun::Transport::Bus };
    Manager::builder().transport(transport).connect().await.unwrap()
}

#[tokio::test]
async fn wait_dropped_at_every_await_point() {
    for ((_, manager), late) in
        managers().await.into_iter().flat_map(|manager| [(manager.clone(), true), (manager, false)])
    {
        let mut polls = 0;
        loop {
            let script = format!("exit {}", polls + 40);
            let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await.unwrap();
            let finished = soon("the polls", poll_at_most(polls, late, unit.wait())).await;
            // Waiting again gives what the dropped wait would have given.
            let exit = soon("the exit", unit.wait()).await.unwrap();
            assert_eq!(exit.status, Some(Status::Exited(polls as u8 + 40)));
            assert_eq!(unit.try_wait().unwrap(), Some(exit));
            if finished.is_some() {
                break;
            }
            polls += 1;
        }
        assert!(polls >= 1);
    }
}

/// More starts than may be in flight, and all of them given up: their places are free again.
#[tokio::test]
async fn starts_given_up_in_the_queue() {
    for (_, manager) in managers().await {
        for _ in 0..3 {
            let mut commands: Vec<_> = (0..300)
                .map(|_| {
                    let mut command = Command::from(["/bin/sleep", "1000"]);
                    command.collect(true);
                    command
                })
                .collect();
            let mut starts: Vec<_> = commands.iter_mut().map(|command| Box::pin(command.start(&manager))).collect();
            for start in &mut starts {
                assert!(futures::poll!(start).is_pending());
            }
            drop(starts);
            works(&manager, 3).await;
        }
    }
}

/// Waits until the unit is loaded, or is not.
async fn wait_for(name: &str, loaded: bool) {
    while is_active(name).await != loaded {
        tokio::task::yield_now().await;
    }
}

async fn is_active(name: &str) -> bool {
    let output = tokio::process::Command::new("systemctl")
        .args([support::scope(), "list-units", "--all", "--plain", "--no-legend", name])
        .output()
        .await
        .expect("systemctl runs");
    !output.stdout.is_empty()
}

fn stop(name: &str) {
    let status = std::process::Command::new("systemctl").args([support::scope(), "stop", name]).status().unwrap();
    assert!(status.success());
}
