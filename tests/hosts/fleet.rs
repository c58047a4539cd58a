//! `examples/fleet.rs` on three containers with an ssh server each, and on what is no host.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::support::container::Container;
use super::support::sshd::{Keys, Sshd};
use super::{built, support};

/// Three containers, each of which is a host for ssh by its name.
pub struct Hosts {
    pub containers: [Container; 3],
    keys: Keys,
    folder: String,
}

impl Hosts {
    pub fn boot() -> Self {
        let keys = Keys::new();
        // A container begins with a copy of this /etc.
        let folder = format!("/etc/sdrun-hosts-{}", std::process::id());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        for name in ["host", "authorized"] {
            std::fs::copy(keys.path(name), format!("{folder}/{name}")).unwrap();
        }
        let configuration = keys.configuration(folder.as_ref(), "");
        std::fs::write(format!("{folder}/config"), configuration).unwrap();
        // What ssh talks to in place of a network: a server for one connection, which is started there.
        let way = format!(
            "#!/bin/sh\nexec systemd-run --machine=\"$1\" --quiet --pipe --wait --collect --property=RuntimeDirectory=sshd \
             /usr/sbin/sshd -i -f {folder}/config\n"
        );
        let path = keys.path("way");
        std::fs::write(&path, way).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Hosts { containers: [Container::boot(), Container::boot(), Container::boot()], keys, folder }
    }

    pub fn options(&self) -> Vec<String> {
        let mut options = self.keys.options();
        options.push(format!("ProxyCommand={} %h", self.keys.path("way").display()));
        options
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn fleet(options: &[String], arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(built::example("fleet"));
    command.args(options.iter().map(|option| format!("-o{option}"))).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn one_command_on_many_hosts() {
    if !support::is_root() {
        return;
    }
    let hosts = Hosts::boot();
    let [a, b, c] = hosts.containers.each_ref().map(|container| format!("root@{}", container.name()));
    let failing = hosts.containers[1].name();

    // All is well.
    let (output, text) = fleet(&hosts.options(), &[&a, &b, &c, "--", "/bin/true"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(text.ends_with("\n3 hosts: 3 ok, 0 failed, 0 unreachable\n"), "{text}");

    // One where the command fails, one that is not there, and the others as before.
    let script = format!("test $(cat /proc/sys/kernel/hostname) != {failing} || exit 3");
    let arguments = ["-j", "2", &a, &b, "root@no-such-host", &c, "--", "/bin/sh", "-c", &script];
    let (output, text) = fleet(&hosts.options(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let summary = text.split_once("\n\n").expect("a summary").1;
    assert!(summary.starts_with("4 hosts: 2 ok, 1 failed, 1 unreachable\n"), "{text}");
    let line = |what: &str, host: &str| {
        let start = format!("  {what:<12} {host}: ");
        summary.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{start:?}: {text}"))
    };
    assert!(line("failed", &b).contains('3'), "{text}");
    assert!(line("unreachable", "root@no-such-host").contains("ssh"), "{text}");
    assert_eq!(summary.lines().count(), 3, "{text}");
    for host in [&a, &b, &c] {
        for step in ["connecting", "started "] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{host}: {step}"))), "{host}: {step}: {text}");
        }
    }
    // Not more at once than were asked for.
    let (mut now, mut most) = (0, 0);
    for line in text.lines().take_while(|line| !line.is_empty()) {
        if line.ends_with(": connecting") {
            now += 1;
            most = most.max(now);
        } else if line.contains(" after ") {
            now -= 1;
        }
    }
    assert_eq!((now, most), (0, 2), "{text}");
}

/// Containers by the name of their host, and of this host; a host whose port is closed.
#[test]
fn containers_of_a_host() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let containers = [Container::boot(), Container::boot(), Container::boot()];
    let closed = format!("root@{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mut hosts: Vec<String> =
        containers.iter().map(|container| format!("{}/{}", sshd.root(), container.name())).collect();
    hosts.extend([format!("machine:{}", containers[0].name()), ".host".to_owned(), sshd.root(), closed.clone()]);
    let mut arguments: Vec<&str> = hosts.iter().map(String::as_str).collect();
    arguments.extend(["--", "/bin/true"]);
    let (output, text) = fleet(&sshd.keys.options(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("\n7 hosts: 6 ok, 0 failed, 1 unreachable\n"), "{text}");
    assert!(text.contains(&format!("\n  unreachable  {closed}: ")) && text.contains("Connection refused"), "{text}");
}

#[test]
fn wrong_arguments() {
    for (arguments, says) in [
        (&["--", "true"][..], "no hosts"),
        (&["host"], "no command"),
        (&["host", "--"], "no command"),
        (&["-x", "host", "--", "true"], "-x"),
        (&["-j", "0", "host", "--", "true"], "-j 0"),
        (&["-j", "many", "host", "--", "true"], "-j many"),
        (&["host", "-o"], "-o needs a value"),
    ] {
        let (output, _) = fleet(&[], arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(says) && text.contains("usage: fleet"), "{arguments:?}: {text}");
    }
    // What is no host's name fails alone.
    let (output, text) = fleet(&[], &["a b", "--", "true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("1 failed") && text.contains("white space"), "{text}");
}
