//! Writing to a descriptor that others share, without blocking and without changing it for them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::source::{Kind, open_again};
use crate::bus::watch;
use crate::error::{Error, Result};

/// Standard output, or what takes its place.
pub(super) enum Sink {
    /// Its writes do not block.
    Ready(AsyncFd<OwnedFd>),
    Socket(AsyncFd<OwnedFd>),
    /// A file, or what may not be opened again: its writes may block, so they have a thread to themselves. It is none of
    /// the runtime's, whose shutdown would wait for it.
    Thread(mpsc::Sender<Job>),
}

/// What the thread writes, and whom it tells.
pub(super) type Job = (Vec<u8>, oneshot::Sender<io::Result<()>>);

impl Sink {
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        let say = |error: io::Error| Error::io("look at standard output", &error);
        let kind = Kind::of(fd).map_err(say)?;
        if kind == Kind::Again {
            if let Ok(again) = open_again(fd, OpenOptions::new().write(true)) {
                return Ok(Sink::Ready(watch(again, Interest::WRITABLE)?));
            }
        }
        let copy = fd.try_clone_to_owned().map_err(say)?;
        if kind == Kind::Socket {
            return Ok(Sink::Socket(watch(copy, Interest::WRITABLE)?));
        }
        let (jobs, taken) = mpsc::channel::<Job>();
        let write = move || {
            let mut file = File::from(copy);
            for (bytes, told) in taken {
                // Perhaps nobody waits any more.
                let _ = told.send(file.write_all(&bytes));
            }
        };
        std::thread::Builder::new().name("sdrun-stdout".into()).spawn(write).map_err(say)?;
        Ok(Sink::Thread(jobs))
    }

    /// Writes it all.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Sink::Ready(fd) => write_when_ready(fd, bytes, |fd, bytes| nix::unistd::write(fd, bytes)).await,
            Sink::Socket(fd) => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                write_when_ready(fd, bytes, |fd, bytes| send(fd.as_raw_fd(), bytes, flags)).await
            }
            Sink::Thread(jobs) => {
                let (told, answer) = oneshot::channel();
                let gone = || io::Error::other("the thread that writes standard output is gone");
                jobs.send((bytes.to_vec(), told)).map_err(|_| gone())?;
                answer.await.map_err(|_| gone())?
            }
        }
    }
}

async fn write_when_ready(
    fd: &AsyncFd<OwnedFd>,
    mut bytes: &[u8],
    write: impl Fn(&OwnedFd, &[u8]) -> nix::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut guard = fd.writable().await?;
        match write(fd.get_ref(), bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EAGAIN) => guard.clear_ready(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
