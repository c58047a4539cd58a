//! Making a connection, and making it again when it was lost.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use nix::errno::Errno;
use tokio::io::Interest as Readiness;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::child::lost;
use super::connection::{Bus, Interest, Step, Target};
use super::watch::watch;
use crate::error::{Error, Result};

/// Between two attempts, at first and at most. A manager that re-executes itself is back within some milliseconds.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));

/// How long one attempt may take: a peer that accepts and then says nothing, as a bus daemon that is stopped, is tried again.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Where a connection leads, and what it is like.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub target: Target,
    /// See [`Bus::allow_interactive_authorization`].
    pub interactive: bool,
    /// For how long it is tried to be made again when it was lost; not at all without.
    pub patience: Option<Duration>,
}

impl Way {
    /// A connection that is not made again.
    pub fn once(target: Target) -> Self {
        Way { target, interactive: false, patience: None }
    }
}

/// Makes a connection that was lost again, as long as there is patience and nothing speaks against it.
///
/// `guard` is readable when it is sure that nobody will be there any more. It is tried only `once` where somebody asks
/// for a connection that was given up.
pub(super) async fn reconnect(
    way: Way,
    patience: Duration,
    once: bool,
    guard: Option<OwnedFd>,
) -> Result<(Bus, AsyncFd<OwnedFd>)> {
    let deadline = Instant::now().checked_add(patience);
    let attempts = async {
        let mut pause = PAUSE.0;
        loop {
            let error = match tokio::time::timeout(ATTEMPT, connect(&way)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => error,
                Err(_) => Error::system("connect", Errno::ETIMEDOUT),
            };
            let late = deadline.is_some_and(|deadline| Instant::now() + pause >= deadline);
            if once || late || way.target.is_gone(&error) || matches!(error, Error::RuntimeGone) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    };
    let attempts = async {
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), attempts).await.ok(),
            None => Some(attempts.await),
        }
    };
    match select(pin!(attempts), pin!(ended(guard))).await {
        Either::Left((Some(result), _)) => result.map_err(|error| still_lost(&error, patience, once)),
        Either::Left((None, _)) => {
            Err(Error::Disconnected { reason: format!("for {patience:?} nobody has answered").into() })
        }
        Either::Right(_) => Err(Error::Disconnected { reason: ENDED.into() }),
    }
}

/// Why a connection is not made again.
pub(crate) const ENDED: &str = "the service manager has ended";

fn still_lost(error: &Error, patience: Duration, once: bool) -> Error {
    match error {
        Error::RuntimeGone | Error::NoRuntime => error.clone(),
        error if once => Error::Disconnected { reason: lost(error).into() },
        error => Error::Disconnected {
            reason: format!("for {patience:?} it could not be made again: {}", lost(error)).into(),
        },
    }
}

/// Waits until the process has ended that this is a descriptor of.
async fn ended(guard: Option<OwnedFd>) {
    let watched = guard.and_then(|guard| watch(guard, Readiness::READABLE).ok());
    match watched {
        Some(guard) if guard.readable().await.is_ok() => {}
        _ => pending().await,
    }
}

/// Opens a connection and sees it through its handshake.
pub(super) async fn connect(way: &Way) -> Result<(Bus, AsyncFd<OwnedFd>)> {
    let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
    let bus = if way.target.blocks() {
        let target = way.target.clone();
        runtime.spawn_blocking(move || Bus::open(&target)).await.map_err(|_| Error::RuntimeGone)??
    } else {
        Bus::open(&way.target)?
    };
    let (bus, fd) = handshake(bus).await?;
    if way.interactive {
        bus.allow_interactive_authorization()?;
    }
    Ok((bus, fd))
}

pub(super) async fn handshake(mut bus: Bus) -> Result<(Bus, AsyncFd<OwnedFd>)> {
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
