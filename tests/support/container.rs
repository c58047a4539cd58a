//! A booted container beside the service manager under test, for tests of machines.

use std::fs::File;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A container that runs the same systemd as this machine, on its own copy of `/etc` (`tests/sandbox/container`). It has
/// the user `tester`, user managers of root and of `tester`, no network and no other file systems than `/usr`. Each has
/// a name of its own, which is also its host name. Dropping it ends it at once.
///
/// It does not outlive the thread that booted it, so no test leaves one behind, however it ends.
pub struct Container {
    name: String,
    child: Child,
}

impl Container {
    /// Boots one and waits until its bus, its logind and the user managers are up: about a second, in which it
    /// blocks. Only for root.
    pub fn boot() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("sdrun-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let ready = UnixDatagram::bind_addr(&address).unwrap();
        let path = std::env::temp_dir().join(&name);
        let console = File::create(&path).unwrap();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox/container"))
            .arg(&name)
            .env("NOTIFY_SOCKET", format!("@{name}"))
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .expect("bash runs");
        let mut container = Container { name, child };
        let booted = container.wait_until_ready(&ready);
        let console = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        if let Err(reason) = booted {
            panic!("{}: {reason}\n{}", container.name, String::from_utf8_lossy(&console));
        }
        container
    }

    /// What machined calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn wait_until_ready(&mut self, socket: &UnixDatagram) -> Result<(), String> {
        let start = Instant::now();
        // Between two looks at whether it still lives: nothing else tells of that here.
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut message = [0; 4096];
        while start.elapsed() < DEADLINE {
            match socket.recv(&mut message) {
                Ok(length) if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") => {
                    return Ok(());
                }
                Ok(_) => {}
                // Interrupted: by a child of some other test that ended.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(error) => return Err(error.to_string()),
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(format!("the container ended: {status}"));
            }
        }
        Err(format!("not booted within {DEADLINE:?}"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // systemd-nspawn then kills its PID 1, with which all the others end, and tells machined.
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
