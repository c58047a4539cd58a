//! A unit's log, as a stream (`sd-journal(3)`).

mod entry;
mod hindsight;
mod origin;
mod reader;
mod sync;

use std::collections::VecDeque;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::{Either, join, select};
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::watch;

pub use entry::{Entry, Priority};
pub(crate) use hindsight::{Question, Remembered, hindsight};
pub(crate) use reader::Journals;

use crate::bus::Value;
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::process::Process;
use crate::unit::tracked::Tracked;
use crate::unit::{InvocationId, State, States, Unit};
use origin::{Known, Origin, Owner, Writer};
use reader::{Access, Batch, Ended, Pass};

/// The log of a unit: see [`Unit::logs`].
#[must_use = "streams do nothing unless they are polled"]
pub struct Logs {
    unit: Box<str>,
    process: Process,
    entries: Pin<Box<dyn Stream<Item = Result<Entry>> + Send + Sync>>,
}

impl Unit {
    /// The unit's log: its entries in the journal, from its start on and as they are written, oldest first. What its
    /// processes write to standard output and error is in it (one entry a line, where
    /// [`Command::stdout`](crate::Command::stdout) does not say otherwise), what they send to syslog or to the journal,
    /// and what the manager says of the unit: that it has started, or why it has not.
    ///
    /// When the unit has ended, all that it had written is waited for (half a minute at most, should the journal's daemon
    /// hang), and then the stream ends. It follows the unit
    /// through restarts (`Restart=`, [`restart`](Unit::restart)), and that of a unit that remains after its exit
    /// (`RemainAfterExit=`) goes on until it is inactive or failed. Where a handle was had with
    /// [`Manager::unit`](crate::Manager::unit), it begins with the run that the unit is in.
    ///
    /// The stream outlives the handle; dropping it costs nothing. It is read from the journal as it is taken, some
    /// entries ahead, so that a slow reader costs no memory, on a blocking thread of the runtime, few of which all
    /// streams of a manager share. An entry is seen within a quarter of a second of when it was written: so often at
    /// most does the journal tell of new ones.
    ///
    /// An entry counts as the unit's by what the journal itself knows of who wrote it, with the unit's
    /// [invocation IDs](Unit::invocation_id): others cannot put something into its log. Where the journal could not tell,
    /// because a process had ended before it came to what that had written, this is found out in other ways (which
    /// `journalctl -u` does not have): for system units always in what goes to the standard streams; for a user's in what
    /// its main process has written, and in all that came over the same standard streams as anything else of the unit's.
    /// What short-lived processes send to syslog or to the journal themselves may be missing.
    ///
    /// What is not in the journal cannot be given: it limits how much a unit may log in a time (`RateLimitBurst=` and
    /// `MaxLevelStore=`, journald.conf(5); `LogRateLimitBurst=`, systemd.exec(5)) and deletes what is old. The entry
    /// that systemd-coredump makes of a crash comes when the dump is stored, which may be after the unit's end.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// use futures::StreamExt;
    ///
    /// let unit = sdrun::run(["/usr/bin/make", "-C", "/src"]).await?;
    /// let mut logs = unit.logs();
    /// while let Some(entry) = logs.next().await {
    ///     let entry = entry?;
    ///     println!("{:?} {}", entry.priority(), entry.message());
    /// }
    /// println!("{}", unit.await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The last item is an error when the start was refused or the connection was lost, as with [`wait`](Unit::wait), and
    /// [`Error::Unavailable`] when the journal cannot be read: it is not there, the caller may not (system units need
    /// root, or the group `systemd-journal`; one's own units nothing where the journal is kept on the disk), or the
    /// manager is that of a container or another host.
    ///
    /// Of a process that was forked off the next item is the last: [`Error::System`] with `ECHILD`.
    pub fn logs(&self) -> Logs {
        let (tracked, manager) = self.shared();
        let start = Start { tracked: tracked.clone(), manager: manager.clone(), states: self.states() };
        let entries = stream::unfold(Step::Start(start), |step| async {
            let mut follow = match step {
                Step::Start(start) => match start.open().await {
                    Ok(follow) => Box::new(follow),
                    Err(error) => return Some((Err(error), Step::Done)),
                },
                Step::Follow(follow) => follow,
                Step::Done => return None,
            };
            match follow.next().await {
                Ok(entry) => entry.map(|entry| (Ok(entry), Step::Follow(follow))),
                Err(error) => Some((Err(error), Step::Done)),
            }
        });
        Logs { unit: self.name().into(), process: tracked.process(), entries: Box::pin(entries.fuse()) }
    }
}

impl Stream for Logs {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Entry>>> {
        if let Err(error) = self.process.check() {
            // The runtime that reads the journal is the parent's too. It is the last item.
            self.process = Process::default();
            self.entries = Box::pin(stream::empty());
            return Poll::Ready(Some(Err(error)));
        }
        self.entries.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").field("unit", &self.unit).finish_non_exhaustive()
    }
}

