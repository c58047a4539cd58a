//! Connections that lead through a program, which is a shell here: it says why there is none.

use std::time::Duration;

use super::probe::Probe;
use super::{PATIENCE, soon};
use crate::bus::{Link, Program, Target, Way};
use crate::error::{Error, Result};

async fn open(script: &str) -> Result<Link<Probe>> {
    let arguments = ["-c", script].map(Into::into).into();
    let target = Target::Program(Program { path: "/bin/sh".into(), arguments, destination: "nowhere".into() });
    Link::open(Way::once(target), Probe::new().0).await
}

async fn reason(script: &str) -> String {
    match soon(open(script)).await.unwrap_err() {
        Error::Disconnected { reason } => reason.into(),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn it_says_why() {
    assert_eq!(reason("exit 0").await, "sh exited with status 0, without a word");
    assert_eq!(reason("exit 7").await, "sh exited with status 7, without a word");
    assert_eq!(reason("echo no way >&2; exit 7").await, "no way (sh exited with status 7)");
    assert_eq!(reason("echo no way >&2; kill -KILL $$").await, "no way (sh was killed by SIGKILL)");
    // What it says comes before its end, and after the end of the connection.
    assert_eq!(reason("exec <&- >&-; sleep 0.1; echo late >&2; exit 7").await, "late (sh exited with status 7)");
    // Much of it.
    let said = reason("i=0; while [ $i -lt 9999 ]; do i=$((i+1)); echo line $i; done >&2; exit 1").await;
    assert!(said.ends_with("line 9998; line 9999 (sh exited with status 1)"), "{said}");
    // Something that it leaves behind holds its standard error open.
    assert_eq!(
        reason("sleep 60 </dev/null >/dev/null & echo gone >&2; exit 2").await,
        "gone (sh exited with status 2)"
    );
    // What it passes on is not D-Bus.
    for script in ["echo hello there; cat", "head -c 100000 /dev/zero; cat"] {
        let said = reason(&format!("{script}; echo odd >&2")).await;
        assert!(said.starts_with("something else than D-Bus"), "{script}: {said}");
    }
}

/// One that ends neither with its input nor when it is asked to.
#[tokio::test]
async fn it_is_made_to_end() {
    let said = reason("trap '' TERM; exec <&- >&-; echo still here >&2; while :; do sleep 0.05; done").await;
    assert!(said.starts_with("still here (") && !said.contains("SIGKILL"), "{said}");
}

/// One that cannot be run is told as what the system says of it.
#[tokio::test]
async fn it_cannot_be_run() {
    let target = Program { path: "/nonexistent/ssh".into(), arguments: Vec::new(), destination: "nowhere".into() };
    let error = soon(Link::open(Way::once(Target::Program(target)), Probe::new().0)).await.unwrap_err();
    assert!(matches!(error, Error::System { errno: nix::errno::Errno::ENOENT, .. }), "{error:?}");
}

/// Who gives up leaves nothing behind, also where the program does not look at its input.
#[tokio::test]
async fn giving_up_ends_it() {
    let fifo = std::env::temp_dir().join(format!("sdrun-program-{}", std::process::id()));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // It holds the FIFO open for writing as long as it lives.
    let script = format!("exec 9>{}; echo begun >&9; while :; do sleep 0.05; done", fifo.display());
    let (begun, ended) = (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
    let path = fifo.clone();
    let reading = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader};
        let mut lines = BufReader::new(std::fs::File::open(path).unwrap()).lines();
        begun.0.send(lines.next().unwrap().unwrap()).unwrap();
        ended.0.send(lines.next().is_none()).unwrap();
    });
    let mut connecting = Box::pin(open(&script));
    let came = async {
        tokio::select! {
            link = &mut connecting => panic!("{link:?}"),
            line = begun.1 => line.unwrap(),
        }
    };
    assert_eq!(soon(came).await, "begun");
    drop(connecting);
    // The shell's last `sleep` has the FIFO for a moment longer.
    assert!(tokio::time::timeout(PATIENCE + Duration::from_secs(1), ended.1).await.unwrap().unwrap());
    reading.join().unwrap();
    std::fs::remove_file(fifo).unwrap();
}
