//! Replays a recording through the machine, as `manager::entry` does, and looks at every verdict.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::unit::exit::{Exit, Status};
use crate::unit::machine::recording::{Expected, Line, Recording, Run, ServiceLine, Truth, UnitLine, clocks};
use crate::unit::machine::{ActiveState, Event, Machine, SubState, UnitState, Verdict};

/// When the answer to an Ask comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// When it came.
    AsRecorded,
    /// After the unit signal that followed it, or at the end where there was none.
    Late,
    /// All after everything else.
    Last,
    Never,
}

/// How much the machine is told of a unit that is up and running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Full,
    /// The two states, as `manager::signals` reads it once the invocation ID is known.
    Short,
}

/// The systemd versions that there are recordings of, oldest first.
pub(super) fn versions() -> Vec<u32> {
    let mut versions: Vec<u32> =
        files(&folder()).iter().map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect();
    versions.sort_unstable();
    assert!(versions.contains(&252) && versions.contains(&262), "recordings of {versions:?} only");
    versions
}

/// The recordings of a version.
pub(super) fn recordings(version: u32) -> Vec<Recording> {
    let mut paths = files(&folder().join(version.to_string()));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let recording = Recording::parse(&std::fs::read_to_string(path).unwrap());
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), recording.case);
            recording
        })
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Calls `act` with every run of every recording, and a name for it.
pub(super) fn each_run(mut act: impl FnMut(&str, &Recording, &Run)) {
    for version in versions() {
        for recording in recordings(version) {
            for run in &recording.runs {
                let held = if run.held { "held" } else { "free" };
                act(&format!("{version}/{} ({}, {held})", recording.case, run.transport), &recording, run);
            }
        }
    }
}

/// What came of a replay.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The lines whose messages a question was asked on.
    pub asked: Vec<usize>,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Whether the start came to what it should.
    pub activated: bool,
}

/// Replays the lines. Panics where a verdict comes that the recording does not bear out:
///
/// - an end (or, where systemd may restart the unit, the question for it) before the line that `end` marks, or none
///   there,
/// - an end without that question, or a question that the manager was not asked there.
pub(super) fn replay(name: &str, restarts: bool, lines: &[Line], answers: Answers, reading: Reading) -> Replayed {
    let marked = lines.iter().position(|line| *line == Line::End);
    let end = marked.and_then(|end| lines[..end].iter().rposition(|line| line.event().is_some()));
    let mut player = Player {
        machine: Machine::new(restarts),
        service: None,
        lines,
        answers,
        open: Vec::new(),
        late: Vec::new(),
        replayed: Replayed::default(),
    };
    for (at, line) in lines.iter().enumerate() {
        let context = || format!("{name}, line {at}: {line}\n{}", numbered(lines));
        match line {
            Line::Service(service) => player.service = Some(service.clone()),
            Line::Answer { question, .. } => player.answered(*question),
            _ => {}
        }
        if let Some(event) = line.event() {
            match player.apply(read(event, reading)) {
                Verdict::Wait => assert!(end != Some(at), "no end where it is: {}", context()),
                Verdict::Ended => {
                    let remains = last_unit(&lines[..=at]).is_some_and(|unit| unit.sub == "exited");
                    assert!(!restarts || remains, "an end without a question: {}", context());
                    player.end();
                }
                Verdict::Ask { question } => {
                    assert!(restarts, "a question of no use: {}", context());
                    assert!(player.ask(question, at), "a question that was not asked there: {}", context());
                }
            }
        }
        if answers == Answers::Late && matches!(line, Line::Unit(_)) {
            player.catch_up();
        }
        if player.replayed.exit.is_some() {
            assert!(end.is_some_and(|end| at >= end), "an end too early: {}", context());
            return player.replayed;
        }
    }
    player.catch_up();
    player.replayed
}

/// The machine, what an entry of the registry keeps beside it, and what the manager answers.
struct Player<'l> {
    machine: Machine,
    service: Option<ServiceLine>,
    lines: &'l [Line],
    answers: Answers,
    /// The machine's questions, and the recorded ones that they stand for.
    open: Vec<(u32, u32)>,
    /// Recorded questions whose answers are held back.
    late: Vec<u32>,
    replayed: Replayed,
}

