//! The example `sdrun` against systemd-run(1): the same commands through both, and the same comes out.
//!
//! Cargo builds examples for `cargo test`, but not for `cargo test --test systemd_run`: there
//! `cargo build --example sdrun` goes first.

mod support;
#[path = "../examples/sdrun/timespan.rs"]
mod timespan;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant, SystemTime};

use support::{DEADLINE, is_root, soon};
use tokio::process::{Child, Command};

/// Says to an ordinary user's run of this file where the example is.
const EXAMPLE: &str = "SDRUN_EXAMPLE";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Theirs,
    Ours,
}

const SIDES: [Side; 2] = [Side::Theirs, Side::Ours];

impl Side {
    fn program(self) -> &'static Path {
        static OURS: LazyLock<PathBuf> =
            LazyLock::new(|| std::env::var_os(EXAMPLE).map_or_else(example, PathBuf::from));
        match self {
            Side::Theirs => Path::new("systemd-run"),
            Side::Ours => &OURS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Side::Theirs => "theirs",
            Side::Ours => "ours",
        }
    }

    /// The program with these arguments, in which `{}` stands for the side; as an ordinary user on the user manager.
    fn command<S: AsRef<OsStr>>(self, arguments: &[S]) -> Command {
        let mut command = Command::new(self.program());
        if !is_root() {
            command.arg("--user");
        }
        let arguments = arguments.iter().map(|argument| match argument.as_ref().to_str() {
            Some(text) => OsString::from(text.replace("{}", self.name())),
            None => argument.as_ref().to_owned(),
        });
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run<S: AsRef<OsStr>>(self, arguments: &[S]) -> Outcome {
        outcome(&mut self.command(arguments)).await
    }
}

/// The example, of the same profile as this test, as cargo built it from the present sources.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().with_file_name("examples").join("sdrun");
    // "EXAMPLE: SOURCE SOURCE …", where a space in a path is written "\ ".
    let sources = fs::read_to_string(example.with_extension("d")).unwrap_or_default().replace("\\ ", "\0");
    let is_new = |source: &str| modified(Path::new(&source.replace('\0', " "))) <= modified(&example);
    assert!(
        !sources.is_empty() && sources.split_whitespace().skip(1).all(is_new),
        "{} is missing or older than its sources: run `cargo build --example sdrun`",
        example.display()
    );
    example
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn outcome(command: &mut Command) -> Outcome {
    let what = format!("{command:?}");
    let Output { status, stdout, stderr } = soon(&what, command.output()).await.expect(&what);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs both and sees that both return that.
async fn both_return<S: AsRef<OsStr> + std::fmt::Debug>(status: i32, arguments: &[S]) -> [Outcome; 2] {
    let [theirs, ours] = [Side::Theirs.run(arguments).await, Side::Ours.run(arguments).await];
    for (side, outcome) in [(Side::Theirs, &theirs), (Side::Ours, &ours)] {
        assert_eq!(outcome.status, Some(status), "{side:?} {arguments:?}: {outcome:?}");
    }
    [theirs, ours]
}

/// What a run said on stderr, without what differs from run to run and from version to version of systemd.
fn said(outcome: &Outcome) -> Vec<String> {
    let not_ours = ["CPU time consumed:", "Memory peak:", "IP traffic", "IO bytes"];
    let lines = outcome.stderr.lines().map(str::trim_start);
    lines.filter(|line| !not_ours.iter().any(|start| line.starts_with(start))).map(normalised).collect()
}

fn normalised(line: &str) -> String {
    if line.starts_with("Running as unit: run-") || line.starts_with("Running as unit: sdrun-") {
        return "Running as unit: (generated)".into();
    }
    if let Some(unit) = line.strip_prefix("Running as unit: ") {
        let unit = unit.split("; invocation ID: ").next().unwrap();
        return format!("Running as unit: {}", unit.replace("theirs", "{}").replace("ours", "{}"));
    }
    if let Some(time) = line.strip_prefix("Service runtime: ") {
        assert!(time.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with('s'), "{line}");
        return "Service runtime: (some)".into();
    }
    // Newer systemd: `code=exited, status=3/NOTIMPLEMENTED`, `code=killed, status=9/KILL`.
    match line.split_once(", status=") {
        Some((code, status)) if line.starts_with("Main processes terminated with: ") => {
            let (number, name) = status.split_once('/').unwrap();
            format!("{code}/status={}", if code.ends_with("code=exited") { number } else { name })
        }
        _ => line.into(),
    }
}

fn systemctl(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("systemctl");
    if !is_root() {
        command.arg("--user");
    }
    let output = command.args(arguments).output().expect("systemctl");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

fn property(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "--property", property, unit])
}

