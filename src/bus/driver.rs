//! The bridge: one sd-bus connection, shared behind a lock and driven by one tokio task.
//!
//! A caller writes its own message while it holds the lock; the driver alone reads. What a message completed
//! is collected under the lock and acted on after it, because a waker runs code that is not ours.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError, Weak};
#[cfg(not(sdrun_helgrind))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::Interest as Readiness;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::child::lost;
use super::connection::{Bus, Interest, Parked, Step, Target, duplicate};
use super::message::{Kind, Message};
use super::nudge::Nudge;
#[cfg(sdrun_helgrind)]
use super::shown::{Mutex, MutexGuard};
use super::watch::watch;
use crate::error::{Error, Result};

/// How many messages the driver handles before it lets other tasks run.
const BUDGET: usize = 256;

/// How many calls may be unanswered. A stock system bus refuses every call past 128 of a connection.
const MOST_UNANSWERED: usize = 112;

/// What was decided under the lock and is to be done after it.
pub(crate) trait After: Default + Send + 'static {
    /// Does it, and is empty again afterwards.
    fn run(&mut self);
}

/// Who gets the messages of a connection.
pub(crate) trait Receiver: Sized + Send + 'static {
    /// What a reply is for.
    type Ticket: Send + 'static;
    type After: After;

    /// A reply to a call: `Err` when it is an error reply.
    fn reply(&mut self, ticket: Self::Ticket, reply: Result<&Message<'_>, Refusal<'_>>, cx: &mut Context<'_, Self>);
    /// A signal.
    fn signal(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>);
    /// The connection is gone, with it the replies to these calls. Nothing comes after this.
    fn lost(&mut self, error: &Error, outstanding: Vec<Self::Ticket>, after: &mut Self::After);
    /// Whether the connection must stay open even when nobody holds a [`Link`] to it.
    fn is_obliged(&self) -> bool;
    /// When [`timer`](Receiver::timer) wants to be called.
    fn deadline(&self) -> Option<Instant>;
    /// The deadline has passed.
    fn timer(&mut self, now: Instant, cx: &mut Context<'_, Self>);
}

/// An error reply: its D-Bus name and text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// The connection as a receiver sees it while it handles something.
pub(crate) struct Context<'a, R: Receiver> {
    pub bus: &'a Bus,
    pub after: &'a mut R::After,
    calls: &'a mut Calls<R::Ticket>,
}

impl<R: Receiver> Context<'_, R> {
    /// Sends a method call, or queues it where too many are unanswered. Its reply comes to the receiver with the ticket.
    /// Calls go out in the order in which they were made.
    pub fn call(&mut self, message: Message<'_>, ticket: R::Ticket) -> Result<()> {
        if self.calls.are_too_many() {
            let parked = self.bus.park(message)?;
            self.calls.queued.push_back((parked, Some(ticket)));
            return Ok(());
        }
        let cookie = self.bus.send(message)?;
        self.calls.unanswered.insert(cookie, ticket);
        Ok(())
    }

    /// Sends a method call that gets no reply, after all calls that were made before it.
    pub fn send_only(&mut self, message: Message<'_>) -> Result<()> {
        if self.calls.queued.is_empty() {
            return self.bus.send_only(message);
        }
        let parked = self.bus.park(message)?;
        self.calls.queued.push_back((parked, None));
        Ok(())
    }

    /// Sends what was queued, as far as there is room; what cannot be sent is given back.
    fn go_on(&mut self) -> Vec<(R::Ticket, Error)> {
        let mut failed = Vec::new();
        while self.calls.unanswered.len() < MOST_UNANSWERED {
            let Some((parked, ticket)) = self.calls.queued.pop_front() else { break };
            let Some(message) = self.bus.unpark(parked) else { continue };
            match ticket {
                None => drop(self.bus.send_only(message)),
                Some(ticket) => match self.bus.send(message) {
                    Ok(cookie) => drop(self.calls.unanswered.insert(cookie, ticket)),
                    Err(error) => failed.push((ticket, error)),
                },
            }
        }
        failed
    }
}

