//! A bus that lacks what is usually there: other subscribers, or the bus daemon itself.

mod support;

use sdrun::{Command, Manager, Status, Transport};
use support::soon;

/// These tests change the whole system, so they come one after another.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn works(manager: &Manager) {
    for code in 0..3 {
        let script = format!("exit {code}");
        let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(manager).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(code)));
    }
}

fn systemctl(arguments: &[&str]) {
    let status = std::process::Command::new("systemctl").args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// Starts units anew, however often these tests have run in the last 10 s: systemd would refuse the sixth start.
fn start(units: &[&str]) {
    systemctl(&[&["reset-failed"], units].concat());
    systemctl(&[&["start"], units].concat());
}

/// Where there is no bus daemon, root's default is the private socket.
#[tokio::test]
async fn without_a_bus_daemon() {
    if !support::is_root() {
        return;
    }
    let _alone = ALONE.lock().await;
    systemctl(&["stop", "dbus.socket", "dbus.service"]);
    let manager = Manager::builder().connect().await;
    let bus = Manager::builder().transport(Transport::Bus).connect().await;
    if let Ok(manager) = &manager {
        works(manager).await;
    }
    start(&["dbus.socket", "dbus.service"]);
    assert!(manager.unwrap().is_private());
    assert!(bus.unwrap_err().to_string().contains("is dbus installed and running"));
}

/// A bus where nobody else has subscribed: the manager's signals are sent for our sake alone.
#[tokio::test]
async fn nobody_else_has_subscribed() {
    if !support::is_root() {
        return; // on a user bus nobody is subscribed anyway: all tests there show it
    }
    let _alone = ALONE.lock().await;
    // The only subscriber of a plain system.
    systemctl(&["stop", "systemd-logind"]);
    let manager = support::on_bus().await;
    works(&manager).await;
    // A wait that never returns, or that returns at the `inactive` before the start, would show here (pystemd's issue
    // 19): each time on a connection that has to subscribe first.
    for run in 0..200u8 {
        let manager = support::on_bus().await;
        let mut command = Command::from(["/bin/sh", "-c", &format!("exit {run}")]);
        let unit = command.collect(true).start(&manager).await.unwrap();
        soon("the activation", unit.activated()).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(run)));
    }
    start(&["systemd-logind"]);
}
