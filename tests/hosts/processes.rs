//! What becomes of the processes and descriptors of connections. Each test has a process to itself.

use std::net::TcpListener;
use std::time::Duration;

use sdrun::{Command, Manager};

use super::support::sshd::{Sshd, children_of};
use super::support::{self, DEADLINE, soon};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn own() -> Vec<(u32, String)> {
    children_of(std::process::id())
}

/// Until no process of ours is left but these, zombies included.
async fn until_only(kept: &[u32]) {
    let gone = async {
        while own().iter().any(|(pid, _)| !kept.contains(pid)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(DEADLINE, gone).await.is_err() {
        panic!("left: {:?}", own());
    }
}

crate::alone! {
    /// Fifty come and go, all at once and one after the other.
    fn nothing_is_left_of_connections() {
        if !support::is_root() {
            return;
        }
        let sshd = Sshd::start();
        let rest: Vec<u32> = own().iter().map(|(pid, _)| *pid).collect();
        runtime().block_on(async {
            let run = || async {
                let manager = sshd.manager().await;
                let unit = Command::new("/bin/true").collect(true).start(&manager).await.unwrap();
                soon("the exit", unit.wait()).await.unwrap();
            };
            run().await;
            until_only(&rest).await;
            let before = support::descriptors();
            for _ in 0..25 {
                run().await;
            }
            futures::future::join_all((0..25).map(|_| run())).await;
            until_only(&rest).await;
            soon("the descriptors", async {
                while support::descriptors() > before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }).await;
            // Those that fail too.
            let host = format!("{}/no-such-machine", sshd.root());
            for _ in 0..5 {
                soon("the error", sshd.keys.remote(&host).connect()).await.unwrap_err();
            }
            until_only(&rest).await;
            assert!(support::descriptors() <= before, "{:?}", support::list_descriptors());
        });
    }
}

crate::alone! {
    /// A connection that is given up while ssh waits for the host to speak.
    fn giving_up_ends_ssh() {
        if !support::is_root() {
            return;
        }
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        silent.set_nonblocking(true).unwrap();
        let host = format!("root@{}", silent.local_addr().unwrap());
        runtime().block_on(async {
            let silent = tokio::net::TcpListener::from_std(silent).unwrap();
            for _ in 0..10 {
                let mut connecting = Box::pin(Manager::remote(&host));
                let came = async {
                    tokio::select! {
                        manager = &mut connecting => panic!("{manager:?}"),
                        came = silent.accept() => came.unwrap(),
                    }
                };
                let (connection, _) = soon("ssh", came).await;
                drop(connecting);
                until_only(&[]).await;
                drop(connection);
            }
            // Before ssh is there, too.
            for _ in 0..10 {
                let mut connecting = Box::pin(Manager::remote(&host));
                assert!(futures::poll!(&mut connecting).is_pending());
                drop(connecting);
            }
            until_only(&[]).await;
        });
    }
}

crate::alone! {
    /// A runtime that goes away takes the connections with it.
    fn ssh_ends_with_the_runtime() {
        if !support::is_root() {
            return;
        }
        let sshd = Sshd::start();
        let rest: Vec<u32> = own().iter().map(|(pid, _)| *pid).collect();
        let first = runtime();
        let manager = first.block_on(sshd.manager());
        drop(first);
        runtime().block_on(async {
            assert!(Command::new("/bin/true").start(&manager).await.is_err());
            // It has ended; tokio waits for it on the next occasion.
            let ended = async {
                while own().iter().any(|(pid, line)| !rest.contains(pid) && !line.starts_with('Z')) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            soon("the end of ssh", ended).await;
            drop(sshd.manager().await);
            until_only(&rest).await;
        });
    }
}

crate::alone! {
    /// A process that is killed cannot end its ssh, which ends all the same.
    fn ssh_ends_with_the_process() {
        if !support::is_root() {
            return;
        }
        let sshd = Sshd::start();
        let options = sshd.keys.options().join("\n");
        let mut helper = support::helper("processes::connect_and_stay");
        helper.env("HOST", sshd.root()).env("OPTIONS", options).stdout(std::process::Stdio::piped());
        let mut child = helper.spawn().unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        while !line.contains("connected") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "it ended");
        }
        let ssh = children_of(child.id());
        assert_eq!(ssh.len(), 1, "{ssh:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        runtime().block_on(soon("the end of ssh", async {
            let name = format!("/proc/{}/cmdline", ssh[0].0);
            while std::fs::read(&name).is_ok_and(|line| line.starts_with(b"ssh")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
}

#[test]
#[ignore = "run by `ssh_ends_with_the_process`, in a process of its own"]
fn connect_and_stay() {
    runtime().block_on(async {
        let mut builder = Manager::builder().remote(std::env::var("HOST").unwrap());
        for option in std::env::var("OPTIONS").unwrap().lines() {
            builder = builder.ssh_option(option);
        }
        let _manager = soon("the connection", builder.connect()).await.unwrap();
        println!("connected");
        std::future::pending::<()>().await;
    });
}
