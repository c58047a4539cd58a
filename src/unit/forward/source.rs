//! Reading from a descriptor that others share, without blocking and without changing it for them.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::{SFlag, fstat};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::bus::watch;
use crate::error::{Error, Result};

/// What a descriptor is, as far as reading and writing are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It can be opened again, and then be made non-blocking for us alone: a terminal or a pipe.
    Again,
    Socket,
    Other,
}

impl Kind {
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // What opens the master of a pseudo-terminal again makes a new pseudo-terminal.
        const MASTER: nix::libc::dev_t = nix::libc::makedev(5, 2);

        let stat = fstat(fd)?;
        Ok(match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFIFO => Kind::Again,
            SFlag::S_IFSOCK => Kind::Socket,
            SFlag::S_IFCHR if fd.is_terminal() && stat.st_rdev != MASTER => Kind::Again,
            _ => Kind::Other,
        })
    }
}

/// Opens what the descriptor is of once more, so that what is set on the new one concerns nobody else.
pub(super) fn open_again(fd: BorrowedFd<'_>, options: &mut OpenOptions) -> io::Result<OwnedFd> {
    options.custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
    Ok(options.open(format!("/proc/self/fd/{}", fd.as_raw_fd()))?.into())
}

/// Standard input, or what takes its place.
pub(super) enum Source {
    /// Its reads do not block.
    Ready(AsyncFd<OwnedFd>),
    Socket(AsyncFd<OwnedFd>),
    /// May not be opened again (a terminal of another user): it is read when there is something to be read.
    Polled(AsyncFd<OwnedFd>),
    /// Always ready: a file. `None` while it is being read.
    File(Option<File>),
}

impl Source {
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        let say = |error: io::Error| Error::io("look at standard input", &error);
        let kind = Kind::of(fd).map_err(say)?;
        if kind == Kind::Again {
            if let Ok(again) = open_again(fd, OpenOptions::new().read(true)) {
                return Ok(Source::Ready(watch(again, Interest::READABLE)?));
            }
        }
        let copy = fd.try_clone_to_owned().map_err(say)?;
        let file = copy.try_clone().map_err(say)?;
        Ok(match (watch(copy, Interest::READABLE), kind) {
            (Ok(watched), Kind::Socket) => Source::Socket(watched),
            (Ok(watched), _) => Source::Polled(watched),
            // Nothing to wait for: epoll takes no files.
            (Err(Error::System { errno: Errno::EPERM, .. }), _) => Source::File(Some(file.into())),
            (Err(error), _) => return Err(error),
        })
    }

    /// Reads what there is; 0 bytes are the end.
    pub async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Source::Ready(fd) => read_when_ready(fd, |fd| nix::unistd::read(fd, buffer)).await,
            Source::Socket(fd) => read_when_ready(fd, |fd| recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)).await,
            Source::Polled(fd) => {
                read_when_ready(fd, |fd| {
                    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut fds, PollTimeout::ZERO)? {
                        0 => Err(Errno::EAGAIN),
                        _ => nix::unistd::read(fd, buffer),
                    }
                })
                .await
            }
            Source::File(place) => {
                let Some(mut file) = place.take() else { return Ok(0) };
                let mut owned = std::mem::take(buffer);
                let read = move || {
                    let length = file.read(&mut owned);
                    (file, owned, length)
                };
                let (file, owned, length) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?;
                (*place, *buffer) = (Some(file), owned);
                length
            }
        }
    }
}

async fn read_when_ready(
    fd: &AsyncFd<OwnedFd>,
    mut read: impl FnMut(&OwnedFd) -> nix::Result<usize>,
) -> io::Result<usize> {
    loop {
        let mut guard = fd.readable().await?;
        match read(fd.get_ref()) {
            Err(Errno::EAGAIN) => guard.clear_ready(),
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}
