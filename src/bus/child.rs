//! A program that a connection leads through: its standard input and output are the other end. (ssh, that is.)
//!
//! libsystemd can start one too (`unixexec:`), but leaves it our standard error, and waits for its end when the
//! connection is closed.

use std::ffi::OsString;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::{Child as Process, ChildStderr, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::error::{Error, Result};

/// How much of what it says is kept.
const KEPT: usize = 4096;

/// What a pipe holds (`pipe(7)`).
const PIPE: usize = 65536;

/// How many lines of it are shown, and how much of each.
const LINES: usize = 6;
const WIDTH: usize = 300;

/// What a reason ends with where it said nothing.
pub(crate) const SILENT: &str = "without a word";

/// The reason where it passed on what it should not.
pub(crate) const NO_DBUS: &str = "something else than D-Bus came from it";

/// What is said of one that never got there.
pub(crate) const TIMED_OUT: &str = "was still running when its time was up, and was ended";

/// How long it has to end by itself once its input has ended, and then after each signal.
const GRACE: Duration = Duration::from_secs(1);

/// The program, and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub path: OsString,
    pub arguments: Vec<OsString>,
    /// Where it leads to, for messages.
    pub destination: Box<str>,
}

/// The program that runs. When this is dropped it is ended, and whoever ends it sees to it that nothing is left of it.
#[derive(Debug)]
pub(super) struct Child {
    /// Its name, and where it leads to, for messages.
    name: Box<str>,
    destination: Box<str>,
    said: Arc<Mutex<Said>>,
    closes: Option<oneshot::Sender<Closing>>,
    ended: oneshot::Receiver<()>,
    established: bool,
}

/// What is known of it.
#[derive(Debug, Default)]
struct Said {
    tail: Vec<u8>,
    /// How it ended, where that could be learnt.
    status: Option<ExitStatus>,
    /// It was ended by us, so that its status says nothing.
    signalled: bool,
}

/// The connection is closed.
#[derive(Debug)]
enum Closing {
    /// It is about to end, or ends with its input: it is given time for that.
    Patiently,
    /// It is on its way to the other side still, and does not look at its input.
    AtOnce,
}

impl Child {
    /// Starts it, and gives the connection to it. Needs a runtime.
    ///
    /// It stays in our process group and keeps the controlling terminal, where ssh asks for passwords. It gets no
    /// `PR_SET_PDEATHSIG`, which would end it with the thread that started it: it sees the end of this process in that of
    /// its input.
    pub fn start(program: &Program) -> Result<(Self, OwnedFd)> {
        let failed = |error| Error::io("run the program of the connection", &error);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let mut process = {
            let mut command = Command::new(&program.path);
            command.args(&program.arguments);
            command.stdin(OwnedFd::from(theirs.try_clone().map_err(failed)?)).stdout(OwnedFd::from(theirs));
            command.stderr(Stdio::piped());
            command.spawn().map_err(failed)?
        }; // the command holds their end
        let said = Arc::<Mutex<Said>>::default();
        let (closes, closed) = oneshot::channel();
        let (ends, ended) = oneshot::channel();
        let stderr = process.stderr.take();
        tokio::spawn(Attendant {
            process,
            stderr,
            said: said.clone(),
            stage: Stage::Open(closed),
            timer: None,
            _ends: ends,
        });
        let name = Path::new(&program.path).file_name().unwrap_or(&program.path).to_string_lossy().into();
        let destination = program.destination.clone();
        Ok((Child { name, destination, said, closes: Some(closes), ended, established: false }, ours.into()))
    }

    /// The handshake is over.
    pub fn establish(&mut self) {
        self.established = true;
    }

    /// Ends it, unless it has ended, and says why there is no connection. The connection is closed already.
    pub async fn end(mut self, error: Error) -> Error {
        // Its own words and its own status are what is wanted.
        self.close(Closing::Patiently);
        // It never sends anything.
        let _ = (&mut self.ended).await;
        self.explain(error)
    }

    /// Why there is no connection, as far as it is known now.
    pub fn explain(&self, error: Error) -> Error {
        let said = lock(&self.said);
        // Who asks for a connection knows where to. One that is lost may be one of many.
        let name = match self.established {
            true => format!("{} to {}", self.name, self.destination),
            false => self.name.to_string(),
        };
        let words = said.words();
        let status = match said.status {
            // It waited for its host, say, or for an answer to its question.
            _ if said.signalled && !self.established => Some(TIMED_OUT.into()),
            status => status.filter(|_| !said.signalled).map(describe),
        };
        let errno = match &error {
            Error::System { errno, .. } => Some(*errno),
            _ => None,
        };
        let reason = match (words.is_empty(), status) {
            _ if matches!(
                errno,
                Some(Errno::EPERM | Errno::EBADMSG | Errno::EPROTO | Errno::EINVAL | Errno::ENOBUFS)
            ) =>
            {
                [NO_DBUS, &words].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
            }
            (true, None) => format!("{name}: {}", lost(&error)),
            (true, Some(status)) => format!("{name} {status}, {SILENT}"),
            (false, None) => format!("{words} ({})", lost(&error)),
            (false, Some(status)) => format!("{words} ({name} {status})"),
        };
        Error::Disconnected { reason: reason.into() }
    }

