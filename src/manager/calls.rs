//! Calls of a manager, and what it answers.

use std::ffi::{CStr, CString};

use super::registry::Registry;
use super::tickets::Ticket;
use crate::bus::{Context, Message, Refusal};
use crate::error::{Error, Result, shorten_text};
use crate::unit::name::{UNIT_PATH, label};
use crate::unit::tracked::Tracked;

pub(super) const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
pub(super) const MANAGER_INTERFACE: &CStr = c"org.freedesktop.systemd1.Manager";
pub(super) const SYSTEMD: &CStr = c"org.freedesktop.systemd1";
const BUS: &CStr = c"org.freedesktop.DBus";

/// A method of an object of the manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub path: &'a CStr,
    pub interface: &'a CStr,
    pub member: &'a CStr,
    /// The member, for errors.
    pub name: &'static str,
}

/// Asks for all properties of an interface of the unit.
pub(super) fn get_all(
    cx: &mut Context<'_, Registry>,
    destination: Option<&CStr>,
    unit: &Tracked,
    interface: &str,
    ticket: Ticket,
) -> Result<()> {
    let path = unit_path(unit.name());
    let mut message = cx.bus.method_call(destination, &path, c"org.freedesktop.DBus.Properties", c"GetAll")?;
    message.append_str(interface)?;
    cx.call(message, ticket)
}

/// The object path of a unit.
pub(super) fn unit_path(name: &str) -> CString {
    CString::new(format!("{UNIT_PATH}{}", label(name))).expect("a label holds letters, digits and underscores")
}

/// A call of the manager's own interface.
pub(super) fn manager_call<'b>(
    cx: &Context<'b, Registry>,
    destination: Option<&CStr>,
    member: &CStr,
) -> Result<Message<'b>> {
    cx.bus.method_call(destination, MANAGER_PATH, MANAGER_INTERFACE, member)
}

/// The call that has a unit stopped.
pub(super) fn stop_call<'b>(cx: &Context<'b, Registry>, destination: Option<&CStr>, unit: &str) -> Result<Message<'b>> {
    let mut message = manager_call(cx, destination, c"StopUnit")?;
    message.append_str(unit)?;
    message.append_str("replace")?;
    Ok(message)
}

pub(super) fn bus_call<'b>(cx: &Context<'b, Registry>, member: &CStr) -> Result<Message<'b>> {
    cx.bus.method_call(Some(BUS), c"/org/freedesktop/DBus", BUS, member)
}

pub(super) fn is_not_loaded(error: &str) -> bool {
    matches!(
        error,
        "org.freedesktop.systemd1.NoSuchUnit"
            | "org.freedesktop.DBus.Error.UnknownObject"
            | "org.freedesktop.DBus.Error.UnknownInterface"
            | "org.freedesktop.DBus.Error.UnknownMethod"
    )
}

/// Whether this says that the manager is not there: whether it may have got the call all the same.
pub(super) fn is_absent(error: &str) -> Option<bool> {
    match error {
        // The last is the manager's own: its bus daemon does not answer it. It may have begun what it was told to do.
        "org.freedesktop.DBus.Error.NoReply"
        | "org.freedesktop.DBus.Error.Disconnected"
        | "org.freedesktop.DBus.Error.Timeout" => Some(true),
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => Some(false),
        name if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => Some(false),
        _ => None,
    }
}

/// The error for a refusal of the manager or of the bus daemon.
pub(super) fn refused(method: &'static str, unit: Option<&str>, refusal: Refusal<'_>) -> Error {
    let Refusal { name, text } = refusal;
    match (name, unit) {
        ("org.freedesktop.systemd1.UnitExists", Some(unit)) => {
            Error::UnitExists { name: unit.into(), message: shorten_text(text) }
        }
        // Of a start it is another unit that is missing, one that is required.
        ("org.freedesktop.systemd1.NoSuchUnit", Some(unit)) if method != "StartTransientUnit" => {
            Error::NoSuchUnit { name: unit.into(), message: shorten_text(text) }
        }
        // Nobody owns the name, and the bus daemon could not have it started.
        ("org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner", _) => {
            unavailable(text)
        }
        (name, _) if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => unavailable(text),
        _ => Error::reply(method, name, text),
    }
}

fn unavailable(text: &str) -> Error {
    Error::Unavailable {
        manager: "the service manager".into(),
        reason: format!(
            "no systemd is on this bus ({}); is systemd running as PID 1, or as `systemd --user`?",
            shorten_text(text)
        )
        .into(),
    }
}
