//! Every recording, as it came and in the orders that it might have come in.

use super::replay::{Answers, Reading, check, each_run, last_unit, recordings, replay, versions};
use crate::unit::machine::recording::{Line, Recording, Run};

const ANSWERS: [Answers; 4] = [Answers::AsRecorded, Answers::Late, Answers::Last, Answers::Never];

/// In all ways of answering and of reading.
fn check_all(name: &str, recording: &Recording, run: &Run, lines: &[Line]) {
    let answers = if recording.restarts { &ANSWERS[..] } else { &ANSWERS[..1] };
    for answers in answers {
        for reading in [Reading::Full, Reading::Short] {
            check(&format!("{name}, {answers:?}, {reading:?}"), recording, run, lines, *answers, reading);
        }
    }
}

/// Moves the reply to the start to another place (counted without it). Where that is after the end, the end is known
/// only with it.
fn with_reply_at(lines: &[Line], to: usize) -> Vec<Line> {
    let mut moved = lines.to_vec();
    let from = moved.iter().position(|line| matches!(line, Line::Reply { .. })).expect("a reply");
    let reply = moved.remove(from);
    let end = moved.iter().position(|line| *line == Line::End);
    moved.insert(to, reply);
    match end {
        Some(end) if to > end => {
            moved.remove(end);
            // Its place was before the reply's, which moved down by one.
            moved.insert(to, Line::End);
        }
        _ => {}
    }
    moved
}

/// Inserts the lines after the one at `at` and the marks that belong to that.
fn with_inserted(lines: &[Line], at: usize, new: &[Line]) -> Vec<Line> {
    let marks = lines[at + 1..].iter().take_while(|line| matches!(line, Line::Ask { .. } | Line::End)).count();
    let mut all = lines.to_vec();
    all.splice(at + 1 + marks..at + 1 + marks, new.iter().cloned());
    all
}

/// How many lines it takes until the unit that has ended is something else again, as one that remained and is stopped.
fn as_it_ended(lines: &[Line]) -> usize {
    let end = lines.iter().position(|line| *line == Line::End).expect("an end");
    let at_end = last_unit(&lines[..end]).expect("a unit");
    let other = |line: &Line| matches!(line, Line::Unit(unit) if !unit.is_like(at_end));
    lines[end..].iter().position(other).map_or(lines.len(), |other| end + other)
}

fn has_reply(run: &Run) -> bool {
    run.lines.iter().any(|line| matches!(line, Line::Reply { .. }))
}

#[test]
fn as_recorded() {
    let mut count = 0;
    each_run(|name, recording, run| {
        check_all(name, recording, run, &run.lines);
        count += 1;
    });
    assert!(count > 200, "only {count} runs");
}

/// The reply comes before every signal, or after any number of them, up to all that there are: "signals before the
/// reply", "exits before the reply".
#[test]
fn the_reply_at_any_place() {
    each_run(|name, recording, run| {
        if has_reply(run) {
            let job_gone = run.lines.iter().position(|line| matches!(line, Line::JobRemoved { .. }));
            // What the start job came to is forgotten when the unit is active, but only once it is known for ours.
            let most = match recording.case.as_str() {
                "job-running-timeout-notify" => job_gone.expect("a job that is gone"),
                _ => as_it_ended(&run.lines),
            };
            for to in 0..most {
                check_all(&format!("{name}, reply at {to}"), recording, run, &with_reply_at(&run.lines, to));
            }
        }
    });
}

/// Jobs of the same unit that someone else had queued go, with whatever result, at any time.
#[test]
fn the_jobs_of_others() {
    each_run(|name, recording, run| {
        for at in 0..run.lines.len() {
            let result = ["done", "canceled", "failed"][at % 3];
            let foreign = [Line::JobRemoved { job: 900, result: result.into() }];
            let lines = with_inserted(&run.lines, at, &foreign);
            check_all(&format!("{name}, a foreign job {result} after {at}"), recording, run, &lines);
        }
    });
}

/// A unit's state is sent again whenever any property of it changes: each signal may come twice, or all of them.
#[test]
fn signals_that_are_repeated() {
    each_run(|name, recording, run| {
        let mut all = run.lines.clone();
        for (at, line) in run.lines.iter().enumerate().rev() {
            let Line::Unit(unit) = line else { continue };
            let service = run.lines[..at].iter().rfind(|line| matches!(line, Line::Service(_)));
            let again = [service.expect("a signal of the service").clone(), Line::Unit(unit.clone())];
            let lines = with_inserted(&run.lines, at, &again);
            check_all(&format!("{name}, signal {at} twice"), recording, run, &lines);
            all = with_inserted(&all, at, &again);
        }
        check_all(&format!("{name}, all signals twice"), recording, run, &all);
    });
}

/// The name was used before, and that unit's signals come after the new one was asked for: none of them ends it, and
/// none of what they say is taken for the new one's.
#[test]
fn an_earlier_unit_of_the_same_name() {
    for version in versions() {
        let recordings = recordings(version);
        let lives: Vec<_> = recordings.iter().flat_map(|r| r.runs.iter().map(move |run| (r, run))).collect();
        let first = |(r, run): &&(&Recording, &Run)| r.runs.iter().find(|other| other.held == run.held) == Some(*run);
        for (earlier, run_before) in lives.iter().filter(first) {
            let before: Vec<Line> = run_before.lines.iter().filter_map(as_of_an_earlier_unit).collect();
            for (recording, run) in &lives {
                let name = format!("{version}/{} after {}", recording.case, earlier.case);
                let lines: Vec<Line> = before.iter().chain(&run.lines).cloned().collect();
                check(&name, recording, run, &lines, Answers::AsRecorded, Reading::Full);
            }
            // Before the reply nothing is decided at all.
            for restarts in [false, true] {
                let replayed = replay(&earlier.case, restarts, &before, Answers::AsRecorded, Reading::Full);
                assert!(replayed.exit.is_none() && replayed.asked.is_empty(), "{}: {replayed:?}", earlier.case);
            }
        }
    }
}

/// With other jobs, times and invocations than the later one has.
fn as_of_an_earlier_unit(line: &Line) -> Option<Line> {
    const OFFSET: u32 = 100;
    let later = |time: &mut u64| *time += if *time > 0 { u64::from(OFFSET) } else { 0 };
    let mut line = line.clone();
    match &mut line {
        Line::Reply { .. } | Line::Ask { .. } | Line::Answer { .. } | Line::End => return None,
        Line::JobNew { job } | Line::JobRemoved { job, .. } => *job += OFFSET,
        Line::Unit(unit) => {
            unit.job += if unit.job > 0 { OFFSET } else { 0 };
            unit.invocation += if unit.invocation > 0 { OFFSET as u8 } else { 0 };
            later(&mut unit.left);
            later(&mut unit.entered);
        }
        Line::Service(service) => later(&mut service.exited),
        _ => {}
    }
    Some(line)
}
