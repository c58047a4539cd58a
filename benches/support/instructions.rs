//! How many instructions a unit takes, by callgrind: this program runs itself under it, with a few units and with more, and
//! what is between is the units'.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::floor::Floor;
use super::{Result, Way};

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

/// How many units there are in one process, and in the other.
const UNITS: (usize, usize) = (20, 120);

/// How far from the number that is kept what is counted may be.
const SLACK: f64 = 0.05;

/// Whether it can be counted here.
pub fn is_possible() -> bool {
    let asked = Command::new("valgrind").arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// User instructions per unit.
pub fn per_unit(who: Who, in_flight: usize) -> Result<f64> {
    let (few, many) = UNITS;
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

/// Compares what sdrun takes, one unit at a time, with the number that is kept, or has that be the number.
pub fn check(keep: bool) -> Result<()> {
    if !is_possible() {
        return Err("valgrind is not installed (make setup)".into());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions");
    let version = Floor::open(Way::Bus, "v")?.version()?;
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    let here = format!("systemd {major} {}", std::env::consts::ARCH);
    if keep {
        let counted = per_unit(Who::Sdrun, 1)?;
        std::fs::write(&file, format!("{here} {counted:.0}\n"))?;
        println!("{here}: {counted:.0} instructions a unit, kept");
        return Ok(());
    }
    let text = std::fs::read_to_string(&file)?;
    let kept = text.lines().find_map(|line| line.strip_prefix(&here)?.trim().parse::<f64>().ok());
    let Some(kept) = kept else {
        println!("{here}: nothing is kept to compare with");
        return Ok(());
    };
    let mut best = f64::INFINITY;
    // A burst of messages that the manager has split otherwise is no reason to fail.
    for _ in 0..3 {
        best = best.min(per_unit(Who::Sdrun, 1)?);
        if best <= kept * (1.0 + SLACK) {
            break;
        }
    }
    println!("{here}: {best:.0} instructions a unit, {kept:.0} are kept");
    let change = best / kept - 1.0;
    if change.abs() <= SLACK {
        return Ok(());
    }
    Err(format!("{:+.1} %; if that is meant to be: tests/instructions --keep", change * 100.0).into())
}

/// A file that goes when it was read.
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}
