//! The master of the pseudo-terminal that a unit runs on.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::{Either, select};
use nix::errno::Errno;
use sdrun_sys::terminal;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::runtime::Handle;

use super::Following;
use crate::bus::watch;
use crate::error::{Error, Result};

/// The size of a terminal's window, in characters, and in pixels where that is known (else 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct WindowSize {
    /// How many lines it has.
    pub rows: u16,
    /// How many characters a line has.
    pub columns: u16,
    /// Its width in pixels.
    pub width: u16,
    /// Its height in pixels.
    pub height: u16,
}

impl WindowSize {
    /// So many lines of so many characters; how many pixels that is stays open.
    pub fn new(rows: u16, columns: u16) -> Self {
        WindowSize { rows, columns, width: 0, height: 0 }
    }

    /// The size of the window of a terminal of one's own.
    ///
    /// # Errors
    ///
    /// ENOTTY when it is no terminal.
    pub fn of(terminal: impl AsFd) -> io::Result<Self> {
        let terminal::Window { rows, columns, width, height } = terminal::window(terminal.as_fd())?;
        Ok(WindowSize { rows, columns, width, height })
    }

    pub(crate) fn set(self, terminal: impl AsFd) -> io::Result<()> {
        let WindowSize { rows, columns, width, height } = self;
        terminal::set_window(terminal.as_fd(), terminal::Window { rows, columns, width, height })
    }
}

/// The two ends of a pseudo-terminal that was just opened.
#[derive(Debug)]
pub(crate) struct Pair {
    pub master: OwnedFd,
    /// Keeps the terminal alive while no process of the unit has it open.
    pub slave: OwnedFd,
    /// The slave's path, as the unit sees it.
    pub path: String,
}

impl Pair {
    /// A pseudo-terminal of this host.
    pub fn open_here() -> Result<Self> {
        let failed = |error| Error::io("open a pseudo-terminal", &error);
        let master = terminal::open_master().map_err(failed)?;
        let path = format!("/dev/pts/{}", terminal::peer_number(master.as_fd()).map_err(failed)?);
        Self::of(master, path)
    }

    /// One whose master was opened elsewhere.
    pub fn of(master: OwnedFd, path: String) -> Result<Self> {
        let slave = terminal::open_peer(master.as_fd())
            .map_err(|error| Error::io("open the slave of the pseudo-terminal (TIOCGPTPEER)", &error))?;
        set_nonblocking(&master).map_err(|errno| Error::system("make the pseudo-terminal non-blocking", errno))?;
        Ok(Pair { master, slave, path })
    }
}

fn set_nonblocking(fd: &OwnedFd) -> nix::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// The terminal of a unit that runs on one ([`Command::pty`](crate::Command::pty)): what is written to it is what the
/// program reads as if it were typed, and what is read from it is what the program writes, to standard output and to
/// standard error alike.
///
/// It is a pseudo-terminal's master (`pty(7)`). As long as its unit has not ended, nothing that comes or goes in it (the
/// commands before and after the main one, a restart) ends the terminal. When the unit has ended (see
/// [`Unit::wait`](crate::Unit::wait)) or could not be started, what is left is read, then comes the end of file; only a
/// process that outlives the unit and has the terminal open keeps it open, as with a pipe. All that the unit wrote is
/// read, as long as it is read: a program whose output nobody reads is held up when the terminal's buffer, of some
/// 20 KiB, is full.
///
/// What is written before the program runs waits for it, unless systemd resets the terminal then and throws it away: it
/// does with `TTYReset=yes` (`systemd.exec(5)`), for the manager of another user
/// ([`Manager::user_machine`](crate::Manager::user_machine)), and where another of the program's streams is a descriptor or
/// a pipe. There, write when the program has asked for it.
///
/// The terminal changes what passes through it, as terminals do: a line feed from the program arrives as `\r\n`, and
/// what is written comes back as an echo, until a program sets it otherwise. `shutdown` does nothing, for a terminal has no
/// end of file of its own: to end the program's input, write the character for it, `^D` (byte 4), at the beginning of a
/// line.
///
/// Dropping it hangs the terminal up: the program gets SIGHUP, of which most programs die, though not the unit. (The
/// terminal's number stays taken, and one descriptor open, until the unit has ended, when systemd touches the path once
/// more; so the unit is followed until then.) Left in
/// the handle when that is awaited as a whole (also by [`Command::status`](crate::Command::status)), it is read until the
/// unit has ended, and what comes is thrown away.
///
/// ```no_run
/// use tokio::io::AsyncReadExt as _;
///
/// # async fn example(manager: &sdrun::Manager) -> Result<(), Box<dyn std::error::Error>> {
/// let mut unit = sdrun::Command::new("/usr/bin/tty").pty().start(manager).await?;
/// let mut name = String::new();
/// unit.pty.take().expect("asked for").read_to_string(&mut name).await?;
/// assert!(name.starts_with("/dev/pts/"));
/// # Ok(())
/// # }
/// ```
pub struct Pty {
    reader: PtyReader,
    writer: PtyWriter,
}

