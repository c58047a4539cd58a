//! A connection with nothing outstanding costs nothing: not one system call, whatever the host does.

mod support;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use support::{on_bus, soon};

/// Everything in this file again as an ordinary user, on the user bus.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// Ten seconds, in which a thousand units of somebody else start and end, under strace.
#[tokio::test]
async fn no_system_call_while_a_thousand_foreign_units_run() {
    let log = std::env::temp_dir().join(format!("sdrun-strace-{}", std::process::id()));
    let mut idler = support::helper("idler");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-s", "512", "-o"]).arg(&log).arg(idler.get_program()).args(idler.get_args());
    idler.stdin(Stdio::null());
    let mut strace = strace.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("strace is installed");

    // What it does when it becomes idle is to have no more signals sent to it.
    let quiet = soon("the idle process", async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("Unsubscribe") && is_waiting(&text) {
                return text;
            }
            assert!(strace.try_wait().unwrap().is_none(), "the process ended early: {text}");
            tokio::task::yield_now().await;
        }
    })
    .await;

    let manager = on_bus().await;
    let (began, mut foreign) = (Instant::now(), 0);
    while foreign < 1000 || began.elapsed() < Duration::from_secs(10) {
        let runs = stream::iter(0..100).map(|_| async {
            let mut command = sdrun::Command::new("/bin/true");
            let unit = command.collect(true).start(&manager).await.unwrap();
            soon("a foreign unit", unit).await.unwrap()
        });
        foreign += runs.buffer_unordered(8).count().await;
    }

    let after = std::fs::read_to_string(&log).unwrap();
    assert_eq!(after.strip_prefix(&quiet), Some(""), "system calls of an idle process");
    drop(strace.stdin.take());
    assert!(strace.wait().unwrap().success());
    // It was the process that was watched, and it was alive: it went on when it was told to.
    assert!(std::fs::read_to_string(&log).unwrap().len() > after.len());
    remove(&log);
}

/// Whether the last thing that strace saw is a wait for the descriptors.
fn is_waiting(log: &str) -> bool {
    let last = log.rsplit('\n').next().unwrap_or_default();
    last.contains("epoll_wait(") || last.contains("epoll_pwait(")
}

#[test]
#[ignore = "run under strace by the test above"]
fn idler() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let manager = on_bus().await;
        let mut command = sdrun::Command::new("/bin/true");
        let unit = command.collect(true).start(&manager).await.unwrap();
        assert!(soon("a run", unit).await.unwrap().success());
        // Idle, until its standard input ends.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        // The connection is as good as before.
        let unit = command.start(&manager).await.unwrap();
        assert!(soon("a later run", unit).await.unwrap().success());
    });
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}