enum Step {
    Start(Start),
    Follow(Box<Follow>),
    Done,
}

/// A stream that was not polled yet.
struct Start {
    tracked: Arc<Tracked>,
    manager: Arc<OnceLock<Manager>>,
    states: States,
}

/// A stream that reads.
struct Follow {
    tracked: Arc<Tracked>,
    manager: Manager,
    /// `None` once the unit has ended.
    states: Option<States>,
    /// Why the manager says no more.
    lost: Option<Error>,
    journals: Arc<Journals>,
    changes: watch::Receiver<()>,
    origin: Arc<Origin>,
    known: Arc<Known>,
    sources: Vec<Source>,
    ready: VecDeque<Entry>,
    given: bool,
    access: Access,
    /// The journal has all that the unit has written.
    complete: bool,
}

/// A namespace's journal. Each is written by a daemon of its own, so that the order of their entries is known only when
/// both are there.
struct Source {
    namespace: Option<String>,
    /// What has to be read once more before the rest.
    again: VecDeque<Pass>,
    rest: Pass,
}

impl Start {
    async fn open(self) -> Result<Follow> {
        let Start { tracked, manager, states } = self;
        tracked.started().await?;
        let manager = manager.get().ok_or(Error::RuntimeGone)?.clone();
        if !manager.is_here() {
            return Err(reader::unavailable(
                "the units of a container or another host log to the journal there, which has to be read there",
            ));
        }
        let name = tracked.name();
        let kind = name::interface(name);
        let (group, main) = join(manager.control_group(), manager.property(name, kind, "ExecMainPID")).await;
        // Where it has gone, or does not say, it is what it is taken for.
        let group = group.unwrap_or_default();
        let owner = match name::user_of(&group) {
            Some(uid) => Owner::User(uid),
            None if manager.is_user() => Owner::User(nix::unistd::geteuid().as_raw()),
            None => Owner::System,
        };
        if let Ok(Value::U32(main)) = main {
            tracked.add_processes([main, 0]);
        }
        let namespace = match manager.property(name, kind, "LogNamespace").await {
            Ok(Value::Str(namespace)) => namespace,
            _ => String::new(),
        };
        // What was unloaded does not tell of its namespace any more.
        let is_loaded = matches!(
            manager.property(name, "org.freedesktop.systemd1.Unit", "InvocationID").await,
            Ok(Value::Bytes(id)) if !id.is_empty()
        );
        let journals = manager.journals()?;
        let looked = journals.block(move || -> Result<_> {
            let namespaces = match &*namespace {
                "" if is_loaded => Vec::new(),
                "" => reader::namespaces(),
                _ => vec![namespace],
            };
            let access = reader::access(owner, None)?;
            let readable = |name: &String| reader::access(owner, Some(name)).is_ok();
            Ok((namespaces.into_iter().filter(readable).collect::<Vec<_>>(), access, reader::boot_id()?))
        });
        let (namespaces, access, boot_id) = looked.await??;
        let origin = Origin { unit: name.into(), owner, boot_id, since: tracked.since() };
        let sources = std::iter::once(None).chain(namespaces.into_iter().map(Some));
        Ok(Follow {
            manager,
            states: Some(states),
            lost: None,
            changes: journals.changes(),
            journals,
            origin: Arc::new(origin),
            known: Arc::default(),
            sources: sources.map(|namespace| Source { namespace, again: VecDeque::new(), rest: Pass::new() }).collect(),
            ready: VecDeque::new(),
            given: false,
            access,
            complete: false,
            tracked,
        })
    }
}

