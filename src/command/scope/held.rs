//! A child that is in its scope before its program begins.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use futures::future::{Either, select};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use sdrun_sys::hold::{self, GO, Hold, Program, Step, Word};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::around::array;
use super::{Prepared, Scope};
use crate::bus::Value;
use crate::command::words;
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::{InvocationId, Unit};

/// A child of this process and the scope that it is in: what [`Scope::spawn`] and [`ScopeCommand::start`] give.
///
/// The two go their own ways: the child's end is that of its own process, the scope's that of its last one. Take the
/// struct apart to keep one of them: `let sdrun::Scoped { child, unit } = scoped;`.
///
/// [`ScopeCommand::start`]: super::ScopeCommand::start
#[derive(Debug)]
#[must_use = "dropping it leaves the child running, and it is not waited for"]
#[non_exhaustive]
pub struct Scoped {
    /// The process, as tokio's own: its pipes, its status, `kill`.
    pub child: Child,
    /// The scope.
    pub unit: Unit,
}

/// What is to be spawned: made where it may block.
pub(super) struct Launch {
    pub command: tokio::process::Command,
    /// What it becomes instead of the command's program, with `$INVOCATION_ID`.
    pub program: Option<Program>,
}

impl Scope {
    /// Spawns a command of tokio's (or of `std`, made into one) in the scope: its process is there from its first
    /// instruction on. It is a child of this process, as ever, with all that was said of it.
    ///
    /// The process is made at once and held back, as the last of what `CommandExt::pre_exec` was told, until the scope is
    /// there. So it has this process's `$INVOCATION_ID`, if anything; that of the scope is in
    /// [`Unit::invocation_id`], and [`Command::scope`](crate::Command::scope) sets it. The command is taken, since what
    /// holds the process back could not be taken out of it again. It is spawned from a thread that ends then: a process
    /// that wants a signal when its parent ends (`PR_SET_PDEATHSIG`) would get it at once. And while it is held it has
    /// copies of the descriptors of this process, as every child has until its program runs: another `Command::spawn`
    /// of this process may be as long about it.
    ///
    /// Dropping the future before it resolves gives it up: the process is ended, and the scope goes with it. With
    /// [`kill_on_drop`](Scope::kill_on_drop) the scope is stopped when the [`Unit`] is dropped; the `Child` does what
    /// the command said.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for input that cannot be sent, and a manager that is not of this host, before anything is done.
    /// Then [`Error::ProgramNotFound`] and [`Error::System`] for what the spawn fails with; [`Error::UnitExists`],
    /// [`Error::AccessDenied`], [`Error::Call`] and [`Error::Failed`] for what systemd refuses: no process is left then.
    /// [`Error::NoRuntime`] outside of a tokio runtime.
    pub fn spawn<C>(&self, command: C, manager: &Manager) -> impl Future<Output = Result<Scoped>> + Send + use<C>
    where
        C: Into<tokio::process::Command>,
    {
        let command = command.into();
        let std = command.as_std();
        let words: Vec<_> =
            std::iter::once(std.get_program()).chain(std.get_args()).map(|word| word.to_string_lossy()).collect();
        let names = Names {
            program: words[0].as_ref().into(),
            description: words::describe(words.iter().map(|word| &**word)),
            identified: false,
        };
        self.launch(names, move || Ok(Launch { command, program: None }), manager)
    }

    /// Spawns what `make` makes, which may block, in the scope.
    pub(super) fn launch<M>(
        &self,
        names: Names,
        make: M,
        manager: &Manager,
    ) -> impl Future<Output = Result<Scoped>> + Send + use<M>
    where
        M: FnOnce() -> Result<Launch> + Send + 'static,
    {
        let (scope, manager) = (self.clone(), manager.clone());
        async move {
            let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
            let failed = |error| Error::io("make a pair of sockets", &error);
            let (ours, theirs) = hold::pair().map_err(failed)?;
            ours.set_nonblocking(true).map_err(failed)?;
            let ours = Arc::new(Line {
                socket: UnixStream::from_std(ours).map_err(failed)?,
                process: OnceLock::new(),
                told: AtomicBool::new(false),
                abandoned: AtomicBool::new(false),
            });
            let habits = scope.habits;
            let (line, on) = (ours.clone(), runtime.clone());
            // In a task, so that the process is not held for as long as nobody polls this.
            let start = async move {
                let prepared = scope.prepare(&manager).await?;
                prepared.check_descriptors(0, &manager)?;
                // As long as it is held: each is a thread.
                let _admission = manager.admit_held().await;
                let spawned = spawn(on, theirs, make, line.clone())?;
                let held = Held { line, spawned: Some(spawned) };
                held.start(prepared, &names, &manager).await
            };
            let task = runtime.spawn(start.in_current_span());
            let abandon = Abandon { task: task.abort_handle(), line: ours };
            let (child, mut unit) = task.await.map_err(|_| Error::RuntimeGone)??;
            drop(abandon);
            unit.habits = habits;
            Ok(Scoped { child: child.keep(), unit })
        }
    }
}

