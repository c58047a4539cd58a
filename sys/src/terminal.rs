//! Terminals: what tty_ioctl(4) and termios(3) offer, in safe functions, and a raw mode that is undone however the
//! process ends. Unlike the rest of this crate nothing in here is libsystemd's.

use std::cell::UnsafeCell;
use std::fs::OpenOptions;
use std::hint;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use libc::{c_int, c_uint};

/// Turns -1 into the error that the C library left.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The size of a terminal's window: rows and columns of characters, width and height in pixels (0 where unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub struct Window {
    pub rows: u16,
    pub columns: u16,
    pub width: u16,
    pub height: u16,
}

/// The window's size. `TIOCGWINSZ`, tty_ioctl(4).
pub fn window(terminal: BorrowedFd<'_>) -> io::Result<Window> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: an open descriptor and a place for the answer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(Window { rows: size.ws_row, columns: size.ws_col, width: size.ws_xpixel, height: size.ws_ypixel })
}

/// Sets the window's size; the foreground process group gets SIGWINCH if it changed. `TIOCSWINSZ`, tty_ioctl(4).
pub fn set_window(terminal: BorrowedFd<'_>, window: Window) -> io::Result<()> {
    let Window { rows, columns, width, height } = window;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: width, ws_ypixel: height };
    // SAFETY: an open descriptor and a size that is only read.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}

/// Opens a new pseudo-terminal's master, non-blocking, with its slave unlocked. pts(4).
pub fn open_master() -> io::Result<OwnedFd> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let master = OwnedFd::from(OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx")?);
    let lock: c_int = 0;
    // SAFETY: an open descriptor and a number that is only read.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const lock) })?;
    Ok(master)
}

/// The number of a master's slave, which is `/dev/pts/NUMBER` where that file system is the master's. `TIOCGPTN`,
/// tty_ioctl(4).
pub fn peer_number(master: BorrowedFd<'_>) -> io::Result<u32> {
    let mut number: c_uint = 0;
    // SAFETY: an open descriptor and a place for the answer.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}

/// Opens a master's slave, whatever file system it is in. It does not become the controlling terminal. `TIOCGPTPEER`,
/// tty_ioctl(4).
pub fn open_peer(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: an open descriptor; the argument is a number.
    let fd = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: a new descriptor that nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What terminal this is, by whatever name it was opened: the same number for `/dev/tty` and `/dev/pts/3`.
/// `TIOCGDEV`, tty_ioctl(4).
pub fn device(terminal: BorrowedFd<'_>) -> io::Result<u32> {
    let mut device: c_uint = 0;
    // SAFETY: an open descriptor and a place for the answer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGDEV, &raw mut device) })?;
    Ok(device)
}

/// Whether this process is in the background of the terminal, which is the one that controls it: then reading it and
/// changing its modes stops the process. credentials(7), tcgetpgrp(3).
pub fn in_background(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: numbers go in, numbers come out.
    unsafe {
        // Of a master they tell about its slave, so that the foreground alone says nothing.
        libc::tcgetsid(terminal.as_raw_fd()) == libc::getsid(0)
            && libc::tcgetpgrp(terminal.as_raw_fd()) != libc::getpgrp()
    }
}

/// What a terminal does with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Whether it hands over whole lines (`ICANON`), and so knows an end of file.
    pub canonical: bool,
    /// The character that ends the input (`VEOF`), if there is one.
    pub end: Option<u8>,
}

/// What a terminal does with its input; asked of a master, what its slave does. termios(3).
pub fn line(terminal: BorrowedFd<'_>) -> io::Result<Line> {
    let attributes = attributes(terminal)?;
    // _POSIX_VDISABLE
    let end = Some(attributes.c_cc[libc::VEOF]).filter(|end| *end != 0);
    Ok(Line { canonical: attributes.c_lflag & libc::ICANON != 0, end })
}

fn attributes(terminal: BorrowedFd<'_>) -> io::Result<libc::termios> {
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: an open descriptor and a place for the answer.
    check(unsafe { libc::tcgetattr(terminal.as_raw_fd(), attributes.as_mut_ptr()) })?;
    // SAFETY: tcgetattr filled it.
    Ok(unsafe { attributes.assume_init() })
}

fn set_attributes(terminal: RawFd, attributes: &libc::termios) -> io::Result<()> {
    // SAFETY: the descriptor is checked by the kernel, the attributes are only read.
    check(unsafe { libc::tcsetattr(terminal, libc::TCSANOW, attributes) })?;
    Ok(())
}

/// Which direction of a terminal is to pass bytes unaltered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw {
    /// What is typed: no lines, no echo, no signals.
    pub input: bool,
    /// What is written: no `\n` made into `\r\n`.
    pub output: bool,
}

