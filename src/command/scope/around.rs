//! A scope around processes that exist.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sdrun_sys::hold::open_process;
use tokio::runtime::Handle;
use tracing::Instrument;

use super::Scope;
use crate::bus::{Signature, Value};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::Unit;

/// The first systemd that takes processes by descriptors.
const TAKES_DESCRIPTORS: u32 = 256;

impl Scope {
    /// Starts the scope around these processes, by their IDs (`PIDs`, `StartTransientUnit`, org.freedesktop.systemd1(5)),
    /// which are taken out of the units that they are in. It may be this process itself (`std::process::id()`): what
    /// `systemd-run --scope` does before it executes the program.
    ///
    /// The handle is there when they are in the scope.
    ///
    /// Who is not root can do this with processes of their own, through their own manager.
    ///
    /// Dropping the future does not undo it: a scope cannot be taken away from around its processes without ending them,
    /// which this then does not do.
    ///
    /// ```no_run
    /// # async fn example(manager: &sdrun::Manager, browser: u32) -> sdrun::Result<()> {
    /// let unit = sdrun::Scope::new().name("browser").property("MemoryHigh=4G")?.around([browser], manager).await?;
    /// unit.set("CPUQuota=50%").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for input that cannot be sent, for a process that has ended, a zombie among them (systemd would
    /// take that, and wait for its end for ever), and for a manager that is not of this host; [`Error::Failed`] when all
    /// had ended before they were in the scope; [`Error::UnitExists`], [`Error::AccessDenied`] and [`Error::Call`] for what
    /// systemd refuses, as processes of the kernel and of managers.
    pub fn around<I>(&self, processes: I, manager: &Manager) -> impl Future<Output = Result<Unit>> + Send + use<I>
    where
        I: IntoIterator<Item = u32>,
    {
        let processes = processes.into_iter().map(Process::by_id).collect();
        self.enclose(processes, false, manager)
    }

    /// The same with processes by descriptors of them (pidfds, `pidfd_open(2)`), which cannot come to mean another process.
    ///
    /// systemd 256 and later are given the descriptors (`PIDFDs`), of which one message carries 16 (253 without a bus);
    /// before, they are given the IDs that the descriptors have.
    ///
    /// # Errors
    ///
    /// As [`around`](Scope::around), and [`Error::Invalid`] for a descriptor that is no pidfd.
    pub fn around_pidfds<I>(
        &self,
        processes: I,
        manager: &Manager,
    ) -> impl Future<Output = Result<Unit>> + Send + use<I>
    where
        I: IntoIterator<Item: AsFd>,
    {
        let processes = processes.into_iter().map(|process| Process::by_descriptor(&process)).collect();
        self.enclose(processes, true, manager)
    }

    fn enclose(
        &self,
        processes: Result<Vec<Process>>,
        by_descriptor: bool,
        manager: &Manager,
    ) -> impl Future<Output = Result<Unit>> + Send + use<> {
        let (scope, manager) = (self.clone(), manager.clone());
        async move {
            let processes = processes?;
            if processes.is_empty() {
                return Err(Error::invalid("processes", "", "are none, and a scope is around one at least"));
            }
            let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
            let habits = scope.habits;
            // In a task, so that it is done whatever becomes of the future: to give up half-way would end the processes.
            let start = async move {
                let prepared = scope.prepare(&manager).await?;
                let by_descriptor = by_descriptor && manager.version().await? >= TAKES_DESCRIPTORS;
                let sent = if by_descriptor { descriptors(&processes) } else { ids(&processes) };
                prepared.check_descriptors(sent.1.descriptors(), &manager)?;
                let unit = prepared.start(sent, (None, false), &manager).await?;
                let alive = processes.iter().any(|process| process.is_in(unit.name()) && !process.has_ended());
                if let Some(ended) = processes.first().filter(|_| !alive) {
                    // Those that ended before they were in it are not in it now, and it would never end.
                    unit.stop().await.or_else(|error| match error {
                        Error::NoSuchUnit { .. } => Ok(()),
                        error => Err(error),
                    })?;
                    return Err(ended.gone());
                }
                Ok(unit)
            };
            let mut unit = runtime.spawn(start.in_current_span()).await.map_err(|_| Error::RuntimeGone)??;
            unit.habits = habits;
            Ok(unit)
        }
    }
}

/// A process that is to be in the scope.
struct Process {
    id: u32,
    /// `None` where the kernel has no such descriptors.
    descriptor: Option<Arc<OwnedFd>>,
}

impl Process {
    fn by_id(id: u32) -> Result<Self> {
        let descriptor = match open_process(id) {
            Ok(descriptor) => Some(Arc::new(descriptor)),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOSYS) => None,
            // A thread is none: EINVAL.
            Err(_) => return Err(Process { id, descriptor: None }.gone()),
        };
        Process { id, descriptor }.checked()
    }

    fn by_descriptor(descriptor: &impl AsFd) -> Result<Self> {
        let descriptor = descriptor
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("duplicate the descriptor of a process", &error))?;
        let number = descriptor.as_raw_fd().to_string();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))
            .map_err(|error| Error::io("look at the descriptor of a process", &error))?;
        let id = info.lines().find_map(|line| line.strip_prefix("Pid:")).map(|id| id.trim().parse::<i64>());
        match id {
            Some(Ok(id @ 1..)) => {
                Process { id: id.try_into().unwrap_or_default(), descriptor: Some(Arc::new(descriptor)) }.checked()
            }
            Some(Ok(0)) => Err(Error::invalid("process", "", "is one of another PID namespace, where it has no ID")),
            Some(_) => Err(Error::invalid("process", "", "has ended: its descriptor is of none any more")),
            None => Err(Error::invalid("descriptor", number, "is not of a process (pidfd_open(2))")),
        }
    }

    fn checked(self) -> Result<Self> {
        if self.has_ended() { Err(self.gone()) } else { Ok(self) }
    }

    fn has_ended(&self) -> bool {
        match &self.descriptor {
            Some(descriptor) => {
                let mut asked = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
                poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
            }
            None => {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).unwrap_or_default();
                let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
                matches!(state, None | Some('Z' | 'X' | 'x'))
            }
        }
    }

    /// Whether it is in the control group of this unit, or one below. One that is about to end is put into no other.
    fn is_in(&self, unit: &str) -> bool {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", self.id)).unwrap_or_default();
        groups.lines().any(|line| line.split('/').any(|part| part == unit))
    }

    fn gone(&self) -> Error {
        let reason = "does not exist, or has ended: there is nothing to put into a scope";
        Error::invalid("process", self.id.to_string(), reason)
    }
}

fn ids(processes: &[Process]) -> (&'static str, Value) {
    let ids = processes.iter().map(|process| Value::U32(process.id)).collect();
    ("PIDs", array("u", ids))
}

fn descriptors(processes: &[Process]) -> (&'static str, Value) {
    let descriptors = processes.iter().flat_map(|process| process.descriptor.clone()).map(Value::Fd).collect();
    ("PIDFDs", array("h", descriptors))
}

pub(super) fn array(element: &str, values: Vec<Value>) -> Value {
    Value::Array(Signature::new(element).expect("a basic type"), values)
}
