//! An ssh server on this host, and the keys that open it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sdrun::{Manager, ManagerBuilder};

use super::{DEADLINE, Folder};

/// Keys of a host and of a client that may log in there as root.
pub struct Keys {
    folder: Folder,
}

impl Keys {
    pub fn new() -> Self {
        let keys = Keys { folder: Folder::new() };
        // sshd does not trust what others may write to.
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(keys.folder.path(""), owner_only).unwrap();
        for name in ["host", "client"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(keys.path(name));
            assert!(make.status().expect("ssh-keygen runs").success());
        }
        std::fs::copy(keys.path("client.pub"), keys.path("authorized")).unwrap();
        let host = std::fs::read_to_string(keys.path("host.pub")).unwrap();
        std::fs::write(keys.path("known"), format!("* {host}")).unwrap();
        keys
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name).into()
    }

    /// The server's configuration, with the keys in this folder.
    pub fn configuration(&self, folder: &Path, more: &str) -> String {
        let folder = folder.display();
        format!(
            "HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nAllowUsers root\nPermitRootLogin yes\n\
             AuthenticationMethods publickey\nUsePAM no\nStrictModes no\nPidFile none\nPrintMotd no\nUseDNS no\n\
             MaxStartups 1000\nMaxSessions 1000\n{more}"
        )
    }

    /// What the client is told so that it gets in without a word.
    pub fn options(&self) -> Vec<String> {
        vec![
            // This machine's own configuration has no part in it.
            "GlobalKnownHostsFile=none".into(),
            format!("UserKnownHostsFile={}", self.path("known").display()),
            "StrictHostKeyChecking=yes".into(),
            format!("IdentityFile={}", self.path("client").display()),
            "IdentitiesOnly=yes".into(),
            "IdentityAgent=none".into(),
            "BatchMode=yes".into(),
        ]
    }

    /// The manager of this host, to be connected to.
    pub fn remote(&self, host: &str) -> ManagerBuilder {
        let builder = Manager::builder().remote(host);
        self.options().into_iter().fold(builder, ManagerBuilder::ssh_option)
    }
}

/// A server on a port of its own. It ends with this value.
pub struct Sshd {
    pub keys: Keys,
    pub port: u16,
    child: Child,
}

impl Sshd {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With more lines in its configuration.
    pub fn with(more: &str) -> Self {
        std::fs::create_dir_all("/run/sshd").unwrap(); // where it shuts itself in
        let keys = Keys::new();
        // Another one may take the port before it does.
        let started = (0..10).find_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let listen = format!("ListenAddress 127.0.0.1:{port}\n{more}");
            let configuration = keys.configuration(&keys.path(""), &listen);
            std::fs::write(keys.path("config"), configuration).unwrap();
            Some((port, run(&keys)?))
        });
        let (port, child) = started.expect("sshd listens");
        Sshd { keys, port, child }
    }

    /// How a client calls root of this host.
    pub fn root(&self) -> String {
        format!("root@127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn manager(&self) -> Manager {
        super::soon("the connection", self.keys.remote(&self.root()).connect()).await.unwrap()
    }
}

/// Starts it, and waits until it listens; nothing where it cannot.
fn run(keys: &Keys) -> Option<Child> {
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(keys.path("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd is installed (tests/sandbox/setup test)");
    let log = BufReader::new(child.stderr.take().unwrap());
    let (told, listens) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if line.starts_with("Server listening") {
                let _ = told.send(());
            }
        }
    });
    match listens.recv_timeout(DEADLINE + Duration::from_secs(1)) {
        Ok(()) => Some(child),
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            None
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes whose parent this is, with their command lines and states.
pub fn children_of(parent: u32) -> Vec<(u32, String)> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        (fields[1].parse() == Ok(parent)).then(|| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, format!("{} {}", fields[0], String::from_utf8_lossy(&line).replace('\0', " ")))
        })
    });
    processes.collect()
}