/// The half of a [`Pty`] that is read: see [`Pty::into_split`].
pub struct PtyReader {
    master: Master,
    /// While the unit has not ended.
    open: Option<Open>,
}

/// The half of a [`Pty`] that is written to: see [`Pty::into_split`].
pub struct PtyWriter {
    master: Master,
}

/// A descriptor of the master, watched in one direction.
struct Master {
    fd: AsyncFd<OwnedFd>,
    interest: Interest,
}

impl Master {
    fn new(fd: OwnedFd, interest: Interest) -> Result<Self> {
        Ok(Master { fd: watch(fd, interest)?, interest })
    }

    /// Forgets what tokio was told of the descriptor. A hang-up it remembers for good, so that the descriptor counts as
    /// ready ever after; but a terminal that nobody had open can be opened again.
    fn renew(&mut self) -> io::Result<()> {
        self.fd = watch(self.fd.get_ref().try_clone()?, self.interest)?;
        Ok(())
    }
}

/// What keeps the terminal open.
struct Open {
    /// Never read: its being open is what matters.
    slave: OwnedFd,
    unit: Arc<Following>,
    ended: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    runtime: Handle,
}

impl Pty {
    /// Takes over a terminal whose unit is about to be started.
    pub(crate) fn new(pair: Pair, unit: &Arc<Following>) -> Result<Self> {
        let Pair { master, slave, path: _ } = pair;
        let other =
            master.try_clone().map_err(|error| Error::io("duplicate the pseudo-terminal's descriptor", &error))?;
        let reader = Master::new(master, Interest::READABLE)?;
        let writer = Master::new(other, Interest::WRITABLE)?;
        // It is followed for the terminal too: to give the start up ends what there is for the handle.
        let unit = unit.another();
        let ended = Box::pin(unit.clone().until_ended());
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let open = Some(Open { slave, unit, ended, runtime });
        Ok(Pty { reader: PtyReader { master: reader, open }, writer: PtyWriter { master: writer } })
    }

    /// The size of the window, as the program sees it; 0 by 0 until it was set.
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn size(&self) -> io::Result<WindowSize> {
        self.writer.size()
    }

    /// Sets the size of the window (`TIOCSWINSZ`): the program in the foreground gets SIGWINCH if that is a change.
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        self.writer.resize(size)
    }

    /// The two halves, to be used independently. The terminal is hung up when both were dropped.
    ///
    /// Only the reading half notices that the unit has ended.
    pub fn into_split(self) -> (PtyReader, PtyWriter) {
        (self.reader, self.writer)
    }

    /// Waits for something, and until then reads what nobody else can read any more: a terminal that is full holds the
    /// program up, and one that is hung up kills it.
    pub(crate) async fn discard_until<T>(mut self, end: impl Future<Output = T>) -> T {
        let discard = async {
            // Should reading fail, there is nobody to tell; the terminal stays open all the same.
            let _ = tokio::io::copy(&mut self.reader, &mut tokio::io::sink()).await;
            pending::<Infallible>().await
        };
        match select(pin!(end), pin!(discard)).await {
            Either::Left((value, _)) => value,
            Either::Right((never, _)) => match never {},
        }
    }

    /// Puts the halves of one terminal together again.
    pub(crate) fn unsplit(reader: PtyReader, writer: PtyWriter) -> Self {
        Pty { reader, writer }
    }
}