    fn close(&mut self, how: Closing) {
        if let Some(closes) = self.closes.take() {
            let _ = closes.send(how);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.close(if self.established { Closing::Patiently } else { Closing::AtOnce });
    }
}

/// An error of the connection as a reason.
pub(super) fn lost(error: &Error) -> String {
    match error {
        Error::System { errno, .. } => errno.desc().to_owned(),
        Error::Disconnected { reason } => reason.to_string(),
        other => other.to_string(),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "ended".into(),
    }
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Said {
    fn add(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
    }

    /// The last lines, in one. What the other side has a hand in controls no terminal.
    fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let lines = text.split(['\n', '\r']).map(|line| {
            let line = line.trim().chars().filter(|character| !character.is_control());
            line.take(WIDTH).collect::<String>()
        });
        // ssh frames its gravest warnings in these.
        let mut lines: Vec<_> = lines.filter(|line| line.chars().any(|character| character != '@')).collect();
        lines.drain(..lines.len().saturating_sub(LINES));
        lines.join("; ")
    }
}

/// The task that reads what the program says, and sees it to its end.
struct Attendant {
    process: Process,
    stderr: Option<ChildStderr>,
    said: Arc<Mutex<Said>>,
    stage: Stage,
    timer: Option<Pin<Box<Sleep>>>,
    /// Dropped with it, when all is known.
    _ends: oneshot::Sender<()>,
}

enum Stage {
    Open(oneshot::Receiver<Closing>),
    /// It was told to end: by the end of its input, then by this signal.
    Ending(Signal),
    /// There is no more that can be done.
    Killed,
}

impl Future for Attendant {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Attendant { process, stderr, said, stage, timer, .. } = &mut *self;
        let mut buffer = [0; 1024];
        // Read to the last, or it would wait for room in the pipe.
        while let Some(reader) = stderr {
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(reader).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => lock(said).add(buffer.filled()),
                Poll::Ready(_) => *stderr = None,
            }
        }
        if let Poll::Ready(status) = pin!(process.wait()).poll(cx) {
            // What it said last is in the pipe, of which the runtime may not know yet. It is not read to its end: something
            // that the program left behind may hold it open (ssh's `ControlPersist` does).
            // Nor is more of it read than a pipe holds.
            for _ in 0..PIPE / buffer.len() {
                match stderr.as_ref().map(|pipe| nix::unistd::read(pipe.as_fd(), &mut buffer)) {
                    Some(Ok(length @ 1..)) => lock(said).add(&buffer[..length]),
                    _ => break,
                }
            }
            // Without one somebody else has waited for it: this process has a handler that waits for all children.
            lock(said).status = status.ok();
            return Poll::Ready(());
        }
        if let Stage::Open(closed) = stage {
            match Pin::new(closed).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Closing::AtOnce) | Err(_)) => {
                    signal(process, Signal::SIGTERM, said);
                    *stage = Stage::Ending(Signal::SIGKILL);
                }
                Poll::Ready(Ok(Closing::Patiently)) => *stage = Stage::Ending(Signal::SIGTERM),
            }
            *timer = Some(Box::pin(tokio::time::sleep(GRACE)));
        }
        while let Some(sleep) = timer {
            ready!(sleep.as_mut().poll(cx));
            *stage = match stage {
                Stage::Ending(Signal::SIGTERM) => {
                    signal(process, Signal::SIGTERM, said);
                    Stage::Ending(Signal::SIGKILL)
                }
                Stage::Ending(last) => {
                    signal(process, *last, said);
                    Stage::Killed
                }
                // The kernel keeps it. tokio waits for it still.
                Stage::Killed | Stage::Open(_) => return Poll::Ready(()),
            };
            sleep.as_mut().reset(Instant::now() + GRACE);
        }
        Poll::Pending
    }
}

fn signal(process: &Process, signal: Signal, said: &Mutex<Said>) {
    // There is none once it was waited for.
    if let Some(pid) = process.id() {
        lock(said).signalled = true;
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }
}

/// A runtime that is shut down drops its tasks, this one too. The program is told to end, and tokio waits for it where
/// it has another runtime for that.
impl Drop for Attendant {
    fn drop(&mut self) {
        signal(&self.process, Signal::SIGTERM, &self.said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let mut said = Said::default();
        said.add(text.as_bytes());
        said.words()
    }

    #[test]
    fn the_last_words_are_one_line() {
        assert_eq!(words(""), "");
        assert_eq!(words("a: no such host\r\n"), "a: no such host");
        assert_eq!(words("@@@@@\r\n@  WARNING  @\r\n@@@@@\r\nchanged\r\n"), "@  WARNING  @; changed");
        assert_eq!(words("1\n2\n3\n4\n5\n6\n7\n\n8"), "3; 4; 5; 6; 7; 8");
        assert_eq!(words("\x1b]0;title\x07\x1b[31mred\n"), "]0;title[31mred");
        assert_eq!(words(&"é".repeat(5000)).chars().count(), WIDTH);
        assert!(words(&"x\n".repeat(50_000)).len() < 20);
    }
}
