//! The manager against a systemd that is scripted: the other end of its connection, played by hand.

mod access;
mod adoption;
mod cut;
mod fake;
mod gaps;
mod growth;
mod hostile;
mod linger;
mod listening;
mod loss;
mod narrow;
mod questions;
mod signals;
mod start;
mod triggers;
mod undone;
mod usage;

use std::sync::{Arc, OnceLock};

use futures::FutureExt;

use super::connect::Scope;
use super::jobs::{Jobs, Most, Pace, STARTING};
use super::registry::Registry;
use super::{Inner, JobMode, Manager, Start};
use crate::bus::tests::{connected, soon};
use crate::bus::{Bus, Link};
use crate::error::{Error, Result};
use crate::unit::Unit;
use crate::unit::tracked::Tracked;
use fake::Fake;

/// A manager and the fake systemd that it is connected to: on a bus, or `direct`.
async fn manager(direct: bool) -> (Manager, Fake) {
    let (bus, peer) = connected();
    (over(bus, direct).await, Fake::new(peer, direct))
}

/// A manager over this connection.
async fn over(bus: Bus, direct: bool) -> Manager {
    let jobs = Arc::new(Jobs::new(!direct, Most::default()));
    let link = soon(Link::over(bus, Registry::new(direct, jobs.clone()))).await.unwrap();
    let (known, journals) = Default::default();
    let patience = super::recovery::PATIENCE;
    let inner = Inner { link, jobs, scope: Scope::System, private: direct, patience, known, journals };
    Manager { inner: Arc::new(inner) }
}

/// A start that was sent, whose reply is not here yet.
struct Starting {
    tracked: Arc<Tracked>,
    manager: Manager,
    future: futures::future::BoxFuture<'static, Result<()>>,
}

fn how(pace: Pace, restarts: bool) -> Start {
    Start { pace, restarts, usage: false, durable: false, mode: JobMode::Fail }
}

fn begin(manager: &Manager, name: &str) -> Starting {
    begin_with(manager, name, Pace::Quick, false)
}

fn begin_with(manager: &Manager, name: &str, pace: Pace, restarts: bool) -> Starting {
    let tracked = Arc::new(Tracked::new(name));
    let (theirs, inside) = (manager.clone(), tracked.clone());
    let mut future = async move {
        let mut handle = Handle(Some((theirs.clone(), inside.clone())));
        theirs.start(&inside, how(pace, restarts), |_| Ok(()), |_| Ok(())).await?;
        handle.0 = None;
        Ok(())
    }
    .boxed();
    assert!((&mut future).now_or_never().is_none(), "it waits for the reply");
    Starting { tracked, manager: manager.clone(), future }
}

/// What stands for the handle until there is one: like that it is gone after the start was given up.
struct Handle(Option<(Manager, Arc<Tracked>)>);

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some((manager, tracked)) = self.0.take() {
            tracked.release();
            manager.unused(&tracked);
        }
    }
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
const ALL: (usize, usize) = (STARTING, STARTING);

/// Nothing but the test holds the unit: no entry of the registry, and no call in flight.
fn is_forgotten(tracked: &Arc<Tracked>) -> bool {
    Arc::strong_count(tracked) == 1
}
