//! How many instructions a unit takes, by callgrind: this program runs itself under it, with a few units and with more, and
//! what is between is the units'.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Result;

/// Who runs the units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Sdrun,
    Floor,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Sdrun => "sdrun",
            Who::Floor => "floor",
        }
    }
}

/// Whether it can be counted here.
pub fn is_possible() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// User instructions per unit.
pub fn per_unit(who: Who, in_flight: usize, (few, many): (usize, usize)) -> Result<f64> {
    let few_of = count(who, in_flight, few)?;
    let many_of = count(who, in_flight, many)?;
    Ok((many_of as f64 - few_of as f64) / (many - few) as f64)
}

fn count(who: Who, in_flight: usize, units: usize) -> Result<u64> {
    let file = Profile(std::env::temp_dir().join(format!("sdrun-callgrind-{}", std::process::id())));
    let kept = std::env::var_os("SDRUN_CALLGRIND_OUT").map(PathBuf::from);
    let path = kept
        .as_ref()
        .map_or_else(|| file.0.clone(), |folder| folder.join(format!("{}-{in_flight}-{units}", who.name())));
    let ran = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", path.display()))
        .arg("--quiet")
        .arg(std::env::current_exe()?)
        .args(["--child", who.name(), &in_flight.to_string(), &units.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !ran.success() {
        return Err(format!("{} under valgrind: {ran}", who.name()).into());
    }
    let text = std::fs::read_to_string(&path)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:").or(line.strip_prefix("summary:")));
    Ok(total.ok_or("callgrind has written no total")?.trim().parse()?)
}

/// A file that goes when it was read.
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}
