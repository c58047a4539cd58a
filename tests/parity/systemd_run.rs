//! The real systemd-run, and for slices systemctl.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use sdrun::UnitType;

/// What became of an assignment.
pub struct Run {
    pub success: bool,
    /// What it printed.
    pub said: String,
}

/// What makes a start fail when everything else about it was right.
pub const NEVER: &str = "sdrun-parity-never.service";

/// Who asks the manager.
#[derive(Clone, Copy, PartialEq)]
pub enum Who {
    Root,
    /// Somebody whom the manager refuses everything. As root most of systemd-run's ways would not use the bus.
    Nobody,
}

/// Asks for a unit with these assignments.
pub fn run(who: Who, unit_type: UnitType, stem: &str, description: &str, assignments: &[&str]) -> Run {
    let mut command = Command::new(if unit_type == UnitType::Slice { "systemctl" } else { "systemd-run" });
    command.arg("--no-ask-password");
    let option = match unit_type {
        UnitType::Slice => {
            command.args([
                "set-property",
                "--runtime",
                &format!("{stem}.slice"),
                &format!("Description={description}"),
            ]);
            ""
        }
        UnitType::Service => {
            command.arg("--wait");
            "--property="
        }
        UnitType::Scope => {
            command.arg("--scope");
            "--property="
        }
        UnitType::Timer => {
            command.arg("--on-active=1d");
            "--timer-property="
        }
        UnitType::Path => {
            command.arg("--path-property=PathExists=/sdrun/parity");
            "--path-property="
        }
        UnitType::Socket => {
            command.arg("--socket-property=ListenStream=/run/sdrun-parity.sock");
            "--socket-property="
        }
        other => panic!("{other:?}"),
    };
    if unit_type != UnitType::Slice {
        command.args([format!("--unit={stem}"), format!("--description={description}")]);
    }
    // After "--" systemctl takes what begins with a dash for an assignment, too.
    if option.is_empty() {
        command.arg("--");
    }
    command.args(assignments.iter().map(|assignment| format!("{option}{assignment}")));
    if unit_type != UnitType::Slice {
        command.arg("/bin/true");
    }
    if who == Who::Nobody {
        command.uid(65534).gid(65534);
    }
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    Run { success: output.status.success(), said: String::from_utf8_lossy(&said).trim().replace('\n', " / ") }
}
