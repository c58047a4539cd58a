//! The example `sdrun` against systemd-run(1): the same commands through both, and the same comes out.
//!
//! Cargo builds examples for `cargo test`, but not for `cargo test --test systemd_run`: there
//! `cargo build --example sdrun` goes first.

#[path = "systemd_run/built.rs"]
mod built;
#[path = "systemd_run/combinations.rs"]
mod combinations;
#[path = "systemd_run/flags.rs"]
mod flags;
#[path = "systemd_run/formats.rs"]
mod formats;
#[path = "systemd_run/hosts.rs"]
mod hosts;
#[path = "../examples/sdrun/log/mod.rs"]
mod log;
#[path = "systemd_run/manual.rs"]
mod manual;
#[path = "systemd_run/options.rs"]
mod options;
#[path = "systemd_run/scopes.rs"]
mod scopes;
#[path = "systemd_run/screen.rs"]
mod screen;
#[path = "systemd_run/settings.rs"]
mod settings;
#[path = "systemd_run/side.rs"]
mod side;
#[path = "../examples/sdrun/size.rs"]
mod size;
mod support;
#[path = "systemd_run/terminal.rs"]
mod terminal;
#[path = "../examples/sdrun/timespan.rs"]
mod timespan;
#[path = "systemd_run/triggers.rs"]
mod triggers;
#[path = "systemd_run/verbose.rs"]
mod verbose;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use side::{EXAMPLE, SIDES, Side, Stopped, both_return, outcome, property, said, until};
use support::is_root;
use tokio::process::Command;

