//! Managers by other ways than the bus of this host: machines and addresses.

mod support;

use sdrun::{Command, Manager, Status, Transport};
use support::soon;

async fn works(manager: &Manager, id: &str) {
    let script = format!("test $(id -un) = {id} && exit 7");
    for _ in 0..3 {
        let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(manager).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(7)));
    }
}

#[tokio::test]
async fn this_host_as_a_machine() {
    if !support::is_root() {
        return; // only root may enter a machine
    }
    let manager = soon("the machine", Manager::machine(".host")).await.unwrap();
    works(&manager, "root").await;
}

#[cfg(libsystemd_248)]
#[tokio::test]
async fn the_manager_of_a_user_of_this_host() {
    if !support::is_root() {
        return;
    }
    let manager = soon("the user's manager", Manager::user_machine("tester@.host")).await.unwrap();
    works(&manager, "tester").await;
}

/// Built for an older libsystemd (`make test` does that too) it is not there, and the error says since when it is.
#[cfg(not(libsystemd_248))]
#[tokio::test]
async fn what_libsystemd_is_too_old_for() {
    let error = Manager::user_machine("tester@.host").await.unwrap_err();
    assert!(matches!(error, sdrun::Error::Unsupported { since: 248, .. }), "{error:?}");
    assert!(error.to_string().contains("needs systemd 248"), "{error}");
}

#[tokio::test]
async fn a_machine_that_does_not_exist() {
    let machine = soon("the error", Manager::machine("sdrun-no-such-machine")).await;
    let error = machine.unwrap_err().to_string();
    assert!(error.contains("\"sdrun-no-such-machine\""), "{error}");
}

#[tokio::test]
async fn by_address() {
    if !support::is_root() {
        return; // a user's sockets are covered by `Manager::user`
    }
    for (address, transport) in [
        ("unix:path=/run/dbus/system_bus_socket", Transport::Bus),
        ("unix:path=/run/systemd/private", Transport::Private),
        ("unixexec:path=systemd-stdio-bridge", Transport::Bus),
    ] {
        let manager = Manager::builder().address(address).transport(transport).connect().await.unwrap();
        works(&manager, "root").await;
        // The first address that somebody listens at is taken.
        let list = format!("unix:path=/nonexistent/one;{address}");
        let manager = Manager::builder().address(list).transport(transport).connect().await.unwrap();
        works(&manager, "root").await;
    }
}
