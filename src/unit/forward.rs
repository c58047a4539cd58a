//! The caller's terminal, put through to that of a unit.

mod escape;
mod sink;
mod source;

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use sdrun_sys::terminal::{self, Line, Raw, RawMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Unit;
use super::pty::{Pty, PtyReader, PtyWriter, WindowSize};
use crate::error::{Error, Result};
use escape::Escape;
use sink::Sink;
use source::Source;

/// How much is passed on at a time: what a terminal holds, and more than one key.
const CHUNK: usize = 4096;

/// What a window measures of which nothing is known, with systemd-run too.
const USUAL: (u16, u16) = (24, 80);

/// Why a unit's terminal is not forwarded any more.
#[derive(Debug)]
pub enum Forwarded {
    /// The terminal has ended, which it does when the unit has: all that was written to it has been passed on.
    Ended,
    /// The user has pressed `^]` three times within a second. The unit goes on, and here is its terminal, to be
    /// forwarded again ([`Unit::pty`] is where it was) or read; dropping it hangs it up, of which most programs die.
    Disconnected(Pty),
}

/// The future of [`Unit::forward_terminal`].
#[must_use = "nothing is forwarded unless this is awaited"]
pub struct Forward(Pin<Box<dyn Future<Output = Result<Forwarded>> + Send>>);

impl Future for Forward {
    type Output = Result<Forwarded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

impl Unit {
    /// Puts these two, mostly this process's own standard input and output, through to the unit's terminal
    /// ([`Command::pty`](crate::Command::pty)), so that whoever sits before them uses the unit's program as if it ran here:
    /// `systemd-run --pty` does the same. Takes [`pty`](Unit::pty) out of the handle.
    ///
    /// The future resolves when the terminal has ended, and all that the unit wrote has been written to `stdout`; or when
    /// the user has pressed `^]` three times within a second, which disconnects (the first two may reach the program).
    /// It does not borrow the unit, which can be waited for or stopped meanwhile.
    ///
    /// - Where `stdin` is a terminal, it is in raw mode as long as the future is being awaited: each key goes to the
    ///   program, `^C` and `^Z` too. Where `stdout` is one, what the program writes is not changed on its way.
    ///   Both are as they were before when the future has resolved or is dropped, and when the process ends by a
    ///   panic, by `exit` or by a signal: signals that would end it (SIGTERM, SIGINT, SIGHUP, SIGABRT, …) are caught for the
    ///   time of the forwarding, unless the program has handlers of its own for them, and then end it after all. After
    ///   SIGKILL or `_exit` there is nobody to do it: `reset` or `stty sane` does.
    /// - The size of the window is that of the terminal, of `stdout` or else `stdin`, and follows it (SIGWINCH). Where
    ///   neither is one it is what `$LINES` and `$COLUMNS` say, or 24 by 80, unless it was set with [`Pty::resize`].
    /// - Both may be anything: pipes, sockets, files, `/dev/null`. Where `stdin` is no terminal, its end is passed on as
    ///   the character for it (`^D`), and the output goes on; and `^]` means nothing. A terminal has no way to say that
    ///   a program that reads keys, as a shell does that edits lines, is not to have this taken for a key.
    /// - They are read and written only while the future is awaited, and are not made non-blocking for others who have
    ///   them open: terminals and pipes are opened again for that. Where this is not allowed (the terminal of another
    ///   user, after `su`), reading is polled, and a thread writes.
    ///
    /// A process in the background of its terminal (`&` in a shell) is stopped by the kernel, whole, when it reads from it
    /// or changes its modes. So it is refused there to forward the terminal as `stdin`, and the unit's terminal stays in
    /// the handle, for another attempt in the foreground; as `stdout` alone the terminal is left in its modes. Who puts
    /// the process into the background later has the kernel stop it.
    ///
    /// Dropping the future restores the terminals. The [`Pty`] is gone with it, which hangs the unit's terminal up, as
    /// are some bytes that were on their way: it is cancel-safe only for who wants no more of the terminal.
    ///
    /// ```no_run
    /// use sdrun::Forwarded;
    ///
    /// # async fn example(manager: &sdrun::Manager) -> sdrun::Result<()> {
    /// let mut unit = sdrun::Command::new("/bin/bash").pty().start(manager).await?;
    /// match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await? {
    ///     Forwarded::Ended => println!("{}", unit.wait().await?),
    ///     Forwarded::Disconnected(_) => println!("disconnected"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the unit has no terminal, or it was taken, and where `stdin` is the terminal in whose
    /// background this process runs; [`Error::NoRuntime`] outside of a tokio
    /// runtime; [`Error::System`] where `stdin` cannot be read or `stdout` not be written (for instance EPIPE when its
    /// reader is gone).
    pub fn forward_terminal(&mut self, stdin: impl AsFd, stdout: impl AsFd) -> Forward {
        let copy =
            |fd: BorrowedFd<'_>, operation| fd.try_clone_to_owned().map_err(|error| Error::io(operation, &error));
        let ends = copy(stdin.as_fd(), "duplicate standard input")
            .and_then(|stdin| Ok((stdin, copy(stdout.as_fd(), "duplicate standard output")?)));
        // Not left for the future to find: it would have the unit's terminal by then, and hang it up.
        if terminal::in_background(stdin.as_fd()) {
            let reason = "is the terminal in whose background this process runs, which reading it would stop (SIGTTIN): \
                          bring it to the foreground (fg), or give another stdin";
            let error = Error::invalid("stdin", "", reason);
            return Forward(Box::pin(std::future::ready(Err(error))));
        }
        let none = || Error::invalid("pty", "", "is not there: use Command::pty, and do not take Unit::pty before");
        let pty = self.pty.take().ok_or_else(none);
        Forward(Box::pin(async move {
            let (stdin, stdout) = ends?;
            forward(pty?, stdin, stdout).await
        }))
    }
}

async fn forward(pty: Pty, stdin: OwnedFd, stdout: OwnedFd) -> Result<Forwarded> {
    Handle::try_current().map_err(|_| Error::NoRuntime)?;
    let mut source = Source::new(stdin.as_fd())?;
    let mut sink = Sink::new(stdout.as_fd())?;
    let mut window = Window::new(&pty, &stdin, &stdout)?;
    window.copy();
    let typed = stdin.is_terminal();
    let raw = raw_modes(&stdin, &stdout)?;
    let (mut reader, mut writer) = pty.into_split();
    let over = {
        let mut output = pin!(pass_output(&mut reader, &mut sink));
        let mut input = pin!(pass_input(&mut source, &mut writer, typed));
        let mut resizing = pin!(window.follow());
        poll_fn(|cx| {
            // All three have their turn each time: the keys must get through a flood of output.
            let _ = resizing.as_mut().poll(cx);
            if let Poll::Ready(end) = input.as_mut().poll(cx) {
                return Poll::Ready(end.map(|()| false));
            }
            output.as_mut().poll(cx).map(|end| end.map(|()| true))
        })
        .await
    };
    drop(raw);
    Ok(if over? { Forwarded::Ended } else { Forwarded::Disconnected(Pty::unsplit(reader, writer)) })
}

/// Passes on what the unit writes, until the end.
async fn pass_output(reader: &mut PtyReader, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer).await.map_err(|error| Error::io("read the unit's terminal", &error))? {
            0 => return Ok(()),
            length => {
                sink.write_all(&buffer[..length]).await.map_err(|error| Error::io("write standard output", &error))?;
            }
        }
    }
}

