//! Run commands as transient systemd units from async Rust, and await their exit.
//!
//! What `tokio::process` is to `fork`, sdrun is to a service manager: nearly the same calls, but the process is a unit
//! with a cgroup, a log and limits of its own. It is not a child of the caller, and goes on when the caller ends. It is
//! `systemd-run` as a library: one connection carries any number of units, each started by one D-Bus call, and each
//! exit comes from the manager's own signals.
//!
//! ```no_run
//! # async fn example() -> sdrun::Result<()> {
//! // One line: the handle resolves when the unit has ended.
//! let exit = sdrun::run(["/bin/sleep", "1"]).await?.await?;
//! assert!(exit.success());
//!
//! // The builder has the method names of tokio::process::Command, and more.
//! let unit = sdrun::Command::new("/usr/bin/make")
//!     .arg("-j8")
//!     .env("CC", "clang")
//!     .current_dir("/src")
//!     .name("build-of-today")
//!     .memory_max(2 << 30)
//!     .property("ReadWritePaths=/src /var/cache")?
//!     .spawn()?;
//! let exit = unit.wait().await?;
//! println!("{}: {exit}, after {:?}", unit.name(), exit.runtime);
//! # Ok(())
//! # }
//! ```
//!
//! Who knows another way to do this finds it in a table: [from tokio::process](#from-tokioprocess), [from
//! systemd-run](#from-systemd-run), [from pystemd.run](#from-pystemdrun). The [examples] are whole programs.
//!
//! # Transient units
//!
//! A unit is what systemd manages: for a process that it starts, a service. Most units have a file. A transient one has
//! none: it is made by a call, with all of its settings in it (`StartTransientUnit`, org.freedesktop.systemd1(5)), and
//! is forgotten when it has ended, or, where it failed, when it is [reset](Unit::reset_failed) or
//! [`collect`](Command::collect) was set.
//!
//! Compared with a child process, a unit
//!
//! - has a cgroup: whatever the program starts is in it too, and is stopped, killed, limited and counted with it. No
//!   process gets away by forking twice;
//! - has the settings of unit files: limits of memory, CPU and I/O, sandboxing, another user, credentials, conditions,
//!   commands before and after it, restarts, a watchdog;
//! - has a name, under which everyone finds it (`systemctl status`, `journalctl -u`), and a log;
//! - starts from what its manager has, not from what its caller happens to have: no environment, working directory,
//!   umask, limits or descriptors are inherited but those that are passed;
//! - outlives its caller, unless that says otherwise ([`Command::kill_on_drop`]), and can be found again;
//! - may be run by another manager: a user's, a container's, that of another host.
//!
//! A child process is the better choice for a command that takes a millisecond and is run all the time (a unit is
//! started by several processes that talk to each other, and systemd works on one start after the other), where systemd
//! does not run, where the caller may not start units, and for a program that is to have what this process has. In
//! between there is the [scope](#scopes): a child process that is in a unit.
//!
//! | to be done | the call |
//! |---|---|
//! | a command that is run to its end | [`run`], [`Command::status`]; with its output [`Command::output`] |
//! | something that goes on, and is spoken to | [`Command::start`] or [`Command::spawn`], then the [`Unit`] |
//! | a child of this process, with a cgroup and limits | [`Scope::spawn`], [`Command::scope`] |
//! | limits for processes that exist | [`Scope::around`] |
//! | a command at some time, or when something comes | [`TimerUnit`], [`PathUnit`], [`SocketUnit`] |
//! | a unit that someone else has started, or this program before it was restarted | [`Manager::unit`] |
//!
//! # Which manager
//!
//! [`run`], [`Command::spawn`] and [`Command::status`] use the default one: the system's for root, the caller's own
//! (`systemd --user`) for everyone else. [`Manager`] connects to another: [`Manager::system`], [`Manager::user`], the
//! one of a container, of a capsule, of another host over ssh ([`Manager::remote`]) or by address, over the bus or
//! ([`Transport::Private`]) without a bus daemon. [`Command::start`] takes it.
//!
//! | | who may | its units |
//! |---|---|---|
//! | the system's | root, and whom polkit lets (`org.freedesktop.systemd1.manage-units`) | any user, any setting; stay until the host goes down |
//! | a user's | that user, and root ([`Manager::user_machine`] with `USER@.host`) | are that user's; some settings need more rights. They end with the manager, which goes with the user's last session unless the user lingers (`loginctl enable-linger`) |
//! | a container's, another host's | who may get there | see the files there: a program is looked for there, and to another host no descriptors can be passed |
//!
//! A [`Manager`] is cheap to clone and made once: all units share its connection. It is usable from any task and
//! thread, and driven by the runtime that it was made on.
//!
//! # When a unit has ended
//!
//! The handle resolves when the unit is inactive or failed, its start job is gone and `Restart=` is not about to start
//! it again, which is later than the first `inactive` that systemd reports, and earlier than the unit's removal.
//! [`Exit::result`] is systemd's verdict and [`Exit::status`] that of the main process. A program that cannot be
//! executed is an exit too, with systemd's code 203. A start that never came to it, because a condition was not met, a
//! required unit failed or the job was cancelled, is told apart from a success: see [`Outcome`].
//!
//! So a program that fails is no [`Error`]. [`Exit::check`] makes one of an exit that is none as it should be, and
//! [`Command::raise_on_fail`] has every wait do that. Errors of their own are input that makes no sense (before
//! anything is sent), what systemd refuses, and a connection that was lost.
//!
//! # Started, active, ended
//!
//! A handle is there when systemd has accepted the start. [`Unit::activated`] resolves when the start is done (a notify
//! service says that it is ready, an exec service's program was executed, a oneshot has run), or fails with the
//! [`Exit`]. [`Unit::wait`] resolves at the end, and [`Unit::states`] is a stream of every change between.
//!
//! By itself a service is of type `simple`, which is up as soon as its process exists, even if the program cannot be
//! executed. [`ServiceType::Exec`] waits for that; [`ServiceType::Notify`] for the program, which says `READY=1` with
//! `sd_notify(3)` (in Rust, the crate `sd-notify` has that, and what a [`watchdog`](Command::watchdog) wants to hear).
//!
//! # Standard streams and terminals
//!
//! Standard input is `/dev/null` and output goes to the journal, as with any service, unless a [`Stdio`] says
//! otherwise: a pipe whose other end is in the handle, any descriptor, a file. [`Command::output`] collects it.
//! [`Command::pty`] runs the program on a terminal of its own, in a container on one of the container's, and
//! [`Unit::forward_terminal`] puts it through to the caller's.
//!
//! ```no_run
//! # async fn example() -> sdrun::Result<()> {
//! use sdrun::{Command, Stdio};
//!
//! let mut unit = Command::new("/bin/bash").pty().spawn()?;
//! unit.forward_terminal(std::io::stdin(), std::io::stdout()).await?;
//!
//! let log = std::fs::File::create("/tmp/log").expect("can be written");
//! Command::new("/bin/ls").stdout(log).stderr(Stdio::inherit()).status().await?.check()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits and sandboxing
//!
//! What people use most has a call with a type: [`Command::memory_max`], [`cpu_quota`](Command::cpu_quota),
//! [`protect_system`](Command::protect_system), [`dynamic_user`](Command::dynamic_user), [`restart`](Command::restart)
//! and so on. [`Command::property`] takes everything that `systemd-run --property=` does, as text, and says what is
//! wrong with it; [`Command::extra`] takes a D-Bus property as it is. [`Properties`] is the same for other units, and
//! [`Unit::set`] changes limits while a unit runs.
//!
//! ```no_run
//! # async fn example() -> sdrun::Result<()> {
//! let mut command = sdrun::Command::new("/usr/bin/convert");
//! command.cpu_quota(150).private_network(true).property("SystemCallFilter=@system-service")?;
//! let error = command.property("MemoryMax=2X").unwrap_err();
//! println!("{error}"); // MemoryMax=2X: "2X" is not a size (expected a number with K, M, G, T, P or E, …)
//! # Ok(())
//! # }
//! ```
//!
//! # Logs
//!
//! [`Unit::logs`] is a stream of what the journal has of a unit, from its start to its end: the message of each
//! [`Entry`], its [`Priority`], its time and all its fields. When the unit has ended, all that it had written is waited
//! for.
//!
//! # Scopes
//!
//! A [`Scope`] gives a unit, with its cgroup and its limits, to processes that systemd does not start: to a child of this
//! process, which stays `tokio::process`'s own ([`Scope::spawn`], [`Command::scope`]), or to processes that exist
//! ([`Scope::around`]).
//!
//! # Timers, paths, sockets
//!
//! A [`TimerUnit`], [`PathUnit`] or [`SocketUnit`] starts a command again and again, without this process being there, as
//! `systemd-run --on-calendar=` and the like do. Whoever wants to know gets a stream with a handle to each run.
//!
//! ```no_run
//! # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
//! use futures::StreamExt;
//!
//! let mut backup = sdrun::Command::new("/usr/bin/backup");
//! let trigger = sdrun::TimerUnit::new().on_calendar("Mon..Fri *-*-* 10:00")?.start(&manager, &mut backup).await?;
//! let mut activations = trigger.activations();
//! while let Some(run) = activations.next().await {
//!     println!("{}", run?.await?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Other hosts
//!
//! [`Manager::remote`] is the manager of another host, over ssh, and [`Manager::machine`] that of a container. The
//! calls are the same. Programs, users and files are those there, scopes are for this host alone, and [`Unit::logs`]
//! cannot read the journal of either. To another host no pipes, descriptors or terminals can be passed: what a unit
//! writes is in the journal there, or in a file there ([`Stdio::file`]). `examples/fleet.rs` runs one command on many
//! hosts at once.
//!
//! # Supervisors
//!
//! A unit belongs to the manager, not to whoever started it. A program that was restarted finds its units again with
//! [`Manager::unit`], and gets the same handle: waiting, control and all.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use futures::StreamExt;
//! use sdrun::{Command, Error, Manager, Restart, ServiceType, Unit};
//!
//! /// Starts the service, or adopts it where an earlier run of this program has started it.
//! async fn web(manager: &Manager) -> sdrun::Result<Unit> {
//!     let mut web = Command::new("/usr/bin/web");
//!     web.name("web").service_type(ServiceType::Notify).watchdog(Duration::from_secs(10)).collect(true);
//!     web.restart(Restart::OnFailure).restart_delay(Duration::from_secs(1)).start_limit(5, Duration::from_secs(60));
//!     loop {
//!         match web.start(manager).await {
//!             Err(Error::UnitExists { .. }) => {}
//!             started => return started,
//!         }
//!         match manager.unit("web").await {
//!             Err(Error::NoSuchUnit { .. }) => {} // it has ended just now, and its name is free
//!             found => return found,
//!         }
//!     }
//! }
//!
//! # async fn example(manager: &Manager) -> sdrun::Result<()> {
//! let web = web(manager).await?;
//! let mut states = web.states();
//! while let Some(state) = states.next().await {
//!     println!("{}: {}", web.name(), state?); // active (running), activating (auto-restart), …
//! }
//! println!("{}", web.wait().await?); // systemd does not start it again
//! # Ok(())
//! # }
//! ```
//!
//! Here systemd restarts it, whatever becomes of this program. `examples/supervisor.rs` starts its services again
//! itself, with a pause that grows, and stops them in order when it is told to end.
//!
//! # What is guaranteed
//!
//! A handle resolves once, with what happened: no exit is lost or made up, as long as the connection is there, and the
//! next section has what is so when it is not. Input that cannot be carried out exactly is refused before anything is
//! sent; nothing is cut or changed silently. Values of variables and credentials are in no error, log line or `Debug`
//! output. Everything that is promised, the test behind each promise, and what is not promised is in
//! [docs/reliability.md].
//!
//! # When the manager goes away
//!
//! The bus daemon is restarted, systemd executes itself anew: a connection that is lost is made again, calls wait that
//! long ([`ManagerBuilder::patience`]), and each outstanding unit is looked up. One that runs is followed on. One that
//! ended meanwhile and is loaded still is asked how; of one that was unloaded the journal knows, if not everything
//! ([`Exit::from_journal`]). What nobody knows is [`Error::Lost`], never a made-up status. [`Command::durable`] has
//! systemd keep the unit until its exit was told: then nothing is lost, at the price of two more jobs.
//!
//! # Cancellation
//!
//! Every future may be dropped at any time. Dropping a start ([`run`], [`Command::start`], [`Command::status`]) before
//! systemd has accepted it gives it up: what was not sent is not, and a unit that was is stopped again, as long as the
//! runtime runs. Dropping a wait changes nothing; waiting again gives what it would have given. Dropping a [`Unit`]
//! leaves it running.
//!
//! A process that was forked has nothing of its parent's connections: what it calls on a [`Manager`] or a [`Unit`] from
//! before, and waits for, is [`Error::System`] with `ECHILD`, and dropping them does nothing to the parent's units. (The
//! tokio runtime is the parent's too: a child makes one of its own, or executes a program.)
//!
//! # What it costs
//!
//! A start is one D-Bus call, and an end none: one more call where `Restart=` could follow, and one where
//! [`usage`](Command::usage) was asked for. [`env_clear`](Command::env_clear) asks the manager once more before a
//! start, and [`durable`](Command::durable) takes about twice the time of a start. All units of a [`Manager`] share one
//! connection and, on a bus, four match rules (five with scopes); one task reads for all of them. On a bus, with
//! nothing outstanding, the units of others cause no wake-ups: the rules are dropped after three seconds.
//!
//! Any number of units may be outstanding. How many may be starting, or be stopped, at once is bounded by what a stock
//! bus bears, and the rest wait in order: see [`ManagerBuilder::most_lasting`] before starting hundreds of oneshots.
//!
//! What systemd itself takes is most of it. `make bench` in the repository compares with `systemd-run`, with the least that
//! a C client can do, and with other libraries.
//!
//! # What it needs
//!
//! A tokio runtime of any flavour with its I/O and time drivers (`enable_all`), and libsystemd 246 or newer with its
//! headers when it is built:
//!
//! | | |
//! |---|---|
//! | Debian, Ubuntu | `apt install libsystemd-dev pkg-config` |
//! | Fedora | `dnf install systemd-devel pkgconf` |
//! | Arch | `pacman -S systemd pkgconf` |
//! | openSUSE | `zypper install systemd-devel pkgconf` |
//!
//! Where they are missing the build stops in libsystemd-sys's build script. What an older libsystemd lacks is
//! [`Error::Unsupported`] when it is used. It is tested with systemd 252, 257 and 262. The oldest Rust is 1.85. There
//! are no feature flags.
//!
//! # Log
//!
//! Events of the crate `tracing`: starts and ends of units at level `debug`, with the unit's name; what the peer sends
//! that makes no sense at `warn`. Values of environment variables and properties are never in them.
//!
//! [docs/reliability.md]: https://github.com/sdrun/sdrun/blob/main/docs/reliability.md
//! [examples]: https://github.com/sdrun/sdrun/tree/main/examples
//!
#![doc = include_str!("tokio_process.md")]
//!
#![doc = include_str!("systemd_run.md")]
//!
#![doc = include_str!("pystemd_run.md")]
#![deny(unsafe_code)]

