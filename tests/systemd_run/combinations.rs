//! Options that do not go together: the same are refused, and told in the same words.

use crate::settings::systemd_version;
use crate::side::{SIDES, Side};
use crate::support::is_root;

/// Enough of each kind.
const OPTIONS: [&str; 18] = [
    "--scope",
    "--no-block",
    "--wait",
    "-r",
    "-t",
    "-T",
    "-P",
    "-S",
    "-v",
    "--json=short",
    "--on-active=5h",
    "--path-property=PathExists=/x",
    "--socket-property=ListenStream=@x",
    "--timer-property=AccuracySec=1s",
    "--ignore-failure",
    "-R",
    "--service-type=oneshot",
    "-Hnobody.invalid",
];

/// What is said of them first, if they are refused for not going together: nothing is run.
async fn refused(side: Side, options: &[&str]) -> Option<String> {
    let shell = options.contains(&"-S");
    let words = [options, if shell { &[] } else { &["nonexistent-program"] }].concat();
    // What is not refused fails otherwise: there is no such program, no such host and no such shell.
    let mut command = tokio::process::Command::new(match side {
        Side::Theirs => std::path::Path::new("/usr/bin/systemd-run"),
        Side::Ours => side.program(),
    });
    command.args((!is_root()).then_some("--user")).args(&words).stdin(std::process::Stdio::null());
    command.env("SHELL", "/nonexistent/shell").env("SYSTEMD_SSH", "/bin/false").env("PATH", "/nonexistent");
    let run = crate::side::outcome(&mut command).await;
    let line = run.stderr.lines().next().unwrap_or_default();
    let line = line.strip_prefix("sdrun: ").unwrap_or(line).to_owned();
    let telling =
        ["not compatible", "not supported", "not be combined", "is only supported", "Only single", "refusing."];
    let refused = telling.iter().any(|text| line.contains(text));
    if refused {
        assert_eq!((run.status, &*run.stdout), (Some(1), ""), "{side:?} {options:?}: {run:?}");
    }
    refused.then_some(line)
}

/// Each alone and every two of them.
#[tokio::test]
async fn the_same_pairs_are_refused() {
    if systemd_version() < 262 {
        return; // its options and its words are the oracle
    }
    let mut count = 0;
    for (number, first) in OPTIONS.iter().enumerate() {
        for second in &OPTIONS[number..] {
            let pair = if first == second { &[*first][..] } else { &[*first, *second] };
            let [theirs, ours] = [refused(Side::Theirs, pair).await, refused(Side::Ours, pair).await];
            assert_eq!(theirs, ours, "{pair:?}");
            count += usize::from(ours.is_some());
        }
    }
    assert!(count > 50, "{count}");
}

/// Where several do not, the same reason is told.
#[tokio::test]
async fn the_same_reason_is_told_first() {
    if systemd_version() < 262 {
        return;
    }
    let cases: [&[&str]; 16] = [
        &["--scope", "--no-block", "-r"],
        &["--scope", "--pty", "--on-active=5h"],
        &["--wait", "--no-block", "--pty"],
        &["--wait", "--no-block", "--scope"],
        &["--wait", "--no-block", "-r"],
        &["-r", "--pty", "--no-block"],
        &["--json=short", "--scope", "-v"],
        &["--json=short", "-v", "--wait", "--on-active=1h"],
        &["-T", "-P", "--service-type=oneshot", "--json=short"],
        &["-R", "--scope", "--wait"],
        &["-t", "-Hnobody.invalid", "--no-block"],
        &["--user", "-Hnobody.invalid", "--scope"],
        &["--on-active=1h", "--path-property=PathExists=/x", "--wait"],
        &["--timer-property=AccuracySec=1s", "--path-property=PathExists=/x"],
        &["-S", "--scope", "--wait"],
        &["-S", "--on-calendar=daily"],
    ];
    for options in cases {
        let [theirs, ours] = [refused(Side::Theirs, options).await, refused(Side::Ours, options).await];
        assert!(ours.is_some(), "{options:?}");
        assert_eq!(theirs, ours, "{options:?}");
    }
}

