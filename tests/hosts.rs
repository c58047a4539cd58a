//! Managers of other hosts, over ssh: this one's, by a real ssh server, and containers below and beside it.

mod support;

#[path = "systemd_run/built.rs"]
mod built;
#[path = "hosts/fleet.rs"]
mod fleet;
#[path = "hosts/lost.rs"]
mod lost;
#[path = "hosts/processes.rs"]
mod processes;
#[path = "hosts/unreachable.rs"]
mod unreachable;

use sdrun::{Command, Error, Manager, Status, Stdio, Transport};
use support::container::Container;
use support::soon;
use support::sshd::{Sshd, children_of};

/// Every kind of end arrives, and the handle does what handles do.
#[tokio::test]
async fn commands_run_there() {
    if !support::is_root() {
        return; // only root may log in as root
    }
    let sshd = Sshd::start();
    let manager = sshd.manager().await;
    assert!(!manager.is_private());
    for (script, status) in [
        ("test $(id -un) = root && exit 7", Status::Exited(7)),
        ("exit 0", Status::Exited(0)),
        ("kill -KILL $$", Status::Killed(9)),
    ] {
        let unit = Command::from(["/bin/sh", "-c", script]).collect(true).start(&manager).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(status), "{script}");
    }
    // A bare name is looked for there. What it used can be read there too.
    let unit = Command::new("true").usage(true).collect(true).start(&manager).await.unwrap();
    let exit = soon("the exit", unit.wait()).await.unwrap();
    assert!(exit.success() && exit.usage.is_some_and(|usage| usage.cpu.is_some()), "{exit:?}");

    // Found again, and stopped.
    let unit = Command::new("sleep").arg("1000").start(&manager).await.unwrap();
    soon("the start", unit.activated()).await.unwrap();
    let again = soon("the unit", manager.unit(unit.name())).await.unwrap();
    soon("the stop", again.stop()).await.unwrap();
    assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Killed(15)));

    // Output goes to files there.
    let folder = support::Folder::new();
    let mut echo = Command::from(["/bin/echo", "hello"]);
    let unit = echo.stdout(Stdio::truncate(folder.path("out"))).collect(true).start(&manager).await.unwrap();
    assert!(soon("the exit", unit.wait()).await.unwrap().success());
    assert_eq!(folder.read("out"), "hello\n");
}

/// One ssh carries them all.
#[tokio::test]
async fn a_hundred_units_over_one_connection() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let manager = sshd.manager().await;
    let runs = (0..100).map(|number| {
        let manager = &manager;
        async move {
            let script = format!("exit {}", number % 50);
            let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(manager).await.unwrap();
            assert_eq!(unit.wait().await.unwrap().code(), Some(number % 50));
        }
    });
    soon("the exits", futures::future::join_all(runs)).await;
    let own: Vec<_> = children_of(std::process::id());
    let to_it = own.iter().filter(|(_, line)| line.contains(&format!("-p {} ", sshd.port))).count();
    assert_eq!(to_it, 1, "{own:?}");
}

/// Containers of the host, each named behind a slash.
#[tokio::test]
async fn containers_of_a_host() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let containers = [Container::boot(), Container::boot()];
    for container in &containers {
        let host = format!("{}/{}", sshd.root(), container.name());
        let manager = soon("the connection", sshd.keys.remote(&host).connect()).await.unwrap();
        let script = format!("test $(cat /proc/sys/kernel/hostname) = {} && exit 7", container.name());
        let unit = Command::from(["/bin/sh", "-c", &script]).collect(true).start(&manager).await.unwrap();
        assert_eq!(soon("the exit", unit.wait()).await.unwrap().status, Some(Status::Exited(7)));
    }
}

/// What cannot cross ssh is refused by name, and nothing is started.
#[tokio::test]
async fn descriptors_do_not_cross() {
    if !support::is_root() {
        return;
    }
    let sshd = Sshd::start();
    let manager = sshd.manager().await;
    let name = format!("sdrun-hosts-{}-refused.service", std::process::id());
    let command = || {
        let mut command = Command::new("/bin/true");
        command.name(&name).remain_after_exit(true);
        command
    };
    let file = || std::fs::File::open("/dev/null").unwrap();
    let master = std::fs::File::open("/dev/ptmx").unwrap();
    let cases: Vec<(&str, Command)> = vec![
        ("piped output", command().stdout(Stdio::piped()).clone()),
        ("piped input", command().stdin(Stdio::piped()).clone()),
        ("inherited", command().stderr(Stdio::inherit()).clone()),
        ("a file", command().stdin(file()).clone()),
        ("a property", command().extra("StandardInputFileDescriptor", std::os::fd::OwnedFd::from(file())).clone()),
        ("a terminal", command().pty().clone()),
        ("a terminal of the caller's", command().pty_path("/dev/pts/0").pty_master(master).clone()),
        ("a pipe, asking for the environment", command().env_clear().stdout(Stdio::piped()).clone()),
    ];
    for (what, mut command) in cases {
        let error = soon(what, command.start(&manager)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{what}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("do not cross ssh") && text.contains(&sshd.root()), "{what}: {text}");
    }
    let unit = soon("the unit", manager.unit(&name)).await;
    assert!(matches!(unit, Err(Error::NoSuchUnit { .. })), "{unit:?}");
    // What belongs to this host alone.
    for mut command in [Command::from(["./true"]), command().slice_inherit(true).clone()] {
        let error = soon("the error", command.start(&manager)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
}

/// Nothing is run for a name that is none.
#[tokio::test]
async fn bad_names_are_refused() {
    for (host, what) in [("", "host"), ("-oProxyCommand=touch /tmp/x", "host"), ("host:0", "host"), ("a b", "host")] {
        let error = Manager::remote(host).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { what: of, .. } if of == what), "{error:?}");
    }
    let options = Manager::builder().remote("host").ssh_option("-v").connect().await.unwrap_err();
    assert!(matches!(options, Error::Invalid { what: "ssh option", .. }), "{options:?}");
    let local = Manager::builder().ssh_option("BatchMode=yes").connect().await.unwrap_err();
    assert!(local.to_string().contains("Manager::remote"), "{local}");
    let private = Manager::builder().remote("host").transport(Transport::Private).connect().await.unwrap_err();
    assert!(private.to_string().contains("host \"host\""), "{private}");
}
