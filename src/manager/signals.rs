//! What the manager's messages say, as plain data.

use std::cell::Cell;
use std::time::Duration;

use crate::bus::{Container, Message, Took, Value};
use crate::error::{Error, Result, shorten};
use crate::unit::Usage;
use crate::unit::exit::{InvocationId, ServiceState, time};
use crate::unit::machine::{ActiveState, SubState, UnitState};
use crate::unit::states::{self, State};

/// How much is read of what is said of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// `ActiveState`, which comes first.
    Active,
    /// That and `SubState` of one that is up and running, else all.
    Running,
    All,
}

/// The rest of a `PropertiesChanged` of the unit interface, whose name was read, and how far it was read.
pub(super) fn unit_state(message: &Message<'_>, reach: Reach) -> Result<(UnitState, Reach)> {
    read_unit(message, reach, None)
}

/// What few want to know of a unit.
#[derive(Debug, Clone)]
pub(super) struct Details {
    pub state: State,
    /// `LoadState` is `not-found`; only the answer to `GetAll` has it.
    pub not_found: bool,
    /// Whether it has been active since it was last inactive.
    pub activated: bool,
    /// When its last run began at the latest: when its conditions were looked at, which is before the first process, or
    /// when it left the inactive state, which is after that. In µs; 0 where it never did.
    pub began: u64,
    /// When its conditions were last looked at (`ConditionTimestampMonotonic`).
    pub condition_checked: u64,
}

/// The same, read to the end, or the answer to a `GetAll` of the unit interface.
pub(super) fn unit_details(message: &Message<'_>) -> Result<(UnitState, Details)> {
    let mut rest = Rest::default();
    let (mut state, _) = read_unit(message, Reach::All, Some(&mut rest))?;
    // What was never looked at was not found wanting.
    state.condition |= rest.condition_checked == 0;
    let details = Details {
        state: State {
            active: states::ActiveState::parse(&rest.active),
            sub: rest.sub,
            invocation_id: state.invocation_id,
            since: time(rest.since),
        },
        not_found: rest.not_found,
        activated: rest.activated > 0 && rest.activated >= state.left,
        began: match rest.condition_checked {
            0 => state.left,
            checked => checked.min(state.left),
        },
        condition_checked: rest.condition_checked,
    };
    Ok((state, details))
}

/// What is read for [`Details`].
#[derive(Debug, Default)]
struct Rest {
    active: Box<str>,
    sub: Box<str>,
    since: u64,
    not_found: bool,
    activated: u64,
    condition_checked: u64,
}

impl Rest {
    fn take(&mut self, name: &[u8], message: &Message<'_>) -> Result<Took> {
        match name {
            b"StateChangeTimestamp" => self.since = message.read_variant()?,
            b"LoadState" => self.not_found = message.in_variant(c"s", || message.read_str())? == "not-found",
            b"ActiveEnterTimestampMonotonic" => self.activated = message.read_variant()?,
            b"ConditionTimestampMonotonic" => self.condition_checked = message.read_variant()?,
            _ => return pass_unit(name, message),
        }
        Ok(Took::Value)
    }
}

/// Passes over a property of a unit that is not wanted.
fn pass_unit(name: &[u8], message: &Message<'_>) -> Result<Took> {
    match name {
        b"StateChangeTimestamp"
        | b"StateChangeTimestampMonotonic"
        | b"ActiveEnterTimestamp"
        | b"ActiveEnterTimestampMonotonic"
        | b"ActiveExitTimestamp"
        | b"ActiveExitTimestampMonotonic"
        | b"ConditionTimestamp"
        | b"ConditionTimestampMonotonic"
        | b"AssertTimestamp"
        | b"AssertTimestampMonotonic" => message.pass::<u64>(),
        b"AssertResult" => message.pass::<bool>(),
        b"FreezerState" => message.pass_str(),
        _ => Ok(Took::Nothing),
    }
}

fn read_unit(message: &Message<'_>, reach: Reach, mut rest: Option<&mut Rest>) -> Result<(UnitState, Reach)> {
    let mut active = None;
    let mut reached = Reach::All;
    // Each counts once, and behind the last of them there is nothing to be read.
    let seen = Cell::new(0u16);
    let first = |property: u16| {
        let before = seen.replace(seen.get() | 1 << property);
        before & 1 << property == 0
    };
    let mut state = UnitState {
        active: ActiveState::Changing,
        sub: SubState::Other,
        job: 0,
        condition: true,
        left: 0,
        left_realtime: 0,
        entered: 0,
        entered_realtime: 0,
        invocation_id: None,
    };
    message.read_properties(|name| {
        match name {
            b"ActiveState" if first(0) => {
                let text = message.in_variant(c"s", || message.read_str())?;
                active = Some(ActiveState::parse(text));
                if let Some(rest) = &mut rest {
                    rest.active = shorten(text);
                }
                if reach == Reach::Active {
                    reached = Reach::Active;
                    return Ok(Took::Enough);
                }
            }
            b"SubState" if first(1) => {
                let text = message.in_variant(c"s", || message.read_str())?;
                state.sub = SubState::parse(text);
                if let Some(rest) = &mut rest {
                    rest.sub = shorten(text);
                }
                // They come in a fixed order, these two first; in another order all would be read.
                let running = active.is_some_and(|active| !active.is_over()) && state.sub != SubState::Exited;
                if running && reach != Reach::All {
                    reached = Reach::Running;
                    return Ok(Took::Enough);
                }
            }
            b"Job" if first(2) => state.job = message.in_variant(c"(uo)", || read_job(message))?,
            b"ConditionResult" if first(3) => state.condition = message.read_variant()?,
            b"InactiveExitTimestamp" if first(4) => state.left_realtime = message.read_variant()?,
            b"InactiveExitTimestampMonotonic" if first(5) => state.left = message.read_variant()?,
            b"InactiveEnterTimestamp" if first(6) => state.entered_realtime = message.read_variant()?,
            b"InactiveEnterTimestampMonotonic" if first(7) => state.entered = message.read_variant()?,
            b"InvocationID" if first(8) => {
                state.invocation_id =
                    message.in_variant(c"ay", || message.read_bytes()).map(|id| InvocationId::from_bytes(&id))?;
            }
            other => {
                return match &mut rest {
                    Some(rest) => rest.take(other, message),
                    None => pass_unit(other, message),
                };
            }
        }
        let all = seen.get() == (1 << 9) - 1 && rest.is_none();
        Ok(if all { Took::Enough } else { Took::Value })
    })?;
    state.active = active.ok_or_else(|| Error::message("ActiveState among the properties of a unit"))?;
    Ok((state, reached))
}