/// The calls that have no answer yet.
struct Calls<T> {
    /// Those that were sent, by their cookies.
    unanswered: HashMap<u64, T>,
    /// Those that wait for their turn.
    queued: VecDeque<(Parked, Option<T>)>,
}

impl<T> Calls<T> {
    fn are_too_many(&self) -> bool {
        self.unanswered.len() >= MOST_UNANSWERED || !self.queued.is_empty()
    }

    fn drain(&mut self) -> Vec<T> {
        let queued = self.queued.drain(..).filter_map(|(_, ticket)| ticket);
        self.unanswered.drain().map(|(_, ticket)| ticket).chain(queued).collect()
    }
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Calls { unanswered: HashMap::new(), queued: VecDeque::new() }
    }
}

/// A connection that is shared and driven. It is closed when the last `Link` to it is gone.
pub(crate) struct Link<R: Receiver> {
    shared: Arc<Shared<R>>,
}

impl<R: Receiver> Clone for Link<R> {
    fn clone(&self) -> Self {
        Link { shared: self.shared.clone() }
    }
}

impl<R: Receiver> fmt::Debug for Link<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

struct Shared<R: Receiver> {
    state: Mutex<State<R>>,
    /// Wakes the driver: it has to write, to look at the deadline again, or to end.
    nudge: Nudge,
}

struct State<R: Receiver> {
    receiver: R,
    calls: Calls<R::Ticket>,
    /// What the driver's timer is set to.
    armed: Option<Instant>,
    /// Present while the receiver is obliged: a cycle, which the driver breaks.
    kept: Option<Arc<Shared<R>>>,
    connection: Connection,
}

enum Connection {
    Open(Bus),
    /// It is over, and the program that it led through is asked why. Whoever comes meanwhile gets what is known.
    Ending(Error),
    Lost(Error),
}

impl<R: Receiver> Link<R> {
    /// Connects, and spawns the driver on the current runtime.
    ///
    /// Cancel-safe: dropping the future closes the connection.
    pub async fn open(target: Target, receiver: R) -> Result<Self> {
        let (bus, fd) = connect(target).await?;
        Ok(Self::drive(bus, fd, receiver))
    }

    /// The same on a connection that a test has made.
    #[cfg(test)]
    pub async fn over(bus: Bus, receiver: R) -> Result<Self> {
        let (bus, fd) = handshake(bus).await?;
        Ok(Self::drive(bus, fd, receiver))
    }

    fn drive(bus: Bus, fd: AsyncFd<OwnedFd>, receiver: R) -> Self {
        let state =
            State { receiver, calls: Calls::default(), armed: None, kept: None, connection: Connection::Open(bus) };
        let shared = Arc::new(Shared { state: Mutex::new(state), nudge: Nudge::new() });
        tokio::spawn(Driver {
            shared: Arc::downgrade(&shared),
            readable: fd,
            writable: None,
            timer: None,
            ending: None,
            after: R::After::default(),
        });
        Link { shared }
    }

