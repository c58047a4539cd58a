//! dbus-broker in the place of dbus-daemon.

use std::path::PathBuf;

use crate::crowd::{Crowd, KINDS, Kind, Told, all_exits, all_told};
use crate::faults::{bus_is_back, reexec, reload, restart_bus};
use crate::support::{is_root, systemctl};
use crate::{FAULTS, number, on_bus};

const LAUNCHER: &str = "/usr/bin/dbus-broker-launch";

/// The same as of dbus-daemon: load, daemon-reexec, its own restart. And the way to it and back, each of which is a gap.
#[tokio::test]
async fn dbus_broker() {
    let _alone = FAULTS.lock().await;
    if !std::path::Path::new(LAUNCHER).exists() {
        // LEAD: the trees have none yet; the machine's own has (tests/sandbox/setup test).
        eprintln!("SKIPPED: there is no dbus-broker here");
        return;
    }
    let manager = on_bus().await;
    let crowd = Crowd::new();
    let mut gates: Vec<_> = (0..5).map(|_| crowd.gate()).collect();
    let mut over = Vec::new();
    for gate in &gates[..2] {
        let waiting = crowd.start(&manager, gate, &KINDS, 8).await;
        crowd.runs(&waiting).await;
        over.push(waiting);
    }

    let broker = Broker::install().await;
    crowd.is_answered(&manager).await;
    gates[0].open();
    all_exits("started before dbus-broker was there", &over[0]).await;

    // More than what dbus-daemon lets anybody have in flight.
    let many = crowd.start(&manager, &gates[2], &KINDS, number("HANDLES", 500) / KINDS.len()).await;
    crowd.runs(&many).await;
    reload();
    reexec();
    bus_is_back().await;
    gates[2].open();
    all_exits("with dbus-broker", &many).await;

    let caught = crowd.start(&manager, &gates[3], &KINDS, 8).await;
    let late = crowd.start(&manager, &gates[4], &KINDS, 8).await;
    crowd.runs(&caught).await;
    crowd.runs(&late).await;
    gates[3].open();
    restart_bus();
    bus_is_back().await;
    for (case, told) in all_told(&caught).await {
        assert!(told == Told::Exit || case.kind != Kind::Durable, "{} {told:?}", case.name);
    }
    crowd.is_answered(&manager).await;
    gates[4].open();
    all_exits("after its restart", &late).await;

    drop(broker);
    bus_is_back().await;
    crowd.is_answered(&manager).await;
    gates[1].open();
    all_exits("after dbus-daemon has come back", &over[1]).await;
}

/// What dbus.service runs, as long as this is there.
struct Broker(PathBuf);

impl Broker {
    async fn install() -> Self {
        let (folder, scope) = if is_root() {
            (PathBuf::from("/run/systemd/system"), "system")
        } else {
            (PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").unwrap()).join("systemd/user"), "user")
        };
        let folder = folder.join("dbus.service.d");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("broker.conf");
        let lines = format!(
            "[Service]\nType=notify\nNotifyAccess=all\nExecStart=\nExecStart={LAUNCHER} --scope {scope}\nExecReload=\n"
        );
        std::fs::write(&file, lines).unwrap();
        let broker = Broker(file);
        reload();
        restart_bus();
        bus_is_back().await;
        let line = systemctl(&["show", "--value", "--property=ExecStart", "dbus.service"]);
        assert!(line.contains(LAUNCHER), "{line}");
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
        reload();
        restart_bus();
    }
}
