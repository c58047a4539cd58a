//! The bridge: one sd-bus connection, shared behind a lock and driven by one tokio task.
//!
//! A caller writes its own message while it holds the lock; the driver alone reads. What a message completed
//! is collected under the lock and acted on after it, because a waker runs code that is not ours.

mod task;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, PoisonError, Weak};
#[cfg(not(sdrun_helgrind))]
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::connecting::{Way, connect};
use super::connection::{Bus, Interest, Parked, Step};
use super::message::{Kind, Message};
use super::nudge::Nudge;
#[cfg(sdrun_helgrind)]
use super::shown::{Mutex, MutexGuard};
use crate::error::{Error, Result};
use task::{Driver, Phase};

/// How many messages the driver handles before it lets other tasks run.
const BUDGET: usize = 256;

/// How many calls may be unanswered. A stock system bus refuses every call past 128 of a connection.
const MOST_UNANSWERED: usize = 112;

/// How many messages may wait to be written when sd-bus has answered one more call of the peer's. What we say ourselves
/// are some hundred at most. sd-bus would take 393,216, which are more than 300 MiB.
const MOST_UNWRITTEN: u64 = 16 * 1024;

/// What was decided under the lock and is to be done after it.
pub(crate) trait After: Default + Send + 'static {
    /// Whether it is to be done before anything else is read.
    fn is_urgent(&self) -> bool {
        false
    }
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
    /// The connection is gone, with it the replies to these calls. Nothing comes after this, but for
    /// [`resumed`](Receiver::resumed) where it is made again because somebody asks for it.
    fn lost(&mut self, error: &Error, outstanding: Vec<Self::Ticket>, after: &mut Self::After);
    /// The connection is gone, and is about to be made again: nothing can be sent until then, and what is parked goes.
    fn interrupted(&mut self, error: &Error, outstanding: Outstanding<Self::Ticket>, cx: &mut Context<'_, Self>) {
        self.lost(error, outstanding.unsent.into_iter().chain(outstanding.unanswered).collect(), cx.after);
    }
    /// The connection is there again. Nothing of what was asked for on the one before it is known to this one.
    fn resumed(&mut self, _cx: &mut Context<'_, Self>) {}
    /// What is readable when it is sure that the connection cannot be made again.
    fn guard(&self) -> Option<OwnedFd> {
        None
    }
    /// Whether the connection must stay open even when nobody holds a [`Link`] to it.
    fn is_obliged(&self) -> bool;
    /// When [`timer`](Receiver::timer) wants to be called.
    fn deadline(&self) -> Option<Instant>;
    /// The deadline has passed.
    fn timer(&mut self, now: Instant, cx: &mut Context<'_, Self>);
}

/// The calls that had no answer when the connection was lost.
#[derive(Debug)]
pub(crate) struct Outstanding<T> {
    /// Those that were never sent.
    pub unsent: Vec<T>,
    /// Those that were sent, perhaps: nobody knows what became of them.
    pub unanswered: Vec<T>,
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
        match self.bus.send(message) {
            Ok(cookie) => drop(self.calls.unanswered.insert(cookie, ticket)),
            // The driver is about to see that the connection is broken, and says so to whoever has calls on it.
            Err(Error::Disconnected { .. }) => self.calls.unsendable.push(ticket),
            Err(error) => return Err(error),
        }
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
                    Err(Error::Disconnected { .. }) => self.calls.unsendable.push(ticket),
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
    /// Those that a connection that was broken already did not take.
    unsendable: Vec<T>,
}

impl<T> Calls<T> {
    fn are_too_many(&self) -> bool {
        self.unanswered.len() >= MOST_UNANSWERED || !self.queued.is_empty()
    }

    fn drain(&mut self) -> Outstanding<T> {
        Outstanding {
            unsent: self.unsendable.drain(..).chain(self.queued.drain(..).filter_map(|(_, ticket)| ticket)).collect(),
            unanswered: self.unanswered.drain().map(|(_, ticket)| ticket).collect(),
        }
    }
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Calls { unanswered: HashMap::new(), queued: VecDeque::new(), unsendable: Vec::new() }
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
    /// Tells who waits for the connection that it has become another.
    changed: Notify,
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
    /// It was lost, and is being made again.
    Gap(Error),
    /// It was lost, and is made again when somebody asks for it.
    Away(Error),
    /// It is over, and the program that it led through is asked why. Whoever comes meanwhile gets what is known.
    Ending(Error),
    Lost(Error),
}

impl<R: Receiver> Link<R> {
    /// Connects, and spawns the driver on the current runtime.
    ///
    /// Cancel-safe: dropping the future closes the connection.
    pub async fn open(way: Way, receiver: R) -> Result<Self> {
        let (bus, fd) = connect(&way).await?;
        Ok(Self::drive(bus, fd, receiver, Some(way)))
    }

    /// The same on a connection that a test has made.
    #[cfg(any(test, fuzzing))]
    pub async fn over(bus: Bus, receiver: R) -> Result<Self> {
        let (bus, fd) = super::connecting::handshake(bus).await?;
        Ok(Self::drive(bus, fd, receiver, None))
    }

    fn drive(bus: Bus, fd: AsyncFd<OwnedFd>, receiver: R, way: Option<Way>) -> Self {
        let state =
            State { receiver, calls: Calls::default(), armed: None, kept: None, connection: Connection::Open(bus) };
        let shared = Arc::new(Shared { state: Mutex::new(state), nudge: Nudge::new(), changed: Notify::new() });
        let after = R::After::default();
        tokio::spawn(Driver { shared: Arc::downgrade(&shared), way, phase: Phase::reading(fd), after });
        Link { shared }
    }

    /// Runs `act` on the receiver while holding the connection.
    ///
    /// # Errors
    ///
    /// How the connection was lost, when it was, be it about to be made again; `act` is not run then.
    pub fn with<T>(&self, act: impl FnOnce(&mut R, &mut Context<'_, R>) -> T) -> Result<T> {
        self.act(self.shared.lock(), act)
    }

    fn act<T>(
        &self,
        mut state: MutexGuard<'_, State<R>>,
        act: impl FnOnce(&mut R, &mut Context<'_, R>) -> T,
    ) -> Result<T> {
        let mut after = R::After::default();
        let State { receiver, calls, armed, kept, connection } = &mut *state;
        let bus = match connection {
            Connection::Open(bus) => bus,
            other => return Err(other.error()),
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

    /// Runs `open` on the receiver as [`with`](Link::with) does or, while the connection is being made again, `gap`.
    ///
    /// # Errors
    ///
    /// How the connection was lost, when it was for good; neither is run then.
    pub fn either<T>(
        &self,
        open: impl FnOnce(&mut R, &mut Context<'_, R>) -> T,
        gap: impl FnOnce(&mut R, &mut R::After) -> T,
    ) -> Result<T> {
        let mut state = self.shared.lock();
        let State { receiver, kept, connection: Connection::Gap(_), .. } = &mut *state else {
            return self.act(state, open);
        };
        let mut after = R::After::default();
        let value = gap(receiver, &mut after);
        self.shared.keep(receiver, kept);
        drop(state);
        after.run();
        Ok(value)
    }

    /// Waits until the connection is there, if it is being made again. One that could not be is tried to be made once
    /// more.
    ///
    /// # Errors
    ///
    /// How the connection was lost.
    pub async fn ready(&self) -> Result<()> {
        let mut asked = false;
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if self.look(&mut asked)? {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Whether the connection is there. One that is away is `asked` for, once.
    fn look(&self, asked: &mut bool) -> Result<bool> {
        let mut state = self.shared.lock();
        match &state.connection {
            Connection::Open(_) => Ok(true),
            Connection::Gap(_) => Ok(false),
            Connection::Away(error) if !*asked => {
                *asked = true;
                state.connection = Connection::Gap(error.clone());
                drop(state);
                self.shared.nudge.nudge();
                Ok(false)
            }
            other => Err(other.error()),
        }
    }

    /// The same as [`with`](Link::with), once the connection is there.
    pub async fn with_ready<T>(&self, act: impl FnOnce(&mut R, &mut Context<'_, R>) -> T) -> Result<T> {
        let mut act = Some(act);
        loop {
            self.ready().await?;
            let done = self.with(|receiver, cx| act.take().map(|act| act(receiver, cx)));
            if let Ok(Some(value)) = done {
                return Ok(value);
            }
        }
    }

    /// Whether the connection was lost for good.
    pub fn is_lost(&self) -> bool {
        matches!(self.shared.lock().connection, Connection::Ending(_) | Connection::Lost(_))
    }

    /// The same connection, for who must not keep it open.
    pub fn downgrade(&self) -> WeakLink<R> {
        WeakLink(Arc::downgrade(&self.shared))
    }
}

/// A [`Link`] that does not keep the connection open.
pub(crate) struct WeakLink<R: Receiver>(Weak<Shared<R>>);

impl<R: Receiver> WeakLink<R> {
    pub fn upgrade(&self) -> Option<Link<R>> {
        self.0.upgrade().map(|shared| Link { shared })
    }
}

impl<R: Receiver> Clone for WeakLink<R> {
    fn clone(&self) -> Self {
        WeakLink(self.0.clone())
    }
}

impl<R: Receiver> fmt::Debug for WeakLink<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakLink").finish_non_exhaustive()
    }
}

impl Connection {
    /// How it was lost. One that is open was not: it is about to be closed.
    fn error(&self) -> Error {
        match self {
            Connection::Open(_) => Error::RuntimeGone,
            Connection::Gap(error) | Connection::Away(error) => error.clone(),
            Connection::Ending(error) | Connection::Lost(error) => error.clone(),
        }
    }
}

impl<R: Receiver> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        // A panic under the lock would be a bug of ours, and the state is whole between two messages.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and dispatches until nothing is left or the budget is spent, or until somebody is to be told at once: what has
    /// come after a unit's end, mostly more of the same unit, need not be read before the one who waits for it runs. Where
    /// many are in flight that one starts the next, which the manager could have at work meanwhile.
    fn turn(self: &Arc<Self>, after: &mut R::After) -> Turn {
        let mut state = self.lock();
        let State { receiver, calls, armed, kept, connection } = &mut *state;
        let Connection::Open(bus) = connection else { return Turn::Over };
        tracing::trace!("reading");
        let mut cx = Context { bus, after, calls };
        for _ in 0..BUDGET {
            let idle = match bus.process() {
                Ok(Step::Message(message)) => {
                    dispatch(receiver, message, &mut cx);
                    if cx.after.is_urgent() {
                        break;
                    }
                    false
                }
                // sd-bus answers some calls itself, pings for instance, of whomever they are.
                Ok(Step::Progress) if bus.unwritten() > MOST_UNWRITTEN => {
                    return Turn::Lost(Error::system("write to a peer that does not read", Errno::ENOBUFS));
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
        self.leave(&mut state, &error, after);
        let connection = std::mem::replace(&mut state.connection, Connection::Lost(error));
        drop(state);
        drop(connection);
        self.changed.notify_waiters();
    }

    fn leave(&self, state: &mut State<R>, error: &Error, after: &mut R::After) {
        let State { receiver, calls, kept, .. } = state;
        *kept = None;
        let Outstanding { unsent, unanswered } = calls.drain();
        receiver.lost(error, unanswered.into_iter().chain(unsent).collect(), after);
    }

    /// The connection is lost, and is to be made again: what speaks against that.
    fn interrupt(self: &Arc<Self>, error: Error, after: &mut R::After) -> Option<OwnedFd> {
        let mut state = self.lock();
        let State { receiver, calls, armed, kept, connection } = &mut *state;
        let Connection::Open(bus) = connection else { return None };
        tracing::debug!(%error, "connection to the service manager lost, making it again");
        let outstanding = calls.drain();
        receiver.interrupted(&error, outstanding, &mut Context { bus, after, calls });
        calls.drain();
        *armed = None;
        self.keep(receiver, kept);
        let guard = receiver.guard();
        let connection = std::mem::replace(connection, Connection::Gap(error));
        drop(state);
        drop(connection);
        guard
    }

    /// The connection is there again.
    fn resume(self: &Arc<Self>, bus: Bus, after: &mut R::After) {
        let mut state = self.lock();
        let State { receiver, calls, kept, connection, .. } = &mut *state;
        tracing::debug!("connected to the service manager again");
        receiver.resumed(&mut Context { bus: &bus, after, calls });
        self.keep(receiver, kept);
        *connection = Connection::Open(bus);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The connection could not be made again. It is once more tried when somebody asks for it.
    fn stay_away(&self, error: Error, after: &mut R::After) {
        let mut state = self.lock();
        tracing::debug!(%error, "connection to the service manager not made again");
        self.leave(&mut state, &error, after);
        state.connection = Connection::Away(error);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether somebody asks for the connection.
    fn is_asked_for(&self) -> bool {
        matches!(self.lock().connection, Connection::Gap(_))
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
        // sdrun offers no objects; sd-bus itself has answered the calls that every peer must answer. Who does not read what
        // it is told already is told no more: else it would pile up here.
        Some(Kind::MethodCall) if cx.bus.interest().is_ok_and(|interest| interest.contains(Interest::WRITABLE)) => {}
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
    /// There may be more to read.
    More,
    /// Nothing left to do until the descriptor is ready, or then.
    Wait { write: bool, until: Option<Instant> },
    /// The connection broke.
    Lost(Error),
    /// The connection was lost before.
    Over,
}