/// A terminal in raw mode. Dropping it restores the terminal. So does `exit`, and each signal that ends the process
/// whose disposition was the default one when the first `RawMode` of the process was made; then the process ends as
/// it would have. SIGKILL and `_exit` alone leave the terminal as it is.
#[derive(Debug)]
pub struct RawMode {
    /// Keeps the descriptor in the place open.
    _terminal: OwnedFd,
    place: usize,
    _handlers: Handlers,
}

impl RawMode {
    /// Puts a terminal into raw mode.
    ///
    /// A process in the background is stopped by it (SIGTTOU), as by any change of the terminal, until it is in the
    /// foreground.
    ///
    /// # Errors
    ///
    /// ENOTTY when it is no terminal, EMFILE when too many are in raw mode already.
    pub fn enter(terminal: BorrowedFd<'_>, raw: Raw) -> io::Result<Self> {
        let saved = attributes(terminal)?;
        let mut changed = saved;
        // SAFETY: attributes that tcgetattr filled.
        unsafe { libc::cfmakeraw(&mut changed) };
        if !raw.input {
            changed.c_iflag = saved.c_iflag;
            changed.c_lflag = saved.c_lflag;
        }
        if !raw.output {
            changed.c_oflag = saved.c_oflag;
        }
        let terminal = terminal.try_clone_to_owned()?;
        let fd = terminal.as_raw_fd();
        let handlers = Handlers::install();
        let place = PLACES.with(|places| {
            let free = places.iter().position(Option::is_none)?;
            places[free] = Some(Place { fd, saved, owner: std::process::id() });
            Some(free)
        });
        let place = place.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
        let mode = RawMode { _terminal: terminal, place, _handlers: handlers };
        set_attributes(fd, &changed)?;
        Ok(mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // With all signals blocked: a process in the background is not stopped by it.
        PLACES.with(|places| {
            if let Some(place) = places[self.place].take() {
                place.restore();
            }
        });
    }
}

/// A terminal to be restored.
#[derive(Clone, Copy)]
struct Place {
    fd: RawFd,
    saved: libc::termios,
    /// The process that put it into raw mode. A child that it has forked has a copy of this, and the same terminal, but
    /// must leave that as it is when it ends.
    owner: u32,
}

impl Place {
    fn restore(&self) {
        if std::process::id() != self.owner {
            return;
        }
        // There is nobody to tell that it failed; the terminal may be gone.
        let _ = set_attributes(self.fd, &self.saved);
    }
}

/// The terminals to be restored, where a signal handler finds them.
struct Places {
    locked: AtomicBool,
    places: UnsafeCell<[Option<Place>; 32]>,
}

// SAFETY: `places` is only touched in `with`, by one thread at a time.
unsafe impl Sync for Places {}

static PLACES: Places = Places { locked: AtomicBool::new(false), places: UnsafeCell::new([None; 32]) };

impl Places {
    /// A spinning lock, because signal handlers take it too. Who holds it has all signals blocked, so no handler waits
    /// for the thread that it interrupted.
    fn with<T>(&self, act: impl FnOnce(&mut [Option<Place>; 32]) -> T) -> T {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: a place for the mask, which sigfillset fills; then a place for the one before it.
        let mask = unsafe {
            let mut all = MaybeUninit::uninit();
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), mask.as_mut_ptr());
            mask.assume_init()
        };
        while self.locked.swap(true, Ordering::Acquire) {
            hint::spin_loop();
        }
        // SAFETY: the lock is held, and `act`, which is one of those in this file, neither takes it nor panics.
        let value = act(unsafe { &mut *self.places.get() });
        self.locked.store(false, Ordering::Release);
        // SAFETY: the mask that pthread_sigmask gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &mask, ptr::null_mut()) };
        value
    }
}

