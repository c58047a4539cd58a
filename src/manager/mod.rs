//! A service manager (`org.freedesktop.systemd1`) as a client sees it.

mod awaited;
mod calls;
mod capsule;
mod connect;
mod control;
mod default;
mod entry;
mod environment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hasher;
mod hindsight;
mod holding;
mod job_mode;
mod jobs;
mod listening;
mod machine;
mod narrow;
#[cfg(test)]
mod recorder;
mod recovery;
mod registry;
mod remote;
mod signals;
#[cfg(test)]
mod tests;
mod tickets;
mod triggers;
mod types;

use std::ffi::CStr;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use connect::Transport;
pub(crate) use control::Job;
pub use job_mode::JobMode;
pub(crate) use jobs::Pace;
pub(crate) use machine::{Seat, open_machine_pty};

use crate::bus::{Container, Link, Message, Value, Way};
use crate::error::{Error, Result};
use crate::journal::Journals;
use crate::unit::name;
use crate::unit::runs::Runs;
use crate::unit::tracked::Tracked;
use calls::{MANAGER_INTERFACE, MANAGER_PATH, Method, unit_path};
use connect::Scope;
use hindsight::Home;
use holding::Holding;
use jobs::{Jobs, Most};
use registry::Registry;
use remote::Remote;
use types::Known;

/// A connection to a systemd service manager: the one of the system, or one of a user.
///
/// Cheap to clone, and usable from any task or thread; all clones and all units started through them share one
/// connection. It is closed when the last of them is gone. The connection is driven by a task of the tokio runtime
/// that it was made on (which needs its I/O and time drivers, see `tokio::runtime::Builder::enable_all`): when that
/// runtime is shut down, whatever still waits ends with [`Error::RuntimeGone`].
///
/// Over a bus, while nothing is outstanding, the units of others cause no wake-ups here. (The private socket gets the
/// signals of all units, always.)
///
/// A connection that is lost, because the bus daemon or, on the private socket, systemd itself was restarted, is made
/// again, and what is outstanding is followed on: each unit is looked up, and of those that were unloaded meanwhile the
/// journal is asked. Calls that come meanwhile wait. How long that may take at most says
/// [`patience`](ManagerBuilder::patience); after that, what still waits ends with [`Error::Lost`] or
/// [`Error::Disconnected`], and each later call tries once more to connect. A connection over ssh is not made again. What is
/// promised, and what is not, is in docs/reliability.md.
#[derive(Clone)]
pub struct Manager {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link<Registry>,
    jobs: Arc<Jobs>,
    scope: Scope,
    private: bool,
    patience: Duration,
    known: Known,
    /// As long as streams of its units' logs are there.
    journals: Mutex<Weak<Journals>>,
}

/// What there is to know of a unit that is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub pace: Pace,
    /// Whether systemd may start it again after its end.
    pub restarts: bool,
    /// Whether what it used is to be read at its end.
    pub usage: bool,
    /// Whether it is to be kept loaded until its exit was told.
    pub durable: bool,
    pub mode: JobMode,
}

/// A service that another unit triggers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Triggers<'a> {
    pub service: &'a str,
    /// Whether systemd may start it again after its end.
    pub restarts: bool,
    pub runs: &'a Arc<Runs>,
}

/// What is to be connected to: see [`Manager::builder`].
#[derive(Debug, Clone)]
pub struct ManagerBuilder {
    scope: Scope,
    transport: Transport,
    ssh_options: Vec<String>,
    interactive: bool,
    patience: Duration,
    most: Most,
}

impl Manager {
    /// Connects to the system manager, over the system bus, or, where there is no bus daemon and the caller is
    /// root, over its private socket.
    ///
    /// Anyone may connect; to start units one must be root or be allowed to by polkit.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when there is no systemd or no way to it, [`Error::NoRuntime`] outside of a tokio
    /// runtime. Cancel-safe.
    pub async fn system() -> Result<Self> {
        Self::builder().system().connect().await
    }

    /// Connects to the caller's own user manager (`systemd --user`), over the user bus, or, where there is none, over
    /// its private socket.
    ///
    /// # Errors
    ///
    /// As [`system`](Manager::system).
    pub async fn user() -> Result<Self> {
        Self::builder().user().connect().await
    }

