//! The properties of the unit, as they are sent.

use std::ffi::CStr;

use super::exec::{Resolved, append_lines};
use super::options::append_accounting;
use super::stdio::Streams;
use super::{Command, words};
use crate::bus::{Container, Message};
use crate::error::Result;
use crate::property::Settled;

/// A command that is ready to be sent: what had to be looked up or made was.
pub(super) struct Ready<'a> {
    pub command: &'a Command,
    pub main: Resolved<'a>,
    pub start_pre: Vec<Resolved<'a>>,
    pub start_post: Vec<Resolved<'a>>,
    pub stop: Vec<Resolved<'a>>,
    pub stop_post: Vec<Resolved<'a>>,
    pub slice: Option<String>,
    pub streams: &'a Streams,
    /// The terminal's kind, where the command does not say it.
    pub term: Option<String>,
    /// The names of environment variables that the program is not to have.
    pub unset: Vec<String>,
    pub extra: Settled<'a>,
    pub auxiliary: Vec<(&'a str, Settled<'a>)>,
}

impl Ready<'_> {
    /// Appends the properties of the unit, each a `(sv)`.
    pub fn append_to(&self, message: &mut Message<'_>) -> Result<()> {
        let Command { service, environment, directory, description, .. } = self.command;
        match description {
            Some(description) => property_str(message, "Description", description)?,
            None => property_str(message, "Description", &self.describe())?,
        }
        if service.collect {
            property_str(message, "CollectMode", "inactive-or-failed")?;
        }
        if let Some(slice) = &self.slice {
            property_str(message, "Slice", slice)?;
        }
        if let Some(kind) = service.kind {
            property_str(message, "Type", kind.as_str())?;
        }
        if let Some(kind) = service.exit_type {
            property_str(message, "ExitType", kind.as_str())?;
        }
        if service.remain_after_exit {
            property_bool(message, "RemainAfterExit", true)?;
        }
        if let Some(limit) = service.runtime_max {
            property(message, "RuntimeMaxUSec", c"t", |m| m.append(limit))?;
        }
        if let Some(user) = &service.user {
            property_str(message, "User", user)?;
        }
        if let Some(group) = &service.group {
            property_str(message, "Group", group)?;
        }
        if let Some(nice) = service.nice {
            property(message, "Nice", c"i", |m| m.append(nice))?;
        }
        if let Some(directory) = directory {
            property_str(message, "WorkingDirectory", directory)?;
        }
        let term = self.term.iter().map(|term| format!("TERM={term}"));
        let variables: Vec<_> = environment.assignments().chain(term).collect();
        if !variables.is_empty() {
            property(message, "Environment", c"as", |m| m.append_strs(&variables))?;
        }
        if !self.unset.is_empty() {
            property(message, "UnsetEnvironment", c"as", |m| m.append_strs(&self.unset))?;
        }
        self.streams.append_to(message)?;
        let lines = [
            ("ExecStartPre", self.start_pre.as_slice()),
            ("ExecStart", std::slice::from_ref(&self.main)),
            ("ExecStartPost", &self.start_post),
            ("ExecStop", &self.stop),
            ("ExecStopPost", &self.stop_post),
        ];
        lines.into_iter().try_for_each(|(kind, lines)| append_lines(message, kind, lines))?;
        append_accounting(message, service.usage, &self.command.extra)?;
        self.extra.append_to(message)
    }

    /// Appends the auxiliary units, each a `(sa(sv))`.
    pub fn append_auxiliary_to(&self, message: &mut Message<'_>) -> Result<()> {
        self.auxiliary.iter().try_for_each(|(name, properties)| {
            message.container(Container::Struct, c"sa(sv)", |m| {
                m.append_str(name)?;
                m.container(Container::Array, c"(sv)", |m| properties.append_to(m))
            })
        })
    }

    pub fn describe(&self) -> String {
        let arguments = self.command.main.words()[1..].iter().map(String::as_str);
        words::describe(std::iter::once(&*self.main.path).chain(arguments))
    }
}

pub(super) fn property(
    message: &mut Message<'_>,
    name: &str,
    signature: &CStr,
    fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
) -> Result<()> {
    message.property(name, |m| m.container(Container::Variant, signature, |m| fill(m)))
}

pub(super) fn property_str(message: &mut Message<'_>, name: &str, text: &str) -> Result<()> {
    property(message, name, c"s", |m| m.append_str(text))
}

pub(super) fn property_bool(message: &mut Message<'_>, name: &str, value: bool) -> Result<()> {
    property(message, name, c"b", |m| m.append(value))
}