/// How a command is spoken of.
pub(super) struct Names {
    pub program: Box<str>,
    pub description: String,
    /// Whether its process wants the scope's ID.
    pub identified: bool,
}

/// Gives the start up when it is dropped. After its end nothing is left to give up.
struct Abandon {
    task: AbortHandle,
    line: Arc<Line>,
}

impl Drop for Abandon {
    fn drop(&mut self) {
        self.line.abandoned.store(true, Ordering::SeqCst);
        // Once systemd was told, the task sees to the end of it.
        if !self.line.told.load(Ordering::SeqCst) {
            self.task.abort();
        }
        // At once, also where the runtime does not run now.
        self.line.hang_up();
    }
}

/// The line to a process that is held.
struct Line {
    socket: UnixStream,
    /// A descriptor of the process, from when it is held.
    process: OnceLock<OwnedFd>,
    /// Whether systemd may have been told of it. Then it must not end before that has put it into the scope: a scope around
    /// a process that has ended never ends itself. To stop the scope ends it.
    told: AtomicBool,
    /// Nobody wants it any more.
    abandoned: AtomicBool,
}

impl Line {
    /// Has the process end, now or later.
    fn hang_up(&self) {
        if !self.told.load(Ordering::SeqCst) {
            let _ = send(self.socket.as_raw_fd(), &[0], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
        // There are copies of the socket, in other processes that are held: to close it would not do.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

/// A process of which its owner does not know yet: dropped, it is killed.
struct Fresh(Option<Child>);

impl Fresh {
    fn keep(mut self) -> Child {
        self.0.take().expect("taken once")
    }

    /// Kills it and waits for its end.
    async fn end(mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill().await;
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.start_kill();
        }
    }
}

enum Unspawned {
    Refused(Error),
    Failed(io::Error),
}

type Spawned = std::result::Result<Fresh, Unspawned>;

/// Spawns on a thread of its own, since a spawn only returns when the program was executed.
fn spawn(
    runtime: Handle,
    hold: Hold,
    make: impl FnOnce() -> Result<Launch> + Send + 'static,
    line: Arc<Line>,
) -> Result<oneshot::Receiver<Spawned>> {
    let (told, spawned) = oneshot::channel();
    let work = move || {
        let _entered = runtime.enter();
        let spawned = make().map_err(Unspawned::Refused).and_then(|Launch { mut command, program }| {
            hold.install(command.as_std_mut(), program);
            let spawned = command.spawn();
            if let (Err(_), Some(process)) = (&spawned, line.process.get()) {
                // tokio may have failed to take over a process that exists: the runtime is gone, for instance.
                end_process(process);
            }
            spawned.map(|child| Fresh(Some(child))).map_err(Unspawned::Failed)
        });
        // To nobody where it was given up: then the process goes.
        drop(told.send(spawned));
    };
    let thread = thread::Builder::new().name("sdrun-spawn".into()).spawn(work);
    thread.map(|_| spawned).map_err(|error| Error::io("start a thread that spawns the process", &error))
}

/// Kills a child, and waits for it. One that was waited for is no more.
fn end_process(process: &OwnedFd) {
    if hold::kill_process(process.as_fd(), nix::libc::SIGKILL).is_ok() {
        let _ = waitid(Id::PIDFd(process.as_fd()), WaitPidFlag::WEXITED);
    }
}

/// A process that is held, or is about to be. Dropped, it ends.
struct Held {
    line: Arc<Line>,
    /// Until it was received.
    spawned: Option<oneshot::Receiver<Spawned>>,
}

impl Held {
    async fn start(mut self, prepared: Prepared<'_>, names: &Names, manager: &Manager) -> Result<(Fresh, Unit)> {
        let process = self.until_held(names).await?;
        if let Ok(descriptor) = hold::open_process(process) {
            let _ = self.line.process.set(descriptor);
        }
        let processes = ("PIDs", array("u", vec![Value::U32(process)]));
        self.line.told.store(true, Ordering::SeqCst);
        let unit = match prepared.start(processes, (Some(&names.description), true), manager).await {
            Ok(unit) => unit,
            Err(error) => {
                self.line.told.store(false, Ordering::SeqCst);
                self.line.hang_up();
                if let Some(Ok(child)) = self.spawned().await {
                    child.end().await;
                }
                return Err(error);
            }
        };
        if self.line.abandoned.load(Ordering::SeqCst) {
            // It is in the scope, and ends with it.
            let _ = unit.stop().await;
            if let Some(Ok(child)) = self.spawned().await {
                child.end().await;
            }
            return Err(ended());
        }
        let id = if names.identified { invocation_id(&unit).await } else { [0; GO] };
        // Where it fails the process has ended, and that shows below.
        let _ = send(self.line.socket.as_raw_fd(), &id, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        let spawned = self.spawned().await;
        let went = self.word_now() == Some(Word::Going);
        let error = match spawned {
            Some(Ok(child)) if went => return Ok((child, unit)),
            // The scope is around a process that had ended, and would never end itself.
            Some(Ok(child)) => {
                child.end().await;
                ended()
            }
            Some(Err(Unspawned::Failed(error))) if went => match error.raw_os_error() {
                Some(nix::libc::ENOENT) => Error::ProgramNotFound { program: names.program.clone() },
                _ => Error::io("execute the program", &error),
            },
            other => unspawned(None, other, names),
        };
        // So that it is gone when the error is known. It has ended by itself, perhaps.
        let _ = unit.stop().await;
        Err(error)
    }

    /// Waits until the process is held: its ID.
    async fn until_held(&mut self, names: &Names) -> Result<u32> {
        let line = self.line.clone();
        let Some(spawned) = &mut self.spawned else { return Err(Error::RuntimeGone) };
        let (word, spawned) = match select(pin!(next_word(&line.socket)), spawned).await {
            Either::Left((Some(Word::Held(process)), _)) => return Ok(process),
            Either::Left((word, _)) => (word, self.spawned().await),
            Either::Right((spawned, _)) => {
                self.spawned = None;
                (self.word_now(), spawned.ok())
            }
        };
        match spawned {
            Some(Ok(child)) => {
                child.end().await;
                Err(ended())
            }
            spawned => Err(unspawned(word, spawned, names)),
        }
    }

    /// What came of the spawn; nothing where its thread has panicked.
    async fn spawned(&mut self) -> Option<Spawned> {
        self.spawned.take()?.await.ok()
    }

    /// What the process has said and was not read, if anything.
    fn word_now(&self) -> Option<Word> {
        let mut bytes = [0; Word::SIZE];
        let read = recv(self.line.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT);
        if read == Ok(Word::SIZE) { Word::parse(bytes) } else { None }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.line.hang_up();
    }
}

async fn next_word(socket: &UnixStream) -> Option<Word> {
    let mut bytes = [0; Word::SIZE];
    loop {
        socket.readable().await.ok()?;
        match socket.try_read(&mut bytes) {
            Ok(Word::SIZE) => return Word::parse(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return None,
        }
    }
}

/// The scope's ID, zeroes where it cannot be had.
async fn invocation_id(unit: &Unit) -> [u8; GO] {
    if let Some(id) = unit.invocation_id() {
        return *id.as_bytes();
    }
    match unit.get("InvocationID").await {
        Ok(Value::Bytes(bytes)) => InvocationId::from_bytes(&bytes).map_or([0; GO], |id| *id.as_bytes()),
        _ => [0; GO],
    }
}

/// Why there is no process that is held.
fn unspawned(word: Option<Word>, spawned: Option<Spawned>, names: &Names) -> Error {
    let operation = match word {
        Some(Word::Failed(Step::Nice)) => "set the nice level of the process",
        Some(Word::Failed(Step::Groups)) => "set the supplementary groups of the process",
        Some(Word::Failed(Step::Group)) => "set the group of the process",
        Some(Word::Failed(Step::User)) => "set the user of the process",
        Some(Word::Failed(Step::Directory)) => "enter the working directory of the process",
        _ => "make the process",
    };
    match spawned {
        Some(Err(Unspawned::Refused(error))) => error,
        Some(Err(Unspawned::Failed(error))) if error.raw_os_error().is_some() => Error::io(operation, &error),
        // A NUL byte in it, for instance.
        Some(Err(Unspawned::Failed(error))) => Error::invalid("command", &names.program, error.to_string()),
        Some(Ok(_)) => ended(),
        None => Error::RuntimeGone,
    }
}

fn ended() -> Error {
    Error::system("hold the process until its scope is there (it was ended meanwhile)", Errno::ESRCH)
}
