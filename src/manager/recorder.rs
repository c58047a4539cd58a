//! Records what a real manager sends about units, for the tests of the state machine.
//!
//! Not a test of anything: it starts each of its cases (`cases`) itself, on the private socket and on the bus, once as
//! it is and once with a second unit that keeps it loaded past its end, and writes what came to
//! `tests/recordings/VERSION/`. To record anew, in the sandbox (`TREE`: what `tests/sandbox/tree 262` prints):
//!
//! ```text
//! cargo test --lib --no-run
//! tests/sandbox/run [--root TREE] -- …/debug/deps/sdrun-… --ignored --exact manager::recorder::record
//! ```
//!
//! `SDRUN_RECORD_CASE=NAME` records that case alone, `SDRUN_RECORD_TRANSPORT=private|bus` one transport alone.

mod cases;
mod hindsight;
mod run;
mod tape;

use std::ffi::CStr;
use std::fs;
use std::path::PathBuf;

use crate::bus::Value;
use crate::unit::machine::recording::{Expected, Recording, Run};
use cases::cases;
use run::Recorder;

const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
const MANAGER: &CStr = c"org.freedesktop.systemd1.Manager";
const PROPERTIES: &CStr = c"org.freedesktop.DBus.Properties";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// The first number of a version.
fn number(version: &str) -> u32 {
    version.split(|c: char| !c.is_ascii_digit()).find_map(|part| part.parse().ok()).expect("a version")
}

#[tokio::test]
#[ignore = "writes tests/recordings"]
async fn record() {
    let only = std::env::var("SDRUN_RECORD_CASE").ok();
    let transport = std::env::var("SDRUN_RECORD_TRANSPORT").ok();
    let mut recorders = Vec::new();
    for (name, direct) in [("private", true), ("bus", false)] {
        if transport.as_deref().is_none_or(|wanted| wanted == name) {
            recorders.push(Recorder::connect(direct).await);
        }
    }
    let version = recorders[0].property(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "Version").await.unwrap();
    let Value::Str(version) = version else { panic!("Version is {version:?}") };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(number(&version).to_string());
    fs::create_dir_all(&folder).unwrap();
    for case in cases(number(&version)) {
        if only.as_deref().is_some_and(|only| only != case.name) {
            continue;
        }
        let mut runs: Vec<Run> = Vec::new();
        for held in [false, true] {
            if held && case.expected == Expected::Refused {
                continue;
            }
            for recorder in &recorders {
                let run = recorder.run(&case, held).await;
                let same = runs
                    .iter_mut()
                    .find(|other| (other.held, &other.lines, &other.truth) == (held, &run.lines, &run.truth));
                match same {
                    Some(other) => other.transport.extend(["+", run.transport.as_str()]),
                    None => runs.push(run),
                }
            }
        }
        let recording = Recording {
            version: version.clone(),
            case: case.name.into(),
            about: case.about.into(),
            restarts: case.restarts,
            expected: case.expected,
            runs,
        };
        let text = recording.to_string();
        assert_eq!(Recording::parse(&text), recording);
        fs::write(folder.join(format!("{}.txt", case.name)), text).unwrap();
        println!("{}", case.name);
    }
}
