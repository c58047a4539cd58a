//! The manager itself is killed, and with it all that it runs: every handle says so at once.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use sdrun::{Error, Transport};

use crate::FAULTS;
use crate::crowd::{Crowd, KINDS, Told};
use crate::faults::main_process;
use crate::support::{is_root, soon, systemctl, until};

/// The user whose manager is killed. The one that the sandbox has is still needed.
const VICTIM: &str = "sdrun-victim";

/// Not within any patience: when nobody listens at its socket it is not on its way back.
#[tokio::test]
async fn user_manager_killed() {
    if !is_root() {
        return; // it would be the one that all others use
    }
    let _alone = FAULTS.lock().await;
    // To connect to a user of a machine is to log in, of which logind hears nothing where the bus was restarted.
    systemctl(&["restart", "systemd-logind.service"]);
    let victim = Victim::new().await;
    for way in ["private", "machine"] {
        victim.start().await;
        let builder = match way {
            "private" => crate::roomy().address(victim.private()).transport(Transport::Private),
            _ => crate::roomy().user_machine(format!("{VICTIM}@.host")),
        };
        // Longer than the test waits: it must not be waited for.
        let builder = crate::patience(builder, Duration::from_secs(3600));
        let connected = async {
            loop {
                match builder.clone().connect().await {
                    Ok(manager) => return manager,
                    // The bus of the one before may still be on its way out, and closes what it had accepted.
                    Err(Error::Unavailable { .. } | Error::System { .. } | Error::Disconnected { .. }) => {
                        tokio::task::yield_now().await
                    }
                    Err(error) => panic!("{way}: {error:?}"),
                }
            }
        };
        let manager = soon("a connection", connected).await;
        let crowd = Crowd::new();
        let gate = crowd.gate();
        let waiting = crowd.start(&manager, &gate, &KINDS, 16).await;
        crowd.runs(&waiting).await;
        kill(main_process(&victim.service()), Signal::SIGKILL).unwrap();
        for waiting in &waiting {
            assert_eq!(waiting.told().await.1, Told::Lost, "{way}");
            assert!(soon("a stop", waiting.unit.stop()).await.is_err(), "{way}");
        }
        let (mut command, case) = crowd.command(&gate, crate::crowd::Kind::Collected);
        match soon("a start", command.start(&manager)).await {
            Err(_) => assert!(case.runs().is_empty(), "{way}"),
            // To connect to a user of a machine is to log in, which starts a manager anew.
            Ok(_) => assert_eq!(way, "machine"),
        }
    }
}

struct Victim {
    uid: u32,
}

impl Victim {
    async fn new() -> Self {
        let status = Command::new("useradd").args(["--no-create-home", VICTIM]).status().unwrap();
        assert!(status.success());
        let user = nix::unistd::User::from_name(VICTIM).unwrap().expect("it was made");
        // Its runtime directory is to be there without logind, which other tests disturb.
        Victim { uid: user.uid.as_raw() }
    }

    fn service(&self) -> String {
        format!("user@{}.service", self.uid)
    }

    fn private(&self) -> String {
        format!("unix:path=/run/user/{}/systemd/private", self.uid)
    }

    async fn start(&self) {
        let service = self.service();
        let _ = Command::new("systemctl").args(["reset-failed", &service]).output();
        systemctl(&["start", &service]);
        let socket = format!("/run/user/{}/bus", self.uid);
        until("its bus listens", || Path::new(&socket).exists()).await;
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", &self.service()]).status();
        let _ = Command::new("userdel").arg(VICTIM).status();
    }
}
