//! `--scope`: the program itself in a scope.

use std::process::Stdio;

use crate::settings::systemd_version;
use crate::side::{SIDES, Side, Stopped, both_return, outcome, property, said, until};
use crate::support::{is_root, soon};

#[tokio::test]
async fn statuses_are_the_programs() {
    for (status, words) in [
        (0, &["true"][..]),
        (7, &["sh", "-c", "exit 7"]),
        (255, &["sh", "-c", "exit 255"]),
        (0, &["--shell"]),
        (1, &["/etc/passwd"]),
        (1, &["nonexistent-program"]),
        (0, &["-G", "--send-sighup", "--description=of a test", "-p", "TasksMax=infinity", "true"]),
        (1, &["-p", "Type=exec", "true"]),
        (1, &["-p", "MemoryMax=2X", "true"]),
        (1, &["--unit=x.service", "true"]),
        (1, &["--slice=x.service", "true"]),
    ] {
        both_return(status, &[&["--scope"], words].concat()).await;
    }
    // A signal ends it as it ends the program: it is the program.
    for side in SIDES {
        let mut command = side.command(&["--scope", "-q", "sh", "-c", "kill -KILL $$$$"]);
        let status = soon("the end", command.status()).await.unwrap();
        // Older systemd-runs expand nothing in a scope, and "$$$$" is a number that no process has.
        if side == Side::Ours || systemd_version() >= 258 {
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{side:?}: {status}");
        }
    }
}

#[tokio::test]
async fn it_says_which_scope() {
    let [theirs, ours] = both_return(0, &["--scope", "--unit=told-{}", "true"]).await;
    assert_eq!(said(&ours), ["Running as unit: told-{}.scope"]);
    assert!(ours.stderr.contains("; invocation ID: "), "{ours:?}");
    if systemd_version() >= 254 {
        assert_eq!(said(&theirs), said(&ours));
    }
    for run in both_return(0, &["--scope", "-q", "true"]).await {
        assert_eq!(run.stdout + &run.stderr, "");
    }
}

