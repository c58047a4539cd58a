//! `--host`, `--machine` and `--capsule`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::folder;
use crate::settings::systemd_version;
use crate::side::{SIDES, Side, both_return, outcome, said, systemctl};
use crate::support::{DEADLINE, is_root};

/// A folder with an `ssh` that leads to this host: it runs what ssh would run there.
fn ssh(name: &str) -> std::path::PathBuf {
    let folder = folder(name);
    let script = "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"${0%/*}/calls\"\nwhile [ \"$1\" != systemd-stdio-bridge ]; do \
                  shift || exit 255; done\nexec \"$@\"\n";
    let path = folder.join("ssh");
    // By another process, as for the other scripts here.
    let write = "printf %s \"$1\" >\"$2\"; chmod +x \"$2\"";
    let status = std::process::Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap();
    assert!(status.success() && fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0);
    folder
}

#[tokio::test]
async fn commands_run_on_another_host() {
    if !is_root() {
        return; // who is not root may not start units of the system
    }
    let folder = ssh("ssh");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for (status, arguments) in [
        (0, &["-Hroot@web", "true"][..]),
        (7, &["--host=web", "--wait", "-G", "sh", "-c", "exit 7"]),
        (203, &["--host", "web", "--wait", "-G", "/etc/passwd"]),
        (0, &["-H", "web:2222", "-q", "--on-active=5h", "--unit=remote-{}", "true"]),
        (1, &["-H", "web", "--unit=a@", "true"]),
        (1, &["-H", "web", "--pty", "true"]),
        (1, &["-H", "web", "--pipe", "true"]),
        (1, &["-H", "web", "--scope", "true"]),
        (1, &["-H", "web", "--user", "true"]),
    ] {
        for side in SIDES {
            let mut command = side.command(arguments);
            let run = outcome(command.env("PATH", &path).env_remove("SYSTEMD_SSH")).await;
            assert_eq!(run.status, Some(status), "{side:?} {arguments:?}: {run:?}");
            assert!(status == 0 || !run.stderr.is_empty(), "{side:?} {arguments:?}: {run:?}");
        }
    }
    systemctl(&["stop", "remote-ours.timer", "remote-theirs.timer"]);
    // Both call ssh alike.
    let calls = fs::read_to_string(folder.join("calls")).unwrap();
    for (expected, count) in [("root@web", 2), ("2222", 2)] {
        assert_eq!(calls.lines().filter(|call| call.contains(expected)).count(), count, "{calls}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_host_that_is_not_there() {
    for side in SIDES {
        for arguments in [&["-Hweb", "true"][..], &["-Hweb", "--wait", "true"], &["-H", "", "true"]] {
            let mut command = tokio::process::Command::new(match side {
                Side::Theirs => std::path::Path::new("/usr/bin/systemd-run"),
                Side::Ours => side.program(),
            });
            let run =
                outcome(command.args(arguments).env("PATH", "/nonexistent").env("SYSTEMD_SSH", "/bin/false")).await;
            // Without ssh both fail at once; `systemd-run` is found by its path.
            assert_eq!(run.status, Some(1), "{side:?} {arguments:?}: {run:?}");
            assert_ne!(run.stderr, "", "{side:?}");
        }
    }
}

/// The last of them counts.
#[tokio::test]
async fn one_place_takes_the_place_of_another() {
    if !is_root() {
        return;
    }
    both_return(0, &["-Mnonexistent", "-M.host", "--wait", "-G", "true"]).await;
    both_return(1, &["-M.host", "-Mnonexistent", "--wait", "-G", "true"]).await;
    if systemd_version() >= 262 {
        // A capsule's manager is a user's, and root has none here.
        both_return(1, &["-Cnonexistent", "--machine=.host", "--wait", "-G", "true"]).await;
    }
    let run = Side::Ours.run(&["-H", "nobody.invalid", "--machine=.host", "--wait", "-G", "true"]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
}

#[tokio::test]
async fn commands_run_in_a_capsule() {
    for side in SIDES {
        for name in ["", "a/b", "a b", "nonexistent"] {
            let run = side.run(&["--capsule", name, "true"]).await;
            assert_eq!(run.status, Some(1), "{side:?} {name:?}: {run:?}");
        }
    }
    let run = Side::Ours.run(&["--capsule=nonexistent", "true"]).await;
    if systemd_version() < 256 {
        assert!(run.stderr.contains("256"), "{run:?}");
        return;
    }
    if !is_root() {
        return;
    }
    systemctl(&["start", "capsule@clitest.service"]);
    // Its bus comes after it.
    let since = std::time::Instant::now();
    while Side::Theirs.run(&["--capsule=clitest", "--wait", "-G", "true"]).await.status != Some(0) {
        assert!(since.elapsed() < DEADLINE, "there is no bus in the capsule");
    }
    for (status, arguments) in [
        (0, &["--capsule=clitest", "true"][..]),
        (6, &["-C", "clitest", "--wait", "-G", "sh", "-c", "exit 6"]),
        (6, &["-Cclitest", "-P", "-q", "-G", "sh", "-c", "exit 6"]),
    ] {
        let [theirs, ours] = both_return(status, arguments).await;
        assert_eq!(said(&theirs), said(&ours), "{arguments:?}");
    }
    systemctl(&["stop", "capsule@clitest.service"]);
}