    /// Runs `act` on the receiver while holding the connection.
    ///
    /// # Errors
    ///
    /// How the connection was lost, when it was; `act` is not run then.
    pub fn with<T>(&self, act: impl FnOnce(&mut R, &mut Context<'_, R>) -> T) -> Result<T> {
        let mut after = R::After::default();
        let mut state = self.shared.lock();
        let State { receiver, calls, armed, kept, connection } = &mut *state;
        let bus = match connection {
            Connection::Open(bus) => bus,
            Connection::Ending(error) | Connection::Lost(error) => return Err(error.clone()),
        };
        let value = act(receiver, &mut Context { bus, after: &mut after, calls });
        self.shared.keep(receiver, kept);
        let unwritten = bus.interest().is_ok_and(|interest| interest.contains(Interest::WRITABLE));
        // Writing may have shown that the connection is broken, of which the descriptor need not tell the driver.
        let broken = matches!(bus.timeout(), Ok(Some(Duration::ZERO)));
        let sooner = match (receiver.deadline(), *armed) {
            (Some(wanted), Some(armed)) => wanted < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(state);
        if unwritten || broken || sooner {
            self.shared.nudge.nudge();
        }
        after.run();
        Ok(value)
    }

    /// Whether the connection was lost.
    pub fn is_lost(&self) -> bool {
        !matches!(self.shared.lock().connection, Connection::Open(_))
    }
}

impl<R: Receiver> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // A panic under the lock would be a bug of ours, and the state is whole between two messages.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and dispatches until nothing is left or the budget is spent.
    fn turn(self: &Arc<Self>, after: &mut R::After) -> Turn {
        let mut state = self.lock();
        let State { receiver, calls, armed, kept, connection } = &mut *state;
        let Connection::Open(bus) = connection else { return Turn::Over };
        let mut cx = Context { bus, after, calls };
        for _ in 0..BUDGET {
            let idle = match bus.process() {
                Ok(Step::Message(message)) => {
                    dispatch(receiver, message, &mut cx);
                    false
                }
                Ok(Step::Progress) => false,
                Ok(Step::Idle) => true,
                Err(error) => return Turn::Lost(error),
            };
            if !idle {
                continue;
            }
            let now = Instant::now();
            if receiver.deadline().is_some_and(|deadline| deadline <= now) {
                receiver.timer(now, &mut cx);
            }
            self.keep(receiver, kept);
            // sd-bus may be idle and yet due: a message that is queued inside it, or an end of file that it
            // has still to report, show only in its timeout.
            return match (bus.timeout(), bus.interest()) {
                (Ok(Some(Duration::ZERO)), Ok(_)) => continue,
                (Ok(timeout), Ok(interest)) => {
                    let timeout = timeout.map(|timeout| now + timeout);
                    *armed = [timeout, receiver.deadline()].into_iter().flatten().min();
                    Turn::Wait { write: interest.contains(Interest::WRITABLE), until: *armed }
                }
                (Err(error), _) | (_, Err(error)) => Turn::Lost(error),
            };
        }
        self.keep(receiver, kept);
        Turn::More
    }

    /// Keeps the connection open while the receiver is obliged.
    fn keep(self: &Arc<Self>, receiver: &R, kept: &mut Option<Arc<Self>>) {
        match receiver.is_obliged() {
            true if kept.is_none() => *kept = Some(self.clone()),
            // Not the last reference: the caller holds one.
            false => *kept = None,
            true => {}
        }
    }

    /// Closes the connection. Where a program knows more of why, that is yet to be asked.
    fn close(&self, error: Error) -> Result<impl Future<Output = Error> + Send + use<R>, Error> {
        let mut state = self.lock();
        let Connection::Open(bus) = &mut state.connection else { return Err(error) };
        let Some(program) = bus.take_program() else { return Err(error) };
        let closed = std::mem::replace(&mut state.connection, Connection::Ending(program.explain(error.clone())));
        drop(state);
        drop(closed);
        Ok(program.end(error))
    }

    /// Ends the connection and tells everyone who waits on it.
    fn lose(&self, error: Error, after: &mut R::After) {
        let mut state = self.lock();
        if matches!(state.connection, Connection::Lost(_)) {
            return;
        }
        tracing::debug!(%error, "connection to the service manager lost");
        let State { receiver, calls, connection, kept, .. } = &mut *state;
        *kept = None;
        receiver.lost(&error, calls.drain(), after);
        let connection = std::mem::replace(connection, Connection::Lost(error));
        drop(state);
        drop(connection);
    }
}

impl<R: Receiver> Drop for Shared<R> {
    fn drop(&mut self) {
        self.nudge.wake();
    }
}

/// Gives a message to the receiver.
fn dispatch<R: Receiver>(receiver: &mut R, message: Message<'_>, cx: &mut Context<'_, R>) {
    let kind = message.kind();
    match kind {
        Some(Kind::Signal) => receiver.signal(message, cx),
        Some(Kind::MethodReturn) => {
            if let Some(ticket) = message.reply_cookie().and_then(|cookie| cx.calls.unanswered.remove(&cookie)) {
                receiver.reply(ticket, Ok(&message), cx);
            }
        }
        Some(Kind::MethodError) => {
            if let Some(ticket) = message.reply_cookie().and_then(|cookie| cx.calls.unanswered.remove(&cookie)) {
                let (name, text) = message.error().unwrap_or(("org.freedesktop.DBus.Error.Failed", ""));
                receiver.reply(ticket, Err(Refusal { name, text }), cx);
            }
        }
        // sdrun offers no objects; sd-bus itself has answered the calls that every peer must answer.
        Some(Kind::MethodCall) => {
            let refused = message
                .error_reply(c"org.freedesktop.DBus.Error.UnknownObject", c"sdrun offers no objects")
                .and_then(|reply| cx.bus.send_only(reply));
            if let Err(error) = refused {
                tracing::debug!(%error, "cannot refuse a method call");
            }
        }
        None => {}
    }
    if matches!(kind, Some(Kind::MethodReturn | Kind::MethodError)) {
        for (ticket, error) in cx.go_on() {
            let text = error.to_string();
            receiver.reply(ticket, Err(Refusal { name: "org.freedesktop.DBus.Error.Failed", text: &text }), cx);
        }
    }
}

/// How a turn of the driver ended.
enum Turn {
    /// The budget is spent.
    More,
    /// Nothing left to do until the descriptor is ready, or then.
    Wait { write: bool, until: Option<Instant> },
    /// The connection broke.
    Lost(Error),
    /// The connection was lost before.
    Over,
}

/// The task that reads a connection. It holds no strong reference while it waits.
struct Driver<R: Receiver> {
    shared: Weak<Shared<R>>,
    readable: AsyncFd<OwnedFd>,
    /// Present while sd-bus has something unwritten.
    writable: Option<AsyncFd<OwnedFd>>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Finds out why the connection is over.
    ending: Option<Pin<Box<dyn Future<Output = Error> + Send>>>,
    after: R::After,
}

// Nothing in it is pinned but what is in a box of its own.
impl<R: Receiver> Unpin for Driver<R> {}

impl<R: Receiver> Future for Driver<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Driver { shared, readable, writable, timer, ending, after } = &mut *self;
        let Some(shared) = shared.upgrade() else { return Poll::Ready(()) };
        shared.nudge.register(cx.waker());
        loop {
            if let Some(ending) = ending {
                let error = ready!(ending.as_mut().poll(cx));
                return Self::end(&shared, error, after);
            }
            // The guard comes before reading and is cleared only after sd-bus has seen EAGAIN: what arrives
            // between the two sets it again.
            let ready = match readable.poll_read_ready(cx) {
                Poll::Ready(Ok(guard)) => Some(guard),
                Poll::Ready(Err(_)) => return Self::end(&shared, Error::RuntimeGone, after),
                Poll::Pending => None,
            };
            let can_write = match writable.as_ref().map(|fd| fd.poll_write_ready(cx)) {
                Some(Poll::Ready(Ok(mut guard))) => {
                    guard.clear_ready();
                    true
                }
                Some(Poll::Ready(Err(_))) => return Self::end(&shared, Error::RuntimeGone, after),
                Some(Poll::Pending) | None => false,
            };
            let due = timer.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
            if due {
                *timer = None;
            }
            let nudged = shared.nudge.take();
            if ready.is_none() && !can_write && !due && !nudged {
                return Poll::Pending;
            }
            let turn = shared.turn(after);
            after.run();
            match turn {
                Turn::More => {
                    shared.nudge.again();
                    // Unlike a waker this has the runtime look at timers and descriptors first.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                Turn::Wait { write, until } => {
                    if let Some(mut guard) = ready {
                        guard.clear_ready();
                    }
                    if write != writable.is_some() {
                        *writable = match write.then(|| watch_too(readable, Readiness::WRITABLE)) {
                            Some(Err(error)) => return Self::end(&shared, error, after),
                            Some(Ok(fd)) => Some(fd),
                            None => None,
                        };
                    }
                    if timer.as_ref().map(|(at, _)| *at) != until {
                        *timer = until.map(|at| (at, Box::pin(tokio::time::sleep_until(at.into()))));
                    }
                }
                Turn::Lost(error) => match shared.close(disconnected(&error)) {
                    Ok(asking) => *ending = Some(Box::pin(asking)),
                    Err(error) => return Self::end(&shared, error, after),
                },
                Turn::Over => return Poll::Ready(()),
            }
        }
    }
}