/// A folder of the test's own, in which the manager's units may write.
fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(format!("/tmp/sdrun-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Everything in this file again as an ordinary user, on the user manager.
#[test]
fn again_as_user() {
    if !is_root() {
        return;
    }
    let user = nix::unistd::User::from_name("tester").unwrap().expect("the sandbox has the user");
    let folder = folder("as-user");
    // The checkout may lie where the user may not look. Copied by another process: while this one had the copies open
    // for writing, what other tests start would inherit that, and for a moment nobody could execute them.
    let run = |mut command: std::process::Command| {
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(status.success(), "{command:?}: {status}");
    };
    let mut copy = std::process::Command::new("cp");
    copy.arg(std::env::current_exe().unwrap()).arg(Side::Ours.program()).arg(&folder);
    run(copy);
    let runtime = format!("/run/user/{}", user.uid);
    let mut again = std::process::Command::new("setpriv");
    again
        .args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--init-groups".into()])
        .arg(folder.join(std::env::current_exe().unwrap().file_name().unwrap()))
        .env(EXAMPLE, folder.join("sdrun"))
        .env("HOME", &user.dir)
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={runtime}/bus"))
        .env("XDG_RUNTIME_DIR", runtime)
        .current_dir("/");
    run(again);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn statuses_and_summaries_are_equal() {
    let shell = |status: i32, script: &'static str| (status, vec!["sh", "-c", script]);
    let cases = [
        (0, vec!["true"]),
        (1, vec!["false"]),
        shell(2, "exit 2"),
        shell(77, "exit 77"),
        shell(127, "exit 127"),
        shell(128, "exit 128"),
        shell(154, "exit 154"),
        shell(200, "exit 200"),
        shell(203, "exit 203"),
        shell(254, "exit 254"),
        shell(255, "exit 255"),
        // Signals, to the process group: "$$" would need more "$" for systemd-run. Four of them count as success.
        shell(0, "kill -HUP 0"),
        shell(0, "kill -INT 0"),
        shell(0, "kill -TERM 0"),
        (0, vec!["env", "--default-signal=PIPE", "sh", "-c", "kill -PIPE 0"]),
        shell(0, "kill -PIPE 0"), // services ignore it
        shell(255, "kill -QUIT 0"),
        shell(255, "kill -ABRT 0"),
        shell(255, "kill -KILL 0"),
        shell(255, "kill -SEGV 0"),
        shell(255, "kill -ALRM 0"),
        shell(255, "kill -USR1 0"),
        shell(255, "kill -34 0"),
        shell(255, "kill -50 0"),
        shell(255, "kill -64 0"),
        // What systemd cannot execute.
        (203, vec!["/etc/passwd"]),
        (200, vec!["--working-directory=/nonexistent", "true"]),
        (200, vec!["--working-directory=/etc/passwd", "true"]),
        // Words in all the ways in which getopt takes them.
        (0, vec!["--", "true"]),
        (0, vec!["-u", "words-{}", "true", "--wait", "--bogus"]),
        (0, vec!["--unit", "words-{}", "true"]),
        (0, vec!["--uni=words-{}", "true"]),
        (0, vec!["-uwords-{}", "-dG", "-EA=b", "-E", "B=c", "true"]),
        (0, vec!["--description", "some text", "true"]),
        (0, vec!["--description=", "true"]),
    ];
    for (status, arguments) in cases {
        let arguments = [vec!["--wait", "--collect"], arguments].concat();
        let [theirs, ours] = both_return(status, &arguments).await;
        assert_eq!(said(&theirs), said(&ours), "{arguments:?}");
        assert!(said(&ours).len() >= 5, "{arguments:?}: {ours:?}");
        for outcome in both_return(status, &[vec!["--quiet"], arguments].concat()).await {
            assert_eq!(outcome.stdout + &outcome.stderr, "");
        }
    }
}

#[tokio::test]
async fn without_wait_the_status_is_that_of_the_start() {
    for arguments in [["--collect", "true"], ["--collect", "false"], ["--no-block", "true"]] {
        let [theirs, ours] = both_return(0, &arguments).await;
        assert_eq!(said(&ours), ["Running as unit: (generated)"]);
        assert_eq!(said(&theirs), said(&ours));
        for outcome in both_return(0, &[&["-q"], &arguments[..]].concat()).await {
            assert_eq!(outcome.stdout + &outcome.stderr, "");
        }
    }
}

#[tokio::test]
async fn what_systemd_run_refuses_is_refused() {
    let cases: [&[&str]; 44] = [
        &[],
        &["--"],
        &["--wait"],
        &["--wait", "--no-block", "true"],
        &["--bogus", "true"],
        &["-x", "true"],
        &["-qx", "true"],
        &["--u=x", "true"],
        &["--quiet=yes", "true"],
        &["--unit"],
        &["-E"],
        &["-", "true"],
        // There is no such program.
        &["nonexistent-program"],
        &["--wait", "nonexistent-program"],
        &["--wait", "/nonexistent/program"],
        &["--wait", "./nonexistent"],
        &["--wait", "/etc/passwd/x"],
        &["--wait", "/etc"],
        &["--wait", "/dev/null"],
        &["--wait", "."],
        &["--wait", ""],
        &["--wait", "passwd/"],
        // Names.
        &["--unit=", "true"],
        &["--unit=@b", "true"],
        &["--unit=a@", "true"],
        &["--unit=a@.service", "true"],
        &["--unit=a.socket", "true"],
        &["--unit=a.target", "true"],
        &["--unit=a b.mount", "true"],
        &["--unit=/foo", "true"],
        &["--unit=/dev/null", "true"],
        &["--unit=%s", "--unit=.slice", "--unit=x.slice", "true"],
        // Variables.
        &["--setenv=", "true"],
        &["--setenv==b", "true"],
        &["--setenv=1A=b", "true"],
        &["--setenv=A-B=c", "true"],
        &["--setenv=A B", "true"],
        &["--setenv", "Ä=b", "true"],
        // Folders and machines.
        &["--working-directory=/tmp/../etc", "true"],
        &["--working-directory=/tmp/..", "true"],
        &["--machine=", "true"],
        &["--machine=nonexistent-machine", "true"],
        &["--machine=bad/name", "true"],
        &["--machine=nonexistent-machine", "--wait", "true"],
    ];
    for arguments in cases {
        for outcome in both_return(1, arguments).await {
            assert_ne!(outcome.stderr, "", "{arguments:?}");
        }
    }
    let long = format!("--unit={}", "x".repeat(248));
    both_return(1, &[&long, "true"]).await;

    let bytes = OsStr::from_bytes;
    for arguments in [
        [bytes(b"true"), bytes(b"\xff")],
        [bytes(b"--setenv=A=\xff"), bytes(b"true")],
        [bytes(b"--description=\xff"), bytes(b"true")],
    ] {
        both_return(1, &arguments).await;
    }
}

#[tokio::test]
async fn any_text_makes_a_name() {
    let long = "x".repeat(247);
    let names = [
        "slash/{}",
        "space {}",
        "umlaut-ä-{}",
        "dots.in.it.{}",
        ".{}",
        "at@{}",
        "at@two@{}",
        "back\\slash-{}",
        "-{}",
        "star*-{}",
        "whole-{}.service",
        "slash/whole-{}.service",
        ".service",
        &long,
    ];
    for name in names {
        let unit = format!("--unit={name}");
        let [theirs, ours] = both_return(0, &["--wait", "--collect", &unit, "true"]).await;
        let running =
            |outcome| said(outcome).into_iter().filter(|line| line.starts_with("Running")).collect::<Vec<_>>();
        assert_eq!(running(&theirs), running(&ours));
        assert_eq!(running(&ours).len(), 1);
    }
}

#[tokio::test]
async fn a_name_is_used_once() {
    let _stopped = Stopped("in-use.service".into());
    assert_eq!(Side::Ours.run(&["--unit=in-use", "sleep", "infinity"]).await.status, Some(0));
    for options in [&["--unit=in-use"][..], &["--wait", "--unit=in-use.service"]] {
        let [_, ours] = both_return(1, &[options, &["true"]].concat()).await;
        assert!(ours.stderr.contains("in-use.service") && ours.stderr.contains("already"), "{ours:?}");
    }
}

#[tokio::test]
async fn the_program_is_looked_for_as_systemd_run_does() {
    let folder = folder("path");
    // Written by another process, for the same reason as above.
    let script = "mkdir -p one/folder two locked && for file in one/both:11 two/both:12 one/plain:13 two/plain:14 \
                  locked/program:15; do printf '#!/bin/sh\\nexit %s\\n' ${file#*:} >${file%:*}; \
                  chmod +x ${file%:*}; done; chmod -x one/plain; chmod 000 locked";
    assert!(Command::new("sh").args(["-ec", script]).current_dir(&folder).status().await.unwrap().success());
    let [first, second, one, two, plain, locked] =
        ["one", "two", "one/both", "two/both", "one/plain", "locked/program"]
            .map(|name| folder.join(name).to_str().unwrap().to_owned());
    let mixed = format!("one:{second}");
    let path = format!("{first}:/nonexistent:{second}");
    let cases = [
        (11, &*path, "both"),
        (12, &*second, "both"),
        (14, &*path, "plain"), // the first is no program
        (1, &*first, "plain"),
        (1, &*path, "folder"),
        (1, "", "both"),
        (12, &*mixed, "both"), // only absolute folders count
        (11, "", &*one),
        (12, "", &*two),
        (11, "", "one/both"),
        (12, "", "./one/../two/both"),
        (1, "", "one/plain"),
        (203, "", &*plain),
        (if is_root() { 15 } else { 203 }, "", &*locked),
        (if is_root() { 15 } else { 1 }, "", "locked/program"),
        (1, "", "both/"),
    ];
    let which = |side: Side| match side {
        Side::Theirs => Path::new("/usr/bin/systemd-run"),
        Side::Ours => side.program(),
    };
    for (status, path, program) in cases {
        for side in SIDES {
            let mut command = Command::new(which(side));
            command.args((!is_root()).then_some("--user")).args(["--wait", "--collect", program]);
            let outcome = outcome(command.current_dir(&folder).env("PATH", path)).await;
            assert_eq!(outcome.status, Some(status), "{side:?} PATH={path} {program}: {outcome:?}");
        }
    }
    for side in SIDES {
        let mut command = Command::new(which(side));
        command.args((!is_root()).then_some("--user")).args(["--wait", "--collect", "true"]).env_remove("PATH");
        assert_eq!(outcome(&mut command).await.status, Some(0), "{side:?} without PATH");
    }
    fs::set_permissions(folder.join("locked"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir_all(folder).unwrap();
}

/// With --expand-environment=no every byte stays.
#[tokio::test]
async fn arguments_arrive_as_they_are() {
    // Not while another test has systemd reload: 252 then adds a backslash to each "$" of a command that waits.
    settings::write_drop_ins();
    let folder = folder("arguments");
    let arguments = [
        "",
        " ",
        "two words",
        "\"quoted\"",
        "'single'",
        "back\\slash \\n \\x41",
        "$HOME",
        "${HOME}",
        "$",
        "$$",
        "$$$HOME",
        "%n %i %%",
        "line\nbreak\r\n\ttab",
        "ünïcödé 日本語 🦀",
        "*?[a]~",
        "; | & > < `id` #",
        "-q",
        "--wait",
        "{curly}",
        "\u{1}\u{7f}",
        "@+-!:",
    ];
    let out = folder.join("out");
    let script = format!("printf '%s\\0' \"$@\" >{}", out.display());
    for transport in [&[][..], &["--private"]] {
        let words =
            [transport, &["--wait", "--collect", "--expand-environment=no", "sh", "-c", &script, "sh"], &arguments]
                .concat();
        let outcome = Side::Ours.run(&words).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        let arrived = fs::read_to_string(&out).unwrap();
        assert_eq!(arrived.split_terminator('\0').collect::<Vec<_>>(), arguments);
        fs::remove_file(&out).unwrap();
    }

    // As long as the kernel takes them.
    let long = "x".repeat(131_071);
    let length = format!("test ${{#1}} = {}", long.len());
    assert_eq!(
        Side::Ours
            .run(&["-q", "--expand-environment=no", "--wait", "-G", "sh", "-c", &length, "sh", &long])
            .await
            .status,
        Some(0)
    );
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn variables_arrive_as_with_systemd_run() {
    let folder = folder("variables");
    let out = folder.join("{}").to_str().unwrap().to_owned();
    let script = format!("env -0 >{out}");
    let set = [
        "-EPLAIN=value",
        "--setenv=SPACES=  two  words ",
        "--setenv=QUOTES='\"\\",
        "--setenv=DOLLAR=$HOME $$ %n",
        "--setenv=LINES=a\nb\tc",
        "--setenv=UNICODE=ü🦀",
        "--setenv=EQUALS=a=b=",
        "--setenv=EMPTY=",
        "--setenv=TWICE=first",
        "--setenv=TWICE=second",
        "--setenv=OWN",
        "--setenv=OVERRIDDEN=first",
        "--setenv=OVERRIDDEN",
        "--setenv=UNSET",
        "--setenv=LAST",
        "--setenv=LAST=last",
    ];
    let arguments = [&set[..], &["--wait", "--collect", "sh", "-c", &script]].concat();
    for side in SIDES {
        let mut command = side.command(&arguments);
        command.env("OWN", "own value").env("OVERRIDDEN", "own").env("LAST", "first").env_remove("UNSET");
        let outcome = outcome(&mut command).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
    }
    let names: Vec<_> =
        set.iter().map(|word| word.rsplit("setenv=").next().unwrap().trim_start_matches("-E")).collect();
    let variables = |side: Side| -> Vec<String> {
        let text = fs::read_to_string(out.replace("{}", side.name())).unwrap();
        let ours = |line: &&str| names.iter().any(|name| line.split('=').next() == name.split('=').next());
        let mut variables: Vec<_> = text.split_terminator('\0').filter(ours).map(String::from).collect();
        variables.sort();
        variables
    };
    assert_eq!(variables(Side::Theirs), variables(Side::Ours));
    let expected = [
        "DOLLAR=$HOME $$ %n",
        "EMPTY=",
        "EQUALS=a=b=",
        "LAST=last",
        "LINES=a\nb\tc",
        "OVERRIDDEN=own",
        "OWN=own value",
        "PLAIN=value",
        "QUOTES='\"\\",
        "SPACES=  two  words ",
        "TWICE=second",
        "UNICODE=ü🦀",
        "UNSET=",
    ];
    assert_eq!(variables(Side::Ours), expected);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn directories_are_as_with_systemd_run() {
    let folder = folder("directories").canonicalize().unwrap();
    let inner = folder.join("in ner");
    fs::create_dir_all(&inner).unwrap();
    let out = folder.join("out");
    let script = format!("pwd >{}", out.display());
    let [folder_text, inner_text] = [&folder, &inner].map(|path| path.to_str().unwrap());
    let unset = std::env::var("HOME").ok().filter(|_| !is_root()).unwrap_or("/".into());
    let cases: [(&str, Vec<&str>); 9] = [
        (&unset, vec![]),
        (folder_text, vec!["-d"]),
        (folder_text, vec!["--working-directory=/", "--same-dir"]),
        ("/usr", vec!["-d", "--working-directory=/usr"]),
        ("/usr", vec!["--working-directory", "/usr/"]),
        (inner_text, vec!["--working-directory=in ner"]),
        (inner_text, vec!["--working-directory=./in ner/"]),
        (folder_text, vec!["--working-directory=."]),
        (&unset, vec!["--working-directory=/usr", "--working-directory="]),
    ];
    for (expected, options) in cases {
        let arguments = [options, vec!["--wait", "--collect", "sh", "-c", &script]].concat();
        for side in SIDES {
            let outcome = outcome(side.command(&arguments).current_dir(&folder)).await;
            assert_eq!(outcome.status, Some(0), "{side:?} {arguments:?}: {outcome:?}");
            assert_eq!(fs::read_to_string(&out).unwrap().trim_end(), expected, "{side:?} {arguments:?}");
            fs::remove_file(&out).unwrap();
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn name_and_description_are_shown_while_it_runs() {
    let text = "Ünï \"quoted\" $HOME 50% 'x'";
    let description = format!("--description={text}");
    for side in SIDES {
        let unit = format!("shown-{}.service", side.name());
        let _stopped = Stopped(unit.clone());
        let outcome = side.run(&["--unit=shown-{}", &description, "sleep", "infinity"]).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        until(&unit, "ActiveState", |state| state == "active").await;
        assert_eq!(property(&unit, "Id"), unit);
        assert_eq!(property(&unit, "Description"), text, "{side:?}");
        assert_eq!(property(&unit, "Transient"), "yes");
        assert_eq!(property(&unit, "Type"), "simple");
    }
}

#[tokio::test]
async fn only_a_collected_failure_is_forgotten() {
    for side in SIDES {
        for (unit, options, loaded) in [("kept", &[][..], "loaded"), ("collected", &["--collect"], "not-found")] {
            let name = format!("--unit={unit}-{{}}");
            let unit = format!("{unit}-{}.service", side.name());
            let _stopped = Stopped(unit.clone());
            let outcome = side.run(&[options, &["--wait", &name, "false"]].concat()).await;
            assert_eq!(outcome.status, Some(1), "{outcome:?}");
            until(&unit, "LoadState", |state| state == loaded).await;
            assert_eq!(property(&unit, "ActiveState"), if loaded == "loaded" { "failed" } else { "inactive" });
        }
    }
}

/// The system manager through its machine's name, and a user's from outside.
#[tokio::test]
async fn machines() {
    if !is_root() {
        return;
    }
    let cases: [(i32, &[&str]); 7] = [
        (0, &["--machine=.host", "true"]),
        (0, &["-M", ".host", "--wait", "true"]),
        (9, &["-M.host", "--wait", "-q", "sh", "-c", "exit 9"]),
        (0, &["--user", "--machine=tester@.host", "true"]),
        (9, &["--user", "--machine=tester@.host", "--wait", "sh", "-c", "exit 9"]),
        (9, &["--user", "--machine=tester@", "--wait", "sh", "-c", "exit 9"]),
        (1, &["--user", "--machine=nobody-of-that-name@.host", "true"]),
    ];
    for (status, arguments) in cases {
        both_return(status, &[&["--collect"], arguments].concat()).await;
    }
    let private = Side::Ours.run(&["--private", "--machine=.host", "true"]).await;
    assert_eq!(private.status, Some(1), "{private:?}");
}

/// Where nobody listens, and where the caller may not.
#[tokio::test]
async fn without_a_manager() {
    let words = ["--collect", "--wait", "true"];
    let mut commands = Vec::new();
    for side in SIDES {
        if is_root() {
            let mut command = Command::new("unshare");
            let script = "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"";
            command.args(["--mount", "sh", "-c", script]).arg(side.program()).args(words);
            commands.push((side, command));
        } else {
            let mut command = side.command(&words);
            command.env_remove("XDG_RUNTIME_DIR").env_remove("DBUS_SESSION_BUS_ADDRESS");
            commands.push((side, command));
            let mut command = side.command(&words);
            command.env("XDG_RUNTIME_DIR", "/nonexistent").env_remove("DBUS_SESSION_BUS_ADDRESS");
            commands.push((side, command));
            // Elsewhere polkit might ask somebody.
            if std::env::var_os("SDRUN_SANDBOX").is_some() {
                commands.push((side, side.command(&["--system", "--wait", "true"])));
                commands.push((side, side.command(&["--system", "true"])));
            }
        }
    }
    for (side, mut command) in commands {
        let outcome = outcome(&mut command).await;
        assert_eq!(outcome.status, Some(1), "{side:?} {command:?}: {outcome:?}");
        assert!(!outcome.stderr.is_empty());
    }
}

#[tokio::test]
async fn the_private_socket_does_as_well() {
    for status in [0, 7] {
        let script = format!("exit {status}");
        let outcome = Side::Ours.run(&["--private", "--wait", "--collect", "sh", "-c", &script]).await;
        assert_eq!(outcome.status, Some(status), "{outcome:?}");
        assert_eq!(said(&outcome).len(), 5, "{outcome:?}");
    }
    // And without being asked for, where there is no bus.
    let mut command = Side::Ours.command(&["--wait", "--collect", "sh", "-c", "exit 7"]);
    let nowhere = "unix:path=/nonexistent";
    command.env("DBUS_SYSTEM_BUS_ADDRESS", nowhere).env("DBUS_SESSION_BUS_ADDRESS", nowhere);
    let outcome = outcome(&mut command).await;
    assert_eq!(outcome.status, Some(7), "{outcome:?}");
}

#[tokio::test]
async fn help_and_version_are_on_stdout() {
    for arguments in [["--help", "--bogus"], ["-h", "true"], ["--version", "true"]] {
        for outcome in both_return(0, &arguments).await {
            assert!(!outcome.stdout.is_empty() && outcome.stderr.is_empty(), "{outcome:?}");
        }
    }
}

/// `systemd-analyze timespan` says the same of those that are whole milliseconds.
#[test]
fn time_spans_are_written_as_systemd_does() {
    let cases = [
        (0, "0"),
        (1, "1us"),
        (968, "968us"),
        (999, "999us"),
        (1_000, "1ms"),
        (5_300, "5ms"),
        (999_999, "999ms"),
        (1_000_000, "1s"),
        (1_000_100, "1.000s"),
        (1_500_000, "1.500s"),
        (59_999_999, "59.999s"),
        (60_000_000, "1min"),
        (60_000_100, "1min"),
        (60_001_000, "1min 1ms"),
        (62_345_678, "1min 2.345s"),
        (3_600_000_000, "1h"),
        (3_662_005_000, "1h 1min 2.005s"),
        (86_400_000_000 + 1_000_000, "1d 1s"),
        (9 * 86_400_000_000, "1w 2d"),
        (31_557_600_000_000 + 2_629_800_000_000, "1y 1month"),
    ];
    for (microseconds, text) in cases {
        assert_eq!(timespan::timespan(Duration::from_micros(microseconds)), text, "{microseconds}");
    }
}

#[tokio::test]
async fn standard_streams_are_passed_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    for side in SIDES {
        let script = "cat; echo to stderr >&2; exit 6";
        let mut command = side.command(&["--pipe", "-q", "--collect", "/bin/sh", "-c", script]);
        let streams = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = streams.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let (mut input, mut output, mut errors) =
            (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // More than a pipe holds, so that it must flow.
        let sent = "line\n".repeat(100_000);
        let sending = async {
            input.write_all(sent.as_bytes()).await.unwrap();
            drop(input);
        };
        let (mut received, mut said) = (String::new(), String::new());
        let all =
            async { tokio::join!(sending, output.read_to_string(&mut received), errors.read_to_string(&mut said)) };
        support::soon("the streams", all).await.1.unwrap();
        assert!(received == sent, "{}: {} bytes of {}", side.name(), received.len(), sent.len());
        assert_eq!(said, "to stderr\n", "{}", side.name());
        assert_eq!(child.wait().await.unwrap().code(), Some(6), "{}", side.name());
    }
    for outcome in both_return(1, &["--pipe", "--no-block", "/bin/true"]).await {
        assert!(said(&outcome).iter().any(|line| line.contains("not compatible with --no-block")), "{outcome:?}");
    }
}
