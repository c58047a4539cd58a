//! What a real manager sent about a unit, as text: written by `src/manager/recorder.rs` into
//! `tests/recordings/VERSION/CASE.txt`, replayed by the tests beside this file.
//!
//! A recording has a header, which says what is known of the case from its definition, and one section for each
//! time that it was run. Job numbers, invocations and times are replaced by the order in which they came (first
//! job 1, second job 2), so that two recordings of the same course of things are the same text.

use std::collections::HashMap;
use std::fmt;

use super::{ActiveState, Event, JobResult, SubState, UnitState};
use crate::unit::exit::{InvocationId, ServiceState};

/// All that was recorded of one case on one version of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Of systemd.
    pub version: String,
    pub case: String,
    /// What happens, in words.
    pub about: String,
    /// Whether the unit's properties let systemd restart it.
    pub restarts: bool,
    pub expected: Expected,
    pub runs: Vec<Run>,
}

/// How the unit ends: what the case was made for, confirmed by `systemctl show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The method call fails.
    Refused,
    Exit {
        result: String,
        /// `none`, `exited:3`, `killed:9`, `dumped:6`
        status: String,
    },
}

/// One run of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// `private`, `bus`, or both, when what came was the same.
    pub transport: String,
    /// Whether another unit kept this one loaded past its end.
    pub held: bool,
    pub lines: Vec<Line>,
    /// What `systemctl show` said when all was over, if the unit was loaded still.
    pub truth: Option<Truth>,
}

/// A message about the unit, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    UnitNew,
    UnitRemoved,
    JobNew {
        job: u32,
    },
    JobRemoved {
        job: u32,
        result: String,
    },
    Reloading {
        active: bool,
    },
    /// The reply to `StartTransientUnit`.
    Reply {
        job: u32,
    },
    /// The error that came in its place.
    Refused {
        error: String,
    },
    Unit(UnitLine),
    Service(ServiceLine),
    /// `Get SubState` was sent, after the message above.
    Ask {
        question: u32,
    },
    /// Its answer; `None` where it was an error.
    Answer {
        question: u32,
        sub: Option<String>,
    },
    /// With the message above all was said that there is to say: this is the end.
    End,
}

/// `PropertiesChanged` of the unit interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitLine {
    pub active: String,
    pub sub: String,
    pub job: u32,
    pub condition: bool,
    /// When it left the inactive state, in a clock that counts events; 0 for never.
    pub left: u64,
    pub entered: u64,
    /// 0 for none.
    pub invocation: u8,
}

/// `PropertiesChanged` of the service interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceLine {
    pub result: String,
    pub code: i32,
    pub status: i32,
    pub exited: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub unit: UnitLine,
    pub service: ServiceLine,
}

/// The realtime clock, where the monotonic one is at 0.
const EPOCH: u64 = 1_700_000_000_000_000;
/// What one step of the clock that counts events stands for, in µs.
const STEP: u64 = 1000;

/// A time of a recording on the monotonic and on the realtime clock, in µs.
pub(crate) fn clocks(time: u64) -> (u64, u64) {
    if time == 0 { (0, 0) } else { (time * STEP, EPOCH + time * STEP) }
}

impl UnitLine {
    pub fn state(&self) -> UnitState {
        let ((left, left_realtime), (entered, entered_realtime)) = (clocks(self.left), clocks(self.entered));
        UnitState {
            active: ActiveState::parse(&self.active),
            sub: SubState::parse(&self.sub),
            job: self.job,
            condition: self.condition,
            left,
            left_realtime,
            entered,
            entered_realtime,
            invocation_id: self.invocation_id(),
        }
    }

    pub fn invocation_id(&self) -> Option<InvocationId> {
        let bytes = [self.invocation; 16];
        InvocationId::from_bytes(if self.invocation == 0 { &[] } else { &bytes })
    }