mod bus;
mod command;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(test, not(fuzzing)))]
mod fuzzing;
mod journal;
mod manager;
mod property;
mod unit;

pub use bus::{Signature, Value};
pub use command::{
    Command, Exec, ExitType, KillMode, Output, PathUnit, ProtectHome, ProtectSystem, Restart, Scope, ScopeCommand,
    Scoped, ServiceType, SocketUnit, Stdio, TimerUnit,
};
pub use error::{Error, Result};
pub use journal::{Entry, Logs, Priority};
pub use manager::{JobMode, Manager, ManagerBuilder, Transport};
pub use property::{Properties, UnitType};
pub use unit::{
    Activations, ActiveState, ChildStderr, ChildStdin, ChildStdout, Exit, Forward, Forwarded, InvocationId, Outcome,
    Pty, PtyReader, PtyWriter, State, States, Status, Trigger, Unit, Usage, Waiting, Whom, WindowSize,
};

/// Runs a command as a transient service through the default manager ([`Manager::shared`]). The handle is there as soon
/// as systemd has accepted the start; await it for the [`Exit`].
///
/// An array is the program and its arguments as they are; one string is split into words as a shell does it, though no
/// shell is involved and nothing is expanded. Where the program is looked for, [`Command::new`] says.
///
/// Dropping the future before it resolves gives the start up: see [`Command::start`].
///
/// ```no_run
/// # async fn example() -> sdrun::Result<()> {
/// let unit = sdrun::run("/bin/sh -c 'exit 3'").await?;
/// let exit = unit.await?;
/// assert_eq!(exit.code(), Some(3));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Command::start`] and [`Manager::system`].
pub async fn run(command: impl Into<Command>) -> Result<Unit> {
    command.into().start_shared().await
}
