//! Both programs, run and listened to.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::built;
use crate::support::{DEADLINE, is_root, soon};

/// Says to an ordinary user's run of this file where the example is.
pub const EXAMPLE: &str = "SDRUN_EXAMPLE";

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Side {
    Theirs,
    Ours,
}

pub const SIDES: [Side; 2] = [Side::Theirs, Side::Ours];

impl Side {
    pub fn program(self) -> &'static Path {
        static OURS: LazyLock<PathBuf> =
            LazyLock::new(|| std::env::var_os(EXAMPLE).map_or_else(|| built::example("sdrun"), PathBuf::from));
        match self {
            Side::Theirs => Path::new("systemd-run"),
            Side::Ours => &OURS,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Side::Theirs => "theirs",
            Side::Ours => "ours",
        }
    }

    /// The program with these arguments, in which `{}` stands for the side; as an ordinary user on the user manager.
    pub fn command<S: AsRef<OsStr>>(self, arguments: &[S]) -> Command {
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

    pub async fn run<S: AsRef<OsStr>>(self, arguments: &[S]) -> Outcome {
        outcome(&mut self.command(arguments)).await
    }
}

#[derive(Debug)]
pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub async fn outcome(command: &mut Command) -> Outcome {
    let what = format!("{command:?}");
    let Output { status, stdout, stderr } = soon(&what, command.output()).await.expect(&what);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs both and sees that both return that.
pub async fn both_return<S: AsRef<OsStr> + std::fmt::Debug>(status: i32, arguments: &[S]) -> [Outcome; 2] {
    let [theirs, ours] = [Side::Theirs.run(arguments).await, Side::Ours.run(arguments).await];
    for (side, outcome) in [(Side::Theirs, &theirs), (Side::Ours, &ours)] {
        assert_eq!(outcome.status, Some(status), "{side:?} {arguments:?}: {outcome:?}");
    }
    [theirs, ours]
}

/// What a run said on stderr, without what differs from run to run and from version to version of systemd.
pub fn said(outcome: &Outcome) -> Vec<String> {
    let not_ours = ["Memory peak:", "IP traffic", "IO bytes", "IP Traffic", "IO Bytes"];
    let lines = outcome.stderr.lines().map(str::trim_start);
    lines.filter(|line| !not_ours.iter().any(|start| line.starts_with(start))).map(normalised).collect()
}

pub fn normalised(line: &str) -> String {
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
    if let Some(time) = line.strip_prefix("CPU time consumed: ") {
        // As a user it is 0 now and then, for both.
        assert!(time == "0" || time.starts_with(|c: char| c.is_ascii_digit()) && time.ends_with('s'), "{line}");
        return "CPU time consumed: (some)".into();
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

pub fn systemctl(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("systemctl");
    if !is_root() {
        command.arg("--user");
    }
    let output = command.args(arguments).output().expect("systemctl");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

pub fn property(unit: &str, property: &str) -> String {
    systemctl(&["show", "--value", "--property", property, unit])
}

/// Waits until the property has such a value.
pub async fn until(unit: &str, name: &str, wanted: impl Fn(&str) -> bool) {
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

/// Waits until there is no such unit.
pub fn gone(unit: &str) {
    let since = Instant::now();
    while property(unit, "LoadState") != "not-found" {
        assert!(since.elapsed() < DEADLINE, "{unit} stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A unit that is stopped at the end of the test.
pub struct Stopped(pub String);

impl Drop for Stopped {
    fn drop(&mut self) {
        systemctl(&["stop", &self.0]);
        systemctl(&["reset-failed", &self.0]);
    }
}
