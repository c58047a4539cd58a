//! What goes wrong: the bus daemon and the manager of this process (as root the system's, else the user's own). All of
//! it is done over the manager's private socket, which `systemctl` prefers.

use std::time::Duration;

use crate::support::{scope, systemctl, until};

pub fn reload() {
    systemctl(&["daemon-reload"]);
}

pub fn reexec() {
    systemctl(&["daemon-reexec"]);
}

/// Nobody listens at the bus any more.
pub fn stop_bus() {
    systemctl(&["stop", "dbus.socket", "dbus.service"]);
}

pub fn start_bus() {
    often();
    systemctl(&["start", "dbus.socket", "dbus.service"]);
}

/// Another bus daemon behind the same socket.
pub fn restart_bus() {
    often();
    systemctl(&["restart", "dbus.service"]);
}

/// It ends without a word. Whoever connects next starts another one.
pub fn kill_bus() {
    often();
    nix::sys::signal::kill(bus_daemon(), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Stops the daemon's process for so long: it is there, and does not answer.
pub async fn pause_bus(how_long: Duration) {
    let daemon = bus_daemon();
    nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGSTOP).unwrap();
    tokio::time::sleep(how_long).await;
    nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGCONT).unwrap();
}

/// As often as we like: a limit of starts would keep it from coming back.
fn often() {
    let units = ["dbus.socket", "dbus.service"];
    let _ = std::process::Command::new("systemctl").args([scope(), "reset-failed"]).args(units).output();
}

fn bus_daemon() -> nix::unistd::Pid {
    main_process("dbus.service")
}

pub fn main_process(service: &str) -> nix::unistd::Pid {
    let process = systemctl(&["show", "--value", "--property=MainPID", service]);
    match process.trim().parse() {
        Ok(process) if process > 0 => nix::unistd::Pid::from_raw(process),
        _ => panic!("{service} has no main process: {process:?}"),
    }
}

/// Waits until the manager is on the bus, and has a name there.
pub async fn bus_is_back() {
    let mut arguments = vec![scope(), "call", "org.freedesktop.DBus", "/org/freedesktop/DBus"];
    arguments.extend(["org.freedesktop.DBus", "NameHasOwner", "s", "org.freedesktop.systemd1"]);
    until("the manager is on the bus", || {
        let output = std::process::Command::new("busctl").args(&arguments).output().expect("busctl runs");
        output.stdout == b"b true\n"
    })
    .await;
}