fn read_job(message: &Message<'_>) -> Result<u32> {
    message.in_struct(c"uo", || {
        let job = message.read()?;
        message.read_path()?;
        Ok(job)
    })
}

/// The rest of a `PropertiesChanged` of the service interface, whose name was read.
pub(super) fn service_state(message: &Message<'_>) -> Result<ServiceState> {
    let mut state = ServiceState::default();
    message.read_properties(|name| take_service(&mut state, name, message))?;
    Ok(state)
}

fn take_service(state: &mut ServiceState, name: &[u8], message: &Message<'_>) -> Result<Took> {
    match name {
        b"Result" => state.result = shorten(message.in_variant(c"s", || message.read_str())?),
        b"ExecMainPID" => state.processes[0] = message.read_variant()?,
        b"ControlPID" => state.processes[1] = message.read_variant()?,
        b"ExecMainCode" => state.code = message.read_variant()?,
        b"ExecMainStatus" => state.status = message.read_variant()?,
        b"ExecMainExitTimestamp" => state.exited_realtime = message.read_variant()?,
        b"ExecMainExitTimestampMonotonic" => state.exited = message.read_variant()?,
        b"MainPID" | b"UID" | b"GID" | b"NRestarts" => return message.pass::<u32>(),
        b"StatusErrno" => return message.pass::<i32>(),
        b"StatusText" | b"ReloadResult" | b"CleanResult" => return message.pass_str(),
        b"ExecMainStartTimestamp" | b"ExecMainStartTimestampMonotonic" => return message.pass::<u64>(),
        _ => return Ok(Took::Nothing),
    }
    Ok(Took::Value)
}

/// The answer to a `GetAll` of the service interface: the same, and whether systemd may start the service again.
pub(super) fn service_details(message: &Message<'_>) -> Result<(ServiceState, bool)> {
    let mut state = ServiceState::default();
    let mut restarts = false;
    message.read_properties(|name| {
        match name {
            b"Restart" => restarts |= message.in_variant(c"s", || message.read_str())? != "no",
            b"RestartForceExitStatus" => {
                message.enter(Container::Variant, None)?;
                restarts |= !Value::read_from(message)?.is_none_or(|value| is_empty(&value));
                message.exit()?;
            }
            other => return take_service(&mut state, other, message),
        }
        Ok(Took::Value)
    })?;
    Ok((state, restarts))
}

/// Whether a set of exit codes and signals is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Struct(fields) => fields.iter().all(is_empty),
        Value::Array(_, values) => values.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        _ => false,
    }
}

/// The answer to a `GetAll` of the service interface: what the unit has used.
pub(super) fn usage(message: &Message<'_>) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut keeps_io = false;
    message.read_properties(|name| {
        let into = match name {
            // It is as new as that a manager keeps what the cgroup last said of I/O (257). One that does not still knows
            // what someone asked for while the unit ran, and would give that for the whole.
            b"ManagedOOMMemoryPressureDurationUSec" => {
                keeps_io = true;
                return Ok(Took::Nothing);
            }
            b"CPUUsageNSec" => {
                usage.cpu = counted(message.read_variant()?).map(Duration::from_nanos);
                return Ok(Took::Value);
            }
            b"MemoryPeak" => &mut usage.memory_peak,
            b"MemorySwapPeak" => &mut usage.memory_swap_peak,
            b"IOReadBytes" => &mut usage.io_read,
            b"IOWriteBytes" => &mut usage.io_written,
            b"IPIngressBytes" => &mut usage.ip_received,
            b"IPEgressBytes" => &mut usage.ip_sent,
            _ => return Ok(Took::Nothing),
        };
        *into = counted(message.read_variant()?);
        Ok(Took::Value)
    })?;
    if !keeps_io {
        (usage.io_read, usage.io_written) = (None, None);
    }
    Ok(usage)
}

/// What was not counted is the largest number.
fn counted(number: u64) -> Option<u64> {
    (number != u64::MAX).then_some(number)
}

/// No unit has a longer name (`UNIT_NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// `JobRemoved`: the job's number, its unit and its result.
pub(super) fn job_removed<'m>(message: &'m Message<'_>) -> Result<(u32, &'m str, &'m str)> {
    let job = message.read()?;
    message.read_path()?;
    let unit = message.read_str()?;
    if unit.len() > LONGEST_NAME {
        return Err(Error::message("the name of a unit"));
    }
    Ok((job, unit, message.read_str()?))
}

/// The number of the job whose path a method returned.
pub(super) fn job_of_reply(message: &Message<'_>) -> Result<u32> {
    let path = message.read_path()?;
    path.strip_prefix("/org/freedesktop/systemd1/job/")
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Error::message(format!("a job's path, not {:?}", shorten(path))))
}