    /// Connects to the system manager of a local container, by its name in `machinectl list`; `.host` is this host.
    ///
    /// # Errors
    ///
    /// As [`system`](Manager::system).
    pub async fn machine(name: impl Into<String>) -> Result<Self> {
        Self::builder().machine(name).connect().await
    }

    /// Connects to the user manager of `user@machine`; with an empty user it is root's, with `.host` it is on this
    /// host.
    ///
    /// # Errors
    ///
    /// As [`system`](Manager::system), and [`Error::Unsupported`] where libsystemd is older than 248.
    pub async fn user_machine(name: impl Into<String>) -> Result<Self> {
        Self::builder().user_machine(name).connect().await
    }

    /// Connects to the system manager of another host, over ssh, or to that of a container there: `user@host`,
    /// `user@host:port`, `user@host/machine`, `user@host:port/machine` (and `user@host:machine`, which `systemd-run -H`
    /// takes too). An IPv6 address stands in brackets: `[fe80::1%eth0]:22`. User and port are ssh's own defaults where
    /// they are left out, and the host may be one of `ssh_config(5)`.
    ///
    /// This runs `ssh -xT -- user@host systemd-stdio-bridge`, as libsystemd does (`systemd-run --host=`), or another
    /// program than ssh, with the same arguments, where the environment variable `SYSTEMD_SSH` names one. The host needs
    /// systemd, an ssh server and a system bus. User managers cannot be reached so.
    ///
    /// - No descriptors, terminals or processes of this host can be passed to a unit there: piped and inherited streams
    ///   (so [`Command::output`](crate::Command::output)) are [`Error::Invalid`] before anything is sent. Output goes to
    ///   the journal there, or to a file there ([`Stdio::file`](crate::Stdio::file)).
    /// - ssh asks for passwords and about unknown host keys on the controlling terminal of this process, if it has one,
    ///   and belongs to its process group, so that a Ctrl-C ends it too. Who does not want that says so in
    ///   `ssh_config(5)` or with [`ManagerBuilder::ssh_option`] (`BatchMode=yes`): an error then takes the place of the
    ///   question. The login has about 90 seconds (libsystemd's own limit).
    /// - Nothing of what ssh says comes to standard error: its last lines are in the error, also when the connection is
    ///   lost later ([`Error::Disconnected`]). A host that just falls silent ssh notices with `ServerAliveInterval` only.
    /// - When the connection is closed, ssh has a second to end by itself. It ends with this process, too.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// let web = sdrun::Manager::remote("root@web1.example.org:2222").await?;
    /// sdrun::Command::new("apt-get").args(["-y", "upgrade"]).start(&web).await?.await?.check()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a name that is none, before anything is run. [`Error::Unavailable`] where ssh cannot be run
    /// or does not get there, with what it said. Cancel-safe: no ssh stays behind.
    pub async fn remote(host: impl Into<String>) -> Result<Self> {
        Self::builder().remote(host).connect().await
    }

    /// Connects to the manager of a capsule (`capsule@.service(5)`), by its name: `name` of `capsule@name.service`, which
    /// must run. Over its bus, or, where that has none, over its private socket. For root.
    ///
    /// Its units run as the capsule's own user, on this host.
    ///
    /// # Errors
    ///
    /// As [`system`](Manager::system), [`Error::Unsupported`] where the systemd that runs is older than 256, and
    /// [`Error::Invalid`] for a name that a capsule cannot have.
    pub async fn capsule(name: impl Into<String>) -> Result<Self> {
        Self::builder().capsule(name).connect().await
    }

    /// A manager that is chosen step by step. Without a choice it is the system's for root, and the caller's own
    /// for anyone else.
    pub fn builder() -> ManagerBuilder {
        ManagerBuilder {
            scope: Scope::by_uid(),
            transport: Transport::Auto,
            ssh_options: Vec::new(),
            interactive: false,
            patience: recovery::PATIENCE,
            most: Most::default(),
        }
    }