/// Everything else is the caller's: streams, terminal, parent.
#[tokio::test]
async fn the_caller_is_the_parent() {
    use tokio::io::AsyncWriteExt;

    for side in SIDES {
        let script = "cat; echo $PPID; cat /proc/self/cgroup; pwd; echo err >&2";
        let mut command = side.command(&["--scope", "-q", "--unit=parent-{}", "sh", "-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/usr");
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"typed\n").await.unwrap();
        drop(input);
        let output = soon("the program", child.wait_with_output()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("typed"), "{side:?}: {text}");
        assert_eq!(lines.next(), Some(&*std::process::id().to_string()), "{side:?}: {text}");
        assert!(text.contains(&format!("/parent-{}.scope\n", side.name())), "{side:?}: {text}");
        assert!(text.ends_with("/usr\n"), "{side:?}: {text}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "err\n");
    }
}

/// What is set on the unit.
#[tokio::test]
async fn the_scope_has_the_properties() {
    let names = "Slice,SendSIGHUP,CPUWeight,CollectMode,Description,TimeoutStopUSec";
    let options = ["--slice=scopes", "--send-sighup", "-p", "CPUWeight=55", "-G", "--description=the text"];
    let mut shown = Vec::new();
    for side in SIDES {
        let unit = format!("props-{}.scope", side.name());
        let _stopped = Stopped(unit.clone());
        let words =
            [&["--scope", "-q", "--unit=props-{}", "-pTimeoutStopSec=7"], &options[..], &["sleep", "1000"]].concat();
        let mut child = side.command(&words).spawn().unwrap();
        until(&unit, "ActiveState", |state| state == "active").await;
        shown.push(crate::side::systemctl(&["show", "--property", names, &unit]));
        crate::side::systemctl(&["stop", &unit]);
        soon("the end", child.wait()).await.unwrap();
        assert_ne!(property(&unit, "ActiveState"), "active");
    }
    assert_eq!(shown[0], shown[1]);
    assert!(shown[1].contains("CPUWeight=55") && shown[1].contains("Slice=scopes.slice"), "{}", shown[1]);
}

#[tokio::test]
async fn environment_folder_and_priority_are_set() {
    let script = "echo $A; echo $B; nice; pwd";
    let expanded = script.replace('$', "$$");
    for side in SIDES {
        let script = if side == Side::Ours || systemd_version() >= 258 { &*expanded } else { script };
        let words =
            ["--scope", "-q", "-EA=a  b", "--setenv=B", "--nice=4", "--working-directory=/etc", "sh", "-c", script];
        let run = outcome(side.command(&words).env("B", "own")).await;
        assert_eq!((run.status, &*run.stdout), (Some(0), "a b\nown\n4\n/etc\n"), "{side:?}: {run:?}");
        let run = outcome(side.command(&["--scope", "-q", "-d", "pwd"]).current_dir("/usr")).await;
        assert_eq!((run.status, &*run.stdout), (Some(0), "/usr\n"), "{side:?}: {run:?}");
        let run =
            side.run(&["--scope", "-q", "-EPATH=/nonexistent", "/usr/bin/printenv", "PATH", "INVOCATION_ID"]).await;
        assert!(run.stdout.starts_with("/nonexistent\n"), "{side:?}: {run:?}");
        if side == Side::Ours || systemd_version() >= 257 {
            assert_eq!(run.stdout.len(), "/nonexistent\n".len() + 33, "{side:?}: {run:?}");
        }
    }
}

/// systemd-run itself expands them here.
#[tokio::test]
async fn variables_are_expanded() {
    let words =
        ["printf", "%s|", "$A", "${A}", "${A}x", "$$A", "$A_", "x$A", "$Q", "${UNSET}", "$UNSET", "$", "a$", "$$"];
    for (option, expected) in [
        (None, "a|b|a b|a bx|$A|x$A|two words|one||a$|$|"),
        (Some("--expand-environment=yes"), "a|b|a b|a bx|$A|x$A|two words|one||a$|$|"),
        (Some("--expand-environment=no"), "$A|${A}|${A}x|$$A|$A_|x$A|$Q|${UNSET}|$UNSET|$|a$|$$|"),
    ] {
        for side in SIDES {
            // By itself it expands since 258, and can be told since 254.
            if side == Side::Theirs && systemd_version() < if option.is_some() { 254 } else { 258 } {
                continue;
            }
            let words = [&["--scope", "-q", "-EA=a b"], option.as_slice(), &words].concat();
            let mut command = side.command(&words);
            let run = outcome(command.env("Q", "'two words' o\"n\"e").env_remove("UNSET").env_remove("A_")).await;
            assert_eq!((run.status, &*run.stdout), (Some(0), expected), "{side:?} {option:?}: {run:?}");
        }
    }
}

#[tokio::test]
async fn it_is_another_user() {
    let script = "id; env | grep -E '^(HOME|USER|LOGNAME)=' | sort";
    let cases: &[(i32, &[&str])] = if is_root() {
        &[
            (0, &["--uid=tester"]),
            (0, &["--uid=65534"]),
            (0, &["--gid=tester"]),
            (0, &["--gid=4"]),
            (0, &["--uid=tester", "--gid=nogroup", "--setenv=HOME=/elsewhere"]),
            (1, &["--uid=tester", "--uid="]),
            (1, &["--uid=no-such-user"]),
            (1, &["--gid=no-such-group"]),
        ]
    } else {
        &[(0, &["--uid=tester"]), (1, &["--uid=root"]), (1, &["--gid=root"]), (1, &["--nice=-5"])]
    };
    for (status, options) in cases {
        let words = [&["--scope", "-q"], *options, &["sh", "-c", script]].concat();
        let mut outputs = Vec::new();
        for side in SIDES {
            let mut command = side.command(&words);
            command.env("USER", "caller").env("LOGNAME", "caller").env("HOME", "/of-caller");
            let run = outcome(&mut command).await;
            assert_eq!(run.status, Some(*status), "{side:?} {options:?}: {run:?}");
            outputs.push(run.stdout);
        }
        assert_eq!(outputs[0], outputs[1], "{options:?}");
    }
}

/// In the slice that the caller is in.
#[tokio::test]
async fn the_slice_is_inherited() {
    for (options, expected) in [
        (&["--slice-inherit"][..], "/outer.slice/outer-scoped.slice/"),
        (&["--slice-inherit", "--slice=below"], "/outer-scoped.slice/outer-scoped-below.slice/"),
    ] {
        for side in SIDES {
            let mut command = Side::Theirs.command(&["-q", "--wait", "-P", "-G", "--slice=outer-scoped"]);
            command.arg("--").arg(side.program()).args((!is_root()).then_some("--user"));
            let run = outcome(command.args(["--scope", "-q"]).args(options).args(["cat", "/proc/self/cgroup"])).await;
            assert_eq!(run.status, Some(0), "{side:?} {options:?}: {run:?}");
            assert!(run.stdout.contains(expected), "{side:?} {options:?}: {run:?}");
        }
    }
}

/// From the first instruction on, however often.
#[tokio::test]
async fn the_program_is_in_the_scope_at_once() {
    for _ in 0..20 {
        let run = Side::Ours.run(&["--scope", "-q", "cat", "/proc/self/cgroup"]).await;
        assert!(run.stdout.lines().any(|line| line.starts_with("0::") && line.ends_with(".scope")), "{run:?}");
        assert!(!run.stdout.contains("sandbox.scope"), "{run:?}");
    }
}
