//! A unit: the handle to it, and how it ends.

mod activation;
mod adoption;
mod control;
pub(crate) mod exit;
mod forward;
pub(crate) mod machine;
pub(crate) mod name;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod runs;
pub(crate) mod states;
pub(crate) mod stdio;
pub(crate) mod tracked;
mod trigger;
mod usage;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub use control::Whom;
pub use exit::{Exit, InvocationId, Outcome, Status};
pub use forward::{Forward, Forwarded};
pub use pty::{Pty, PtyReader, PtyWriter, WindowSize};
pub use states::{ActiveState, State, States};
pub use stdio::{ChildStderr, ChildStdin, ChildStdout};
pub use trigger::{Activations, Trigger};
pub use usage::Usage;

use crate::error::Result;
use crate::manager::Manager;
use tracked::Tracked;

/// A handle to a unit that was started: await it, and it resolves to the unit's [`Exit`].
///
/// Dropping it leaves the unit running, as dropping a `tokio::process::Child` does.
///
/// ```no_run
/// # async fn example() -> sdrun::Result<()> {
/// let unit = sdrun::run(["/bin/sleep", "1"]).await?;
/// println!("{} is running", unit.name());
/// let exit = unit.await?;
/// assert!(exit.success());
/// # Ok(())
/// # }
/// ```
#[must_use = "the unit's exit is had by awaiting it; drop it with `drop` to leave it running"]
pub struct Unit {
    /// The other end of the unit's standard input, where that is [`Stdio::piped`](crate::Stdio::piped). To be taken
    /// (`unit.stdin.take()`) and dropped when all is written.
    pub stdin: Option<ChildStdin>,
    /// The other end of the unit's standard output, where that is [`Stdio::piped`](crate::Stdio::piped).
    pub stdout: Option<ChildStdout>,
    /// The other end of the unit's standard error, where that is [`Stdio::piped`](crate::Stdio::piped).
    pub stderr: Option<ChildStderr>,
    /// The terminal that it runs on, after [`Command::pty`](crate::Command::pty). To be taken (`unit.pty.take()`), or
    /// forwarded with [`forward_terminal`](Unit::forward_terminal).
    ///
    /// Where the handle is awaited as a whole and this is still in it, what the program writes is read and thrown away
    /// until the unit has ended, and then the terminal is hung up. [`wait`](Unit::wait) reads nothing: there a program
    /// that writes more than the terminal holds waits for its reader.
    pub pty: Option<Pty>,
    pub(crate) habits: Habits,
    tracked: Arc<Tracked>,
    /// The manager that runs it; empty as long as a spawned start waits for a connection.
    manager: Arc<OnceLock<Manager>>,
    following: Arc<Following>,
}

/// Has a unit be followed as long as this exists: its handle has it, and so have the ends of its pipes where they are
/// to learn of its end.
#[derive(Debug)]
pub(crate) struct Following {
    pub tracked: Arc<Tracked>,
    manager: Arc<OnceLock<Manager>>,
    /// It is to be stopped, by the task that starts it or, when that is done, by whoever says so.
    given_up: AtomicBool,
    /// A task is starting it.
    starting: AtomicBool,
}

impl Following {
    /// Stops the unit, or has the task do so that starts it.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        if !self.starting.load(Ordering::SeqCst) {
            self.stop();
        }
    }

    /// A task starts the unit. It holds this as long.
    pub fn start(&self) {
        self.starting.store(true, Ordering::SeqCst);
    }

    /// Whether the start is to be given up.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// The start was sent and accepted.
    pub fn started(&self) {
        self.starting.store(false, Ordering::SeqCst);
        if self.is_given_up() {
            self.stop();
        }
    }

    fn stop(&self) {
        if let Some(manager) = self.manager.get() {
            manager.give_up(&self.tracked);
        }
    }

    /// Follows the same unit for something else, whatever becomes of the handle.
    pub fn another(&self) -> Arc<Self> {
        self.tracked.hold();
        Arc::new(Following {
            tracked: self.tracked.clone(),
            manager: self.manager.clone(),
            given_up: AtomicBool::new(false),
            starting: AtomicBool::new(false),
        })
    }

    /// Waits until the unit has ended, or nothing more can be known of it.
    pub async fn until_ended(self: Arc<Self>) {
        let _ = self.tracked.ended().await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.tracked.release();
        if let Some(manager) = self.manager.get() {
            manager.unused(&self.tracked);
        }
    }
}