    /// The default manager of this process: the system's for root, the caller's own for anyone else.
    /// [`run`](crate::run) and [`Command::spawn`](crate::Command::spawn) use it.
    ///
    /// It is connected when it is first asked for and then kept until its runtime is shut down: one per tokio
    /// runtime. A connection that was lost is made anew at the next call.
    ///
    /// # Errors
    ///
    /// As [`system`](Manager::system).
    pub async fn shared() -> Result<Self> {
        default::get().await
    }

    /// Whether the connection is to the manager's private socket.
    pub fn is_private(&self) -> bool {
        self.inner.private
    }

    /// Sends the start of a transient unit and waits until systemd has accepted it. From when it is sent, `tracked`
    /// is told what becomes of it.
    ///
    /// Dropping the future gives the start up: what was not sent is not, and what was is undone.
    pub(crate) async fn start(
        &self,
        tracked: &Arc<Tracked>,
        how: Start,
        fill: impl Fn(&mut Message<'_>) -> Result<()>,
        fill_auxiliary: impl Fn(&mut Message<'_>) -> Result<()>,
    ) -> Result<()> {
        self.start_triggering(tracked, how, (fill, fill_auxiliary), None).await
    }

    /// The same, of a unit that triggers a service, the runs of which are followed too.
    pub(crate) async fn start_triggering(
        &self,
        tracked: &Arc<Tracked>,
        how: Start,
        (fill, fill_auxiliary): (impl Fn(&mut Message<'_>) -> Result<()>, impl Fn(&mut Message<'_>) -> Result<()>),
        triggered: Option<Triggers<'_>>,
    ) -> Result<()> {
        let Inner { link, jobs, .. } = &*self.inner;
        loop {
            let mut holding = Holding { manager: self, hold: None };
            if how.usage || how.durable {
                holding.take(tracked.name(), how.durable).await?;
            }
            let admission = jobs.admit(how.pace).await;
            let hold = &mut holding.hold;
            let sent = link.with_ready(|registry, cx| {
                if let Some(Triggers { service, restarts, runs }) = triggered {
                    registry.trigger(tracked, service, restarts, runs);
                }
                registry.start(tracked, how, hold, admission, (&fill, &fill_auxiliary), cx)
            });
            match sent.await? {
                // The connection has broken, and nothing was sent.
                Err(Error::Disconnected { .. }) if !link.is_lost() => {
                    tokio::task::yield_now().await;
                    continue;
                }
                sent => sent?,
            }
            let giving_up = GiveUp { manager: self, tracked };
            let sent = tracked.sent().await;
            std::mem::forget(giving_up);
            if sent? {
                return Ok(());
            }
        }
    }

    /// Reads a property of a unit.
    pub(crate) async fn property(&self, unit: &str, interface: &'static str, property: &str) -> Result<Value> {
        self.property_at(&unit_path(unit), interface, property).await
    }

    /// Reads a property of an object of the manager.
    async fn property_at(&self, path: &CStr, interface: &'static str, property: &str) -> Result<Value> {
        let method = Method { path, interface: c"org.freedesktop.DBus.Properties", member: c"Get", name: "Get" };
        let fill = |message: &mut Message<'_>| {
            message.append_str(interface)?;
            message.append_str(property)
        };
        let read = |reply: &Message<'_>| reply.enter(Container::Variant, None).and(Value::read_from(reply));
        self.ask(method, None, fill, read).await?.ok_or_else(|| Error::message("a property's value"))
    }

    /// Calls a method that only reads: once more where the answer was lost.
    async fn ask<T: Send + 'static>(
        &self,
        method: Method<'_>,
        unit: Option<&str>,
        fill: impl Fn(&mut Message<'_>) -> Result<()>,
        read: impl Fn(&Message<'_>) -> Result<T> + Copy + Send + 'static,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            match self.call(method, unit, &fill, read).await {
                Err(Error::Disconnected { .. })
                    if !self.inner.link.is_lost() && begun.elapsed() < self.inner.patience =>
                {
                    self.inner.link.ready().await?;
                    // On a bus the manager itself may be away.
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer,
            }
        }
    }

    /// Calls a method and waits for its reply, of which `read` takes what is wanted.
    async fn call<T: Send + 'static>(
        &self,
        method: Method<'_>,
        unit: Option<&str>,
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
        read: impl FnOnce(&Message<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (told, answer) = oneshot::channel();
        let read = Box::new(move |reply: Result<&Message<'_>>| {
            let value = reply.and_then(read);
            Box::new(move || drop(told.send(value))) as Box<dyn FnOnce() + Send>
        });
        let Inner { link, .. } = &*self.inner;
        link.with_ready(|registry, cx| registry.call(method, unit, fill, read, cx)).await??;
        answer.await.unwrap_or_else(|_| Err(self.how_lost()))
    }

    /// Why there is no answer: the connection was lost meanwhile, and asking again says how.
    fn how_lost(&self) -> Error {
        self.inner.link.with(|_, _| ()).err().unwrap_or(Error::RuntimeGone)
    }

    /// The name of the unit that is known by this name, which may be an alias.
    pub(crate) async fn name_of(&self, name: &str) -> Result<String> {
        let method = Method { path: MANAGER_PATH, interface: MANAGER_INTERFACE, member: c"GetUnit", name: "GetUnit" };
        let fill = |message: &mut Message<'_>| message.append_str(name);
        let read = |reply: &Message<'_>| reply.read_path().and_then(name::of_path);
        self.ask(method, Some(name), fill, read).await
    }

    /// Follows a unit that someone else has started. Whether there is one shows when `started` is awaited.
    pub(crate) async fn adopt(&self, name: &str) -> Result<Arc<Tracked>> {
        self.inner.link.with_ready(|registry, cx| registry.adopt(name, cx)).await?
    }

    /// A stream of the unit's states begins.
    pub(crate) fn look(&self, tracked: &Arc<Tracked>) {
        // In a gap: as every unit it is looked at when that is over.
        if let Err(error) = self.inner.link.either(|registry, cx| registry.look(tracked, cx), |_, _| ()) {
            tracked.close_now(&error);
        }
    }

    /// A handle to the unit, or a stream of its states, is gone.
    pub(crate) fn unused(&self, tracked: &Arc<Tracked>) {
        // Where the connection is lost there is nothing left to release, and in a gap it is when that is over.
        let _ = self.inner.link.either(|registry, cx| registry.unused(tracked, cx), |_, _| ());
    }

    /// Reads what the last signal of the unit says that was not wanted before.
    pub(crate) fn read_unread(&self, tracked: &Arc<Tracked>) {
        // Before a gap, and when the connection is lost, all that came was read.
        let _ = self.inner.link.either(|registry, cx| registry.read_unread(tracked, cx), |_, _| ());
    }

    /// Nobody wants to know of the runs of a service any more.
    pub(crate) fn follow_no_more(&self, service: &str, runs: &Arc<Runs>) {
        let _ = self.inner.link.either(
            |registry, cx| registry.follow_no_more(service, runs, cx),
            |registry, _| registry.follow_no_more_later(service, runs),
        );
    }

    /// The unit is to be stopped, before whoever calls this releases it: once it is released it may be unknown here.
    pub(crate) fn give_up(&self, tracked: &Arc<Tracked>) {
        // Where the connection is lost, nothing can be undone over it.
        let _ = self
            .inner
            .link
            .either(|registry, cx| registry.give_up(tracked, cx), |registry, _| registry.give_up_later(tracked));
    }

    /// Waits, in order, until another process may be held for its scope. Its place is free again when this is dropped.
    pub(crate) async fn admit_held(&self) -> impl Drop {
        self.inner.jobs.admit_held().await
    }

    /// Whether its units see the files of this host.
    pub(crate) fn is_here(&self) -> bool {
        self.inner.scope.is_here()
    }

    /// The journal, as the streams of the logs of its units share it.
    pub(crate) fn journals(&self) -> Result<Arc<Journals>> {
        let mut kept = self.inner.journals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journals) = kept.upgrade().filter(|journals| journals.is_alive()) {
            return Ok(journals);
        }
        let journals = Arc::new(Journals::new()?);
        *kept = Arc::downgrade(&journals);
        Ok(journals)
    }

