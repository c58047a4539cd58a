//! The ends of a unit's pipes that stay here.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::Following;
use crate::error::{Error, Result};

/// The standard input of a unit: what is written to it the program reads. Dropping it is the end of file.
///
/// When the unit has ended, writing fails with `BrokenPipe`. Not before, though the program may have closed its standard
/// input: the manager keeps it open as long as the unit runs. What is written then waits in the pipe, and when the pipe
/// is full so does the writer.
pub struct ChildStdin {
    pipe: Sender,
    remaining: Remaining,
}

/// The standard output of a unit: what the program writes is read from it.
///
/// The end of file comes when all processes that have the other end are gone, and the manager, which has it as long as
/// the unit runs. That is a moment after the end of the unit, or later where processes outlive it
/// (`KillMode=process`). Of a unit that remains after its exit
/// ([`Command::remain_after_exit`](crate::Command::remain_after_exit)) the manager keeps the pipe open: there the end of
/// file is when the main process has ended and everything that was written until then is read. (That is so here; who
/// has the descriptor alone, [`into_owned_fd`](ChildStdout::into_owned_fd), waits until the unit is stopped.)
///
/// On systemd 252 a unit that is started again (`Restart=`) has lost its pipes by then.
#[derive(Debug)]
pub struct ChildStdout(Reader);

/// The standard error of a unit: as [`ChildStdout`].
#[derive(Debug)]
pub struct ChildStderr(Reader);

struct Reader {
    pipe: Receiver,
    remaining: Remaining,
    room: Room,
}

/// What is known here of the end of a unit whose pipes the manager may keep open after it.
enum Remaining {
    /// It does not: the pipe says all.
    Not,
    Running(Pin<Box<dyn Future<Output = ()> + Send + Sync>>),
    Ended,
}

impl Remaining {
    fn until_end_of(unit: &Arc<Following>) -> Self {
        Remaining::Running(Box::pin(unit.clone().until_ended()))
    }

    /// Whether the unit has ended. Is woken by that.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if let Remaining::Running(ended) = self {
            if ended.as_mut().poll(cx).is_ready() {
                *self = Remaining::Ended;
            }
        }
        matches!(self, Remaining::Ended)
    }
}

fn registered<T>(end: io::Result<T>) -> Result<T> {
    end.map_err(|error| Error::io("register a pipe with tokio", &error))
}

impl ChildStdin {
    pub(crate) fn new(writing: OwnedFd) -> Result<Self> {
        let pipe = registered(Sender::from_owned_fd(writing))?;
        Ok(ChildStdin { pipe, remaining: Remaining::Not })
    }

    /// Has writing fail after the end of this unit.
    pub(crate) fn end_with(&mut self, unit: &Arc<Following>) {
        self.remaining = Remaining::until_end_of(unit);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Sender>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.remaining.poll_ended(cx) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        write(Pin::new(&mut self.pipe), cx)
    }

    /// The descriptor, in blocking mode.
    ///
    /// # Errors
    ///
    /// When the mode cannot be changed.
    pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
        self.pipe.into_blocking_fd()
    }
}

impl Reader {
    fn new(reading: OwnedFd) -> Result<Self> {
        let pipe = registered(Receiver::from_owned_fd(reading))?;
        Ok(Reader { pipe, remaining: Remaining::Not, room: Room::Usual { read: 0 } })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.pipe).poll_read(cx, buffer) {
            self.room.have_read(buffer.filled().len() - before, &self.pipe);
            return Poll::Ready(read);
        }
        if !self.remaining.poll_ended(cx) {
            return Poll::Pending;
        }
        // What the process wrote before its end is in the pipe by now, though the runtime may not have noticed.
        match nix::unistd::read(&self.pipe, buffer.initialize_unfilled()) {
            Ok(length) => {
                buffer.advance(length);
                Poll::Ready(Ok(()))
            }
            Err(Errno::EAGAIN) => Poll::Ready(Ok(())),
            Err(errno) => Poll::Ready(Err(errno.into())),
        }
    }
}

/// How much the pipe holds. Program and reader wake each other whenever it is full or empty, and that is most of what a
/// pipe costs where they do not run beside each other: a unit has a session of its own, so that the scheduler deals with
/// the two as with strangers (autogroups, `sched(7)`). With more room there are fewer of these turns.
enum Room {
    /// What the kernel gives every pipe.
    Usual {
        /// How much has come so far.
        read: usize,
    },
    /// Counted as long as it is there.
    Large(#[allow(dead_code)] Large),
    /// No more for this one.
    Settled,
}

impl Room {
    /// From a program that has written so much more is to be expected.
    const MUCH: usize = 256 * 1024;
    /// What everybody may have (`/proc/sys/fs/pipe-max-size`).
    const LARGE: i32 = 1024 * 1024;

    fn have_read(&mut self, length: usize, pipe: &Receiver) {
        let Room::Usual { read } = self else { return };
        *read += length;
        if *read >= Room::MUCH {
            // Where it may not be larger it is as it was.
            let large = Large::new().filter(|_| fcntl(pipe, FcntlArg::F_SETPIPE_SZ(Room::LARGE)).is_ok());
            *self = large.map_or(Room::Settled, Room::Large);
        }
    }
}

/// One of the large pipes of this process.
struct Large;

impl Large {
    /// So few that they are a quarter of what all pipes of a user may hold (`/proc/sys/fs/pipe-user-pages-soft`, 64 MiB):
    /// who is above that gets only small ones.
    const MOST: usize = 16;

    fn new() -> Option<Self> {
        let more = |count: usize| (count < Large::MOST).then_some(count + 1);
        COUNT_OF_LARGE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Large)
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        COUNT_OF_LARGE.fetch_sub(1, Ordering::Relaxed);
    }
}

static COUNT_OF_LARGE: AtomicUsize = AtomicUsize::new(0);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pipe.fmt(f)
    }
}

macro_rules! reader {
    ($type:ident) => {
        impl $type {
            pub(crate) fn new(reading: OwnedFd) -> Result<Self> {
                Reader::new(reading).map($type)
            }

            /// Has the end of this unit be the end of file, as soon as nothing is left to read.
            pub(crate) fn end_with(&mut self, unit: &Arc<Following>) {
                self.0.remaining = Remaining::until_end_of(unit);
            }

            /// The descriptor, in blocking mode.
            ///
            /// # Errors
            ///
            /// When the mode cannot be changed.
            pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
                self.0.pipe.into_blocking_fd()
            }
        }

        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.poll_read(cx, buffer)
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.pipe.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.0.pipe.as_raw_fd()
            }
        }

        /// For another command's stream. Fails when the descriptor cannot be made blocking again.
        impl TryFrom<$type> for crate::Stdio {
            type Error = io::Error;

            fn try_from(end: $type) -> io::Result<Self> {
                end.into_owned_fd().map(Self::from)
            }
        }
    };
}
reader!(ChildStdout);
reader!(ChildStderr);

/// For another command's stream. Fails when the descriptor cannot be made blocking again.
impl TryFrom<ChildStdin> for crate::Stdio {
    type Error = io::Error;

    fn try_from(end: ChildStdin) -> io::Result<Self> {
        end.into_owned_fd().map(Self::from)
    }
}

impl std::fmt::Debug for ChildStdin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChildStdin").field(&self.pipe).finish()
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |pipe, cx| pipe.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |pipe, cx| pipe.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl AsFd for ChildStdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl AsRawFd for ChildStdin {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}