impl Player<'_> {
    fn apply(&mut self, event: Event) -> Verdict {
        let signal = matches!(event, Event::Unit(_));
        let verdict = self.machine.apply(event);
        self.replayed.activated |= self.machine.is_activated();
        if verdict == Verdict::Wait && signal && !self.machine.may_be_over() {
            self.service = None;
        }
        verdict
    }

    fn end(&mut self) {
        let ending = self.machine.ending().expect("how it ended");
        let service = self.service.as_ref().map(ServiceLine::state);
        let exit = Exit::new("case.service", &ending, service.as_ref());
        self.replayed.activated |= ending.was_activated(&exit.result);
        self.replayed.exit = Some(exit);
    }

    /// A question of the machine: the one that was sent on the last message that could be the last. Whether there is
    /// one.
    fn ask(&mut self, question: u32, at: usize) -> bool {
        let rest = &self.lines[at + 1..];
        let next = rest.iter().position(|line| line.event().is_some()).map_or(self.lines.len(), |next| at + 1 + next);
        let asked = self.lines[..next].iter().rev().find_map(|line| match line {
            Line::Ask { question } => Some(*question),
            _ => None,
        });
        let Some(asked) = asked.filter(|_| last_unit(&self.lines[..=at]).is_some_and(UnitLine::is_over)) else {
            return false;
        };
        self.replayed.asked.push(at);
        self.open.push((question, asked));
        // Where the reply to the start was moved past an answer, that is there already.
        let answer = |line: &Line| matches!(line, Line::Answer { question, .. } if *question == asked);
        if self.lines[..at].iter().any(answer) {
            self.answered(asked);
        }
        true
    }

    /// The answer to a recorded question has come.
    fn answered(&mut self, recorded: u32) {
        match self.answers {
            Answers::AsRecorded => self.answer(recorded),
            Answers::Late | Answers::Last => self.late.push(recorded),
            Answers::Never => {}
        }
    }

    /// Gives the answers that were held back.
    fn catch_up(&mut self) {
        for recorded in std::mem::take(&mut self.late) {
            self.answer(recorded);
        }
    }

    fn answer(&mut self, recorded: u32) {
        let sub = self.lines.iter().find_map(|line| match line {
            Line::Answer { question, sub } if *question == recorded => Some(sub.as_deref()),
            _ => None,
        });
        let sub = sub.expect("an answer").map_or(SubState::Dead, SubState::parse);
        let (answered, open): (Vec<_>, Vec<_>) = self.open.iter().partition(|(_, asked)| *asked == recorded);
        self.open = open;
        for (question, _) in answered {
            if self.replayed.exit.is_none() && self.machine.apply(Event::Answer { question, sub }) == Verdict::Ended {
                self.end();
            }
        }
    }
}

fn read(event: Event, reading: Reading) -> Event {
    match event {
        Event::Unit(state) if reading == Reading::Short && is_up(&state) => Event::Unit(UnitState {
            active: state.active,
            sub: state.sub,
            job: 0,
            condition: true,
            left: 0,
            left_realtime: 0,
            entered: 0,
            entered_realtime: 0,
            invocation_id: None,
        }),
        event => event,
    }
}

fn is_up(state: &UnitState) -> bool {
    matches!(state.active, ActiveState::Active | ActiveState::Changing) && state.sub != SubState::Exited
}

pub(super) fn last_unit(lines: &[Line]) -> Option<&UnitLine> {
    lines.iter().rev().find_map(|line| if let Line::Unit(unit) = line { Some(unit) } else { None })
}

pub(super) fn last_service(lines: &[Line]) -> Option<&ServiceLine> {
    lines.iter().rev().find_map(|line| if let Line::Service(service) = line { Some(service) } else { None })
}

pub(super) fn numbered(lines: &[Line]) -> String {
    lines.iter().enumerate().map(|(at, line)| format!("{at:4} {line}\n")).collect()
}

/// Replays the lines and sees to it that they end as is known.
pub(super) fn check(name: &str, recording: &Recording, run: &Run, lines: &[Line], answers: Answers, reading: Reading) {
    let replayed = replay(name, recording.restarts, lines, answers, reading);
    let Expected::Exit { result, status } = &recording.expected else {
        assert!(replayed.exit.is_none() && replayed.asked.is_empty(), "{name}: {replayed:?}");
        return;
    };
    if recording.restarts && answers == Answers::Never {
        assert!(replayed.exit.is_none(), "{name}: ended though nothing was answered: {replayed:?}");
        return;
    }
    let Some(exit) = &replayed.exit else { panic!("{name}: no end\n{}", numbered(lines)) };
    let how = exit.status.map_or("none".into(), |status| match status {
        Status::Exited(code) => format!("exited:{code}"),
        Status::Killed(signal) => format!("killed:{signal}"),
        Status::Dumped(signal) => format!("dumped:{signal}"),
    });
    assert_eq!((exit.result.as_str(), &how), (result.as_str(), status), "{name}\n{}", numbered(lines));
    if let Some(truth) = &run.truth {
        assert_eq!(times(exit), times_of(truth), "{name}\n{}", numbered(lines));
        assert_eq!(exit.invocation_id, truth.unit.invocation_id(), "{name}\n{}", numbered(lines));
    }
}

type Times = (Option<SystemTime>, Option<SystemTime>, Option<Duration>);

fn times(exit: &Exit) -> Times {
    (exit.started, exit.ended, exit.runtime)
}

/// The times of the exit, by what `systemctl show` said.
fn times_of(truth: &Truth) -> Times {
    let Truth { unit, service } = truth;
    let ended = if unit.sub == "exited" { service.exited } else { unit.entered };
    let time = |time| (time > 0).then(|| UNIX_EPOCH + Duration::from_micros(clocks(time).1));
    let between = |from: u64, to: u64| Duration::from_micros(clocks(to).0 - clocks(from).0);
    let both = unit.left > 0 && ended > 0;
    (time(unit.left), time(ended), both.then(|| between(unit.left, ended)))
}
