//! Managers of machines: of containers, and of this host by the name of `.host`; system managers and users' ones.

mod support;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;

use sdrun::{Command, Manager, Status};
use support::container::Container;
use support::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

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
    for name in ["tester@.host", "tester@"] {
        let manager = soon("the user's manager", Manager::user_machine(name)).await.unwrap();
        works(&manager, "tester").await;
    }
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

/// A container of our own: the commands run in it, and what they say comes here.
#[tokio::test]
async fn a_container() {
    if !support::is_root() {
        return;
    }
    let container = Container::boot();
    let manager = soon("the machine", Manager::machine(container.name())).await.unwrap();
    works(&manager, "root").await;
    // Its host name is its own.
    let said = says(&manager, "$(cat /proc/sys/kernel/hostname) $(cat /etc/machine-id)").await;
    let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..2], ["hello", container.name()], "{said}");
    assert!(words[2].len() == 32 && words[2] != machine_id.trim(), "{said}");
    ends(&manager).await;

    // Another one is another one.
    let other = Container::boot();
    let manager = soon("the machine", Manager::machine(other.name())).await.unwrap();
    assert_eq!(says(&manager, "$(cat /proc/sys/kernel/hostname)").await, format!("hello {}\n", other.name()));
}

/// The managers of two users in a container.
#[cfg(libsystemd_248)]
#[tokio::test]
async fn the_managers_of_users_in_a_container() {
    if !support::is_root() {
        return;
    }
    let container = Container::boot();
    for (user, of) in [("tester", "tester"), ("root", "root"), ("root", "")] {
        let name = format!("{of}@{}", container.name());
        let manager = soon("the user's manager", Manager::user_machine(&name)).await.unwrap();
        works(&manager, user).await;
        let script = "$(cat /proc/sys/kernel/hostname) $(grep -o user@ /proc/self/cgroup)";
        assert_eq!(says(&manager, script).await, format!("hello {} user@\n", container.name()), "{name}");
        ends(&manager).await;
    }
}

/// Runs of a container that goes away end with an error that is not an exit.
#[tokio::test]
async fn a_container_that_goes_away() {
    if !support::is_root() {
        return;
    }
    let container = Container::boot();
    let name = container.name().to_owned();
    let manager = soon("the machine", Manager::machine(&name)).await.unwrap();
    let unit = Command::new("/bin/sleep").arg("1000").start(&manager).await.unwrap();
    drop(container);
    let end = soon("the end of the wait", unit.wait()).await;
    assert!(end.is_err(), "{end:?}");
    let later = soon("a later start", Command::new("/bin/true").start(&manager)).await;
    assert!(later.is_err(), "{later:?}");
}

/// What a shell there makes of these words, behind a line that it reads: with descriptors that are passed to the manager.
async fn says(manager: &Manager, words: &str) -> String {
    let script = format!("read line && echo $line {words}");
    let (ours, theirs) = StdStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = UnixStream::from_std(ours).unwrap();
    let unit = {
        let mut command = Command::from(["/bin/sh", "-c", &script]);
        command.extra("StandardInputFileDescriptor", OwnedFd::from(theirs.try_clone().unwrap()));
        command.extra("StandardOutputFileDescriptor", OwnedFd::from(theirs));
        command.collect(true).start(manager).await.unwrap()
    }; // the command holds its descriptors open
    ours.write_all(b"hello\n").await.unwrap();
    let mut said = String::new();
    soon("the end of the output", ours.read_to_string(&mut said)).await.unwrap();
    let exit = soon("the exit", unit.wait()).await.unwrap();
    assert!(exit.success(), "{exit:?}, having said {said:?}");
    said
}

/// Every kind of end arrives.
async fn ends(manager: &Manager) {
    for (script, status) in [
        ("exit 0", Status::Exited(0)),
        ("exit 255", Status::Exited(255)),
        ("kill -KILL $$", Status::Killed(9)),
        ("kill -TERM $$", Status::Killed(15)),
    ] {
        let unit = Command::from(["/bin/sh", "-c", script]).collect(true).start(manager).await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(exit.status, Some(status), "{script}: {exit:?}");
    }
    let unit = Command::new("/nonexistent/program").collect(true).start(manager).await.unwrap();
    assert_eq!(soon("the exit", unit.wait()).await.unwrap().code(), Some(203));
}
