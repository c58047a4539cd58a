//! Terminals in machines, where systemd-machined does not help.

use sdrun::{Command, Error, Manager};

use crate::support::container::Container;
use crate::support::{self, soon, systemctl};
use crate::{MACHINED, all, shell};

/// Has it start again, however the test ends.
struct Masked;

impl Masked {
    fn new() -> Self {
        systemctl(&["mask", "--runtime", "--now", "systemd-machined.service"]);
        Masked
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        let unmask = ["unmask", "--runtime", "systemd-machined.service"];
        let _ = std::process::Command::new("systemctl").args(unmask).status();
    }
}

async fn refused(manager: &Manager, machine: &str) -> String {
    let error = soon("the error", shell("true").pty().start(manager)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("{machine:?}")), "{text}");
    text
}

#[tokio::test]
async fn without_machined_or_unknown_to_it() {
    if !support::is_root() {
        return; // only root may enter a machine
    }
    let _alone = MACHINED.lock().await;
    let container = Container::boot();
    let name = container.name().to_owned();
    let manager = Manager::machine(&name).await.unwrap();
    // Stopped it is started, as what the bus activates is.
    systemctl(&["stop", "systemd-machined.service"]);
    let mut unit = soon("the start", shell("echo here").env("TERM", "dumb").pty().start(&manager)).await.unwrap();
    assert_eq!(all(unit.pty.as_mut().unwrap()).await, "here\r\n");
    let masked = Masked::new();
    let text = refused(&manager, &name).await;
    assert!(text.contains("systemd-machined"), "{text}");
    // What needs no terminal needs no machined.
    let unit = Command::new("/bin/true").collect(true).start(&manager).await.unwrap();
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
    drop(masked);
    drop(container);
    // It is told of the end of the container.
    let known = || std::process::Command::new("machinectl").args(["show", &name]).output().unwrap().status.success();
    let unknown = async {
        while known() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon("the machine's end", unknown).await;
    let text = refused(&manager, &name).await;
    assert!(text.contains("machinectl"), "{text}");
}
