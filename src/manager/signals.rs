//! What the manager's messages say, as plain data.

use crate::bus::{Message, Took};
use crate::error::{Error, Result};
use crate::unit::exit::{InvocationId, ServiceState};
use crate::unit::machine::{ActiveState, SubState, UnitState};

/// The rest of a `PropertiesChanged` of the unit interface, whose name was read. Of a unit that is up and running
/// no more is read than the two states, but for the invocation ID where that is `wanted`.
pub(super) fn unit_state(message: &Message<'_>, wanted: bool) -> Result<UnitState> {
    let mut active = None;
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
            "ActiveState" => {
                active = Some(message.in_variant(c"s", || message.read_str()).map(ActiveState::parse)?);
            }
            "SubState" => {
                state.sub = message.in_variant(c"s", || message.read_str()).map(SubState::parse)?;
                // They come in a fixed order, these two first; in another order all would be read.
                let running = active.is_some_and(|active| !active.is_over()) && state.sub != SubState::Exited;
                if running && !wanted {
                    return Ok(Took::Enough);
                }
            }
            "Job" => state.job = message.in_variant(c"(uo)", || read_job(message))?,
            "ConditionResult" => state.condition = message.read_variant()?,
            "InactiveExitTimestamp" => state.left_realtime = message.read_variant()?,
            "InactiveExitTimestampMonotonic" => state.left = message.read_variant()?,
            "InactiveEnterTimestamp" => state.entered_realtime = message.read_variant()?,
            "InactiveEnterTimestampMonotonic" => state.entered = message.read_variant()?,
            "InvocationID" => {
                state.invocation_id =
                    message.in_variant(c"ay", || message.read_bytes()).map(|id| InvocationId::from_bytes(&id))?;
            }
            _ => return Ok(Took::Nothing),
        }
        Ok(Took::Value)
    })?;
    state.active = active.ok_or_else(|| Error::message("ActiveState among the properties of a unit"))?;
    Ok(state)
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
    message.read_properties(|name| {
        match name {
            "Result" => state.result = message.in_variant(c"s", || message.read_str())?.into(),
            "ExecMainCode" => state.code = message.read_variant()?,
            "ExecMainStatus" => state.status = message.read_variant()?,
            "ExecMainExitTimestamp" => state.exited_realtime = message.read_variant()?,
            "ExecMainExitTimestampMonotonic" => state.exited = message.read_variant()?,
            _ => return Ok(Took::Nothing),
        }
        Ok(Took::Value)
    })?;
    Ok(state)
}

/// `JobRemoved`: the job's number, its unit and its result.
pub(super) fn job_removed<'m>(message: &'m Message<'_>) -> Result<(u32, &'m str, &'m str)> {
    let job = message.read()?;
    message.read_path()?;
    Ok((job, message.read_str()?, message.read_str()?))
}

/// The number of the job whose path a method returned.
pub(super) fn job_of_reply(message: &Message<'_>) -> Result<u32> {
    let path = message.read_path()?;
    path.strip_prefix("/org/freedesktop/systemd1/job/")
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Error::message(format!("a job's path, not {path:?}")))
}
