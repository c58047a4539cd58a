//! What a manager is told to do with a unit that it has.

use std::ffi::CStr;

use tokio::sync::oneshot;

use super::Manager;
use super::awaited::Told;
use super::calls::{MANAGER_INTERFACE, MANAGER_PATH, Method};
use crate::bus::{Container, Message};
use crate::error::{Error, Result};
use crate::unit::machine::JobResult;

impl Manager {
    /// Has a job done (`StopUnit` and the like, in mode `replace`) and waits for its end.
    ///
    /// When the future is dropped the job goes on; its place is given back when it is over.
    pub(crate) async fn job(&self, job: Job, unit: &str) -> Result<()> {
        let admission = self.inner.jobs.admit_control().await;
        let (told, answer) = oneshot::channel();
        let sent = self.inner.link.with_ready(|registry, cx| {
            let fill = |message: &mut Message<'_>| {
                message.append_str(unit)?;
                message.append_str("replace")
            };
            registry.order(job.method(), unit, (Told::Future(told), admission.keep()), fill, cx)
        });
        sent.await??;
        match answer.await.unwrap_or_else(|_| Err(self.how_lost()))? {
            JobResult::Done => Ok(()),
            result => Err(Error::Job { unit: unit.into(), job: job.verb(), result: result.as_str().into() }),
        }
    }

    /// Calls a method of the manager that takes the unit's name, and what `fill` appends, and returns nothing.
    pub(crate) async fn tell(
        &self,
        (member, name): (&CStr, &'static str),
        unit: &str,
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
    ) -> Result<()> {
        let method = Method { path: MANAGER_PATH, interface: MANAGER_INTERFACE, member, name };
        let fill = |message: &mut Message<'_>| {
            message.append_str(unit)?;
            fill(message)
        };
        self.call(method, Some(unit), fill, |_| Ok(())).await
    }

    /// Sets properties of a unit that is loaded, until it is unloaded. `fill` appends them, each a `(sv)`.
    pub(crate) async fn set_properties(
        &self,
        unit: &str,
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
    ) -> Result<()> {
        let fill = |message: &mut Message<'_>| {
            message.append(true)?;
            message.container(Container::Array, c"(sv)", |m| fill(m))
        };
        self.tell((c"SetUnitProperties", "SetUnitProperties"), unit, fill).await
    }
}

/// A job that a unit's handle asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Stop,
    Restart,
    Reload,
}

impl Job {
    fn method(self) -> Method<'static> {
        let (member, name) = match self {
            Job::Stop => (c"StopUnit", "StopUnit"),
            Job::Restart => (c"RestartUnit", "RestartUnit"),
            Job::Reload => (c"ReloadUnit", "ReloadUnit"),
        };
        Method { path: MANAGER_PATH, interface: MANAGER_INTERFACE, member, name }
    }

    fn verb(self) -> &'static str {
        match self {
            Job::Stop => "stop",
            Job::Restart => "restart",
            Job::Reload => "reload",
        }
    }
}
