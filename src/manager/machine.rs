//! What is asked of the machine manager (`org.freedesktop.machine1`, systemd-machined) of this host.

use std::time::Instant;

use tokio::sync::oneshot;

use super::Manager;
use super::connect::Scope;
use crate::bus::{After, Context, Link, Message, Receiver, Refusal, Target, Way};
use crate::error::{Error, Result};
use crate::unit::pty::Pair;

/// Where the units of a manager are, as far as terminals are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The machine; none is this host.
    pub machine: Option<String>,
    /// Whether the manager is another user's, who may not open what is opened for us.
    pub foreign: bool,
}

impl Manager {
    /// Where the units of the manager are.
    pub(crate) fn seat(&self) -> Seat {
        let (machine, foreign) = match &self.inner.scope {
            // What is opened here is of no use at the end of an ssh connection, and refused: see `check_descriptors`.
            Scope::System | Scope::User | Scope::Remote(_) | Scope::Address(_) => {
                return Seat { machine: None, foreign: false };
            }
            Scope::Capsule(_) => return Seat { machine: None, foreign: true },
            Scope::Machine(name) => (name.as_str(), false),
            Scope::UserMachine(name) => (name.rsplit_once('@').map_or(name.as_str(), |(_, machine)| machine), true),
        };
        let machine = Some(machine).filter(|machine| !matches!(*machine, "" | ".host")).map(Into::into);
        Seat { machine, foreign }
    }
}

/// Opens a pseudo-terminal in a machine (`OpenMachinePTY`).
pub(crate) async fn open_machine_pty(machine: &str) -> Result<Pair> {
    let unavailable = |reason: String| Error::Unavailable {
        manager: format!("the terminals of machine {machine:?}").into(),
        reason: reason.into(),
    };
    let explain = |error| match error {
        Error::System { errno, .. } => unavailable(format!("the system bus of this host: {}", errno.desc())),
        Error::Call { name, message, .. } => unavailable(match &*name {
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner"
            | "org.freedesktop.DBus.Error.Spawn.ChildExited"
            | "org.freedesktop.systemd1.NoSuchUnit"
            | "org.freedesktop.systemd1.UnitMasked" => format!(
                "systemd-machined does not run on this host and cannot be started; install, enable or unmask it (Debian: \
                 systemd-container): {message}"
            ),
            "org.freedesktop.machine1.NoSuchMachine" => format!("{message}; is it running? (machinectl list)"),
            _ => format!("systemd-machined was to open one (OpenMachinePTY): {message} ({name})"),
        }),
        other => other,
    };
    let (told, answer) = oneshot::channel();
    let link = Link::open(Way::once(Target::System), Caller).await.map_err(explain)?;
    link.with(|_, cx| {
        let mut message = cx.bus.method_call(
            Some(c"org.freedesktop.machine1"),
            c"/org/freedesktop/machine1",
            c"org.freedesktop.machine1.Manager",
            c"OpenMachinePTY",
        )?;
        message.append_str(machine)?;
        cx.call(message, told)
    })??;
    // Without an answer the connection was lost meanwhile; asking again says how.
    let answer = answer.await.unwrap_or_else(|_| Err(link.with(|_, _| ()).err().unwrap_or(Error::RuntimeGone)));
    answer.map_err(explain)
}

/// Makes one call.
struct Caller;

impl Receiver for Caller {
    type Ticket = oneshot::Sender<Result<Pair>>;
    type After = Answers;

    fn reply(&mut self, told: Self::Ticket, reply: Result<&Message<'_>, Refusal<'_>>, cx: &mut Context<'_, Self>) {
        let pair = match reply {
            Ok(reply) => read(reply),
            Err(Refusal { name, text }) => Err(Error::reply("OpenMachinePTY", name, text)),
        };
        cx.after.0.push((told, pair));
    }

    fn signal(&mut self, _: Message<'_>, _: &mut Context<'_, Self>) {}

    fn lost(&mut self, error: &Error, outstanding: Vec<Self::Ticket>, after: &mut Answers) {
        after.0.extend(outstanding.into_iter().map(|told| (told, Err(error.clone()))));
    }

    fn is_obliged(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn timer(&mut self, _: Instant, _: &mut Context<'_, Self>) {}
}

fn read(reply: &Message<'_>) -> Result<Pair> {
    let master = reply.read_fd()?;
    let path = reply.read_str()?.to_owned();
    Pair::of(master, path)
}

/// What is told once the lock is free.
#[derive(Default)]
struct Answers(Vec<(oneshot::Sender<Result<Pair>>, Result<Pair>)>);

impl After for Answers {
    fn run(&mut self) {
        for (told, pair) in self.0.drain(..) {
            // Nobody waits any more: what was opened is closed.
            drop(told.send(pair));
        }
    }
}