/// Waits until the property has such a value.
async fn until(unit: &str, name: &str, wanted: impl Fn(&str) -> bool) {
    let since = Instant::now();
    loop {
        let value = property(unit, name);
        if wanted(&value) {
            return;
        }
        assert!(since.elapsed() < DEADLINE, "{unit}: {name} stays {value:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A unit that is stopped at the end of the test.
struct Stopped(String);

impl Drop for Stopped {
    fn drop(&mut self) {
        systemctl(&["stop", &self.0]);
        systemctl(&["reset-failed", &self.0]);
    }
}

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
    let copy = folder("example").join("sdrun");
    fs::copy(Side::Ours.program(), &copy).unwrap();
    let status = support::as_user(&["--skip", "as_user"]).env(EXAMPLE, copy).status().expect("setpriv runs");
    assert!(status.success(), "as an ordinary user: {status}");
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
        assert!(said(&ours).len() >= 4, "{arguments:?}: {ours:?}");
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
    use std::os::unix::ffi::OsStrExt;

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
    use std::os::unix::fs::PermissionsExt;

    let folder = folder("path");
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, two) = (file("one/both", "#!/bin/sh\nexit 11\n", 0o755), file("two/both", "#!/bin/sh\nexit 12\n", 0o755));
    file("one/plain", "#!/bin/sh\nexit 13\n", 0o644);
    file("two/plain", "#!/bin/sh\nexit 14\n", 0o755);
    fs::create_dir_all(folder.join("one/folder")).unwrap();
    let plain = folder.join("one/plain").to_str().unwrap().to_owned();
    let [first, second] = ["one", "two"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let locked = file("locked/program", "#!/bin/sh\nexit 15\n", 0o755);
    fs::set_permissions(folder.join("locked"), fs::Permissions::from_mode(0o0)).unwrap();

    let path = format!("{first}:/nonexistent:{second}");
    let cases = [
        (11, &*path, "both"),
        (12, &*second, "both"),
        (14, &*path, "plain"), // the first is no program
        (1, &*first, "plain"),
        (1, &*path, "folder"),
        (1, "", "both"),
        (1, "one", "both"), // only absolute folders count
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

/// systemd-run has systemd expand "$"; here every byte stays.
#[tokio::test]
async fn arguments_arrive_as_they_are() {
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
        let words = [transport, &["--wait", "--collect", "sh", "-c", &script, "sh"], &arguments].concat();
        let outcome = Side::Ours.run(&words).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        let arrived = fs::read_to_string(&out).unwrap();
        assert_eq!(arrived.split_terminator('\0').collect::<Vec<_>>(), arguments);
        fs::remove_file(&out).unwrap();
    }

    // As long as the kernel takes them, and one byte more.
    let long = "x".repeat(131_071);
    let length = format!("test ${{#1}} = {}", long.len());
    assert_eq!(Side::Ours.run(&["-q", "--wait", "-G", "sh", "-c", &length, "sh", &long]).await.status, Some(0));
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

/// What `-p` will set, set by drop-ins for units of that name: the name, the drop-in, the command, the status. Before
/// systemd 257, `systemd-run --wait` returned 1 whenever the start job failed: there, the last.
type Set = (&'static str, &'static str, &'static [&'static str], i32, Option<i32>);
const SETS: [Set; 18] = [
    ("oneshot", "[Service]\nType=oneshot", &["true"], 0, None),
    ("oneshot-fails", "[Service]\nType=oneshot", &["sh", "-c", "exit 3"], 3, Some(1)),
    ("exec", "[Service]\nType=exec", &["true"], 0, None),
    ("exec-fails", "[Service]\nType=exec", &["/etc/passwd"], 203, Some(1)),
    ("notify-fails", "[Service]\nType=notify", &["true"], 1, None),
    ("condition", "[Unit]\nConditionPathExists=/nonexistent", &["true"], 0, None),
    ("assertion", "[Unit]\nAssertPathExists=/nonexistent", &["true"], 0, Some(1)),
    ("dependency", "[Unit]\nRequires=failing.service\nAfter=failing.service", &["true"], 0, Some(1)),
    ("exec-condition", "[Service]\nExecCondition=/bin/false", &["true"], 1, None),
    ("pre", "[Service]\nExecStartPre=/bin/sh -c 'exit 5'", &["true"], 1, None),
    ("start-post", "[Service]\nExecStartPost=/bin/sh -c 'exit 7'", &["sleep", "infinity"], 15, Some(1)),
    ("stop-post", "[Service]\nExecStopPost=/bin/sh -c 'exit 6'", &["true"], 1, None),
    ("success-status", "[Service]\nSuccessExitStatus=42 SIGKILL", &["sh", "-c", "exit 42"], 0, None),
    ("success-signal", "[Service]\nSuccessExitStatus=42 SIGKILL", &["sh", "-c", "kill -KILL 0"], 0, None),
    ("core", "[Service]\nLimitCORE=infinity\nWorkingDirectory=/tmp", &["sh", "-c", "kill -SEGV 0"], 1, Some(255)),
    ("runtime-max", "[Service]\nRuntimeMaxSec=100ms", &["sleep", "infinity"], 1, None),
    ("start-timeout", "[Service]\nType=notify\nTimeoutStartSec=100ms", &["sleep", "infinity"], 1, None),
    ("user", "[Service]\nSupplementaryGroups=nonexistent-group", &["true"], 216, None),
];

/// What is said where a program was not run although the status is 0.
fn not_run(name: &str) -> Option<&'static str> {
    match name {
        "condition" => Some("a condition of the unit was not met"),
        "assertion" => Some("an assertion of the unit failed"),
        "dependency" => Some("a unit that this one requires failed"),
        _ => None,
    }
}

/// Writes the drop-ins and the units that they need, once.
fn write_drop_ins() {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        let units = match std::env::var("XDG_RUNTIME_DIR") {
            Ok(runtime) if !is_root() => PathBuf::from(runtime).join("systemd/user"),
            _ => "/run/systemd/system".into(),
        };
        let slow = "[Unit]\nWants=slow.service\nAfter=slow.service";
        let sets = SETS.iter().map(|(name, text, ..)| (*name, *text)).chain([("waiting", slow)]);
        for (name, text) in sets {
            for side in SIDES {
                let folder = units.join(format!("set-{name}-{}.service.d", side.name()));
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("test.conf"), text).unwrap();
            }
        }
        for (name, command) in [("failing", "/bin/false"), ("slow", "/bin/sleep infinity")] {
            let text = format!("[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart={command}\n");
            fs::write(units.join(name).with_extension("service"), text).unwrap();
        }
        systemctl(&["daemon-reload"]);
    });
}

