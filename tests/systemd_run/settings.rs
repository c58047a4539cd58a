//! What `-p` will set, set by drop-ins.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Once;

use crate::side::{SIDES, Side, Stopped, said, systemctl, until};
use crate::support::{is_root, soon};

/// Has a unit wait for another one, of its own, that never gets ready.
macro_rules! slow {
    () => {
        "\n[Unit]\nWants=slow@%N.service\nAfter=slow@%N.service"
    };
}

/// What `-p` will set, set by drop-ins for units of that name: the name, the drop-in, the command, the status. Before
/// systemd 257, `systemd-run --wait` returned 1 whenever the start job failed: there, the last.
type Set = (&'static str, &'static str, &'static [&'static str], i32, Option<i32>);
const SETS: [Set; 19] = [
    ("oneshot", "[Service]\nType=oneshot", &["true"], 0, None),
    ("oneshot-fails", "[Service]\nType=oneshot", &["sh", "-c", "exit 3"], 3, Some(1)),
    ("exec", "[Service]\nType=exec", &["true"], 0, None),
    ("exec-fails", "[Service]\nType=exec", &["/etc/passwd"], 203, Some(1)),
    ("notify-fails", "[Service]\nType=notify", &["true"], 1, None),
    ("condition", "[Unit]\nConditionPathExists=/nonexistent", &["true"], 0, None),
    ("assertion", "[Unit]\nAssertPathExists=/nonexistent", &["true"], 0, Some(1)),
    ("dependency", "[Unit]\nRequires=failing.service\nAfter=failing.service", &["true"], 0, Some(1)),
    ("job-timeout", concat!("[Unit]\nJobTimeoutSec=100ms", slow!()), &["true"], 0, Some(1)),
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
        "job-timeout" => Some("the start of the unit took too long"),
        _ => None,
    }
}

/// Writes the drop-ins and the units that they need, and has the manager read them: once.
pub fn write_drop_ins() {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        let units = match std::env::var("XDG_RUNTIME_DIR") {
            Ok(runtime) if !is_root() => PathBuf::from(runtime).join("systemd/user"),
            _ => "/run/systemd/system".into(),
        };
        let sets = SETS.iter().map(|(name, text, ..)| (*name, *text)).chain([("waiting", slow!())]);
        for (name, text) in sets {
            for side in SIDES {
                let folder = units.join(format!("set-{name}-{}.service.d", side.name()));
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("test.conf"), text).unwrap();
            }
        }
        for (name, command) in [("failing", "/bin/false"), ("slow@", "/bin/sleep infinity")] {
            let text = format!("[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart={command}\n");
            fs::write(units.join(name).with_extension("service"), text).unwrap();
        }
        systemctl(&["daemon-reload"]);
    });
}

pub fn systemd_version() -> u32 {
    // "systemd 257 (257.13-1~deb13u1)"
    let line = systemctl(&["--version"]);
    let number = line.trim_start_matches("systemd ").split(|c: char| !c.is_ascii_digit()).next();
    number.unwrap().parse().expect("systemctl says its version")
}

#[tokio::test]
async fn units_with_settings_end_as_with_systemd_run() {
    write_drop_ins();
    let _stopped = Stopped("slow@set-job*".into());
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
    let _stopped = Stopped("slow@set-waiting*".into());
    for side in SIDES {
        let unit = format!("set-waiting-{}.service", side.name());
        let mut command = side.command(&["--wait", "--unit=set-waiting-{}", "true"]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
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
