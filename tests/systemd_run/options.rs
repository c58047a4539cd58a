//! Options that came late, or that say something of the start itself.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::settings::systemd_version;
use crate::side::{SIDES, Side, Stopped, both_return, outcome, property, said, systemctl, until};
use crate::support::{is_root, soon};

/// Runs ours, and theirs where systemd-run has the option.
async fn where_known(since: u32, status: i32, arguments: &[&str]) {
    let sides = if systemd_version() >= since { &SIDES[..] } else { &[Side::Ours] };
    let mut lines = Vec::new();
    for side in sides {
        let run = side.run(arguments).await;
        assert_eq!(run.status, Some(status), "{side:?} {arguments:?}: {run:?}");
        lines.push(said(&run));
    }
    lines.dedup();
    assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
}

/// What is shown of a unit that runs on.
async fn shown(side: Side, options: &[&str], names: &str) -> String {
    let unit = format!("options-{}.service", side.name());
    let _stopped = Stopped(unit.clone());
    let run = side.run(&[&["-q", "-G", "--unit=options-{}"], options, &["sleep", "infinity"]].concat()).await;
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{side:?} {options:?}: {run:?}");
    until(&unit, "ActiveState", |state| state == "active").await;
    systemctl(&["show", "--property", names, &unit])
}

#[tokio::test]
async fn properties_are_set() {
    let cases: [(&[&str], &str); 8] = [
        (&["-pMemoryMax=2G", "-p", "TasksMax=50"], "MemoryMax,TasksMax"),
        (&["--property=Environment=A=1 B=2", "--setenv=C=3"], "Environment"),
        (&["-p", "Nice=5", "-p", "Type=exec"], "Nice,Type"),
        (&["-p", "RuntimeMaxSec=1h 30min", "-p", "KillSignal=SIGUSR1"], "RuntimeMaxUSec,KillSignal"),
        (&["-p", "Restart=on-failure", "-p", "RestartSec=7"], "Restart,RestartUSec"),
        (&["--send-sighup", "-p", "SendSIGHUP=no"], "SendSIGHUP"),
        (
            &["--nice=3", "-p", "Nice=5", "--service-type=exec", "-p", "Type=simple", "-d", "-pWorkingDirectory=/"],
            "Nice,Type",
        ),
        (&["-p", "After=a.service", "-p", "After=", "-p", "After=b.service"], "After"),
    ];
    for (options, names) in cases {
        let [theirs, ours] = [shown(Side::Theirs, options, names).await, shown(Side::Ours, options, names).await];
        // Dependencies are listed in any order.
        let [theirs, ours] = [theirs, ours].map(|text| {
            let mut words: Vec<_> = text.split([' ', '=', '\n']).map(str::to_owned).collect();
            words.sort();
            words
        });
        assert_eq!(theirs, ours, "{options:?}");
    }
    assert_eq!(shown(Side::Ours, &["--send-sighup"], "SendSIGHUP").await, "SendSIGHUP=yes");
    assert_eq!(shown(Side::Ours, &["-pCPUWeight=77"], "CPUWeight").await, "CPUWeight=77");
    for bad in ["MemoryMax=2X", "Bogus=1", "MemoryMax", "", "=x", "Type=bogus", "OnActiveSec=1h"] {
        for outcome in both_return(1, &["-p", bad, "true"]).await {
            assert_ne!(outcome.stderr, "", "{bad}");
        }
    }
    let run = Side::Ours.run(&["-p", "MemoryMax=2X", "true"]).await;
    assert!(run.stderr.starts_with("sdrun: MemoryMax=2X: \"2X\" is not"), "{run:?}");
}

#[tokio::test]
async fn failures_are_ignored() {
    where_known(256, 0, &["--ignore-failure", "--wait", "-G", "sh", "-c", "exit 3"]).await;
    where_known(256, 0, &["--ignore-failure", "-q", "--pipe", "-G", "false"]).await;
    where_known(256, 0, &["--ignore-failure", "--expand-environment=no", "--wait", "sh", "-c", "exit $((1 + 2))"])
        .await;
    where_known(256, 0, &["--ignore-failure", "--wait", "-G", "/etc/passwd"]).await;
}