/// Restores every terminal. Async-signal-safe.
fn restore_all() {
    PLACES.with(|places| places.iter().flatten().for_each(Place::restore));
}

/// Every signal whose default is to end the process, and that can be caught.
const FATAL: [c_int; 22] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGUSR1,
    libc::SIGSEGV,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSYS,
];

/// What the handlers were put in place of; how many need them.
struct Installed {
    users: usize,
    before: Vec<(c_int, libc::sigaction)>,
}

static INSTALLED: Mutex<Installed> = Mutex::new(Installed { users: 0, before: Vec::new() });

/// The handlers of [`FATAL`] are there as long as one of these is.
#[derive(Debug)]
struct Handlers;

impl Handlers {
    fn install() -> Self {
        static AT_EXIT: Once = Once::new();
        AT_EXIT.call_once(|| {
            // SAFETY: a function that may run at any time. Where it cannot be registered, `exit` is not covered.
            unsafe { libc::atexit(at_exit) };
        });
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        installed.users += 1;
        if installed.users == 1 {
            for signal in FATAL {
                let before = disposition(signal);
                if before.sa_sigaction == libc::SIG_DFL {
                    // SAFETY: all zeroes is a valid sigaction.
                    let mut ours: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
                    ours.sa_sigaction = handler();
                    // On the alternate stack, where a thread has one: the usual one may be what overflowed.
                    ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
                    // SAFETY: a place for the mask; then a live sigaction, whose handler is async-signal-safe.
                    unsafe {
                        libc::sigfillset(&mut ours.sa_mask);
                        libc::sigaction(signal, &ours, ptr::null_mut());
                    }
                    installed.before.push((signal, before));
                }
            }
        }
        Handlers
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        installed.users -= 1;
        if installed.users == 0 {
            for (signal, before) in installed.before.drain(..) {
                // Another one was installed meanwhile: it stays.
                if disposition(signal).sa_sigaction == handler() {
                    // SAFETY: the disposition that `install` found.
                    unsafe { libc::sigaction(signal, &before, ptr::null_mut()) };
                }
            }
        }
    }
}

fn handler() -> libc::sighandler_t {
    on_fatal as extern "C" fn(c_int) as libc::sighandler_t
}

fn disposition(signal: c_int) -> libc::sigaction {
    let mut now = MaybeUninit::zeroed();
    // SAFETY: a place for the answer, which is valid also while it is all zeroes (SIG_DFL).
    unsafe {
        libc::sigaction(signal, ptr::null(), now.as_mut_ptr());
        now.assume_init()
    }
}

extern "C" fn at_exit() {
    restore_all();
}

/// Restores the terminals, then has the signal do what it did before.
extern "C" fn on_fatal(signal: c_int) {
    // SAFETY: the thread's own errno.
    let errno = unsafe { *libc::__errno_location() };
    // A handler that was installed over ours and calls ours after it has decided itself what the signal means.
    if disposition(signal).sa_sigaction == handler() {
        restore_all();
        // SAFETY: async-signal-safe calls (signal-safety(7)) with valid arguments. The signal is blocked here, so it
        // comes again when the handler returns, and meets the default, which was there when this was installed.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Whether two descriptors are of the same terminal.
pub fn same(one: impl AsFd, other: impl AsFd) -> bool {
    matches!((device(one.as_fd()), device(other.as_fd())), (Ok(one), Ok(other)) if one == other)
}