/// Passes on what is typed, until the user disconnects.
async fn pass_input(source: &mut Source, writer: &mut PtyWriter, typed: bool) -> Result<()> {
    let mut escape = Escape::default();
    let mut buffer = vec![0; CHUNK];
    let mut last = b'\n';
    loop {
        let length = match source.read(&mut buffer).await {
            Ok(0) => break,
            // Nobody is there any more.
            Err(error) if typed && error.raw_os_error() == Some(nix::libc::EIO) => break,
            result => result.map_err(|error| Error::io("read standard input", &error))?,
        };
        let bytes = &buffer[..length];
        if typed && escape.is_in(bytes, Instant::now()) {
            return Ok(());
        }
        if writer.write_all(bytes).await.is_err() {
            // Nobody reads it any more, which the output is about to show too.
            return pending().await;
        }
        last = bytes[length - 1];
    }
    if let Ok(Line { canonical, end: Some(end) }) = terminal::line(writer.as_fd()) {
        // At the beginning of a line it ends the input, elsewhere only the line.
        let ends = if canonical && last != b'\n' { &[end, end][..] } else { &[end] };
        let _ = writer.write_all(ends).await;
    }
    pending().await
}

/// The window that the unit's is to be like.
struct Window {
    /// The unit's terminal.
    pty: OwnedFd,
    /// The one to be like, and what tells of its changes.
    like: Option<(OwnedFd, Signal)>,
}

impl Window {
    fn new(pty: &Pty, stdin: &OwnedFd, stdout: &OwnedFd) -> Result<Self> {
        let failed = |error: io::Error| Error::io("watch the size of the window", &error);
        let like = [stdout, stdin].into_iter().find(|fd| fd.is_terminal());
        let like = like.map(|fd| Ok((fd.try_clone()?, signal(SignalKind::window_change())?)));
        let like = like.transpose().map_err(failed)?;
        Ok(Window { pty: pty.as_fd().try_clone_to_owned().map_err(failed)?, like })
    }

    fn copy(&self) {
        let size = match &self.like {
            Some((like, _)) => WindowSize::of(like).ok(),
            // The caller has set it, or else nobody has.
            None => WindowSize::of(&self.pty).ok().filter(|size| size.rows == 0 || size.columns == 0).map(|_| usual()),
        };
        // A terminal that is gone shows elsewhere.
        let _ = size.map(|size| size.set(&self.pty));
    }

    async fn follow(&mut self) {
        while let Some((_, changed)) = &mut self.like {
            if changed.recv().await.is_none() {
                break; // no more signals come
            }
            self.copy();
        }
        pending().await
    }
}

fn usual() -> WindowSize {
    let number = |name| std::env::var(name).ok()?.parse().ok().filter(|number: &u16| *number > 0);
    WindowSize::new(number("LINES").unwrap_or(USUAL.0), number("COLUMNS").unwrap_or(USUAL.1))
}

/// Puts what is a terminal into raw mode, each one once.
fn raw_modes(stdin: &OwnedFd, stdout: &OwnedFd) -> Result<Vec<RawMode>> {
    let (input, output) = (stdin.is_terminal(), stdout.is_terminal());
    let one = input && output && terminal::same(stdin, stdout);
    let mut modes = Vec::new();
    let mut enter = |fd: &OwnedFd, raw| {
        let mode =
            RawMode::enter(fd.as_fd(), raw).map_err(|error| Error::io("put the terminal into raw mode", &error))?;
        modes.push(mode);
        Ok(())
    };
    if input {
        enter(stdin, Raw { input, output: one })?;
    }
    // From the background the modes are not changed: the kernel would stop this process (SIGTTOU).
    if output && !one && !terminal::in_background(stdout.as_fd()) {
        enter(stdout, Raw { input: false, output })?;
    }
    Ok(modes)
}