/// Mistakes in the words themselves.
#[tokio::test]
async fn mistakes_are_told_alike() {
    let cases: [&[&str]; 34] = [
        &["--u=x", "true"],
        &["--bogus", "true"],
        &["--bogus=x", "true"],
        &["-x", "true"],
        &["-qx", "true"],
        &["-u"],
        &["--unit"],
        &["-qu"],
        &["--json"],
        &["--quiet=yes", "true"],
        &["--wait=", "true"],
        &["--=x", "true"],
        &["--on", "true"],
        &["--pt", "true"],
        &["--same", "true"],
        &["--json=bogus", "true"],
        &["--json=", "true"],
        &["--job-mode=bogus", "true"],
        &["--job-mode=", "true"],
        &["--output=bogus", "true"],
        &["--output=", "true"],
        &["--nice=20", "true"],
        &["--expand-environment=maybe", "true"],
        &["--shell", "true"],
        &["--on-active=5h"],
        &["--unit=x.timer", "--path-property=PathExists=/x", "true"],
        &["--scope", "nonexistent-program"],
        &["--scope", "--", "-x"],
        &["nonexistent-program"],
        &["--root-directory=/nonexistent", "true"],
        &["--scope", "--uid=no-such-user", "true"],
        &["--scope", "--gid=no-such-group", "true"],
        &["--scope", "--working-directory=/nonexistent", "true"],
        &[],
    ];
    // --no has one that systemd-run has not (--private), and so has --p; that apart the words are the same.
    let own = |line: &str| {
        let line = line
            .split(": ")
            .next()
            .filter(|name| matches!(*name, "sdrun" | "systemd-run"))
            .map_or(line, |name| line[name.len()..].trim_start_matches(": "));
        line.trim_end_matches(" (os error 2)").to_owned()
    };
    for arguments in cases {
        if systemd_version() < 262 && matches!(arguments[..], ["--pt" | "--same", ..]) {
            continue; // ambiguous only with the options of later ones
        }
        let runs = [Side::Theirs.run(arguments).await, Side::Ours.run(arguments).await];
        for (side, run) in SIDES.iter().zip(&runs) {
            assert_eq!((run.status, &*run.stdout), (Some(1), ""), "{side:?} {arguments:?}: {run:?}");
        }
        // Who may not copy mounts is told that first.
        if systemd_version() >= 262 && (is_root() || !arguments.iter().any(|word| word.starts_with("--root"))) {
            let lines = runs.map(|run| own(run.stderr.lines().last().unwrap_or_default()));
            assert_eq!(lines[0], lines[1], "{arguments:?}");
        }
    }
}

/// What only prints.
#[tokio::test]
async fn lists_are_equal() {
    for option in ["--output=help", "--job-mode=help", "--json=help"] {
        let ours = Side::Ours.run(&[option, "--bogus"]).await;
        assert_eq!((ours.status, &*ours.stderr), (Some(0), ""), "{ours:?}");
        assert!(ours.stdout.lines().count() >= 3);
        if systemd_version() >= 262 {
            assert_eq!(Side::Theirs.run(&[option, "--bogus"]).await.stdout, ours.stdout);
        }
    }
}

/// Every option of systemd-run is one of ours, is told of in our help, and takes a value or none alike.
#[tokio::test]
async fn the_help_lists_all_options() {
    let help = |text: &str| -> Vec<(String, bool)> {
        // The first words of a line, up to the long name.
        let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix('-'));
        let words = lines.filter_map(|line| line.split_whitespace().find(|word| word.contains('-')));
        let long = words.map(|word| word.trim_start_matches('-')).map(|word| match word.split_once('=') {
            Some((name, _)) => (name.trim_end_matches('[').to_owned(), true),
            None => (word.to_owned(), false),
        });
        long.collect()
    };
    let theirs = help(&Side::Theirs.run(&["--help"]).await.stdout);
    let ours = help(&Side::Ours.run(&["--help", "--no-pager"]).await.stdout);
    assert!(theirs.len() > 35, "{theirs:?}");
    for option in theirs.iter().filter(|(name, _)| name != "background") {
        assert!(ours.contains(option), "{option:?}");
    }
}
