//! The one error type of the crate.

use std::fmt;
use std::sync::Arc;

use nix::errno::Errno;

use crate::unit::Exit;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a [`Command`](crate::Command) and its [`Exit`](crate::Exit).
///
/// A program that ran and failed is no error: it is an [`Exit`](crate::Exit), as is a program that systemd
/// could not execute (exit code 203) or a start that it skipped. An error means that the caller's input was
/// refused, that systemd refused the call, or that the connection to it was lost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The caller's input cannot be sent: nothing was. The message names the input and what is wrong with it.
    Invalid {
        /// Which input it was, for instance `unit name` or `argument 2`.
        what: &'static str,
        /// The value (shortened where it is long; left out where it may be a secret).
        value: Box<str>,
        /// What is wrong with it, and what would be right.
        reason: Box<str>,
    },
    /// An assignment (`NAME=VALUE`, [`Command::property`](crate::Command::property)) that makes no sense: nothing was sent.
    Property {
        /// The assignment (shortened where it is long; without the value where that may be a secret).
        assignment: Box<str>,
        /// What is wrong with it, and what would be right.
        reason: Box<str>,
    },
    /// No program of this name is in the `$PATH`. (One that is given as a path and does not exist is an
    /// [`Exit`](crate::Exit) with systemd's code 203.)
    ProgramNotFound {
        /// The name.
        program: Box<str>,
    },
    /// systemd (or the bus daemon) answered a method call with an error.
    Call {
        /// The D-Bus method, for instance `StartTransientUnit`.
        method: &'static str,
        /// The D-Bus name of the error, for instance `org.freedesktop.systemd1.NoSuchUnit`.
        name: Box<str>,
        /// The text that came with it.
        message: Box<str>,
    },
    /// A unit of this name is loaded already (`org.freedesktop.systemd1.UnitExists`).
    UnitExists {
        /// The unit's name.
        name: Box<str>,
        /// systemd's own text.
        message: Box<str>,
    },
    /// There is no such unit, or it is not loaded any more (`org.freedesktop.systemd1.NoSuchUnit`).
    NoSuchUnit {
        /// The unit's name.
        name: Box<str>,
        /// systemd's own text.
        message: Box<str>,
    },
    /// The unit failed: its start, or what it was to do. [`Unit::activated`](crate::Unit::activated) and
    /// [`Exit::check`](crate::Exit::check) say so.
    Failed {
        /// How it ended.
        exit: Box<Exit>,
    },
    /// A job was not carried out (`JobRemoved`, org.freedesktop.systemd1(5)).
    Job {
        /// The unit's name.
        unit: Box<str>,
        /// What was to be done: `stop`, `restart`, `reload`.
        job: &'static str,
        /// What came of it: `canceled`, `timeout`, `failed`, `dependency`, …
        result: Box<str>,
    },
    /// The caller may not do this (`org.freedesktop.DBus.Error.AccessDenied`,
    /// `…InteractiveAuthorizationRequired`).
    AccessDenied {
        /// The D-Bus method that was refused.
        method: &'static str,
        /// systemd's own text.
        message: Box<str>,
    },
    /// There is no service manager to talk to: no systemd, no socket, no permission to open it, or no way to its host.
    Unavailable {
        /// Which manager was asked for, for instance `the system manager`.
        manager: Box<str>,
        /// Why it could not be reached, and what to do.
        reason: Box<str>,
    },
    /// The systemd that runs, or the libsystemd that sdrun was built with, is too old for this.
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// The version of systemd that brought it.
        since: u32,
    },
    /// The connection to the service manager was lost; what was outstanding on it cannot be told.
    Disconnected {
        /// How it was lost.
        reason: Box<str>,
    },
    /// What became of a unit cannot be known: the connection to its manager was lost, and what happened meanwhile cannot be
    /// found out (docs/reliability.md). [`Command::durable`](crate::Command::durable) keeps this from happening.
    Lost {
        /// The unit's name.
        unit: Box<str>,
        /// The ID of its run, where that is known: the journal may have more of it.
        invocation_id: Option<crate::unit::InvocationId>,
        /// What is known of it, and why no more.
        reason: Box<str>,
    },
    /// The tokio runtime that drove the connection was shut down.
    RuntimeGone,
    /// There is no tokio runtime here: call from within one.
    NoRuntime,
    /// A call into libsystemd or the kernel failed.
    System {
        /// What was being done.
        operation: &'static str,
        /// The system's error code.
        errno: Errno,
    },
    /// A message from the bus does not have the form that the interface promises.
    Message {
        /// What was expected.
        expected: Box<str>,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, value: impl AsRef<str>, reason: impl Into<Box<str>>) -> Self {
        Error::Invalid { what, value: shorten(value.as_ref()), reason: reason.into() }
    }

    pub(crate) fn property(assignment: &str, reason: &str) -> Self {
        Error::Property { assignment: shorten(assignment), reason: reason.into() }
    }

    pub(crate) fn system(operation: &'static str, errno: Errno) -> Self {
        Error::System { operation, errno }
    }

    pub(crate) fn io(operation: &'static str, error: &std::io::Error) -> Self {
        Error::system(operation, Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO)))
    }

    pub(crate) fn message(expected: impl Into<Box<str>>) -> Self {
        let expected: Box<str> = expected.into();
        Error::Message { expected: shorten_text(&expected) }
    }

    /// An error reply, by its D-Bus name.
    pub(crate) fn reply(method: &'static str, name: &str, message: &str) -> Self {
        match name {
            "org.freedesktop.DBus.Error.AccessDenied"
            | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
                Error::AccessDenied { method, message: shorten_text(message) }
            }
            _ => Error::Call { method, name: name.into(), message: shorten_text(message) },
        }
    }
}

