//! Handles to units that start a service again and again: timers, paths, sockets.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::Stream;

use super::runs::Runs;
use super::{Following, Unit};
use crate::error::Result;
use crate::manager::Manager;

/// A timer, path or socket unit that was started, together with the service that it triggers:
/// [`TimerUnit`](crate::TimerUnit), [`PathUnit`](crate::PathUnit), [`SocketUnit`](crate::SocketUnit).
///
/// Dropping it leaves both as they are, unless [`Command::kill_on_drop`](crate::Command::kill_on_drop) was set: then the
/// unit that triggers is stopped, though not a run of the service that has begun.
///
/// ```no_run
/// # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
/// use futures::StreamExt;
///
/// let mut backup = sdrun::Command::new("/usr/bin/backup");
/// let trigger = sdrun::TimerUnit::new().on_calendar("Mon..Fri 10:00")?.start(&manager, &mut backup).await?;
/// let mut activations = trigger.activations();
/// while let Some(run) = activations.next().await {
///     println!("{}", run?.await?);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "drop it with `drop` to leave it to systemd"]
pub struct Trigger {
    unit: Unit,
    service: Box<str>,
    source: Arc<Source>,
}

/// Has the runs of the service be followed as long as this exists.
#[derive(Debug)]
struct Source {
    runs: Arc<Runs>,
    service: Box<str>,
    manager: Arc<OnceLock<Manager>>,
    raise_on_fail: bool,
    /// The unit that triggers is followed as long, since the runs end with it.
    _following: Arc<Following>,
}

impl Trigger {
    pub(crate) fn new(unit: Unit, service: &str, runs: Arc<Runs>, manager: Manager) -> Self {
        let source = Source {
            runs,
            service: service.into(),
            manager: Arc::new(OnceLock::from(manager)),
            raise_on_fail: unit.habits.raise_on_fail,
            _following: unit.following().clone(),
        };
        Trigger { unit, service: service.into(), source: Arc::new(source) }
    }

    /// The unit that triggers: to stop it, see its states, read its properties.
    ///
    /// It ends when it is stopped, or, as a timer, when no time is left at which it would elapse.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Gives up following the service, and keeps the unit that triggers.
    pub fn into_unit(self) -> Unit {
        self.unit
    }

    /// The full name of the service, for instance `backup.service`.
    pub fn service_name(&self) -> &str {
        &self.service
    }

    /// The runs of the service: a [`Unit`] for each, as soon as it begins, which resolves to that run's
    /// [`Exit`](crate::Exit) when it is awaited. They have names in common, but each has its own
    /// [`invocation_id`](Unit::invocation_id).
    ///
    /// Every run is there once, from the first on, also those before this is called, and however slowly they are taken:
    /// of what is not taken the last 10,000 are kept in memory. Of several streams each gets runs that the others do not. A start by someone
    /// else (`systemctl start`) is a run too, and so is one that came to nothing because a condition was not met. What
    /// `Restart=` and `systemctl restart` start again goes on as the same run.
    ///
    /// The stream ends when the unit that triggers has ended and the last run too. It outlives this handle.
    ///
    /// # Errors
    ///
    /// The last item is an error when the connection was lost: as with [`Unit::wait`]. A run that was followed by the next
    /// before its end was told, which happens only where this process does not read for long, has an error for its exit.
    pub fn activations(&self) -> Activations {
        Activations { number: self.source.runs.add(), source: self.source.clone() }
    }
}

/// The runs of a service that something triggers: see [`Trigger::activations`].
#[must_use = "streams do nothing unless they are polled"]
pub struct Activations {
    source: Arc<Source>,
    /// Which of the trigger's streams it is.
    number: u32,
}

impl Stream for Activations {
    type Item = Result<Unit>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Unit>>> {
        let Source { runs, manager, raise_on_fail, .. } = &*self.source;
        runs.poll(self.number, cx).map_ok(|run| {
            let mut unit = Unit::new(run, manager.clone());
            unit.habits.raise_on_fail = *raise_on_fail;
            unit
        })
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        self.source.runs.remove(self.number);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(manager) = self.manager.get() {
            manager.follow_no_more(&self.service, &self.runs);
        }
        // Each that nobody has taken is a handle that is dropped.
        self.runs.drain().into_iter().for_each(|run| drop(Unit::new(run, self.manager.clone())));
    }
}

impl fmt::Debug for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trigger")
            .field("name", &self.unit.name())
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activations").field("service", &self.source.service).finish_non_exhaustive()
    }
}
