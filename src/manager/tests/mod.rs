//! The manager against a systemd that is scripted: the other end of its connection, played by hand.

mod access;
mod adoption;
mod fake;
mod linger;
mod listening;
mod loss;
mod questions;
mod signals;
mod start;
mod triggers;
mod undone;
mod usage;

use std::sync::{Arc, OnceLock};

use futures::FutureExt;

use super::connect::Scope;
use super::jobs::{Jobs, Pace};
use super::registry::Registry;
use super::{Inner, JobMode, Manager, Start};
use crate::bus::Link;
use crate::bus::tests::{connected, soon};
use crate::error::{Error, Result};
use crate::unit::Unit;
use crate::unit::tracked::Tracked;
use fake::Fake;

/// A manager and the fake systemd that it is connected to: on a bus, or `direct`.
async fn manager(direct: bool) -> (Manager, Fake) {
    let (bus, peer) = connected();
    let jobs = Arc::new(Jobs::new(!direct));
    let link = soon(Link::over(bus, Registry::new(direct, jobs.clone()))).await.unwrap();
    let (known, journals) = Default::default();
    let inner = Inner { link, jobs, scope: Scope::System, private: direct, known, journals };
    (Manager { inner: Arc::new(inner) }, Fake::new(peer, direct))
}

/// A start that was sent, whose reply is not here yet.
struct Starting {
    tracked: Arc<Tracked>,
    manager: Manager,
    future: futures::future::BoxFuture<'static, Result<()>>,
}

fn how(pace: Pace, restarts: bool) -> Start {
    Start { pace, restarts, usage: false, mode: JobMode::Fail }
}

fn begin(manager: &Manager, name: &str) -> Starting {
    begin_with(manager, name, Pace::Quick, false)
}

fn begin_with(manager: &Manager, name: &str, pace: Pace, restarts: bool) -> Starting {
    let tracked = Arc::new(Tracked::new(name));
    let (theirs, inside) = (manager.clone(), tracked.clone());
    let mut future = async move { theirs.start(&inside, how(pace, restarts), |_| Ok(()), |_| Ok(())).await }.boxed();
    assert!((&mut future).now_or_never().is_none(), "it waits for the reply");
    Starting { tracked, manager: manager.clone(), future }
}

impl Starting {
    /// Waits for the reply.
    async fn unit(self) -> Result<Unit> {
        soon(self.future).await?;
        Ok(Unit::new(self.tracked, Arc::new(OnceLock::from(self.manager))))
    }

    /// Gives the start up.
    fn give_up(self) -> Arc<Tracked> {
        self.tracked
    }
}

/// Starts a unit; the number of its start job.
async fn started(manager: &Manager, fake: &Fake, name: &str) -> (Unit, u32) {
    let starting = begin(manager, name);
    let job = fake.accept(&fake.start(name));
    (starting.unit().await.unwrap(), job)
}

/// Lets the driver read what the fake has sent: a call of which the reply must come after all that.
async fn settle(manager: &Manager, fake: &Fake) {
    let asking = manager.property("settle.service", "an.Interface", "Property");
    let mut asking = std::pin::pin!(asking);
    assert!((&mut asking).now_or_never().is_none());
    let call = fake.expect("Get");
    fake.peer.refuse(&call, c"an.Error", c"");
    assert!(matches!(soon(asking).await, Err(Error::Call { .. })));
}

/// How many quick and how many lasting starts would be admitted now.
fn places(manager: &Manager) -> (usize, usize) {
    let free = |pace: Pace| {
        let admit = || tokio::task::unconstrained(manager.inner.jobs.admit(pace)).now_or_never();
        let held: Vec<_> = std::iter::from_fn(admit).take(1000).collect();
        held.len()
    };
    (free(Pace::Quick), free(Pace::Lasting))
}

/// How many signals are kept unread.
fn kept(manager: &Manager) -> usize {
    manager.inner.link.with(|_, cx| cx.bus.parked()).unwrap()
}

/// What is free when nothing is in flight.
const ALL: (usize, usize) = (64, 64);

/// Nothing but the test holds the unit: no entry of the registry, and no call in flight.
fn is_forgotten(tracked: &Arc<Tracked>) -> bool {
    Arc::strong_count(tracked) == 1
}