impl<R: Receiver> Driver<R> {
    fn end(shared: &Shared<R>, error: Error, after: &mut R::After) -> Poll<()> {
        shared.lose(error, after);
        after.run();
        Poll::Ready(())
    }
}

/// A runtime that is shut down drops its tasks, this one too: who waits on another runtime is told.
impl<R: Receiver> Drop for Driver<R> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lose(Error::RuntimeGone, &mut self.after);
            self.after.run();
        }
    }
}

fn disconnected(error: &Error) -> Error {
    Error::Disconnected { reason: lost(error).into() }
}

/// Opens a connection and sees it through its handshake.
async fn connect(target: Target) -> Result<(Bus, AsyncFd<OwnedFd>)> {
    let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
    let bus = if target.blocks() {
        runtime.spawn_blocking(move || Bus::open(&target)).await.map_err(|_| Error::RuntimeGone)??
    } else {
        Bus::open(&target)?
    };
    handshake(bus).await
}

async fn handshake(mut bus: Bus) -> Result<(Bus, AsyncFd<OwnedFd>)> {
    let failed = match shake_hands(&mut bus).await {
        Ok(fd) => {
            bus.establish();
            return Ok((bus, fd));
        }
        Err(error) => error,
    };
    let program = bus.take_program();
    drop(bus);
    match program {
        Some(program) if !matches!(failed, Error::RuntimeGone) => Err(program.end(failed).await),
        _ => Err(failed),
    }
}

