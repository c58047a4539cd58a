//! Connections that are lost on the way.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sdrun::{Command, Error};

use super::support::sshd::{Sshd, children_of};
use super::support::{self, soon};

/// Our ssh to this server.
fn ssh_to(sshd: &Sshd) -> Pid {
    let own = children_of(std::process::id());
    let port = format!("-p {} ", sshd.port);
    let pids: Vec<u32> = own.iter().filter(|(_, line)| line.contains(&port)).map(|(pid, _)| *pid).collect();
    assert_eq!(pids.len(), 1, "{own:?}");
    Pid::from_raw(pids[0] as i32)
}

fn disconnected(error: Error, says: &str) {
    let Error::Disconnected { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains(says), "{says:?} is not in {reason:?}");
}

/// Whoever waits is told at once, with what ssh said last; whoever comes later, too.
#[tokio::test]
async fn ssh_is_killed() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    for (signal, says) in [(Signal::SIGKILL, "was killed by SIGKILL"), (Signal::SIGTERM, "exited with status 255")] {
        let says = &format!("ssh to {} {says}", sshd.root());
        let manager = sshd.manager().await;
        let unit = Command::new("/bin/sleep").arg("1000").start(&manager).await.unwrap();
        soon("the start", unit.activated()).await.unwrap();
        let mut states = unit.states();
        let waiting = unit.wait();
        kill(ssh_to(&sshd), signal).unwrap();
        disconnected(soon("the error", waiting).await.unwrap_err(), says);
        disconnected(soon("a later call", Command::new("/bin/true").start(&manager)).await.unwrap_err(), says);
        disconnected(soon("a stop", unit.stop()).await.unwrap_err(), says);
        let end = async {
            use futures::StreamExt;
            while let Some(state) = states.next().await {
                if let Err(error) = state {
                    return disconnected(error, says);
                }
            }
        };
        soon("the end of the states", end).await;
        // The unit knows nothing of it.
        support::systemctl(&["stop", unit.name()]);
    }
}

/// The host goes away: the server's process for this connection ends.
#[tokio::test]
async fn the_host_closes_the_connection() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let manager = sshd.manager().await;
    let unit = Command::new("/bin/sleep").arg("1000").start(&manager).await.unwrap();
    let waiting = unit.wait();
    // Newer servers have two for a connection, one the child of the other.
    let sessions = children_of(sshd.pid());
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let below = children_of(sessions[0].0).into_iter().filter(|(_, line)| line.contains("sshd"));
    for (pid, _) in below.chain(sessions.clone()) {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
    }
    disconnected(soon("the error", waiting).await.unwrap_err(), "closed by remote host");
    support::systemctl(&["stop", unit.name()]);
}

/// Many at once: each is told, whatever it was about to do.
#[tokio::test]
async fn in_the_middle_of_many_starts() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let manager = sshd.manager().await;
    let first = Command::new("/bin/true").collect(true).start(&manager).await.unwrap();
    let runs = (0..200).map(|_| async {
        let unit = Command::new("/bin/true").collect(true).start(&manager).await?;
        unit.wait().await
    });
    let killing = async {
        soon("an exit", first.wait()).await.unwrap();
        kill(ssh_to(&sshd), Signal::SIGKILL).unwrap();
    };
    let (ends, ()) = soon("all ends", futures::future::join(futures::future::join_all(runs), killing)).await;
    for end in ends {
        match end {
            Ok(exit) => assert!(exit.success(), "{exit:?}"),
            // Who comes before the end of ssh is known is told of the connection's.
            Err(Error::Disconnected { reason }) => assert!(reason.contains(&sshd.root()), "{reason}"),
            Err(error) => panic!("{error:?}"),
        }
    }
}
