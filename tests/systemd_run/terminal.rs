//! `--pty`, `--pipe` and `--shell` at a terminal: both programs, driven by the same keys.

use std::process::Stdio;

use crate::screen::Screen;
use crate::side::{SIDES, Side};
use crate::support::is_root;

/// The program at a terminal, with these arguments.
fn command(side: Side, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(side.program());
    command.args((!is_root()).then_some("--user")).args(arguments.iter().map(|word| word.replace("{}", side.name())));
    // A terminal of which nothing is to be expected: newer systemd writes escape sequences to others.
    command.env("TERM", "dumb").env_remove("COLORTERM").env_remove("NO_COLOR");
    command
}

/// What it wrote, in lines, without what differs from run to run.
fn lines(screen: &Screen) -> Vec<String> {
    let not_ours = ["Memory peak:", "IP traffic", "IO bytes", "IP Traffic", "IO Bytes"];
    let text = screen.seen.replace('\r', "\n");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.filter(|line| !not_ours.iter().any(|start| line.starts_with(start))).map(crate::side::normalised).collect()
}

const INTRODUCTION: [&str; 2] = ["Running as unit: (generated)", "Press ^] three times within 1s to disconnect TTY."];

#[test]
fn a_command_on_a_terminal() {
    let cases: [(i32, &[&str], &[&str]); 8] = [
        (0, &["-t", "-q", "--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo yes"], &["yes"]),
        (3, &["--pty", "-q", "sh", "-c", "stty size; exit 3"], &["31 113"]),
        (0, &["--pty", "-q", "sh", "-c", "printf %s\\\\n \"$TERM\""], &["dumb"]),
        (0, &["--pty", "-q", "-ETERM=screen", "printenv", "TERM"], &["screen"]),
        (203, &["-qt", "--service-type=exec", "/etc/passwd"], &[]),
        (255, &["-qt", "-G", "sh", "-c", "kill -KILL 0"], &[]),
        // Nothing here is anything but a terminal.
        (0, &["-qtP", "sh", "-c", "test -t 1 && stty size; echo last"], &["31 113", "last"]),
        (4, &["-q", "--pipe", "--pty", "--wait", "sh", "-c", "exit 4"], &[]),
    ];
    for (status, arguments, expected) in cases {
        for side in SIDES {
            let mut screen = Screen::run(&command(side, arguments));
            assert_eq!(screen.end().code(), Some(status), "{side:?} {arguments:?}: {:?}", screen.seen);
            assert_eq!(lines(&screen), expected, "{side:?} {arguments:?}: {:?}", screen.seen);
            assert_eq!(screen.modes(), screen.before, "{side:?} {arguments:?}");
        }
    }
}

#[test]
fn what_is_said_around_it() {
    for (status, arguments) in [
        (0, &["--pty", "-G", "echo", "said"][..]),
        (5, &["--pty", "-G", "sh", "-c", "echo said; exit 5"]),
        (0, &["--pty", "--wait", "-G", "echo", "said"]),
        (5, &["--pty", "--wait", "-G", "sh", "-c", "echo said; exit 5"]),
    ] {
        let [theirs, ours] = SIDES.map(|side| {
            let mut screen = Screen::run(&command(side, arguments));
            assert_eq!(screen.end().code(), Some(status), "{side:?} {arguments:?}: {:?}", screen.seen);
            lines(&screen)
        });
        assert_eq!(theirs, ours, "{arguments:?}");
        assert_eq!(ours[..2], INTRODUCTION, "{arguments:?}");
        assert_eq!(ours[2], "said");
        assert_eq!(ours.len(), if arguments.contains(&"--wait") { 7 } else { 3 }, "{ours:?}");
    }
}

