//! `--verbose`: what the unit logs is printed, as journalctl prints it.

use crate::settings::systemd_version;
use crate::side::{SIDES, Side, outcome, said};
use crate::support::is_root;

/// Without what differs from run to run, and what newer systemds say of the cgroups of the sandbox.
fn logged(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("Failed to read pids.max"));
    // The identifier and what follows it.
    let after_host = |line: &str| line.split_once(": ").map_or(line.to_owned(), |(_, message)| message.to_owned());
    lines
        .map(after_host)
        .map(|line| {
            line.replace("theirs", "{}").replace("ours", "{}").replace("[systemd-run] ", "").replace(['"', '\''], "")
        })
        .collect()
}

#[tokio::test]
async fn the_log_is_on_standard_output() {
    for (status, options) in [(0, &["--wait"][..]), (0, &["--wait", "-q"]), (0, &["--service-type=oneshot"])] {
        let script = "echo first; echo second; echo third >&2";
        let words = [&["-v", "-G", "--unit=verbose-{}"], options, &["sh", "-c", script]].concat();
        let mut both = Vec::new();
        for side in if systemd_version() >= 258 { &SIDES[..] } else { &[Side::Ours] } {
            let run = side.run(&words).await;
            assert_eq!(run.status, Some(status), "{side:?} {options:?}: {run:?}");
            let lines = logged(&run.stdout);
            for line in ["first", "second", "third"] {
                let is_there = lines.iter().any(|other| other == line);
                // Of a user's units systemd-run does not see what short-lived processes say.
                assert!(is_there || (*side == Side::Theirs && !is_root()), "{side:?} {options:?}: {run:?}");
            }
            assert_eq!(said(&run).is_empty(), options.contains(&"-q"), "{side:?}: {run:?}");
            both.push(lines);
            crate::side::gone(&format!("verbose-{}.service", side.name()));
        }
        // On a user manager systemd-run may miss the manager's own entries.
        if let (true, [theirs, ours]) = (is_root(), &both[..]) {
            assert_eq!(theirs, ours, "{options:?}");
        }
    }
}

/// The start that is not waited for longer is told of.
#[tokio::test]
async fn the_start_is_logged() {
    for options in [&["--verbose"][..], &["-v", "--no-block"], &["-v", "--service-type=exec"]] {
        for side in if systemd_version() >= 258 { &SIDES[..] } else { &[Side::Ours] } {
            let run = side.run(&[options, &["-G", "sleep", "0.5"]].concat()).await;
            assert_eq!(run.status, Some(0), "{side:?} {run:?}");
            // systemd-run does not wait for the manager's entry.
            assert!(*side == Side::Theirs || run.stdout.contains("Started "), "{side:?} {run:?}");
        }
    }
    let run = Side::Ours.run(&["-v", "-G", "--service-type=oneshot", "sh", "-c", "echo said; exit 3"]).await;
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(run.stdout.contains(": said\n") && run.stdout.contains("status=3"), "{run:?}");
    // Not of a scope or a timer, as with systemd-run.
    let run = Side::Ours.run(&["-v", "--scope", "-q", "true"]).await;
    assert_eq!((run.status, run.stdout + &run.stderr), (Some(0), String::new()));
}

#[tokio::test]
async fn the_streams_may_be_elsewhere() {
    let run = Side::Ours.run(&["-v", "-q", "-P", "-G", "echo", "piped"]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.lines().any(|line| line == "piped") && run.stdout.contains("Started "), "{run:?}");
}

/// In every mode the same as journalctl prints of the same entries.
#[tokio::test]
async fn every_mode_is_journalctls() {
    if !is_root() {
        return; // a user's journal may be kept where only root reads it
    }
    for (number, mode) in crate::formats::NAMES.iter().enumerate() {
        let unit = format!("mode-{number}-{}", std::process::id());
        let script = "echo line; printf 'a\\tb\\n'; echo '<3>error'; printf '\\033[31mred\\033[0m\\n'";
        let words = ["-v", "-q", "--wait", "-G", "--unit", &unit, "--output", mode, "sh", "-c", script];
        // Three zones, that need no database.
        let zone = ["UTC", "IST-5:30", "NST3:30"][number % 3];
        let run = outcome(Side::Ours.command(&words).env("TZ", zone)).await;
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{mode}: {run:?}");
        let journal = std::process::Command::new("journalctl")
            .args(["--sync"])
            .status()
            .and_then(|_| {
                std::process::Command::new("journalctl")
                    .args(["-q", "--no-pager", "-o", mode, "-u", &unit])
                    .env("TZ", zone)
                    .output()
            })
            .unwrap();
        let expected = String::from_utf8_lossy(&journal.stdout).into_owned();
        let [ours, theirs] = [&run.stdout, &expected].map(|text| crate::formats::comparable(mode, text));
        assert!(!ours.is_empty());
        for entry in &ours {
            assert!(theirs.contains(entry), "{mode}: {entry:?} is not in {theirs:#?}");
        }
        assert!(ours.len() * 2 > theirs.len(), "{mode}: {ours:#?} {theirs:#?}");
    }
}
