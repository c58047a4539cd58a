//! What is made of the lines of a run once it is known how it all came out.

use super::cases::Case;
use crate::unit::machine::recording::{Expected, Line, ServiceLine, Truth, UnitLine};

/// Finds, knowing how it all came out, the message that completed what is to be known of the end: from then on
/// the unit and its service are what they are at last, the start was accepted and its job is gone. Either the unit
/// says that it has no job, or it says that it ran, and the job that it names is the one that is gone.
pub(super) fn mark_end(lines: &mut Vec<Line>, before_the_stop: usize, name: &str) {
    if lines.iter().any(|line| matches!(line, Line::Refused { .. })) {
        return;
    }
    let lines_then = &lines[..before_the_stop];
    let last = lines_then.iter().rposition(|line| matches!(line, Line::Unit(_))).expect("a signal of the unit");
    let Line::Unit(last_unit) = &lines_then[last] else { unreachable!() };
    let last_service = lines_then.iter().rfind(|line| matches!(line, Line::Service(_)));
    let start = lines.iter().find_map(|line| if let Line::Reply { job } = line { Some(*job) } else { None });
    let start = start.expect("a reply");
    let (mut accepted, mut gone, mut unit, mut service) = (false, false, None, None);
    let end = lines_then.iter().position(|line| {
        match line {
            Line::Reply { .. } => accepted = true,
            Line::JobRemoved { job, .. } => gone |= *job == start,
            Line::Unit(line) => unit = Some(line),
            Line::Service(_) => service = Some(line),
            _ => return false,
        }
        let Some(unit) = unit else { return false };
        let free = unit.job == 0 || unit.job == start && unit.entered > 0 || unit.sub == "exited";
        accepted && gone && free && unit.is_like(last_unit) && service == last_service
    });
    let end = end.unwrap_or_else(|| {
        let lines: Vec<_> = lines.iter().map(Line::to_string).collect();
        panic!("nothing says that {name} has ended:\n{}", lines.join("\n"));
    });
    lines.insert(end + 1, Line::End);
}

/// Replaces the times by their places in the order of all of them.
pub(super) fn count_time(lines: &mut [Line], mut truth: Option<&mut Truth>) {
    fn each(lines: &mut [Line], truth: Option<&mut Truth>, act: &mut dyn FnMut(&mut u64)) {
        let mut one = |unit: Option<&mut UnitLine>, service: Option<&mut ServiceLine>| {
            let times = unit.map(|unit| [&mut unit.left, &mut unit.entered]);
            times.into_iter().flatten().chain(service.map(|service| &mut service.exited)).for_each(&mut *act);
        };
        for line in lines {
            match line {
                Line::Unit(unit) => one(Some(unit), None),
                Line::Service(service) => one(None, Some(service)),
                _ => {}
            }
        }
        if let Some(Truth { unit, service }) = truth {
            one(Some(unit), Some(service));
        }
    }
    let mut times = vec![0];
    each(lines, truth.as_deref_mut(), &mut |time| times.push(*time));
    times.sort_unstable();
    times.dedup();
    each(lines, truth, &mut |time| *time = times.binary_search(time).unwrap() as u64);
}

/// Sees to it that what happened is what the case was made for, by what `systemctl show` says of it.
pub(super) fn confirm(case: &Case, lines: &[Line], truth: Option<&Truth>) {
    let refused = lines.iter().any(|line| matches!(line, Line::Refused { .. }));
    let Expected::Exit { result, status } = &case.expected else {
        assert!(refused, "{}: not refused", case.name);
        return;
    };
    assert!(!refused, "{}: refused: {lines:?}", case.name);
    let Some(truth) = truth else { return };
    let ServiceLine { result: said, code, status: number, .. } = &truth.service;
    let how = match code {
        0 => "none".into(),
        1 => format!("exited:{number}"),
        2 => format!("killed:{number}"),
        3 => format!("dumped:{number}"),
        _ => panic!("{}: ExecMainCode={code}", case.name),
    };
    assert_eq!((&how, case.name), (status, case.name), "{truth:?}");
    let start = lines.iter().find_map(|line| if let Line::Reply { job } = line { Some(*job) } else { None });
    let job = lines.iter().find_map(|line| match line {
        Line::JobRemoved { job, result } if Some(*job) == start => Some(result.as_str()),
        _ => None,
    });
    let active = lines.iter().any(|line| matches!(line, Line::Unit(unit) if unit.active == "active"));
    let result_then = match (said.as_str(), job.expect("the start job is gone")) {
        ("success", _) if active => "success",
        ("success", "done") if !truth.unit.condition && truth.unit.entered == 0 => "condition",
        (said, "done" | "failed") => said,
        ("success", job) => job,
        (said, _) => said,
    };
    assert_eq!((result_then, case.name), (result.as_str(), case.name), "{truth:?}");
}
