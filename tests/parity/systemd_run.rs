//! The real systemd-run, and for slices systemctl.

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

/// Has a unit set up with this assignment, or with none; the unit exists already, so nothing is started.
pub fn run(unit_type: UnitType, stem: &str, description: &str, assignments: &[&str]) -> Run {
    let mut command = Command::new(if unit_type == UnitType::Slice { "systemctl" } else { "systemd-run" });
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
    let output = command.env("SYSTEMCTL_FORCE_BUS", "1").stdin(Stdio::null()).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    Run { success: output.status.success(), said: String::from_utf8_lossy(&said).trim().replace('\n', " / ") }
}

/// Makes a unit of this type and name exist, so that starting another one of its name fails.
pub fn occupy(unit_type: UnitType, stem: &str) {
    let mut command = Command::new("systemd-run");
    let of_socket = format!("--socket-property=ListenStream=@{stem}");
    let of_socket = [of_socket.as_str(), "--", "/bin/true"];
    command.arg(format!("--unit={stem}")).args(match unit_type {
        UnitType::Service => &["--remain-after-exit", "--", "/bin/true"][..],
        UnitType::Timer => &["--on-active=1d", "--", "/bin/true"],
        UnitType::Path => &["--path-property=PathExists=/sdrun/parity", "--", "/bin/true"],
        UnitType::Socket => &of_socket,
        UnitType::Scope => return occupy_scope(stem),
        _ => return,
    });
    let output = command.stdin(Stdio::null()).output().expect("systemd-run runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A scope lives as long as its process, which is there when the scope is.
fn occupy_scope(stem: &str) {
    use std::io::BufRead;
    let mut child = Command::new("systemd-run")
        .args(["--scope", "--quiet", &format!("--unit={stem}"), "sh", "-c", "echo; exec sleep infinity"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("systemd-run runs");
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "\n", "systemd-run --scope");
    // It ends with the sandbox.
    std::mem::forget(child);
}
