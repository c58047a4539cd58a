//! One connection to a bus or to a service manager's private socket.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::{self, NonNull};
use std::time::Duration;

use bitflags::bitflags;
use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::time::{ClockId, clock_gettime};
use sdrun_sys as sys;

use super::child::{Child, Program, lost};
use super::foreign::Foreign;
use super::{Message, check, room};
use crate::error::{Error, Result};

/// Where to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The system bus (`DBUS_SYSTEM_BUS_ADDRESS` or its usual socket).
    System,
    /// The user's bus (`DBUS_SESSION_BUS_ADDRESS` or `$XDG_RUNTIME_DIR/bus`).
    User,
    /// The system bus of a container or of `.host`. Opening it forks and waits.
    Machine(CString),
    /// The bus of a user in a container or of `.host`. Opening it forks and waits.
    UserMachine(CString),
    /// Any bus daemon, by D-Bus address.
    Bus(CString),
    /// A peer without a bus daemon between, by D-Bus address.
    Peer(CString),
    /// A bus daemon that a program leads to.
    Program(Program),
    /// The socket of somebody else, who may be root's enemy: in a folder of theirs. Connecting waits for a thread.
    Foreign(Foreign),
}

impl Target {
    /// Whether opening it can block, so that it belongs on a blocking thread.
    pub fn blocks(&self) -> bool {
        match self {
            Target::System | Target::User => false,
            Target::Machine(_) | Target::UserMachine(_) | Target::Program(_) | Target::Foreign(_) => true,
            // The one enters the machine in a child process, and waits for that.
            Target::Bus(address) | Target::Peer(address) => address.to_string_lossy().contains("x-machine-unix:"),
        }
    }

    /// Whether there is no bus daemon between.
    pub fn is_direct(&self) -> bool {
        matches!(self, Target::Peer(_) | Target::Foreign(Foreign { direct: true, .. }))
    }

    /// Whether this says that there is nobody to connect to any more: a container that does not run.
    pub fn is_gone(&self, error: &Error) -> bool {
        let is_machine = matches!(self, Target::Machine(_) | Target::UserMachine(_));
        is_machine && matches!(error, Error::System { errno: Errno::ENOENT | Errno::ENXIO | Errno::EHOSTDOWN, .. })
    }

    /// How large a message may be, as far as that can be known: a bus that is given by its address, or that is on another
    /// host, is taken for a system bus.
    fn largest_message(&self) -> usize {
        match self {
            Target::System | Target::Machine(_) | Target::Program(_) | Target::Bus(_) => room::ON_SYSTEM_BUS,
            Target::User | Target::UserMachine(_) | Target::Peer(_) | Target::Foreign(_) => room::ANYWHERE,
        }
    }

    /// Whether the connection leads through a child process of libsystemd, for whose end closing it waits.
    fn has_child(&self) -> bool {
        match self {
            // A program of ours is not libsystemd's to wait for.
            Target::System | Target::User | Target::Machine(_) | Target::Program(_) | Target::Foreign(_) => false,
            Target::UserMachine(_) => true,
            Target::Bus(address) | Target::Peer(address) => address.to_string_lossy().contains("unixexec:"),
        }
    }
}

bitflags! {
    /// What a connection waits for, as `sd_bus_get_events` says it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Interest: c_int {
        const READABLE = nix::libc::POLLIN as c_int;
        const WRITABLE = nix::libc::POLLOUT as c_int;
    }
}

/// What one call of [`Bus::process`] did.
#[derive(Debug)]
pub(crate) enum Step<'b> {
    /// A message arrived.
    Message(Message<'b>),
    /// Something was done; there may be more.
    Progress,
    /// Nothing is left to do until the descriptor or the timeout says so.
    Idle,
}

/// A connection. It may move between threads but be used by one at a time (`Send`, not `Sync`): it belongs
/// behind a lock.
pub(crate) struct Bus {
    raw: NonNull<sys::sd_bus>,
    parked: RefCell<Vec<Option<NonNull<sys::sd_bus_message>>>>,
    largest_message: usize,
    /// See [`Target::has_child`].
    has_child: bool,
    /// The program at the other end, where there is one. It outlives the connection: see [`Drop`].
    program: Option<Child>,
}