impl Follow {
    async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                self.given = true;
                return Ok(Some(entry));
            }
            self.note_states();
            if self.states.is_none() && !self.complete {
                let namespaces: Vec<_> = self.sources.iter().map(|source| source.namespace.clone()).collect();
                sync::synchronize(&self.journals, &namespaces).await;
                self.complete = true;
            }
            // What changes from now on may not be in what is read now.
            self.changes.mark_unchanged();
            if self.read().await? {
                continue;
            }
            if self.complete {
                return self.at_end().await;
            }
            let Some(states) = &mut self.states else { continue };
            let state = match select(states.next(), pin!(self.changes.changed())).await {
                Either::Left((state, _)) => Some(state),
                Either::Right((changed, _)) => {
                    changed.map_err(|_| Error::RuntimeGone)?;
                    None
                }
            };
            if let Some(state) = state {
                self.note(state);
            }
        }
    }

    /// All was given.
    async fn at_end(&mut self) -> Result<Option<Entry>> {
        if let Some(error) = self.lost.take() {
            return Err(error);
        }
        if !self.given && self.access == Access::NotYet {
            // The file that was to come has not: what there is went to another, perhaps.
            let owner = self.origin.owner;
            let looked = self.journals.block(move || reader::access(owner, None)).await??;
            if looked == Access::NotYet && owner != Owner::System {
                return Err(reader::no_permission(owner));
            }
        }
        Ok(None)
    }

    /// Takes note of what the manager has said.
    fn note_states(&mut self) {
        while let Some(state) = self.states.as_mut().and_then(|states| states.next().now_or_never()) {
            self.note(state);
        }
        let known = Arc::make_mut(&mut self.known);
        for run in self.tracked.runs().into_iter().flat_map(|(first, last)| [first, last]) {
            known.add_run(run);
        }
        for process in self.tracked.processes() {
            self.learn(Writer::process(process));
        }
    }

    fn note(&mut self, state: Option<Result<State>>) {
        match state {
            Some(Ok(state)) => {
                if let Some(run) = state.invocation_id {
                    Arc::make_mut(&mut self.known).add_run(run);
                }
            }
            Some(Err(error)) => self.lost = Some(error),
            None => self.states = None,
        }
    }

    /// This writes for the unit, and what it wrote may have been passed over.
    fn learn(&mut self, writer: Writer) {
        let known = Arc::make_mut(&mut self.known);
        if known.has(&writer) {
            return;
        }
        for source in &mut self.sources {
            source.again.extend(source.rest.again(&writer));
            source.rest.renew();
        }
        known.add_writer(writer);
    }

    /// Reads on: whether there may be more.
    async fn read(&mut self) -> Result<bool> {
        let mut more = false;
        let mut several = false;
        for at in 0..self.sources.len() {
            let source = &self.sources[at];
            let pass = source.again.front().unwrap_or(&source.rest).clone();
            let batch = self.journals.read(source.namespace.as_deref(), self.origin.clone(), self.known.clone(), pass);
            let Batch { entries, pass, ended } = batch.await?;
            several |= !self.ready.is_empty() && !entries.is_empty();
            self.ready.extend(entries);
            let source = &mut self.sources[at];
            match (source.again.front_mut(), &ended) {
                (Some(_), Ended::AtEnd) => {
                    source.again.pop_front();
                    more = true;
                    continue;
                }
                (Some(again), _) => *again = pass,
                (None, _) => source.rest = pass,
            }
            match ended {
                Ended::AtEnd => continue,
                Ended::Full => {}
                Ended::Ask(run, time) => self.ask(run, time).await,
                Ended::Learn(writer) => self.learn(writer),
            }
            more = true;
        }
        if several {
            self.ready.make_contiguous().sort_by_key(Entry::monotonic);
        }
        Ok(more || !self.ready.is_empty())
    }

    /// Finds out whose run it is that wrote something at this time. The journal may be faster than the manager, and there
    /// may have been a unit of the same name before this one, or be one after it.
    async fn ask(&mut self, run: InvocationId, time: u64) {
        let answer = match &self.states {
            Some(_) => {
                self.manager.property(self.tracked.name(), "org.freedesktop.systemd1.Unit", "InvocationID").await.ok()
            }
            None => None,
        };
        self.note_states();
        let known = Arc::make_mut(&mut self.known);
        if let Some(Value::Bytes(id)) = answer {
            if InvocationId::from_bytes(&id) == Some(run) && self.states.is_some() {
                known.add_run(run);
            }
        }
        let time = UNIX_EPOCH.checked_add(Duration::from_micros(time)).unwrap_or(SystemTime::now());
        let ended = match self.tracked.try_ended() {
            Some(Ok(exit)) => exit.ended,
            _ => None,
        };
        if known.runs.contains(&run) {
            return;
        }
        // A run that the manager has merged with the next one, or that was over when this stream began.
        let is_between = self.given || !self.ready.is_empty();
        if is_between && ended.is_none_or(|ended| time <= ended) {
            known.add_run(run);
        } else {
            known.foreign.push(run);
        }
    }
}

mod name {
    //! What names tell.

    /// The D-Bus interface of a unit's type, where that may run processes.
    pub fn interface(unit: &str) -> &'static str {
        match unit.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some("socket") => "org.freedesktop.systemd1.Socket",
            Some("mount") => "org.freedesktop.systemd1.Mount",
            Some("swap") => "org.freedesktop.systemd1.Swap",
            _ => "org.freedesktop.systemd1.Service",
        }
    }

    /// Whose user manager it is that has this cgroup.
    pub fn user_of(group: &str) -> Option<u32> {
        let service = group.split('/').find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service"))?;
        service.parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn users_are_read_from_cgroups() {
            assert_eq!(user_of("/user.slice/user-4711.slice/user@4711.service"), Some(4711));
            assert_eq!(user_of(""), None);
            assert_eq!(user_of("/init.scope"), None);
            assert_eq!(user_of("/user.slice/user@x.service"), None);
        }
    }
}