    /// The cgroup that the manager has below it (`ControlGroup`): the root, for the system's.
    pub(crate) async fn control_group(&self) -> Result<String> {
        match self.property_at(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "ControlGroup").await? {
            Value::Str(group) => Ok(group),
            other => Err(Error::message(format!("ControlGroup of type s, not {}", other.signature()))),
        }
    }

    /// Whether it is a user's.
    pub(crate) fn is_user(&self) -> bool {
        self.inner.scope.is_user()
    }

    /// Refuses a terminal of this host where the units are at the end of an ssh connection.
    pub(crate) fn check_terminal(&self) -> Result<()> {
        match &self.inner.scope {
            Scope::Remote(remote) => Err(remote.refuse("a terminal")),
            _ => Ok(()),
        }
    }

    /// Refuses descriptors that the connection does not carry, and more than one message may carry: a bus daemon would close the connection, with all that is
    /// outstanding on it.
    pub(crate) fn check_descriptors(&self, count: usize) -> Result<()> {
        if let (Scope::Remote(remote), 1..) = (&self.inner.scope, count) {
            return Err(remote.refuse("descriptors"));
        }
        let most = if self.inner.private { 253 } else { 16 };
        if count <= most {
            return Ok(());
        }
        Err(Error::invalid("descriptors", "", format!("are {count}: one message carries {most} at most")))
    }