/// The start of a value, enough to recognise it in a message.
pub(crate) fn shorten(value: &str) -> Box<str> {
    shorten_to(80, value)
}

/// The start of a text that somebody else has written, who need not have known an end: it is kept as long as an error is.
pub(crate) fn shorten_text(text: &str) -> Box<str> {
    shorten_to(1000, text)
}

fn shorten_to(most: usize, value: &str) -> Box<str> {
    match value.char_indices().nth(most) {
        None => value.into(),
        Some((cut, _)) => format!("{}… ({} bytes)", &value[..cut], value.len()).into(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Invalid { what, value, reason } if value.is_empty() => write!(f, "{what} {reason}"),
            Error::Invalid { what, value, reason } => write!(f, "{what} {value:?} {reason}"),
            Error::Property { assignment, reason } => write!(f, "{assignment}: {reason}"),
            Error::ProgramNotFound { program } => {
                write!(
                    f,
                    "program {program:?} is in no folder of $PATH; say where it is, for instance /usr/bin/{program}"
                )
            }
            Error::Call { method, name, message } => write!(f, "{method} failed: {message} ({name})"),
            Error::UnitExists { name, message } => {
                write!(f, "unit {name:?} exists already; choose another name or stop it first: {message}")
            }
            Error::NoSuchUnit { name, message } => write!(f, "unit {name:?} is not loaded: {message}"),
            Error::Failed { exit } => write!(f, "unit {:?} failed: {exit}", exit.unit),
            Error::Job { unit, job, result } => write!(f, "cannot {job} unit {unit:?}: its job ended as {result:?}"),
            Error::AccessDenied { method, message } => write!(
                f,
                "{method} was refused: {message}; run as root, have polkit allow \
                 org.freedesktop.systemd1.manage-units, or use the user manager (Manager::user())"
            ),
            Error::Unavailable { manager, reason } => write!(f, "cannot reach {manager}: {reason}"),
            Error::Unsupported { what, since } => {
                write!(
                    f,
                    "{what} needs systemd {since} or newer; the one here, or the libsystemd that sdrun was built with, \
                     is older"
                )
            }
            Error::Disconnected { reason } => {
                write!(f, "the connection to the service manager was lost: {reason}")
            }
            Error::Lost { unit, invocation_id: Some(id), reason } => {
                write!(f, "what became of unit {unit:?} (invocation {id}) is not known: {reason}")
            }
            Error::Lost { unit, invocation_id: None, reason } => {
                write!(f, "what became of unit {unit:?} is not known: {reason}")
            }
            Error::RuntimeGone => f.write_str("the tokio runtime that drove the connection was shut down"),
            Error::NoRuntime => f.write_str("there is no tokio runtime here: call from a task or block_on of one"),
            Error::System { operation, errno } => write!(f, "{operation} failed: {}", errno.desc()),
            Error::Message { expected } => write!(f, "malformed message from the bus: expected {expected}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::System { errno, .. } => Some(errno),
            _ => None,
        }
    }
}

/// So that `?` works in a function that returns [`std::io::Result`], as with `tokio::process`.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::Invalid { .. } | Error::Property { .. } => ErrorKind::InvalidInput,
            Error::UnitExists { .. } => ErrorKind::AlreadyExists,
            Error::AccessDenied { .. } => ErrorKind::PermissionDenied,
            Error::Unavailable { .. } | Error::ProgramNotFound { .. } | Error::NoSuchUnit { .. } => ErrorKind::NotFound,
            Error::Unsupported { .. } => ErrorKind::Unsupported,
            Error::Disconnected { .. } | Error::Lost { .. } => ErrorKind::ConnectionReset,
            Error::Message { .. } => ErrorKind::InvalidData,
            Error::System { errno, .. } => std::io::Error::from(*errno).kind(),
            Error::Call { .. } | Error::Failed { .. } | Error::Job { .. } | Error::RuntimeGone | Error::NoRuntime => {
                ErrorKind::Other
            }
        };
        std::io::Error::new(kind, Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shortened_on_a_character_boundary() {
        let value = "é".repeat(100);
        let Error::Invalid { value, .. } = Error::invalid("argument", &value, "is long") else { panic!() };
        assert_eq!(&*value, format!("{}… (200 bytes)", "é".repeat(80)));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let error = Error::reply(
            "StartTransientUnit",
            "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
            "Interactive authentication required.",
        );
        assert!(matches!(error, Error::AccessDenied { .. }));
        assert!(error.to_string().contains("Manager::user()"), "{error}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::PermissionDenied);
    }
}
