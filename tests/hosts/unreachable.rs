//! Hosts that ssh does not get to: why not is in the error.

use std::net::TcpListener;
use std::process::Stdio;

use sdrun::{Command, Error, Manager, ManagerBuilder};

use super::support::container::Container;
use super::support::sshd::{Keys, Sshd};
use super::support::{self, soon};

async fn reason(builder: ManagerBuilder, host: &str) -> String {
    let error = soon("the error", builder.connect()).await.unwrap_err();
    let Error::Unavailable { manager, reason } = &error else { panic!("{error:?}") };
    assert!(manager.contains(host), "{manager}");
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    println!("{host}: {reason}");
    reason.to_string()
}

#[tokio::test]
async fn ssh_says_why() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let (keys, root) = (&sshd.keys, sshd.root());

    // Nobody listens: a port that was just free.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = format!("root@{closed}");
    let said = reason(keys.remote(&host), &host).await;
    assert!(said.contains("Connection refused") && said.contains("exited with status 255"), "{said}");

    let said = reason(keys.remote("root@sdrun.invalid"), "root@sdrun.invalid").await;
    assert!(said.contains("sdrun.invalid") && said.contains("resolve"), "{said}");

    // The keys of somebody else: of the host, and of the client.
    let others = Keys::new();
    let known = |keys: &Keys| format!("UserKnownHostsFile={}", keys.path("known").display());
    let identity = |keys: &Keys| format!("IdentityFile={}", keys.path("client").display());
    let with = |options: &[String]| {
        let builder = Manager::builder().remote(&root);
        options.iter().cloned().chain(keys.options()).fold(builder, ManagerBuilder::ssh_option)
    };
    let said = reason(with(&[known(&others)]), &root).await;
    assert!(said.contains("Host key verification failed") && said.contains("changed"), "{said}");
    let said = reason(with(&["UserKnownHostsFile=/dev/null".into()]), &root).await;
    assert!(said.contains("Host key verification failed"), "{said}");
    // (An option that ssh may be given several times adds up.)
    let builder = Manager::builder().remote(&root).ssh_option(identity(&others));
    let without = keys.options().into_iter().filter(|option| !option.starts_with("IdentityFile="));
    let said = reason(without.fold(builder, ManagerBuilder::ssh_option), &root).await;
    assert!(said.contains("Permission denied"), "{said}");

    let said = reason(with(&["NoSuchOption=1".into()]), &root).await;
    assert!(said.to_lowercase().contains("nosuchoption"), "{said}");

    // No such container there.
    let host = format!("{root}/sdrun-no-such-machine");
    let said = reason(keys.remote(&host), &host).await;
    assert!(said.contains("machinectl list") || said.contains("achine"), "{said}");

    // All that did the server no harm.
    let manager = sshd.manager().await;
    let unit = Command::new("/bin/true").collect(true).start(&manager).await.unwrap();
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
}

/// Hosts without systemd, without a bus, and with a shell that has something to say.
#[tokio::test]
async fn the_host_is_not_as_it_should_be() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::with("SetEnv PATH=/nonexistent\n");
    let said = reason(sshd.keys.remote(&sshd.root()), &sshd.root()).await;
    assert!(said.contains("systemd-stdio-bridge") && said.contains("is systemd installed there?"), "{said}");

    let sshd = Sshd::with("ForceCommand systemd-stdio-bridge --bus-path=unix:path=/nonexistent\n");
    let said = reason(sshd.keys.remote(&sshd.root()), &sshd.root()).await;
    assert!(said.contains("No such file") || said.contains("does the system bus run there?"), "{said}");

    // What is no D-Bus.
    let sshd = Sshd::with("ForceCommand echo Welcome to this host; exec systemd-stdio-bridge\n");
    let said = reason(sshd.keys.remote(&sshd.root()), &sshd.root()).await;
    assert!(said.contains("something else than D-Bus") && said.contains("startup file"), "{said}");

    let sshd = Sshd::with("ForceCommand exit 3\n");
    let said = reason(sshd.keys.remote(&sshd.root()), &sshd.root()).await;
    assert!(said.contains("exited with status 3, without a word"), "{said}");

    // More than is kept of it, and with what a terminal would obey.
    let sshd = Sshd::with(
        r"ForceCommand i=0; while [ $i -lt 20000 ]; do i=$((i+1)); printf '\033[31mline %d\r\n' $i; done >&2; exit 4",
    );
    let said = reason(sshd.keys.remote(&sshd.root()), &sshd.root()).await;
    assert!(said.contains("line 20000") && !said.contains("line 19000") && said.len() < 2000, "{said}");
}

/// The environment names the program, which gets the arguments that libsystemd gives it. None of it says anything here.
#[test]
fn another_ssh() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let folder = support::Folder::new();
    let options: Vec<String> = sshd.keys.options().iter().map(|option| format!("-o{option}")).collect();
    // It says something beside, which is nobody's to see.
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\necho noise >&2\nexec ssh {} \"$@\"\n",
        folder.path("arguments"),
        options.join(" ")
    );
    let program = folder.path("my ssh");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |program: &str, host: &str| {
        let mut helper = support::helper("unreachable::run_a_command");
        let output = helper.env("SYSTEMD_SSH", program).env("HOST", host).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // The test harness writes to standard output alone.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "standard error of the process");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = run(&program, &sshd.root());
    assert!(said.contains("came to Some(7)"), "{said}");
    assert_eq!(folder.read("arguments"), format!("-xT\n-p\n{}\n--\nroot@127.0.0.1\nsystemd-stdio-bridge\n", sshd.port));

    let host = format!("{}/no-such-machine", sshd.root());
    let said = run(&program, &host);
    assert!(said.contains("no-such-machine") && said.contains("cannot reach") && said.contains("noise"), "{said}");
    assert!(folder.read("arguments").ends_with("systemd-stdio-bridge\n--machine=no-such-machine\n"));

    let said = run("/nonexistent/ssh", &sshd.root());
    assert!(said.contains("SYSTEMD_SSH") && said.contains("No such file"), "{said}");

    // Without the variable, ssh itself, which is not there.
    let mut helper = support::helper("unreachable::run_a_command");
    let output = helper.env("PATH", "/nonexistent").env("SYSTEMD_SSH", "").env("HOST", "root@host").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("cannot run ssh") && said.contains("is it installed"), "{said}");
    assert!(output.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by `another_ssh`, in a process of its own"]
fn run_a_command() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let host = std::env::var("HOST").unwrap();
        match soon("the connection", Manager::remote(host)).await {
            Ok(manager) => {
                let unit = Command::from(["/bin/sh", "-c", "exit 7"]).collect(true).start(&manager).await.unwrap();
                println!("came to {:?}", soon("the exit", unit.wait()).await.unwrap().code());
            }
            Err(error) => println!("{error}"),
        }
    });
}

/// Hosts of their own, with an ssh server each: containers, which ssh comes to by another way than a network.
#[tokio::test]
async fn three_hosts() {
    if !support::is_root() {
        return;
    }
    let hosts = super::fleet::Hosts::boot();
    for container in &hosts.containers {
        let name = Container::name(container);
        let mut builder = Manager::builder().remote(format!("root@{name}"));
        for option in hosts.options() {
            builder = builder.ssh_option(option);
        }
        let manager = soon("the connection", builder.connect()).await.unwrap();
        let script = format!("test $(cat /proc/sys/kernel/hostname) = {name} && exit 7");
        let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(7));
    }
}