#[tokio::test]
async fn jobs_are_queued_in_a_mode() {
    for mode in ["fail", "replace", "replace-irreversibly", "flush", "ignore-dependencies", "ignore-requirements"] {
        // Not flush itself here: it would cancel the jobs of the other tests.
        if mode != "flush" {
            where_known(258, 0, &[&format!("--job-mode={mode}"), "--wait", "-G", "true"]).await;
        }
    }
    // Modes that older managers refuse.
    if systemd_version() >= 262 {
        for mode in ["restart-dependencies", "lenient"] {
            where_known(262, 0, &[&format!("--job-mode={mode}"), "--wait", "-G", "true"]).await;
        }
    }
    // Nothing is to be isolated.
    for mode in ["isolate", "triggering"] {
        let option = format!("--job-mode={mode}");
        for side in if systemd_version() >= 258 { &SIDES[..] } else { &[Side::Ours] } {
            let run = side.run(&[&option, "true"]).await;
            assert_eq!(run.status, Some(1), "{side:?} {run:?}");
            assert!(run.stderr.contains("isolate") || run.stderr.contains("triggering"), "{run:?}");
        }
    }
    // A requirement that fails does not count then.
    let requirement = ["-p", "Requires=failing.service", "-p", "After=failing.service", "-G", "true"];
    crate::settings::write_drop_ins();
    for (mode, status) in [("fail", 1), ("ignore-dependencies", 0)] {
        let option = format!("--job-mode={mode}");
        let run = Side::Ours.run(&[&[&*option][..], &requirement].concat()).await;
        assert_eq!(run.status, Some(status), "{mode}: {run:?}");
    }
}

#[tokio::test]
async fn the_unit_is_told_as_json() {
    for (options, has_id) in
        [(&[][..], true), (&["--wait"], true), (&["--no-block"], false), (&["--service-type=oneshot"], true)]
    {
        for side in if systemd_version() >= 257 { &SIDES[..] } else { &[Side::Ours] } {
            let words = [&["--json=short", "--unit=json-{}", "-G"], options, &["true"]].concat();
            let run = side.run(&words).await;
            assert_eq!(run.status, Some(0), "{side:?} {options:?}: {run:?}");
            assert!(!run.stderr.contains("Running as unit"), "{side:?} {run:?}");
            let unit = format!("{{\"unit\":\"json-{}.service\"", side.name());
            assert!(run.stdout.starts_with(&unit) && run.stdout.ends_with("\"}\n"), "{side:?} {run:?}");
            if has_id && *side == Side::Ours {
                let id = run.stdout.split("\"invocation_id\":\"").nth(1).expect(&run.stdout);
                assert_eq!(id.len(), 32 + "\"}\n".len(), "{run:?}");
            }
            crate::side::gone(&format!("json-{}.service", side.name()));
        }
    }
    let pretty = Side::Ours.run(&["--json=pretty", "--no-block", "--unit=json-pretty", "-G", "true"]).await;
    assert!(pretty.stdout.starts_with("{\n\t\"unit\" : \"json-pretty.service\""), "{pretty:?}");
    assert!(pretty.stdout.ends_with("\"\n}\n"), "{pretty:?}");
    for arguments in [&["--json=short", "-q", "-G", "true"][..], &["--json=short", "--service-type=oneshot", "false"]] {
        let run = Side::Ours.run(arguments).await;
        assert_eq!(run.stdout, "", "{run:?}");
    }
    let off = Side::Ours.run(&["--json=short", "--json=off", "-G", "true"]).await;
    assert_eq!((said(&off), &*off.stdout), (vec!["Running as unit: (generated)".to_owned()], ""));
}