/// A message that was left with its bus by [`Bus::park`], to be taken up again later.
#[derive(Debug)]
pub(crate) struct Parked(usize);

// SAFETY: an sd_bus has no thread affinity, only counts that are not atomic. All references to it and to its
// messages are held by this value (`raw`, `parked`) or by `Message`s, which borrow it; it is not Sync, so
// while a `Message` lives it can be neither moved to another thread nor used from one.
unsafe impl Send for Bus {}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    /// Opens a connection and begins its handshake, which [`process`](Bus::process) carries on.
    pub fn open(target: &Target) -> Result<Self> {
        let mut bus = match target {
            Target::System => Self::opened("open the system bus", |raw| {
                // SAFETY: `raw` is a place for the new bus.
                unsafe { sys::sd_bus_open_system(raw) }
            }),
            Target::User => Self::opened("open the user bus", |raw| {
                // SAFETY: as above.
                unsafe { sys::sd_bus_open_user(raw) }
            }),
            Target::Machine(name) => Self::opened("open the machine's bus", |raw| {
                // SAFETY: as above, and a NUL-terminated name.
                unsafe { sys::sd_bus_open_system_machine(raw, name.as_ptr()) }
            }),
            Target::UserMachine(name) => Self::open_user_machine(name),
            Target::Bus(address) => Self::open_address(address, true),
            Target::Peer(address) => Self::open_address(address, false),
            Target::Program(program) => Self::open_program(program),
            Target::Foreign(foreign) => {
                let bus = Self::over_fd(foreign.connect()?.into(), !foreign.direct, true)?;
                bus.start().map(|()| bus)
            }
        }?;
        bus.largest_message = target.largest_message();
        bus.has_child = target.has_child();
        Ok(bus)
    }

    #[cfg(libsystemd_248)]
    fn open_user_machine(name: &CStr) -> Result<Self> {
        Self::opened("open the bus of a machine's user", |raw| {
            // SAFETY: `raw` is a place for the new bus, the name NUL-terminated.
            unsafe { sys::sd_bus_open_user_machine(raw, name.as_ptr()) }
        })
    }

    #[cfg(not(libsystemd_248))]
    fn open_user_machine(_name: &CStr) -> Result<Self> {
        Err(Error::Unsupported { what: "the user manager of a machine (sd_bus_open_user_machine)", since: 248 })
    }

    fn open_address(address: &CStr, bus_client: bool) -> Result<Self> {
        let bus = Self::opened("sd_bus_new", |raw| {
            // SAFETY: `raw` is a place for the new bus.
            unsafe { sys::sd_bus_new(raw) }
        })?;
        // SAFETY: a live bus that was not started yet; the address is copied.
        check("set the D-Bus address", unsafe { sys::sd_bus_set_address(bus.as_raw(), address.as_ptr()) })?;
        // SAFETY: as above.
        check("sd_bus_set_bus_client", unsafe { sys::sd_bus_set_bus_client(bus.as_raw(), bus_client.into()) })?;
        bus.start().map(|()| bus)
    }

    /// Needs a runtime.
    fn open_program(program: &Program) -> Result<Self> {
        let (child, fd) = Child::start(program)?;
        let mut bus = Self::over_fd(fd, true, false)?;
        bus.program = Some(child);
        // Where the program has ended already this fails and closes the bus. The next step fails with it then, and there
        // the program is asked why.
        let _ = bus.start();
        Ok(bus)
    }

    /// A connection, yet to be started, over a socket that is connected already.
    fn over_fd(fd: OwnedFd, bus_client: bool, passes_descriptors: bool) -> Result<Self> {
        let bus = Self::opened("sd_bus_new", |raw| {
            // SAFETY: `raw` is a place for the new bus.
            unsafe { sys::sd_bus_new(raw) }
        })?;
        let raw = fd.as_raw_fd();
        // SAFETY: a live bus that was not started yet, and an open descriptor.
        check("sd_bus_set_fd", unsafe { sys::sd_bus_set_fd(bus.as_raw(), raw, raw) })?;
        // The bus closes it from now on.
        let _ = fd.into_raw_fd();
        // SAFETY: a live bus that was not started yet.
        check("sd_bus_set_bus_client", unsafe { sys::sd_bus_set_bus_client(bus.as_raw(), bus_client.into()) })?;
        // SAFETY: as above.
        check("sd_bus_negotiate_fds", unsafe { sys::sd_bus_negotiate_fds(bus.as_raw(), passes_descriptors.into()) })?;
        Ok(bus)
    }

    fn start(&self) -> Result<()> {
        // SAFETY: a live bus that was not started yet.
        check("connect", unsafe { sys::sd_bus_start(self.as_raw()) }).map(drop)
    }

    /// One end of a connection over a socket.
    #[cfg(any(test, fuzzing))]
    pub fn over(fd: OwnedFd, server: bool) -> Result<Self> {
        let bus = Self::opened("sd_bus_new", |raw| {
            // SAFETY: `raw` is a place for the new bus.
            unsafe { sys::sd_bus_new(raw) }
        })?;
        let fd = fd.into_raw_fd();
        // SAFETY: a live bus that was not started yet, which takes the descriptor over.
        check("sd_bus_set_fd", unsafe { sys::sd_bus_set_fd(bus.as_raw(), fd, fd) })?;
        if server {
            let id = sys::sd_id128_t::from([7; 16]);
            // SAFETY: a live bus that was not started yet.
            check("sd_bus_set_server", unsafe { sys::sd_bus_set_server(bus.as_raw(), 1, id) })?;
        }
        bus.start().map(|()| bus)
    }

    /// The two ends of a connection over a socket pair: the client's, and the one of a server that a test
    /// scripts.
    #[cfg(test)]
    pub fn pair() -> Result<(Self, Self)> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(|_| Error::system("socketpair", Errno::last()))?;
        Ok((Self::over(ours.into(), false)?, Self::over(theirs.into(), true)?))
    }

    fn opened(operation: &'static str, open: impl FnOnce(*mut *mut sys::sd_bus) -> c_int) -> Result<Self> {
        let mut raw = ptr::null_mut();
        check(operation, open(&mut raw))?;
        let raw = NonNull::new(raw).ok_or(Error::system(operation, Errno::EINVAL))?;
        Ok(Bus { raw, parked: RefCell::default(), largest_message: room::ANYWHERE, has_child: false, program: None })
    }

    pub(super) fn as_raw(&self) -> *mut sys::sd_bus {
        self.raw.as_ptr()
    }

    /// Has the calls made from now on say that their sender is ready to wait while somebody is asked for a password.
    pub fn allow_interactive_authorization(&self) -> Result<()> {
        // SAFETY: a live bus.
        let set = unsafe { sys::sd_bus_set_allow_interactive_authorization(self.as_raw(), 1) };
        check("sd_bus_set_allow_interactive_authorization", set).map(drop)
    }

    /// Whether the handshake is over and messages pass.
    pub fn is_ready(&self) -> Result<bool> {
        // SAFETY: a live bus.
        Ok(check("connect", unsafe { sys::sd_bus_is_ready(self.as_raw()) })? > 0)
    }

    /// The handshake is over.
    pub(super) fn establish(&mut self) {
        if let Some(program) = &mut self.program {
            program.establish();
        }
    }

    /// The program at the other end, to be asked why there is no connection once that is closed.
    pub(super) fn take_program(&mut self) -> Option<Child> {
        self.program.take()
    }

    /// A duplicate of the descriptor to wait on. It may be another one until the bus is ready.
    pub fn fd(&self) -> Result<OwnedFd> {
        // SAFETY: a live bus.
        let raw = check("sd_bus_get_fd", unsafe { sys::sd_bus_get_fd(self.as_raw()) })?;
        // SAFETY: the bus's own descriptor, which it closes only while it is processed.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) };
        duplicate(fd)
    }

    /// The process at the other end of the socket: the manager itself where no bus daemon is between.
    pub fn peer(&self) -> Option<u32> {
        let socket = self.fd().ok()?;
        let credentials = getsockopt(&socket, PeerCredentials).ok()?;
        u32::try_from(credentials.pid()).ok().filter(|pid| *pid > 0)
    }

    /// What the descriptor is to be watched for.
    pub fn interest(&self) -> Result<Interest> {
        // SAFETY: a live bus.
        check("sd_bus_get_events", unsafe { sys::sd_bus_get_events(self.as_raw()) }).map(Interest::from_bits_truncate)
    }

    /// How many messages were sent that are not in the socket yet.
    pub fn unwritten(&self) -> u64 {
        let mut count = 0;
        // SAFETY: a live bus and a place for the number.
        let counted = unsafe { sys::sd_bus_get_n_queued_write(self.as_raw(), &mut count) };
        if counted < 0 { 0 } else { count }
    }

    /// How long until [`process`](Bus::process) is due even if the descriptor stays silent.
    pub fn timeout(&self) -> Result<Option<Duration>> {
        let mut deadline = u64::MAX;
        // SAFETY: a live bus and a place for the deadline.
        check("sd_bus_get_timeout", unsafe { sys::sd_bus_get_timeout(self.as_raw(), &mut deadline) })?;
        Ok(match deadline {
            u64::MAX => None,
            0 => Some(Duration::ZERO),
            // An absolute time of CLOCK_MONOTONIC, in microseconds.
            _ => Some(Duration::from_micros(deadline).saturating_sub(monotonic_now())),
        })
    }

    /// Carries the connection on by one step.
    pub fn process(&self) -> Result<Step<'_>> {
        let mut message = ptr::null_mut();
        // SAFETY: a live bus and a place for a message; no callback of ours is installed, so nothing runs
        // within but sd-bus itself.
        let done = check("sd_bus_process", unsafe { sys::sd_bus_process(self.as_raw(), &mut message) })?;
        Ok(match NonNull::new(message) {
            // SAFETY: sd_bus_process gives a message of this bus with one reference, ours now.
            Some(raw) => Step::Message(unsafe { Message::from_raw(raw) }),
            None if done > 0 => Step::Progress,
            None => Step::Idle,
        })
    }

    /// A method call to be filled and sent. `destination` is `None` where there is no bus daemon.
    pub fn method_call(
        &self,
        destination: Option<&CStr>,
        path: &CStr,
        interface: &CStr,
        member: &CStr,
    ) -> Result<Message<'_>> {
        Message::made("new method call", |raw| {
            // SAFETY: a live bus, a place for the message, NUL-terminated strings (or null for none), which
            // sd-bus checks and copies.
            unsafe {
                sys::sd_bus_message_new_method_call(
                    self.as_raw(),
                    raw,
                    destination.map_or(ptr::null(), CStr::as_ptr),
                    path.as_ptr(),
                    interface.as_ptr(),
                    member.as_ptr(),
                )
            }
        })
        .map(|message| message.of_at_most(self.largest_message))
    }

    /// A signal.
    #[cfg(any(test, fuzzing))]
    pub fn signal(&self, path: &CStr, interface: &CStr, member: &CStr) -> Result<Message<'_>> {
        Message::made("new signal", |raw| {
            // SAFETY: a live bus, a place for the message, NUL-terminated strings, which are copied.
            unsafe {
                sys::sd_bus_message_new_signal(self.as_raw(), raw, path.as_ptr(), interface.as_ptr(), member.as_ptr())
            }
        })
    }

    /// Sends a message, or queues what the socket does not take at once. The cookie identifies the reply.
    pub fn send(&self, message: Message<'_>) -> Result<u64> {
        let mut cookie = 0;
        self.own(&message)?;
        // SAFETY: a live bus and message, and a place for the cookie; sd-bus takes a reference of its own.
        let sent = check("send", unsafe { sys::sd_bus_send(self.as_raw(), message.as_raw(), &mut cookie) });
        sent.map_err(|error| self.explain(error))?;
        Ok(cookie)
    }

    /// Sends a message that gets no reply.
    pub fn send_only(&self, message: Message<'_>) -> Result<()> {
        self.own(&message)?;
        // SAFETY: as in `send`; without a cookie sd-bus marks a call as one that wants no reply.
        let sent = check("send", unsafe { sys::sd_bus_send(self.as_raw(), message.as_raw(), ptr::null_mut()) });
        sent.map(drop).map_err(|error| self.explain(error))
    }

    /// Says of a message that cannot be sent that the connection is lost, where that is why. Reading tells everyone else.
    fn explain(&self, error: Error) -> Error {
        match (&error, &self.program) {
            (Error::System { errno: Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN, .. }, Some(program)) => {
                program.explain(error)
            }
            (Error::System { errno: Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN, .. }, None) => {
                Error::Disconnected { reason: lost(&error).into() }
            }
            _ => error,
        }
    }

    /// Refuses a message of another bus: sd-bus would keep a reference to it that outlives the borrow.
    fn own(&self, message: &Message<'_>) -> Result<()> {
        // SAFETY: a live message.
        let owner = unsafe { sys::sd_bus_message_get_bus(message.as_raw()) };
        match owner {
            owner if owner == self.as_raw() => Ok(()),
            // Newer versions tell nothing of a message to a process that was forked since.
            owner if owner.is_null() => Err(Error::system("use the connection of another process", Errno::ECHILD)),
            _ => Err(Error::system("use a message of another bus", Errno::EXDEV)),
        }
    }

    /// Keeps a message with the bus, to be read later.
    pub fn park(&self, message: Message<'_>) -> Result<Parked> {
        self.own(&message)?;
        let mut parked = self.parked.borrow_mut();
        let at = parked.iter().position(Option::is_none).unwrap_or(parked.len());
        if at == parked.len() {
            parked.push(None);
        }
        parked[at] = Some(message.into_raw());
        Ok(Parked(at))
    }

    /// How many messages are parked.
    #[cfg(test)]
    pub fn parked(&self) -> usize {
        self.parked.borrow().iter().flatten().count()
    }

    /// Takes a parked message up again.
    pub fn unpark(&self, parked: Parked) -> Option<Message<'_>> {
        let raw = self.parked.borrow_mut().get_mut(parked.0)?.take()?;
        // SAFETY: the reference that `park` put here, of a message of this bus.
        Some(unsafe { Message::from_raw(raw) })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for raw in self.parked.get_mut().drain(..).flatten() {
            // SAFETY: the reference that `park` put here.
            unsafe { sys::sd_bus_message_unref(raw.as_ptr()) };
        }
        // Duplicates of the descriptor keep the socket open, until the runtime that watches them runs again. The peer
        // is to see the end now. (After a fork the child gets no descriptor here, so the parent's goes on.)
        if let Ok(fd) = self.fd() {
            let _ = UnixStream::from(fd).shutdown(Shutdown::Both);
        }
        let closing = Closing(self.raw);
        if self.has_child {
            // Where there can be no thread for it, the closure is dropped here, and the connection with it.
            let _ = std::thread::Builder::new().name("sdrun-close".into()).spawn(move || drop(closing));
        }
    }
}

/// What is left of a [`Bus`] that was dropped: its only reference, besides those that sd-bus's own queues hold.
struct Closing(NonNull<sys::sd_bus>);

// SAFETY: no `Message` is left when a `Bus` is dropped, since each borrows it, so nothing else refers to the sd_bus,
// which has no thread affinity.
unsafe impl Send for Closing {}

impl Drop for Closing {
    fn drop(&mut self) {
        // SAFETY: the reference that the `Bus` owned.
        unsafe { sys::sd_bus_close_unref(self.0.as_ptr()) };
    }
}

/// A descriptor of the same file.
pub(super) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|error| Error::io("duplicate the bus's descriptor", &error))
}

/// The time on the clock that sd-bus's deadlines are of.
fn monotonic_now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