#[test]
fn keys_go_to_the_command() {
    for side in SIDES {
        let script = "echo ready; while read word; do echo \"got $word\"; done; echo over; exit 6";
        let script = script.replace('$', "$$");
        let mut screen = Screen::run(&command(side, &["-qt", "sh", "-c", &script]));
        screen.expect("ready\r\n");
        screen.type_keys("one\r");
        screen.expect("one\r\ngot one\r\n");
        screen.type_keys("\x04");
        screen.expect("over\r\n");
        assert_eq!(screen.end().code(), Some(6), "{side:?}: {:?}", screen.seen);

        let mut screen = Screen::run(&command(side, &["-qt", "-G", "sh", "-c", "echo ready; exec sleep 1000"]));
        screen.expect("ready\r\n");
        screen.resize(20, 70);
        screen.type_keys("\x03");
        // SIGINT is a success to systemd.
        assert_eq!(screen.end().code(), Some(0), "{side:?}: {:?}", screen.seen);
        assert_eq!(screen.modes(), screen.before, "{side:?}");
    }
}

/// `^]` three times: gone at once, or with --wait when the unit has ended, whose terminal stays until then.
#[test]
fn the_escape_disconnects() {
    for side in SIDES {
        let script = "trap 'exit 9' HUP; echo ready; sleep 1; exit 4";
        for (wait, status) in [(&[][..], 0), (&["--wait"], 4)] {
            let arguments = [&["-qt", "-G", "--unit=escaped-{}"], wait, &["sh", "-c", script]].concat();
            let mut screen = Screen::run(&command(side, &arguments));
            screen.expect("ready\r\n");
            screen.type_keys("\x1d\x1d\x1d");
            assert_eq!(screen.end().code(), Some(status), "{side:?} {wait:?}: {:?}", screen.seen);
            assert_eq!(screen.modes(), screen.before, "{side:?}");
            crate::side::gone(&format!("escaped-{}.service", side.name()));
        }
    }
}

/// The user's shell, where nothing else is said.
#[test]
fn a_shell() {
    for side in SIDES {
        let mut own = command(side, &["--shell", "--unit=shell-{}"]);
        let mut screen = Screen::run(own.env("SHELL", "/bin/sh").env("PS1", "").current_dir("/usr"));
        screen.expect(if is_root() { "# " } else { "$ " });
        screen.type_keys("echo at $(pwd); systemctl ");
        if !is_root() {
            screen.type_keys("--user ");
        }
        screen.type_keys(&format!("show -p Type -p CollectMode shell-{}; exit 8\r", side.name()));
        screen.expect("\nat /usr\r\n");
        // It waits, and says so.
        let shown = screen.expect("Finished with result: exit-code");
        // In an order of systemctl's own.
        for property in ["Type=exec\r\n", "CollectMode=inactive-or-failed\r\n"] {
            assert!(shown.contains(property), "{side:?}: {shown:?}");
        }
        assert_eq!(screen.end().code(), Some(8), "{side:?}: {:?}", screen.seen);
    }
}

/// With --pty and --pipe, or --shell, and something else than a terminal, that is passed on.
#[test]
fn what_is_no_terminal_is_passed_on() {
    for arguments in [&["-q", "--pty", "--pipe", "sh", "-c", "test -t 0 || cat; exit 2"][..], &["-q", "-S"]] {
        for side in SIDES {
            let folder = crate::folder("no-terminal");
            let input = folder.join("input");
            std::fs::write(&input, "test -t 0 || echo read; exit 2\n").unwrap();
            let file = std::fs::File::open(&input).unwrap();
            let mut own = command(side, arguments);
            let mut screen = Screen::run_with(own.env("SHELL", "/bin/sh"), Some(Stdio::from(file)));
            assert_eq!(screen.end().code(), Some(2), "{side:?} {arguments:?}: {:?}", screen.seen);
            let expected = if arguments.contains(&"-S") { "read" } else { "test -t 0 || echo read; exit 2" };
            assert_eq!(screen.seen.trim_end(), expected, "{side:?} {arguments:?}");
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
