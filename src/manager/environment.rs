//! The environment that a manager hands on to its services.

use super::calls::Method;
use super::{MANAGER_PATH, Manager};
use crate::bus::{Container, Message, Value};
use crate::error::{Error, Result};

impl Manager {
    /// The names of the variables that the manager hands on to every service (its property `Environment`).
    pub(crate) async fn environment(&self) -> Result<Vec<String>> {
        let method =
            Method { path: MANAGER_PATH, interface: c"org.freedesktop.DBus.Properties", member: c"Get", name: "Get" };
        let fill = |message: &mut Message<'_>| {
            message.append_str("org.freedesktop.systemd1.Manager")?;
            message.append_str("Environment")
        };
        let read = |reply: &Message<'_>| reply.enter(Container::Variant, None).and(Value::read_from(reply));
        match self.call(method, None, fill, read).await? {
            Some(Value::Array(_, variables)) => Ok(variables.into_iter().filter_map(name).collect()),
            _ => Err(Error::message("the manager's environment")),
        }
    }
}

fn name(variable: Value) -> Option<String> {
    match variable {
        Value::Str(text) => text.split_once('=').map(|(name, _)| name.to_owned()),
        _ => None,
    }
}