    fn is_lost(&self) -> bool {
        self.inner.link.is_lost()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { scope, private, .. } = &*self.inner;
        f.debug_struct("Manager").field("scope", scope).field("private", private).finish_non_exhaustive()
    }
}

impl ManagerBuilder {
    /// The system manager: see [`Manager::system`].
    pub fn system(mut self) -> Self {
        self.scope = Scope::System;
        self
    }

    /// The caller's own user manager: see [`Manager::user`].
    pub fn user(mut self) -> Self {
        self.scope = Scope::User;
        self
    }

    /// The system manager of a local container: see [`Manager::machine`].
    pub fn machine(mut self, name: impl Into<String>) -> Self {
        self.scope = Scope::Machine(name.into());
        self
    }

    /// The user manager of `user@machine`: see [`Manager::user_machine`].
    pub fn user_machine(mut self, name: impl Into<String>) -> Self {
        self.scope = Scope::UserMachine(name.into());
        self
    }

    /// The system manager of another host, over ssh: see [`Manager::remote`].
    pub fn remote(mut self, host: impl Into<String>) -> Self {
        self.scope = Scope::Remote(Remote { host: host.into(), options: Vec::new() });
        self
    }

    /// An option for ssh, as `ssh -o` takes it and `ssh_config(5)` lists them: `BatchMode=yes`, `ConnectTimeout=10`,
    /// `IdentityFile=/root/.ssh/fleet`. For [`remote`](ManagerBuilder::remote) only; it can be given several times, and
    /// of the same option ssh takes the first.
    pub fn ssh_option(mut self, option: impl Into<String>) -> Self {
        self.ssh_options.push(option.into());
        self
    }

    /// The manager of a capsule: see [`Manager::capsule`].
    pub fn capsule(mut self, name: impl Into<String>) -> Self {
        self.scope = Scope::Capsule(name.into());
        self
    }

