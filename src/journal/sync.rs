//! Waiting until the journal has taken in all that was written for it.
//!
//! systemd-journald reads what others write when it comes to it: a unit's last lines are still in a socket when the unit
//! has ended. Each way in is waited for by itself, which needs no privileges and no write to the disk.
//!
//! *The datagram sockets* (native and syslog) are queues. Empty datagrams, which journald passes over, are put at the end,
//! and when one was taken out all before it were worked through. Our own socket has so little room that it can be
//! written to again only then.
//!
//! *Standard streams* are a connection each. One of our own, connected and shut at once, is answered when it was accepted,
//! and all that were made before it are by then. Those whose other end is shut, because its processes have ended, are
//! looked up in the kernel (`sock_diag(7)`); journald closes each when all that came over it is in the journal.
//!
//! Where the sockets cannot be looked up, journald is asked to do it all (`io.systemd.Journal.Synchronize`), which is
//! for root before systemd 258, waits for a moment without other messages, and has the disk written to.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join3;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, UnixAddr, bind, connect, recv, send,
    setsockopt, socket, sockopt,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::reader::Journals;
use crate::bus;

/// How long it may take at most. A journal that takes longer has more to do than to write.
const MOST: Duration = Duration::from_secs(30);

/// Waits until all is in the journal that was written for it before this was called: to the default one and to those of
/// these namespaces. Should that not be possible, or take very long, it waits no more.
pub(super) async fn synchronize(journals: &Arc<Journals>, namespaces: &[Option<String>]) {
    for namespace in namespaces {
        let folder = match namespace {
            None => PathBuf::from("/run/systemd/journal"),
            Some(name) => PathBuf::from(format!("/run/systemd/journal.{name}")),
        };
        let whole = async {
            let Err(reason) = drained(journals, &folder).await else { return Ok(()) };
            asked(&folder).await.inspect_err(|_| tracing::debug!(%reason, "cannot look up the journal's sockets"))
        };
        match tokio::time::timeout(MOST, whole).await {
            Ok(Ok(())) => {}
            // A journal that does not run has nothing on its way.
            Ok(Err(error)) if is_nobody(&error) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot tell whether the journal has all of a unit's log"),
            Err(_) => tracing::warn!("the journal takes too long: there may be more of a unit's log"),
        }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn drained(journals: &Arc<Journals>, folder: &Path) -> io::Result<()> {
    let streams = folder.join("stdout");
    try_join3(datagram(folder.join("socket")), datagram(folder.join("dev-log")), accepted(&streams)).await?;
    let mut waiting: Option<HashSet<u32>> = None;
    let mut pause = Duration::from_millis(1);
    loop {
        let path = streams.clone();
        let shut = journals.block(move || shut_streams(&path)).await.map_err(io::Error::other)??;
        let left = match waiting {
            None => shut,
            Some(before) => before.intersection(&shut).copied().collect(),
        };
        if left.is_empty() {
            return Ok(());
        }
        waiting = Some(left);
        // Nothing tells of a socket's end.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// How many datagrams are sent. Each takes more than 384 bytes of the kernel's, header and all, and to be writable a socket
/// may have no more than a quarter of its room taken, which is 4,608 bytes: so not all of them.
const DATAGRAMS: usize = 6;

/// Waits until a datagram was taken out of a socket's queue that is put into it now.
async fn datagram(path: PathBuf) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // As little as can be: the kernel has its own idea of that.
    setsockopt(&socket, sockopt::SndBuf, &1)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(&path)?) {
        // Nobody can have written to it.
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(()),
        result => result?,
    }
    let mut sent = 0;
    while sent < DATAGRAMS {
        match send(socket.as_raw_fd(), &[], MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => sent += 1,
            // The queue has no room.
            Err(Errno::EAGAIN) => writable(&socket).await?,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    writable(&socket).await
}

/// Waits until the socket is writable, whatever the runtime knows of it from before.
async fn writable(socket: &OwnedFd) -> io::Result<()> {
    let watched = bus::watch(socket.try_clone()?, Interest::WRITABLE).map_err(io::Error::from)?;
    watched.writable().await.map(drop)
}

/// Waits until a connection of our own is accepted, and with it all before it.
async fn accepted(path: &Path) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    let mut stream = loop {
        match UnixStream::connect(path).await {
            // Too many wait to be accepted already.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            result => break result?,
        }
    };
    stream.shutdown().await?;
    match stream.read(&mut [0]).await {
        Ok(_) => Ok(()),
        // Closed with something unread, which is to say: after it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}

/// Has journald do it, which answers when it is done.
async fn asked(folder: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(folder.join("io.systemd.journal")).await?;
    stream.write_all(b"{\"method\":\"io.systemd.Journal.Synchronize\",\"parameters\":{}}\0").await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.contains(&0) {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length if answer.len() + length > 64 << 10 => return Err(io::ErrorKind::InvalidData.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    if answer.contains("\"error\"") { Err(io::Error::other(answer.trim_end_matches('\0'))) } else { Ok(()) }
}

// linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h, linux/net.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const UDIAG_SHOW_NAME: u32 = 1;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const TCP_ESTABLISHED: u8 = 1;
const TCP_LISTEN: u8 = 10;
const RCV_SHUTDOWN: u8 = 1;

/// The inodes of the connections to the socket of this path whose other end will write no more.
fn shut_streams(path: &Path) -> io::Result<HashSet<u32>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let mut found = Found { path: path.as_os_str().as_encoded_bytes(), listens: false, shut: HashSet::new() };
    let mut buffer = vec![0; 64 << 10];
    // Twice: the kernel may leave one out when others go while it lists them.
    for _ in 0..2 {
        send(socket.as_raw_fd(), &request(), MsgFlags::empty())?;
        loop {
            let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            if found.read(&buffer[..length])? {
                break;
            }
        }
    }
    // Other network namespaces have sockets of their own.
    if found.listens { Ok(found.shut) } else { Err(io::Error::other("the journal is in another network namespace")) }
}

/// For all sockets that listen or are connected.
fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(40);
    request.extend(40u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend([0; 8]); // number, sender
    request.extend([nix::libc::AF_UNIX as u8, 0, 0, 0]);
    request.extend((1u32 << TCP_ESTABLISHED | 1 << TCP_LISTEN).to_ne_bytes());
    request.extend([0; 4]); // inode
    request.extend(UDIAG_SHOW_NAME.to_ne_bytes());
    request.extend([0; 8]); // cookie
    request
}

struct Found<'a> {
    path: &'a [u8],
    listens: bool,
    shut: HashSet<u32>,
}

impl Found<'_> {
    /// Reads messages; whether the last was among them.
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while let Some((length, kind)) = u32_at(bytes, 0).zip(u16_at(bytes, 4)) {
            let Some(message) = bytes.get(16..length as usize) else { break };
            match kind {
                NLMSG_DONE => return Ok(true),
                NLMSG_ERROR => {
                    let code = u32_at(message, 0).unwrap_or(0) as i32;
                    return Err(io::Error::from_raw_os_error(code.checked_neg().unwrap_or(nix::libc::EIO)));
                }
                SOCK_DIAG_BY_FAMILY => self.socket(message),
                _ => {}
            }
            bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(false)
    }

    fn socket(&mut self, message: &[u8]) {
        let (Some(state), Some(inode)) = (message.get(2), u32_at(message, 4)) else { return };
        let (mut is_here, mut shutdown) = (false, 0);
        let mut attributes = message.get(16..).unwrap_or_default();
        while let Some((length, kind)) = u16_at(attributes, 0).zip(u16_at(attributes, 2)) {
            let Some(value) = attributes.get(4..length.into()) else { break };
            match kind {
                UNIX_DIAG_NAME => is_here = value.strip_suffix(b"\0").unwrap_or(value) == self.path,
                UNIX_DIAG_SHUTDOWN => shutdown = value.first().copied().unwrap_or(0),
                _ => {}
            }
            attributes = attributes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        }
        if is_here && *state == TCP_LISTEN {
            self.listens = true;
        } else if is_here && shutdown & RCV_SHUTDOWN != 0 {
            self.shut.insert(inode);
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn shut_connections_are_found_until_they_are_closed() {
        let path = std::env::temp_dir().join(format!("sdrun-sync-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert!(shut_streams(&path).is_err(), "nobody listens");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(shut_streams(&path).unwrap().is_empty());
        let open = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let other = listener.accept().unwrap();
        assert!(shut_streams(&path).unwrap().is_empty());
        let gone = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut &gone, b"line\n").unwrap();
        drop(gone);
        assert_eq!(shut_streams(&path).unwrap().len(), 1);
        let mut line = String::new();
        accepted.read_to_string(&mut line).unwrap();
        assert_eq!((&*line, shut_streams(&path).unwrap().len()), ("line\n", 1));
        drop(accepted);
        assert!(shut_streams(&path).unwrap().is_empty());
        drop((open, other));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn malformed_answers_are_no_end() {
        let mut found = Found { path: b"/x", listens: false, shut: HashSet::new() };
        for bytes in [&b""[..], &[0; 3], &[0; 16], &[255; 40], &[16, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(!found.read(bytes).unwrap(), "{bytes:?}");
        }
        let mut error = vec![20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        error.extend((-nix::libc::EPERM).to_ne_bytes());
        assert_eq!(found.read(&error).unwrap_err().raw_os_error(), Some(nix::libc::EPERM));
    }

    /// A datagram is waited for until it is taken out, however many were before it.
    #[tokio::test]
    async fn a_datagram_waits_for_those_before_it() {
        let path = std::env::temp_dir().join(format!("sdrun-sync-datagram-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let receiver = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let mut before = 0;
        while sender.send_to(b"before", &path).is_ok() {
            before += 1;
        }
        let mut waiting = Box::pin(datagram(path.clone()));
        let mut buffer = [0; 4096];
        for _ in 0..before {
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 6);
            tokio::task::yield_now().await;
        }
        let mut after = 0;
        receiver.set_nonblocking(true).unwrap();
        while futures::poll!(&mut waiting).is_pending() {
            if let Ok(length) = receiver.recv(&mut buffer) {
                assert_eq!(length, 0);
                after += 1;
            }
            tokio::task::yield_now().await;
        }
        assert!((1..=DATAGRAMS).contains(&after), "{after}");
        std::fs::remove_file(&path).unwrap();
    }
}