/// The root is where the command sees it, and the same for a service in a container of one's own.
#[tokio::test]
async fn the_root_directory_is_the_one_seen_here() {
    if !is_root() {
        return; // who is no root may not have one
    }
    let folder = crate::folder("root");
    let [bin, here] = ["tree/bin", "tree/here"].map(|name| folder.join(name));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(&here, "seen\n").unwrap();
    let root = folder.join("tree");
    let option = format!("--root-directory={}", root.display());
    // The libraries come with it.
    let binds = ["-p", "BindReadOnlyPaths=/usr /lib /lib64 /bin", "-p", "MountAPIVFS=yes"];
    let words = [&["-q", "-G", "-P", &option], &binds[..], &["/usr/bin/cat", "/here"]].concat();
    for side in if systemd_version() >= 259 { &SIDES[..] } else { &[Side::Ours] } {
        let run = side.run(&words).await;
        assert_eq!((run.status, &*run.stdout), (Some(0), "seen\n"), "{side:?}: {run:?}");
        let run = side.run(&["-q", "-G", "-P", "--root-directory=/nonexistent", "true"]).await;
        assert_ne!(run.status, Some(0), "{side:?}: {run:?}");
        // None.
        let run = side.run(&["-q", "-G", "-P", "--root-directory=/nonexistent", "--root-directory=", "true"]).await;
        assert_eq!(run.status, Some(0), "{side:?}: {run:?}");
    }
    // In a mount namespace where the folder holds something else: with systemd 259 and later that is what counts.
    let other = format!(
        "mount -t tmpfs tmpfs {0} && echo other >{0}/here && mkdir {0}/bin && exec \"$0\" \"$@\"",
        root.display()
    );
    for side in if systemd_version() >= 259 { &SIDES[..] } else { &[] } {
        let mut command = tokio::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", &other]).arg(side.program()).args(&words);
        let run = outcome(&mut command).await;
        assert_eq!((run.status, &*run.stdout), (Some(0), "other\n"), "{side:?}: {run:?}");
        let mut command = side.command(&["-q", "-G", "--same-root-dir", "--wait", "/usr/bin/true"]);
        let same = outcome(&mut command).await;
        let short = outcome(&mut side.command(&["-qG", "-R", "--wait", "/usr/bin/true"])).await;
        assert_eq!(same.status, short.status, "{side:?}: {same:?} {short:?}");
    }
    if systemd_version() >= 259 {
        let [theirs, ours] = [Side::Theirs, Side::Ours]
            .map(|side| async move { side.run(&["-qGR", "--wait", "/usr/bin/true"]).await.status });
        assert_eq!(theirs.await, ours.await);
    } else {
        assert_eq!(Side::Ours.run(&["-qGR", "--wait", "/usr/bin/true"]).await.status, Some(0));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What is accepted and changes nothing where nobody can be asked.
#[tokio::test]
async fn nobody_is_asked_and_nothing_is_paged() {
    for option in ["--no-ask-password", "--no-pager", "--system", "--user"] {
        let known = option != "--no-pager" || systemd_version() >= 258;
        if is_root() != (option == "--user") {
            where_known(if known { 0 } else { u32::MAX }, 0, &[option, "--wait", "-G", "true"]).await;
        }
    }
    if !is_root() && std::env::var_os("SDRUN_SANDBOX").is_some() {
        for options in [&["--system"][..], &["--system", "--no-ask-password"]] {
            both_return(1, &[options, &["true"]].concat()).await;
        }
    }
}

/// Both flags of the message, as polkit sees them.
#[tokio::test]
async fn polkit_may_ask_unless_it_may_not() {
    if !is_root() {
        return; // only root may listen to the bus
    }
    for side in SIDES {
        for (options, expected) in [(&[][..], true), (&["--no-ask-password"], false)] {
            let name = format!("asks-{}-{expected}", side.name());
            let unit = format!("--unit={name}");
            // Over the bus: systemd-run without --wait takes the private socket.
            let words = [options, &["--wait", "-G", &unit, "true"]].concat();
            let message = started(side, &words, &name).await;
            let flags = message.split("\"flags\":").nth(1).and_then(|rest| rest.split(',').next()).expect(&message);
            // ALLOW_INTERACTIVE_AUTHORIZATION, of the D-Bus specification
            assert_eq!(flags.parse::<u8>().unwrap() & 4 != 0, expected, "{side:?} {options:?}: {message}");
        }
    }
}

/// The message that starts the unit of this name, as busctl shows it.
async fn started(side: Side, words: &[&str], name: &str) -> String {
    let mut monitor = tokio::process::Command::new("busctl");
    monitor.args(["monitor", "--json=short", "--match=type='method_call'"]);
    let mut monitor = monitor.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("busctl");
    let mut messages = BufReader::new(monitor.stdout.take().unwrap()).lines();
    // It does not say when it listens: by then it shows what others call.
    let calling = async {
        loop {
            let mut call = tokio::process::Command::new("busctl");
            call.args(["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer", "Ping"])
                .output()
                .await
                .unwrap();
        }
    };
    tokio::select! {
        line = soon("busctl monitors", messages.next_line()) => drop(line.unwrap()),
        () = calling => {}
    }
    let run = side.run(words).await;
    assert_eq!(run.status, Some(0), "{side:?} {words:?}: {run:?}");
    loop {
        let message = soon("the message", messages.next_line()).await.unwrap().expect("the message");
        if message.contains(name) {
            return message;
        }
    }
}

/// By itself, `$` is systemd's to expand.
#[tokio::test]
async fn arguments_are_expanded_by_default() {
    let words = ["-q", "-P", "-G", "-EA=a b", "printf", "%s|", "$A", "${A}", "$$A", "x$A", "x${A}y"];
    for outcome in both_return(0, &words).await {
        assert_eq!(outcome.stdout, "a|b|a b|$A|x$A|xa by|");
    }
}

/// With --pty-late, and without a terminal here.
#[tokio::test]
async fn a_terminal_may_come_late() {
    where_known(258, 4, &["-T", "-q", "-G", "sh", "-c", "test -t 0 && exit 4"]).await;
    where_known(258, 203, &["--pty-late", "-q", "-G", "--service-type=exec", "/etc/passwd"]).await;
    where_known(258, 5, &["--pty-late", "--wait", "-G", "sh", "-c", "exit 5"]).await;
    assert_eq!(property("nothing.service", "LoadState"), "not-found");
}