    /// A manager by the D-Bus address of its bus (or, with [`Transport::Private`], of its own socket), for instance
    /// `unix:path=/run/dbus/system_bus_socket`. Addresses are described in the D-Bus specification and in
    /// `sd_bus_set_address(3)`.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.scope = Scope::Address(address.into());
        self
    }

    /// The way to it: see [`Transport`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Lets polkit ask somebody for a password where the caller may not do something without
    /// (`sd_bus_set_allow_interactive_authorization(3)`), as systemd's own tools do unless they are given
    /// `--no-ask-password`. An agent must run for that, as desktops have one (`pkttyagent(1)` on terminals); a call then
    /// takes as long as the answer. Without it such a call is [`Error::AccessDenied`] at once.
    pub fn interactive(mut self, interactive: bool) -> Self {
        self.interactive = interactive;
        self
    }

    /// For how long the manager may be away when it was there: its bus daemon is restarted, or systemd executes itself
    /// anew. What is outstanding waits so long, and so do calls. 90 seconds, where this is not called; zero has every lost
    /// connection be an error at once. A user's manager that has ended is not waited for, nor is a container.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many starts may be in flight at once: those that systemd has not answered yet, and those of services of types
    /// `simple` (the default), `exec` and `idle` until their process exists. The rest wait in order; to give up waiting
    /// frees the place. Units that run are not counted: any number of them may be outstanding.
    ///
    /// The default is 48 on any transport: more make nothing faster, since the manager works on one after the other.
    pub fn most_starting(mut self, most: usize) -> Self {
        self.most.starting = Some(most);
        self
    }

    /// How many lasting starts may be in flight beside those of [`most_starting`](ManagerBuilder::most_starting): the
    /// start job of a oneshot service lasts until its process has ended, that of a notify, forking or dbus service until it
    /// is ready. They have a bound of their own, so that slow starts hold up no quick ones.
    ///
    /// Each job that a client waits for takes a match rule of the manager's own connection to the bus, and a stock system
    /// bus grants that 512. Past them a manager of systemd 252 is thrown off the bus, and one of 262 leaves signals out. So
    /// the default on a system bus is 60, which three processes at full load may have at the same time, together with
    /// their other jobs. Whoever knows that it is the only one there may set 400. On a user bus and on the private socket
    /// no limit is near, and the default is 16384.
    ///
    /// Units whose [`usage`](crate::Command::usage) is to be read are referenced on a bus, which takes the place of a
    /// lasting start as long as they run, for half of the places at most. Past that they are kept in another way.
    pub fn most_lasting(mut self, most: usize) -> Self {
        self.most.lasting = Some(most);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`Manager::system`], [`Manager::remote`] and [`Manager::capsule`], and [`Error::Invalid`] for a bound of zero, a name or an
    /// address that holds a NUL byte, where [`Transport::Private`] is asked for and the manager is in a container or on
    /// another host, or for an [`ssh_option`](ManagerBuilder::ssh_option) where there is no ssh.
    pub async fn connect(self) -> Result<Manager> {
        let ManagerBuilder { mut scope, transport, ssh_options, interactive, patience, most } = self;
        let most = most.check()?;
        match (&mut scope, ssh_options.first()) {
            (Scope::Remote(remote), _) => remote.options = ssh_options,
            (_, Some(option)) => return Err(Error::invalid("ssh option", option, "is for Manager::remote only")),
            (_, None) => {}
        }
        let mut failed = None;
        for target in scope.targets(transport)? {
            let private = target.is_direct();
            let jobs = Arc::new(Jobs::new(scope.is_system_bus() && !private, most));
            // ssh may ask for a password, which nobody expects then.
            let patience = if matches!(scope, Scope::Remote(_)) { Duration::ZERO } else { patience };
            let way = Way { target, interactive, patience: (!patience.is_zero()).then_some(patience) };
            match Link::open(way, Registry::new(private, jobs.clone())).await {
                Ok(link) => {
                    if !patience.is_zero() {
                        let home = Home::new(link.downgrade(), scope.owner(), scope.is_certain());
                        link.with(|registry, cx| registry.settle_in(home, patience, &scope, cx))?;
                    }
                    return Ok(Manager {
                        inner: Arc::new(Inner {
                            link,
                            jobs,
                            scope,
                            private,
                            patience,
                            known: Known::default(),
                            journals: Mutex::default(),
                        }),
                    });
                }
                // Of two failures the first, that of the bus, is the one to report, unless it only says that
                // nobody is there.
                Err(error) if Scope::nobody_there(&error) => failed = Some(error),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let failed = failed.unwrap_or(Error::NoRuntime);
        match &scope {
            Scope::Capsule(name) if Scope::nobody_there(&failed) => Err(capsule::why_not(name, &scope).await),
            _ => Err(scope.explain(failed)),
        }
    }
}

/// How long is waited before a manager that is not there is asked again.
const AGAIN: Duration = Duration::from_millis(10);

/// Gives the start up when it is dropped: the unit is stopped once systemd has accepted it.
struct GiveUp<'a> {
    manager: &'a Manager,
    tracked: &'a Arc<Tracked>,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        // Where the connection is lost, nothing can be undone over it.
        // The handle goes after this, and only then the unit may be forgotten.
        let _ = self.manager.inner.link.either(
            |registry, cx| registry.give_up(self.tracked, cx),
            |registry, _| registry.give_up_later(self.tracked),
        );
    }
}