impl PtyWriter {
    /// As [`Pty::size`].
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn size(&self) -> io::Result<WindowSize> {
        WindowSize::of(self)
    }

    /// As [`Pty::resize`].
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        size.set(self)
    }

    /// Writes as much as the terminal takes.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&OwnedFd) -> nix::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut full = false;
        loop {
            let mut guard = ready!(self.master.fd.poll_write_ready(cx))?;
            match write(guard.get_inner()) {
                // Ready twice, and yet full: that was no news.
                Err(Errno::EAGAIN) if full => self.master.renew()?,
                Err(Errno::EAGAIN) => {
                    guard.clear_ready();
                    full = true;
                }
                Err(Errno::EINTR) => {}
                result => return Poll::Ready(result.map_err(io::Error::from)),
            }
        }
    }
}

impl PtyReader {
    /// Whether the unit was not known to have ended, but has: from then on the terminal ends with the last process that
    /// has it open. Is woken by that.
    fn has_just_ended(&mut self, cx: &mut Context<'_>) -> bool {
        let ended = self.open.as_mut().is_some_and(|open| open.ended.as_mut().poll(cx).is_ready());
        if ended {
            self.open = None;
        }
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let (mut empty, mut reopened) = (false, false);
        loop {
            let Poll::Ready(ready) = self.master.fd.poll_read_ready(cx) else {
                // Only where there is nothing to read, for what it costs.
                if self.has_just_ended(cx) {
                    continue;
                }
                return Poll::Pending;
            };
            let mut guard = ready?;
            match nix::unistd::read(guard.get_inner(), buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // Ready twice, and yet empty: that was no news.
                Err(Errno::EAGAIN) if empty => self.master.renew()?,
                Err(Errno::EAGAIN) => {
                    guard.clear_ready();
                    empty = true;
                }
                Err(Errno::EINTR) => {}
                // Nobody has the slave open.
                Err(Errno::EIO) if self.has_just_ended(cx) => {}
                Err(Errno::EIO) => match &mut self.open {
                    None => return Poll::Ready(Ok(())),
                    // Ours was hung up (vhangup(2), `TTYVHangup=`), yet the unit goes on: a new one takes its place.
                    Some(open) if !reopened => {
                        open.slave = terminal::open_peer(self.master.fd.as_fd())?;
                        reopened = true;
                    }
                    // And again, at once. The next one gets its turn when others had theirs.
                    Some(_) => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                },
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl Drop for PtyReader {
    /// When the unit ends systemd touches the path of its terminal again: it resets and hangs up what is there, as its
    /// settings say, and takes it away from its owner. As long as the slave is open that is no other terminal: the
    /// number is not given to a new one.
    fn drop(&mut self) {
        if let Some(Open { slave, unit, ended, runtime }) = self.open.take() {
            if unit.tracked.is_running() {
                runtime.spawn(async move {
                    ended.await;
                    drop((slave, unit));
                });
            }
        }
    }
}

impl AsyncRead for PtyReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, buffer)
    }
}

impl AsyncWrite for PtyWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |master| nix::unistd::write(master, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |master| nix::sys::uio::writev(master, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: see [`Pty`].
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Pty {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reader.poll(cx, buffer)
    }
}

impl AsyncWrite for Pty {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: see [`Pty`].
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

macro_rules! descriptor {
    ($($name:ident: $($field:ident).+;)*) => {$(
        impl AsFd for $name {
            /// The master's descriptor, which is non-blocking.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.$($field).+.fd.as_fd()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("master", self.$($field).+.fd.get_ref()).finish_non_exhaustive()
            }
        }
    )*};
}

descriptor! {
    Pty: writer.master;
    PtyReader: master;
    PtyWriter: master;
}
