//! What arrives at systemd of each option: with systemd-run and with the example the same.

use std::collections::BTreeMap;
use std::fs;

use crate::folder;
use crate::settings::systemd_version;
use crate::side::{SIDES, Side, Stopped, both_return, outcome, property, said, systemctl, until};
use crate::support::is_root;

/// The properties of the unit that the options say something about.
const PROPERTIES: [&str; 14] = [
    "CollectMode",
    "Environment",
    "Group",
    "Nice",
    "RemainAfterExit",
    "Restart",
    "Slice",
    "StandardError",
    "StandardInput",
    "StandardOutput",
    "Type",
    "User",
    "WorkingDirectory",
    "ExitType",
];

/// What these options make of a unit that runs on.
async fn shown(side: Side, options: &[&str]) -> BTreeMap<String, String> {
    let unit = format!("flags-{}.service", side.name());
    let _stopped = Stopped(unit.clone());
    let words = [&["-q", "-G", "--unit=flags-{}"], options, &["sleep", "infinity"]].concat();
    let run = outcome(side.command(&words).env("TERM", "screen").env_remove("COLORTERM").current_dir("/usr")).await;
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{side:?} {options:?}: {run:?}");
    until(&unit, "ActiveState", |state| state == "active").await;
    let text = systemctl(&["show", "--property", &PROPERTIES.join(","), &unit]);
    text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

#[tokio::test]
async fn the_unit_has_the_same_properties() {
    // The options, and one of the properties: so that both cannot be wrong together.
    let anyone: [(&[&str], &str, &str); 16] = [
        (&[], "Type", "simple"),
        (&["--nice=7"], "Nice", "7"),
        (&["--nice=0x7"], "Nice", "7"),
        (&["--nice=010"], "Nice", "8"),
        (&["--nice=+3"], "Nice", "3"),
        (&["--nice", "5", "--nice=6"], "Nice", "6"),
        (&["--slice=flags"], "Slice", "flags.slice"),
        (&["--slice=flags-below.slice"], "Slice", "flags-below.slice"),
        (&["--slice=some/path"], "Slice", "some-path.slice"),
        (&["--service-type=exec"], "Type", "exec"),
        (&["--service-type=idle"], "Type", "idle"),
        (&["-r"], "RemainAfterExit", "yes"),
        (&["--remain-after-exit"], "RemainAfterExit", "yes"),
        (&["--no-block"], "CollectMode", "inactive-or-failed"),
        (&["--same-dir"], "WorkingDirectory", "/usr"),
        (&["--setenv=A=b c"], "Environment", "\"A=b c\""),
    ];
    let root: [(&[&str], &str, &str); 9] = [
        (&["--uid=tester"], "User", "tester"),
        (&["--uid", "65534"], "User", "65534"),
        (&["--gid=nogroup"], "Group", "nogroup"),
        (&["--uid=tester", "--gid=nogroup", "--nice=-3"], "Group", "nogroup"),
        (&["--uid=tester", "--uid="], "User", ""),
        (&["--gid=nogroup", "--gid="], "Group", ""),
        (&["--nice=-20"], "Nice", "-20"),
        (&["--slice=-.slice"], "Slice", "-.slice"),
        (&["--machine=.host", "--nice=4"], "Nice", "4"),
    ];
    let root = if is_root() { &root[..] } else { &[] };
    for (options, name, value) in anyone.iter().chain(root) {
        let [theirs, ours] = [shown(Side::Theirs, options).await, shown(Side::Ours, options).await];
        assert_eq!(theirs, ours, "{options:?}");
        assert_eq!(ours[*name], *value, "{options:?}: {ours:?}");
    }
    // Some say so: the name was not one.
    for outcome in both_return(0, &["--slice=some/path", "-G", "true"]).await {
        assert!(said(&outcome)[0].starts_with("Invalid unit name \"some/path\" escaped as \"some-path"), "{outcome:?}");
    }
}

/// A slice within one's own, which for both is that of a unit in which they run.
#[tokio::test]
async fn the_slice_is_inherited() {
    let folder = folder("slice");
    let out = folder.join("out");
    for (options, expected) in [
        (&["--slice-inherit"][..], "outer.slice/outer-inner.slice"),
        (&["--slice-inherit", "--slice=below"], "outer-inner.slice/outer-inner-below.slice"),
        (&["--slice=below", "--slice-inherit"], "outer-inner.slice/outer-inner-below.slice"),
    ] {
        for side in SIDES {
            let inner = ["-q", "--wait", "-G"].into_iter().chain(options.iter().copied());
            let script = format!("cat /proc/self/cgroup >{}", out.display());
            let mut command = Side::Theirs.command(&["-q", "--wait", "-G", "--slice=outer-inner"]);
            command.arg("--").arg(side.program()).args((!is_root()).then_some("--user"));
            let run = outcome(command.args(inner).args(["sh", "-c", &script])).await;
            assert_eq!(run.status, Some(0), "{side:?} {options:?}: {run:?}");
            let group = fs::read_to_string(&out).unwrap();
            assert!(group.contains(&format!("/{expected}/")), "{side:?} {options:?}: {group}");
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

/// Unless it is told not to (254 and later).
#[tokio::test]
async fn variables_are_expanded_unless_told_not_to() {
    let words = ["-q", "-P", "-G", "-EA=a b", "printf", "%s|", "$A", "${A}", "$$A", "x$A"];
    let with = |option| [&[option], &words[..]].concat();
    let sides = if systemd_version() >= 254 { &SIDES[..] } else { &[Side::Ours] };
    for side in sides {
        for option in ["--expand-environment=yes", "--expand-environment=1", "--expand-environment=ON", "-G"] {
            assert_eq!(side.run(&with(option)).await.stdout, "a|b|a b|$A|x$A|", "{side:?} {option}");
        }
        for option in ["--expand-environment=no", "--expand-environment=f"] {
            assert_eq!(side.run(&with(option)).await.stdout, "$A|${A}|$$A|x$A|", "{side:?} {option}");
        }
    }
}

/// The start is waited for: what it comes to is the status.
#[tokio::test]
async fn without_no_block_the_start_is_waited_for() {
    let cases: [(i32, &[&str]); 9] = [
        (1, &["--service-type=oneshot", "false"]),
        (0, &["--service-type=oneshot", "true"]),
        (0, &["--service-type=oneshot", "--no-block", "false"]),
        (1, &["--service-type=exec", "/etc/passwd"]),
        (0, &["--service-type=exec", "--no-block", "/etc/passwd"]),
        (0, &["--service-type=exec", "sleep", "0.1"]),
        (1, &["--service-type=notify", "true"]),
        (0, &["--service-type=simple", "/etc/passwd"]),
        (0, &["-r", "false"]),
    ];
    for (status, arguments) in cases {
        let outcomes = both_return(status, &[&["--collect"], arguments].concat()).await;
        for outcome in &outcomes {
            let running = said(outcome).iter().any(|line| line == "Running as unit: (generated)");
            assert_eq!(running, status == 0, "{arguments:?}: {outcome:?}");
            assert_eq!(outcome.stderr.lines().any(|line| line.contains("failed")), status != 0, "{outcome:?}");
        }
        for outcome in both_return(status, &[&["-q", "--collect"], arguments].concat()).await {
            assert_eq!(outcome.stderr, "", "{arguments:?}");
        }
    }
    // A oneshot has run when it returns.
    let folder = folder("oneshot");
    for side in SIDES {
        let mark = folder.join(side.name());
        let script = format!("sleep 0.3; touch {}", mark.display());
        let run = side.run(&["-q", "-G", "--service-type=oneshot", "sh", "-c", &script]).await;
        assert_eq!((run.status, mark.exists()), (Some(0), true), "{run:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// The unit stays, with its exit status, until it is stopped.
#[tokio::test]
async fn the_unit_remains() {
    for side in SIDES {
        let unit = format!("remains-{}.service", side.name());
        let _stopped = Stopped(unit.clone());
        assert_eq!(side.run(&["-r", "--unit=remains-{}", "true"]).await.status, Some(0));
        until(&unit, "SubState", |state| state == "exited").await;
        assert_eq!([property(&unit, "ActiveState"), property(&unit, "MainPID")], ["active", "0"], "{side:?}");
    }
}

/// What goes with nothing. (Until 257 systemd-run takes --remain-after-exit, and waits until the unit is stopped.)
#[tokio::test]
async fn combinations_are_refused() {
    let with_remain: [&[&str]; 5] = [
        &["--wait", "-r", "true"],
        &["--pty", "-r", "true"],
        &["--pipe", "-r", "true"],
        &["-S", "-r"],
        &["-G", "-r", "--pty", "--wait", "true"],
    ];
    for arguments in with_remain {
        if systemd_version() >= 258 {
            both_return(1, arguments).await;
        }
        let ours = Side::Ours.run(arguments).await;
        assert_eq!(ours.status, Some(1), "{ours:?}");
        assert!(ours.stderr.contains("--remain-after-exit"), "{ours:?}");
    }
    let cases: [(&str, &[&str]); 17] = [
        ("not compatible with --no-block", &["--pty", "--no-block", "true"]),
        ("not compatible with --no-block", &["--pty", "--pipe", "--no-block", "--wait", "true"]),
        ("not compatible with --no-block", &["--shell", "--no-block"]),
        ("no command line is expected", &["--shell", "true"]),
        ("no command line is expected", &["-S", "--", "true"]),
        ("Failed to parse nice value: 20", &["--nice=20", "true"]),
        ("Failed to parse nice value: -21", &["--nice=-21", "true"]),
        ("Failed to parse nice value: x", &["--nice=x", "true"]),
        ("Failed to parse nice value: ", &["--nice=", "true"]),
        ("Failed to parse nice value: 08", &["--nice=08", "true"]),
        ("Failed to parse nice value: 3 ", &["--nice=3 ", "true"]),
        ("bogus", &["--service-type=bogus", "true"]),
        ("", &["--service-type=", "true"]),
        ("x.service", &["--slice=x.service", "true"]),
        ("", &["--slice=/", "true"]),
        ("a--b", &["--slice=a--b", "true"]),
        ("a/b", &["--uid=a/b", "true"]),
    ];
    for (message, arguments) in cases {
        for outcome in both_return(1, arguments).await {
            assert!(!outcome.stderr.is_empty() && outcome.stderr.contains(message), "{arguments:?}: {outcome:?}");
        }
    }
    for value in ["maybe", "", "2"] {
        both_return(1, &[&format!("--expand-environment={value}"), "true"]).await;
    }
}

/// With --wait the exit is that of systemd, where it cannot be who it should be.
#[tokio::test]
async fn users_and_groups_that_do_not_exist() {
    for (status, option) in [(217, "--uid=no-such-user"), (216, "--gid=no-such-group")] {
        let [theirs, ours] = both_return(status, &["--wait", "-G", option, "true"]).await;
        assert_eq!(said(&theirs), said(&ours));
    }
}

/// What it has used is in the summary.
#[tokio::test]
async fn the_cpu_time_is_told() {
    // A fifth of a second and more, on any machine that there is far more than what is asked for below.
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done";
    let script = script.replace('$', "$$");
    for side in SIDES {
        let run = side.run(&["--wait", "-G", "sh", "-c", &script]).await;
        assert_eq!(run.status, Some(0), "{side:?}: {run:?}");
        let time =
            run.stderr.lines().find_map(|line| line.trim().strip_prefix("CPU time consumed: ")).expect(&run.stderr);
        let milliseconds = time.strip_suffix("ms").and_then(|number| number.parse::<u32>().ok());
        assert!(milliseconds.is_none_or(|number| number >= 20) && !time.ends_with("us"), "{side:?}: {time}");
    }
}