async fn shake_hands(bus: &mut Bus) -> Result<AsyncFd<OwnedFd>> {
    loop {
        let (interest, timeout) = match advance(bus)? {
            Progress::Ready => return watch(bus.fd()?, Readiness::READABLE),
            Progress::Wait(interest, timeout) => (interest, timeout),
        };
        // The descriptor may be another one each time, while sd-bus goes through the addresses.
        let mut readiness = Readiness::READABLE;
        if interest.contains(Interest::WRITABLE) {
            readiness |= Readiness::WRITABLE;
        }
        let fd = watch(bus.fd()?, readiness)?;
        let ready = std::future::poll_fn(|cx| {
            if interest.contains(Interest::WRITABLE) {
                if let Poll::Ready(ready) = fd.poll_write_ready(cx) {
                    return Poll::Ready(ready.map(drop));
                }
            }
            Poll::Ready(ready!(fd.poll_read_ready(cx)).map(drop))
        });
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, ready).await.unwrap_or(Ok(())),
            None => ready.await,
        }
        .map_err(|_| Error::RuntimeGone)?;
    }
}

enum Progress {
    Ready,
    Wait(Interest, Option<Duration>),
}

/// Carries the handshake on as far as it goes without waiting.
fn advance(bus: &Bus) -> Result<Progress> {
    loop {
        if bus.is_ready()? {
            return Ok(Progress::Ready);
        }
        if matches!(bus.process()?, Step::Idle) {
            match bus.timeout()? {
                Some(Duration::ZERO) => continue,
                timeout => return Ok(Progress::Wait(bus.interest()?, timeout)),
            }
        }
    }
}

/// The same descriptor for something else; the runtime takes none twice.
fn watch_too(fd: &AsyncFd<OwnedFd>, interest: Readiness) -> Result<AsyncFd<OwnedFd>> {
    watch(duplicate(fd.get_ref().as_fd())?, interest)
}