    /// Whether the unit may be over in this state.
    pub fn is_over(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// The same but for the job.
    pub fn is_like(&self, other: &UnitLine) -> bool {
        *self == UnitLine { job: self.job, ..other.clone() }
    }
}

impl ServiceLine {
    pub fn state(&self) -> ServiceState {
        let (exited, exited_realtime) = clocks(self.exited);
        ServiceState {
            result: self.result.as_str().into(),
            code: self.code,
            status: self.status,
            exited,
            exited_realtime,
            processes: [0; 2],
        }
    }
}

impl Line {
    /// What the machine is told of it; `None` for what it never sees.
    pub fn event(&self) -> Option<Event> {
        match self {
            Line::Reply { job } => Some(Event::Accepted { job: *job }),
            Line::JobRemoved { job, result } => Some(Event::JobRemoved { job: *job, result: JobResult::parse(result) }),
            Line::Unit(unit) => Some(Event::Unit(unit.state())),
            _ => None,
        }
    }
}

// Writing

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recording { version, case, about, restarts, expected, runs } = self;
        writeln!(f, "# systemd {version}, {case}: {about}")?;
        writeln!(f, "restarts {}", yes_no(*restarts))?;
        match expected {
            Expected::Refused => writeln!(f, "expect refused")?,
            Expected::Exit { result, status } => writeln!(f, "expect result={result} status={status}")?,
        }
        runs.iter().try_for_each(|run| write!(f, "\n{run}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "run transport={} held={}", self.transport, yes_no(self.held))?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        match &self.truth {
            Some(truth) => writeln!(f, "truth {} {}", truth.unit, truth.service),
            None => writeln!(f, "truth unloaded"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::UnitNew => f.write_str("unit-new"),
            Line::UnitRemoved => f.write_str("unit-removed"),
            Line::JobNew { job } => write!(f, "job-new job={job}"),
            Line::JobRemoved { job, result } => write!(f, "job-removed job={job} result={result}"),
            Line::Reloading { active } => write!(f, "reloading active={}", yes_no(*active)),
            Line::Reply { job } => write!(f, "reply job={job}"),
            Line::Refused { error } => write!(f, "refused error={error}"),
            Line::Unit(unit) => write!(f, "unit {unit}"),
            Line::Service(service) => write!(f, "service {service}"),
            Line::Ask { question } => write!(f, "ask question={question}"),
            Line::Answer { question, sub: Some(sub) } => write!(f, "answer question={question} sub={sub}"),
            Line::Answer { question, sub: None } => write!(f, "answer question={question} not-loaded"),
            Line::End => f.write_str("end"),
        }
    }
}

impl fmt::Display for UnitLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnitLine { active, sub, job, condition, left, entered, invocation } = self;
        let condition = yes_no(*condition);
        write!(f, "active={active} sub={sub} job={job} condition={condition} left={left} entered={entered}")?;
        write!(f, " invocation={invocation}")
    }
}

impl fmt::Display for ServiceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServiceLine { result, code, status, exited } = self;
        write!(f, "result={result} code={code} status={status} exited={exited}")
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

// Reading

/// The words of a line: the first one, and the value of each `key=value`.
struct Words<'t> {
    line: &'t str,
    first: &'t str,
    values: HashMap<&'t str, &'t str>,
}

impl<'t> Words<'t> {
    fn of(line: &'t str) -> Self {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        Words { line, first, values: rest.split(' ').filter_map(|word| word.split_once('=')).collect() }
    }

    fn text(&self, key: &str) -> String {
        self.values.get(key).unwrap_or_else(|| panic!("no {key}= in {:?}", self.line)).to_string()
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.text(key).parse().unwrap_or_else(|_| panic!("{key}= is no number in {:?}", self.line))
    }

    fn yes(&self, key: &str) -> bool {
        match self.text(key).as_str() {
            "yes" => true,
            "no" => false,
            _ => panic!("{key}= is neither yes nor no in {:?}", self.line),
        }
    }

    fn unit(&self) -> UnitLine {
        UnitLine {
            active: self.text("active"),
            sub: self.text("sub"),
            job: self.number("job"),
            condition: self.yes("condition"),
            left: self.number("left"),
            entered: self.number("entered"),
            invocation: self.number("invocation"),
        }
    }

    fn service(&self) -> ServiceLine {
        ServiceLine {
            result: self.text("result"),
            code: self.number("code"),
            status: self.number("status"),
            exited: self.number("exited"),
        }
    }

    fn message(&self) -> Line {
        match self.first {
            "unit-new" => Line::UnitNew,
            "unit-removed" => Line::UnitRemoved,
            "job-new" => Line::JobNew { job: self.number("job") },
            "job-removed" => Line::JobRemoved { job: self.number("job"), result: self.text("result") },
            "reloading" => Line::Reloading { active: self.yes("active") },
            "reply" => Line::Reply { job: self.number("job") },
            "refused" => Line::Refused { error: self.text("error") },
            "unit" => Line::Unit(self.unit()),
            "service" => Line::Service(self.service()),
            "ask" => Line::Ask { question: self.number("question") },
            "answer" => Line::Answer {
                question: self.number("question"),
                sub: self.values.contains_key("sub").then(|| self.text("sub")),
            },
            "end" => Line::End,
            _ => panic!("what is {:?}?", self.line),
        }
    }
}

impl Recording {
    /// Reads what `Display` writes. Panics, with the line, on anything else.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let title = lines.next().and_then(|line| line.strip_prefix("# systemd ")).expect("a title");
        let (version, title) = title.split_once(", ").expect("a version");
        let (case, about) = title.split_once(": ").expect("a case");
        let restarts = lines.next().and_then(|line| line.strip_prefix("restarts ")).expect("restarts");
        let expected = match lines.next().expect("what is expected") {
            "expect refused" => Expected::Refused,
            line => Expected::Exit { result: Words::of(line).text("result"), status: Words::of(line).text("status") },
        };
        let mut runs: Vec<Run> = Vec::new();
        for words in lines.map(Words::of) {
            match (words.first, runs.last_mut()) {
                ("run", _) => runs.push(Run {
                    transport: words.text("transport"),
                    held: words.yes("held"),
                    lines: Vec::new(),
                    truth: None,
                }),
                ("truth", Some(_)) if words.line == "truth unloaded" => {}
                ("truth", Some(run)) => run.truth = Some(Truth { unit: words.unit(), service: words.service() }),
                (_, Some(run)) => run.lines.push(words.message()),
                (_, None) => panic!("{:?} is in no run", words.line),
            }
        }
        Recording {
            version: version.into(),
            case: case.into(),
            about: about.into(),
            restarts: restarts == "yes",
            expected,
            runs,
        }
    }
}
