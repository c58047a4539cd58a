//! Takes down what comes about one unit.

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::{PROPERTIES, SERVICE, UNIT};
use crate::bus::{After, Container, Context, Message, Receiver, Refusal, Took, Value};
use crate::error::{Error, Result};
use crate::manager::signals;
use crate::unit::machine::recording::{Line, ServiceLine, UnitLine};
use crate::unit::machine::{ActiveState, SubState};
use crate::unit::name::{UNIT_PATH, label};

/// Takes down what comes about one unit.
#[derive(Default)]
pub(super) struct Tape {
    pub direct: bool,
    /// The unit that is recorded; empty while none is.
    pub unit: String,
    pub restarts: bool,
    /// With the times as the manager gave them.
    pub lines: Vec<Line>,
    pub jobs: Vec<u32>,
    pub invocations: Vec<Vec<u8>>,
    pub questions: u32,
    /// Jobs of other units that are over.
    pub others: Vec<u32>,
    pub changed: Arc<watch::Sender<u64>>,
}

pub(super) enum Ticket {
    Start,
    Ask(u32),
    Call(oneshot::Sender<Result<Vec<Value>, String>>),
}

#[derive(Default)]
pub(super) struct Nothing;

impl After for Nothing {
    fn run(&mut self) {}
}

impl Tape {
    pub fn destination(&self) -> Option<&'static CStr> {
        (!self.direct).then_some(c"org.freedesktop.systemd1")
    }

    fn push(&mut self, line: Line) {
        self.lines.push(line);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The number of a job of the unit, in the order in which they came.
    fn job(&mut self, job: u32) -> u32 {
        if job == 0 {
            return 0;
        }
        let at = self.jobs.iter().position(|known| *known == job).unwrap_or_else(|| {
            self.jobs.push(job);
            self.jobs.len() - 1
        });
        at as u32 + 1
    }

    pub fn invocation(&mut self, id: &[u8]) -> u8 {
        if id.is_empty() {
            return 0;
        }
        let at = self.invocations.iter().position(|known| known == id).unwrap_or_else(|| {
            self.invocations.push(id.into());
            self.invocations.len() - 1
        });
        at as u8 + 1
    }

    pub fn last_unit(&self) -> Option<&UnitLine> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// Asks for the substate after a message that may be the last one.
    fn ask(&mut self, cx: &mut Context<'_, Self>) -> Result<()> {
        if !self.restarts || !self.last_unit().is_some_and(UnitLine::is_over) {
            return Ok(());
        }
        self.questions += 1;
        let path = CString::new(format!("{UNIT_PATH}{}", label(&self.unit))).unwrap();
        let mut message = cx.bus.method_call(self.destination(), &path, PROPERTIES, c"Get")?;
        message.append_str(UNIT)?;
        message.append_str("SubState")?;
        cx.call(message, Ticket::Ask(self.questions))?;
        self.push(Line::Ask { question: self.questions });
        Ok(())
    }

    fn handle(&mut self, message: &Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        match (message.interface(), message.member()) {
            (Some("org.freedesktop.systemd1.Manager"), Some(member)) => self.manager_signal(member, message, cx),
            (Some("org.freedesktop.DBus.Properties"), Some("PropertiesChanged")) => {
                let path = message.path().and_then(|path| path.strip_prefix(UNIT_PATH));
                if self.unit.is_empty() || path != Some(label(&self.unit).as_str()) {
                    return Ok(());
                }
                match message.read_str()? {
                    UNIT => {
                        let line = self.unit_line(message)?;
                        self.push(Line::Unit(line));
                        self.ask(cx)
                    }
                    SERVICE => {
                        let line = service_line(message)?;
                        self.push(Line::Service(line));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn manager_signal(&mut self, member: &str, message: &Message<'_>, cx: &mut Context<'_, Self>) -> Result<()> {
        match member {
            "UnitNew" if message.read_str()? == self.unit => self.push(Line::UnitNew),
            "UnitRemoved" if message.read_str()? == self.unit => self.push(Line::UnitRemoved),
            "JobNew" => {
                let job = message.read()?;
                message.read_path()?;
                if message.read_str()? == self.unit {
                    let job = self.job(job);
                    self.push(Line::JobNew { job });
                }
            }
            "JobRemoved" => {
                let (job, unit, result) = signals::job_removed(message)?;
                if unit != self.unit {
                    self.others.push(job);
                    self.changed.send_modify(|count| *count += 1);
                    return Ok(());
                }
                let job = self.job(job);
                self.push(Line::JobRemoved { job, result: result.into() });
                return self.ask(cx);
            }
            "Reloading" => {
                let active = message.read()?;
                if !self.unit.is_empty() {
                    self.push(Line::Reloading { active });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the unit's properties, each by its name, and sees to it that the crate's own reader says the same.
    fn unit_line(&mut self, message: &Message<'_>) -> Result<UnitLine> {
        let properties = Dictionary::read(message)?;
        let Some(Value::Struct(job)) = properties.get("Job") else { panic!("Job is no struct") };
        let Value::U32(job) = job[0] else { panic!("Job has no number") };
        let Some(Value::Bytes(invocation)) = properties.get("InvocationID") else { panic!("InvocationID is no ay") };
        let line = UnitLine {
            active: properties.text("ActiveState"),
            sub: properties.text("SubState"),
            job: self.job(job),
            condition: properties.get("ConditionResult") == Some(&Value::Bool(true)),
            left: properties.time("InactiveExitTimestamp"),
            entered: properties.time("InactiveEnterTimestamp"),
            invocation: self.invocation(invocation),
        };
        message.rewind()?;
        message.skip(c"s")?;
        let (read, _) = signals::unit_state(message, signals::Reach::All)?;
        assert_eq!(read.active, ActiveState::parse(&line.active));
        assert_eq!(read.sub, SubState::parse(&line.sub));
        assert_eq!((read.job, read.condition), (job, line.condition));
        assert_eq!((read.left, read.entered), (line.left, line.entered));
        assert_eq!(read.invocation_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(), *invocation);
        Ok(line)
    }
}

fn service_line(message: &Message<'_>) -> Result<ServiceLine> {
    let properties = Dictionary::read(message)?;
    let number = |name| match properties.get(name) {
        Some(Value::I32(number)) => *number,
        other => panic!("{name} is {other:?}"),
    };
    let line = ServiceLine {
        result: properties.text("Result"),
        code: number("ExecMainCode"),
        status: number("ExecMainStatus"),
        exited: properties.time("ExecMainExitTimestamp"),
    };
    message.rewind()?;
    message.skip(c"s")?;
    let read = signals::service_state(message)?;
    assert_eq!((&*read.result, read.code, read.status), (line.result.as_str(), line.code, line.status));
    assert_eq!(read.exited, line.exited);
    Ok(line)
}

struct Dictionary(Vec<(String, Value)>);

impl Dictionary {
    fn read(message: &Message<'_>) -> Result<Self> {
        const WANTED: [&str; 14] = [
            "ActiveState",
            "SubState",
            "Job",
            "ConditionResult",
            "InactiveExitTimestamp",
            "InactiveExitTimestampMonotonic",
            "InactiveEnterTimestamp",
            "InactiveEnterTimestampMonotonic",
            "InvocationID",
            "Result",
            "ExecMainCode",
            "ExecMainStatus",
            "ExecMainExitTimestamp",
            "ExecMainExitTimestampMonotonic",
        ];
        let mut values = Vec::new();
        message.read_properties(|name| {
            let Some(name) = WANTED.iter().find(|wanted| wanted.as_bytes() == name) else { return Ok(Took::Nothing) };
            message.enter(Container::Variant, None)?;
            let value = Value::read_from(message)?.ok_or_else(|| Error::message("a value"))?;
            message.exit()?;
            values.push(((*name).to_owned(), value));
            Ok(Took::Value)
        })?;
        Ok(Dictionary(values))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Value::Str(text)) => text.clone(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// On the monotonic clock, the realtime one being set as well or not.
    fn time(&self, name: &str) -> u64 {
        match (self.get(&format!("{name}Monotonic")), self.get(name)) {
            (Some(Value::U64(time)), Some(Value::U64(realtime))) if (*time == 0) == (*realtime == 0) => *time,
            other => panic!("{name} is {other:?}"),
        }
    }
}

impl Receiver for Tape {
    type Ticket = Ticket;
    type After = Nothing;

    fn reply(&mut self, ticket: Ticket, reply: Result<&Message<'_>, Refusal<'_>>, _: &mut Context<'_, Self>) {
        match (ticket, reply) {
            (Ticket::Start, Ok(message)) => {
                let job = signals::job_of_reply(message).unwrap();
                let job = self.job(job);
                self.push(Line::Reply { job });
            }
            (Ticket::Start, Err(refusal)) => self.push(Line::Refused { error: refusal.name.into() }),
            (Ticket::Ask(question), reply) => {
                let sub = reply.ok().map(|message| message.in_variant(c"s", || message.read_str()).unwrap().into());
                self.push(Line::Answer { question, sub });
            }
            (Ticket::Call(told), Ok(message)) => {
                let values = std::iter::from_fn(|| Value::read_from(message).unwrap()).collect();
                drop(told.send(Ok(values)));
            }
            (Ticket::Call(told), Err(refusal)) => {
                drop(told.send(Err(format!("{}: {}", refusal.name, refusal.text))));
            }
        }
    }

    fn signal(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) {
        self.handle(&message, cx).unwrap();
    }

    fn lost(&mut self, error: &Error, _: Vec<Ticket>, _: &mut Nothing) {
        // Also when the recording is over; if not, what is waited for never comes.
        eprintln!("the connection is gone: {error}");
    }

    fn is_obliged(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn timer(&mut self, _: Instant, _: &mut Context<'_, Self>) {}
}
