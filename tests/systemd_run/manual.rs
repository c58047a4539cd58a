//! The examples of systemd-run(1), one by one.

use std::time::Duration;

use crate::folder;
use crate::screen::Screen;
use crate::side::{SIDES, Side, Stopped, both_return, outcome, property, said, until};
use crate::support::is_root;

/// Example 1: the environment that systemd provides, in the journal.
#[tokio::test]
async fn example_1_logging_environment_variables() {
    for side in SIDES {
        let run = side.run(&["-G", "--unit=example-1-{}", "env"]).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(said(&run)[0].starts_with("Running as unit: example-1-"), "{run:?}");
    }
    let run = Side::Ours.run(&["-G", "-v", "--wait", "env"]).await;
    assert!(run.stdout.contains(": PATH=/") && run.stdout.contains(": INVOCATION_ID="), "{run:?}");
}

/// Example 2: limits.
#[tokio::test]
async fn example_2_limiting_resources() {
    for side in SIDES {
        let unit = format!("example-2-{}.service", side.name());
        let _stopped = Stopped(unit.clone());
        let run = side.run(&["-p", "IOWeight=10", "--unit=example-2-{}", "sleep", "infinity"]).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        assert_eq!(property(&unit, "IOWeight"), "10", "{side:?}");
    }
}

/// Example 3: at a specified time.
#[tokio::test]
async fn example_3_at_a_specified_time() {
    let folder = folder("example-3");
    for side in SIDES {
        let file = folder.join(side.name());
        let run = side
            .run(&["--on-active=1", "--timer-property=AccuracySec=100ms", "/bin/touch", file.to_str().unwrap()])
            .await;
        assert_eq!(run.status, Some(0), "{run:?}");
        let lines: Vec<_> = run.stderr.lines().collect();
        assert!(lines[0].starts_with("Running timer as unit: ") && lines[0].ends_with(".timer"), "{run:?}");
        assert!(lines[1].starts_with("Will run service as unit: ") && lines[1].ends_with(".service"), "{run:?}");
        assert!(!file.exists());
        let since = std::time::Instant::now();
        while !file.exists() {
            assert!(since.elapsed() < crate::support::DEADLINE, "{side:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Example 4: on the calling terminal.
#[test]
fn example_4_allowing_access_to_the_tty() {
    for side in SIDES {
        let mut command = std::process::Command::new(side.program());
        command.args((!is_root()).then_some("--user")).args(["-t", "--send-sighup", "-q", "bash", "--norc"]);
        command.env("TERM", "dumb").env("PS1", "> ");
        let mut screen = Screen::run(&command);
        screen.expect(if is_root() { "# " } else { "$ " });
        screen.type_keys("tty; exit 3\r");
        screen.expect("/dev/pts/");
        assert_eq!(screen.end().code(), Some(3), "{side:?}: {:?}", screen.seen);
    }
}

/// Example 5: a program that leaves its caller behind, in a scope of the user's.
#[tokio::test]
async fn example_5_a_user_scope() {
    if is_root() {
        return; // again as a user
    }
    for side in SIDES {
        let unit = format!("example-5-{}.scope", side.name());
        let _stopped = Stopped(unit.clone());
        let script = "setsid sleep 1000 >/dev/null 2>&1 </dev/null &";
        let run = side.run(&["--scope", "--unit=example-5-{}", "sh", "-c", script]).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        assert_eq!(property(&unit, "ActiveState"), "active", "{side:?}");
    }
}

/// Example 6: variables that the manager expands.
#[tokio::test]
async fn example_6_variable_expansion() {
    for run in both_return(0, &["-q", "-t", "-G", "echo", "<>", "<${INVOCATION_ID}>"]).await {
        let id = run.stdout.trim().strip_prefix("<> <").and_then(|rest| rest.strip_suffix('>')).expect(&run.stdout);
        assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{run:?}");
    }
}

/// Example 7: variables that a shell expands, and its streams.
#[tokio::test]
async fn example_7_expansion_by_a_shell() {
    let words =
        ["--expand-environment=no", "-q", "-t", "-G", "-ESHELL=/bin/bash", "bash", "-c", "echo $SHELL $$ >/dev/stdout"];
    for side in if crate::settings::systemd_version() >= 254 { &SIDES[..] } else { &[Side::Ours] } {
        let run = outcome(&mut side.command(&words)).await;
        assert_eq!(run.status, Some(0), "{side:?}: {run:?}");
        let (shell, number) = run.stdout.trim().split_once(' ').expect(&run.stdout);
        assert!(shell == "/bin/bash" && number.parse::<u32>().is_ok(), "{side:?}: {run:?}");
    }
}

/// Example 8: what is returned.
#[tokio::test]
async fn example_8_return_value() {
    both_return(0, &["--wait", "true"]).await;
    both_return(0, &["--wait", "-p", "SuccessExitStatus=11", "bash", "-c", "exit 11"]).await;
    both_return(0, &["--wait", "-p", "SuccessExitStatus=SIGUSR1", "bash", "-c", "kill -SIGUSR1 $$$$"]).await;
    let words =
        ["--wait", "-p", "SuccessExitStatus=SIGUSR1", "--expand-environment=no", "bash", "-c", "kill -SIGUSR1 $$"];
    assert_eq!(Side::Ours.run(&words).await.status, Some(0));
    until("nothing.service", "LoadState", |state| state == "not-found").await;
}
