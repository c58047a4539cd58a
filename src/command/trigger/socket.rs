//! A command that a connection starts.

use super::{Parts, common_calls};
use crate::bus::Value;
use crate::command::{Command, words};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::property::UnitType;
use crate::unit::Trigger;

/// A socket unit (`systemd.socket(5)`) that starts a command when something comes in:
/// `systemd-run --socket-property=…`.
///
/// The program gets the sockets that are listened on as descriptors from 3 on (`sd_listen_fds(3)`), or, with
/// `StandardInput=socket`, as its standard input. It is to take what came: while something waits there when it has ended,
/// it is started anew, up to a limit (`TriggerLimitBurst=`). It is one service for all connections: `Accept=yes`, which
/// takes a template, is refused.
///
/// ```no_run
/// # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
/// let mut server = sdrun::Command::new("/usr/bin/server");
/// let trigger = sdrun::SocketUnit::new().listen_stream("/run/server.sock").start(&manager, &mut server).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SocketUnit {
    parts: Parts,
}

impl SocketUnit {
    /// A socket unit that listens on nothing, until it is told on what.
    pub fn new() -> Self {
        SocketUnit { parts: Parts::new(UnitType::Socket) }
    }

    /// Listens for connections (`ListenStream=`): at an absolute path, a name `@abstract`, a port, `ADDRESS:PORT`,
    /// `[ADDRESS]:PORT` or `vsock:CID:PORT`.
    pub fn listen_stream(&mut self, address: impl Into<String>) -> &mut Self {
        self.listen("Stream", address.into())
    }

    /// Listens for datagrams (`ListenDatagram=`).
    pub fn listen_datagram(&mut self, address: impl Into<String>) -> &mut Self {
        self.listen("Datagram", address.into())
    }

    /// Listens for connections that keep messages apart (`ListenSequentialPacket=`).
    pub fn listen_sequential_packet(&mut self, address: impl Into<String>) -> &mut Self {
        self.listen("SequentialPacket", address.into())
    }

    /// Listens on a named pipe, which is made (`ListenFIFO=`).
    pub fn listen_fifo(&mut self, path: impl Into<String>) -> &mut Self {
        self.listen("FIFO", path.into())
    }

    /// The name that the program finds its sockets by (`FileDescriptorName=`, `sd_listen_fds_with_names(3)`); without it
    /// that is the unit's.
    pub fn file_descriptor_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.parts.extra("FileDescriptorName", name.into());
        self
    }

    common_calls!("socket");

    fn listen(&mut self, kind: &str, address: String) -> &mut Self {
        let address = words::some("address", address).and_then(|address| words::one_line("address", address));
        if let Some(address) = self.parts.accept(address) {
            self.parts.pair("Listen", kind, address);
        }
        self
    }

    /// Starts the socket unit, with the command as the service that it starts. Both have the command's name
    /// (`NAME.socket`, `NAME.service`), or one that is generated.
    ///
    /// Dropping the future before it resolves gives the start up: see [`Command::start`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where nothing is listened on or with `Accept=yes`, and otherwise as
    /// [`TimerUnit::start`](crate::TimerUnit::start).
    pub async fn start(&self, manager: &Manager, command: &Command) -> Result<Trigger> {
        self.check()?;
        self.parts.start(command, manager).await
    }

    /// Refuses what systemd would refuse.
    fn check(&self) -> Result<()> {
        let accept = self.parts.properties.known().rev().find(|(name, _)| *name == "Accept");
        if accept.is_some_and(|(_, value)| *value == Value::Bool(true)) {
            let reason = "cannot be had: each connection would need a service of its own, made from a template";
            return Err(Error::invalid("Accept=yes", "", reason));
        }
        if self.parts.problem.is_none() && !self.parts.has_one_of(&["Listen"]) {
            return Err(Error::invalid(
                "socket unit",
                "",
                "listens on nothing: say on what, with listen_stream() for instance",
            ));
        }
        Ok(())
    }
}

impl Default for SocketUnit {
    fn default() -> Self {
        Self::new()
    }
}
