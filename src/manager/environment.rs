//! The environment that a manager hands on to its services.

use super::{MANAGER_PATH, Manager};
use crate::bus::Value;
use crate::error::{Error, Result};

impl Manager {
    /// The names of the variables that the manager hands on to every service (its property `Environment`).
    pub(crate) async fn environment(&self) -> Result<Vec<String>> {
        match self.property_at(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "Environment").await? {
            Value::Array(_, variables) => Ok(variables.into_iter().filter_map(name).collect()),
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
