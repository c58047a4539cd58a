//! What `activated()` says of every recording: the same whatever the order in which things came.

use super::replay::{Answers, Reading, each_run, last_unit, replay};
use crate::unit::machine::recording::{Expected, Line};

/// The cases whose start fails or is skipped.
const NOT_ACTIVATED: &[&str] = &[
    "assert-path-exists",
    "canceled-while-starting",
    "canceled-while-starting-notify",
    "canceled-while-waiting",
    "cannot-spawn",
    "condition-path-exists",
    "crowd-oneshot",
    "dependency-fails",
    "exec-condition",
    "exec-condition-fails",
    "exec-fails-type-exec",
    "exec-start-post-fails",
    "exec-start-pre-fails",
    "job-running-timeout",
    "job-timeout",
    "manager-reloaded-while-starting",
    "notify-times-out",
    "notify-without-ready",
    "oneshot-failure",
    "oneshot-killed-by-sigterm",
    "restarted-while-starting",
];

/// Moves the reply to another place.
fn with_reply_at(lines: &[Line], to: usize) -> Option<Vec<Line>> {
    let mut moved = lines.to_vec();
    let from = moved.iter().position(|line| matches!(line, Line::Reply { .. }))?;
    let reply = moved.remove(from);
    moved.insert(to, reply);
    Some(moved)
}

/// The recording without the signals that say that the unit is active, as a manager sends it that has merged them with
/// those of the end.
fn merged(lines: &[Line]) -> Vec<Line> {
    let up = |line: &Line| matches!(line, Line::Unit(unit) if unit.active == "active" && unit.sub != "exited");
    lines.iter().filter(|line| !up(line)).cloned().collect()
}

fn verdict(name: &str, restarts: bool, lines: &[Line], reading: Reading) -> Option<bool> {
    let replayed = replay(name, restarts, lines, Answers::AsRecorded, reading);
    replayed.exit.is_some().then_some(replayed.activated)
}

#[test]
fn every_recording_in_every_order() {
    each_run(|name, recording, run| {
        // 252 takes it for a program that cannot be executed.
        let spawned = recording.case == "cannot-spawn" && name.starts_with("252/");
        let expected = spawned || !NOT_ACTIVATED.contains(&recording.case.as_str());
        if recording.expected == Expected::Refused {
            return;
        }
        for reading in [Reading::Full, Reading::Short] {
            let seen = verdict(name, recording.restarts, &run.lines, reading);
            assert_eq!(seen, Some(expected), "{name}, {reading:?}");
        }
        let end = run.lines.iter().position(|line| *line == Line::End).unwrap();
        let first_gone = run.lines.iter().position(|line| matches!(line, Line::JobRemoved { .. })).unwrap();
        let done = matches!(&run.lines[first_gone], Line::JobRemoved { result, .. } if result == "done");
        // A start job that is done is so for good; that of a failed attempt is made up for by what is seen later.
        let most = if done { end } else { first_gone };
        for to in 0..most {
            let Some(lines) = with_reply_at(&run.lines, to) else { return };
            let seen = verdict(name, recording.restarts, &lines, Reading::Full);
            assert_eq!(seen, Some(expected), "{name}, reply at {to}");
        }
        let remains = last_unit(&run.lines[..end]).is_some_and(|unit| unit.sub == "exited");
        if done && !remains && !recording.restarts {
            let seen = verdict(name, recording.restarts, &merged(&run.lines), Reading::Full);
            assert_eq!(seen, Some(expected), "{name}, merged");
        }
    });
}