/// What a handle does by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    pub kill_on_drop: bool,
    pub raise_on_fail: bool,
}

impl Unit {
    pub(crate) fn new(tracked: Arc<Tracked>, manager: Arc<OnceLock<Manager>>) -> Self {
        let following = Arc::new(Following {
            tracked: tracked.clone(),
            manager: manager.clone(),
            given_up: AtomicBool::new(false),
            starting: AtomicBool::new(false),
        });
        Unit {
            stdin: None,
            stdout: None,
            stderr: None,
            pty: None,
            habits: Habits::default(),
            tracked,
            manager,
            following,
        }
    }

    /// Has the ends of the unit's pipes that are in the handle learn of the unit's end.
    pub(crate) fn tell_pipes_of_end(&mut self) {
        let following = &self.following;
        self.stdin.iter_mut().for_each(|stdin| stdin.end_with(following));
        self.stdout.iter_mut().for_each(|stdout| stdout.end_with(following));
        self.stderr.iter_mut().for_each(|stderr| stderr.end_with(following));
    }

    /// What handle, streams and the connection's side share.
    pub(crate) fn shared(&self) -> (&Arc<Tracked>, &Arc<OnceLock<Manager>>) {
        (&self.tracked, &self.manager)
    }

    pub(crate) fn following(&self) -> &Arc<Following> {
        &self.following
    }

    /// The unit's full name, for instance `backup.service`.
    pub fn name(&self) -> &str {
        self.tracked.name()
    }

    /// The ID of this run of the unit (`InvocationID`, `$INVOCATION_ID` in its processes): `None` until systemd's
    /// first signal about it has come. [`Exit`] has it too.
    pub fn invocation_id(&self) -> Option<InvocationId> {
        let known = self.tracked.invocation_id();
        if let (None, false, Some(manager)) = (known, self.tracked.is_over(), self.manager.get()) {
            manager.read_unread(&self.tracked);
        }
        known.or_else(|| self.tracked.invocation_id())
    }

    /// Waits until the unit has ended: it is inactive or failed, its start job is gone and it is not about to be
    /// restarted (`Restart=`). A unit that remains after its exit (`RemainAfterExit=`) counts as ended when its main
    /// process has.
    ///
    /// Cancel-safe and repeatable: each call, also a later one, gives the same answer. Unlike `tokio`'s it does not close
    /// [`stdin`](Unit::stdin): a program that reads it to its end waits for that to be dropped. (To await the handle
    /// as a whole closes it.)
    ///
    /// # Errors
    ///
    /// When the start was refused by systemd, after [`Command::spawn`](crate::Command::spawn); and
    /// [`Error::Disconnected`](crate::Error::Disconnected) or [`Error::RuntimeGone`](crate::Error::RuntimeGone) when
    /// the connection went away before the end was known; [`Error::Lost`](crate::Error::Lost) when it came back, and what
    /// became of the unit is not to be found out. A failure of the program is no error, but an [`Exit`], unless
    /// [`Command::raise_on_fail`](crate::Command::raise_on_fail) has it be [`Error::Failed`](crate::Error::Failed).
    pub async fn wait(&self) -> Result<Exit> {
        self.judge(self.tracked.ended().await)
    }

    fn judge(&self, end: Result<Exit>) -> Result<Exit> {
        let exit = end?;
        if self.habits.raise_on_fail {
            exit.check()?;
        }
        Ok(exit)
    }

    /// The unit's exit, if it has ended; `None` if not. Never waits.
    ///
    /// # Errors
    ///
    /// As [`wait`](Unit::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.tracked.try_told().map(|end| self.judge(end)).transpose()
    }
}

impl IntoFuture for Unit {
    type Output = Result<Exit>;
    type IntoFuture = Waiting;

    fn into_future(mut self) -> Waiting {
        // Nobody can write to it or read from them any more.
        drop((self.stdin.take(), self.stdout.take(), self.stderr.take()));
        match self.pty.take() {
            None => Waiting(Box::pin(async move { self.wait().await })),
            Some(pty) => Waiting(Box::pin(async move { pty.discard_until(self.wait()).await })),
        }
    }
}

/// The future of a [`Unit`] that is awaited as a whole.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Waiting(Pin<Box<dyn Future<Output = Result<Exit>> + Send + Sync>>);

impl Future for Waiting {
    type Output = Result<Exit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unit").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if self.habits.kill_on_drop {
            self.following.give_up();
        }
    }
}