fn systemd_version() -> u32 {
    let version = systemctl(&["--version"]);
    let number = version.split_whitespace().nth(1).unwrap().trim_end_matches(|c: char| !c.is_ascii_digit());
    number.split(['.', '~', '-']).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn units_with_settings_end_as_with_systemd_run() {
    write_drop_ins();
    for (name, _, words, status, other) in SETS {
        let unit = format!("--unit=set-{name}-{{}}");
        let arguments = [&["--wait", "--collect", &unit], words].concat();
        let theirs = Side::Theirs.run(&arguments).await;
        let ours = Side::Ours.run(&arguments).await;
        let (same, with_job) = (theirs.status == Some(status), theirs.status == other);
        // A core file is not written everywhere.
        if name == "core" {
            assert!(same || with_job, "{theirs:?}");
            assert_eq!(theirs.status, ours.status, "{theirs:?} {ours:?}");
            continue;
        }
        assert!(same || (with_job && systemd_version() < 258), "{name}: {theirs:?}");
        assert_eq!(ours.status, Some(status), "{name}: {ours:?}");
        match not_run(name) {
            Some(reason) => {
                let line = format!("sdrun: {} was not run: {reason}", words[0]);
                assert!(ours.stderr.lines().any(|said| said == line), "{name}: {ours:?}");
                let quiet = Side::Ours.run(&[&["-q"], &arguments[..]].concat()).await;
                assert_eq!((quiet.status, quiet.stderr), (Some(0), line + "\n"));
            }
            None if same && theirs.stderr.contains("Finished") => assert_eq!(said(&theirs), said(&ours), "{name}"),
            None => {}
        }
    }
}

/// Cancelled while it waits for another unit.
#[tokio::test]
async fn a_cancelled_start_is_told() {
    write_drop_ins();
    let _stopped = Stopped("slow.service".into());
    for side in SIDES {
        let unit = format!("set-waiting-{}.service", side.name());
        let mut command = side.command(&["--wait", "--unit=set-waiting-{}", "true"]);
        let child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
        until(&unit, "Job", |job| !job.is_empty() && job != "0").await;
        systemctl(&["stop", &unit]);
        let output = soon("a cancelled start", child.wait_with_output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        match side {
            Side::Theirs if systemd_version() < 258 && said.contains("canceled") => {
                assert_eq!(output.status.code(), Some(1), "{said}");
            }
            Side::Theirs => assert_eq!(output.status.code(), Some(0), "{said}"),
            Side::Ours => {
                assert_eq!(output.status.code(), Some(0), "{said}");
                assert!(said.ends_with("sdrun: true was not run: the start of the unit was cancelled\n"), "{said}");
            }
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
        assert_eq!(said(&outcome).len(), 4, "{outcome:?}");
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
