//! What becomes of a unit's standard streams.

use std::fmt;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::runtime::Handle;

use super::message::{property, property_str};
use super::pty::Opened;
use super::words;
use crate::bus::Message;
use crate::error::{Error, Result};
use crate::unit::pty::Pair;
use crate::unit::stdio::{ChildStderr, ChildStdin, ChildStdout};

/// Where a standard stream of the program comes from or goes to, for [`Command::stdin`](super::Command::stdin),
/// [`stdout`](super::Command::stdout) and [`stderr`](super::Command::stderr).
///
/// Any owned descriptor can be one too: `Stdio::from(File::create("log")?)`. It stays open here as long as the
/// [`Command`](super::Command) lives, as with `std`.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sdrun::{Command, Stdio};
/// use tokio::io::AsyncReadExt;
///
/// let mut unit = Command::new("/bin/uname").arg("-a").stdout(Stdio::piped()).spawn()?;
/// let mut text = String::new();
/// unit.stdout.take().expect("it is piped").read_to_string(&mut text).await?;
/// println!("{text}: {}", unit.await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stdio(Kind);

#[derive(Clone)]
enum Kind {
    Null,
    Inherit,
    Piped,
    Journal,
    Given(Arc<OwnedFd>),
    /// A path that systemd opens, and the suffix of the property that says how.
    Opened(&'static str, Result<String>),
}

impl Stdio {
    /// `/dev/null` (`StandardInput=null`, `systemd.exec(5)`). What standard input is when nothing else is said.
    pub fn null() -> Self {
        Stdio(Kind::Null)
    }

    /// The same stream of this process (its descriptor 0, 1 or 2), as with `systemd-run --pipe`.
    pub fn inherit() -> Self {
        Stdio(Kind::Inherit)
    }

    /// A new pipe, whose other end is in the handle: [`Unit::stdin`](crate::Unit::stdin),
    /// [`Unit::stdout`](crate::Unit::stdout), [`Unit::stderr`](crate::Unit::stderr).
    ///
    /// A program of another user may open it again, through `/dev/stdout` for instance.
    pub fn piped() -> Self {
        Stdio(Kind::Piped)
    }

    /// The journal (`StandardOutput=journal`). What standard output is when nothing else is said, unless the host's
    /// `DefaultStandardOutput=` says otherwise. Not for standard input.
    pub fn journal() -> Self {
        Stdio(Kind::Journal)
    }

    /// A file that systemd opens, of the machine that the unit runs on (`StandardOutput=file:`). For output it is created
    /// where it does not exist, and overwritten from its start on but not emptied. A relative path is relative to this
    /// process's own working directory; `..` is refused. One that cannot be opened is an [`Exit`](crate::Exit) with code
    /// 208, 209 or 222, for the three streams.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::opened("File", path.as_ref())
    }

    /// As [`file`](Stdio::file), but written at its end (`StandardOutput=append:`). Not for standard input.
    pub fn append(path: impl AsRef<Path>) -> Self {
        Self::opened("FileToAppend", path.as_ref())
    }

    /// As [`file`](Stdio::file), but emptied first (`StandardOutput=truncate:`, systemd 248 and later). Not for
    /// standard input.
    pub fn truncate(path: impl AsRef<Path>) -> Self {
        Self::opened("FileToTruncate", path.as_ref())
    }

    fn opened(how: &'static str, path: &Path) -> Self {
        let parent = path.components().any(|part| part == Component::ParentDir);
        let file = match words::file(path) {
            Ok(file) if parent => Err(Error::invalid("file", file, "has a \"..\" in it, which systemd does not take")),
            file => file,
        };
        Stdio(Kind::Opened(how, file))
    }

    /// Whether a child can have it: it is not opened by way of systemd.
    pub(super) fn is_for_child(&self) -> bool {
        !matches!(self.0, Kind::Journal)
    }

    /// The stream of a child, as systemd would have opened it. A file may have to be waited for.
    pub(super) fn for_child(&self, stream: Stream) -> Result<std::process::Stdio> {
        let failed = |error| Error::io("open the file of a standard stream", &error);
        Ok(match &self.0 {
            Kind::Null | Kind::Journal => std::process::Stdio::null(),
            Kind::Inherit => std::process::Stdio::inherit(),
            Kind::Piped => std::process::Stdio::piped(),
            Kind::Given(fd) => fd
                .try_clone()
                .map_err(|error| Error::io("duplicate the descriptor of a standard stream", &error))?
                .into(),
            Kind::Opened(how, path) => {
                let mut options = OpenOptions::new();
                match (stream, *how) {
                    (Stream::Input, _) => options.read(true),
                    (_, "FileToAppend") => options.append(true).create(true),
                    (_, how) => options.write(true).create(true).truncate(how == "FileToTruncate"),
                };
                options.mode(0o644).custom_flags(nix::libc::O_NOCTTY);
                options.open(path.clone()?).map_err(failed)?.into()
            }
        })
    }

    /// Whether the unit is given a descriptor of this process.
    pub(super) fn is_descriptor(&self) -> bool {
        matches!(self.0, Kind::Inherit | Kind::Given(_) | Kind::Piped)
    }

    /// Whether this can be the stream, and can be sent.
    pub(super) fn check(&self, stream: Stream) -> Result<()> {
        match &self.0 {
            Kind::Opened(_, Err(error)) => Err(error.clone()),
            Kind::Journal | Kind::Opened("FileToAppend" | "FileToTruncate", _) if stream == Stream::Input => {
                Err(Error::invalid("stdin", "", "cannot be the journal or a file to append to or to truncate"))
            }
            _ => Ok(()),
        }
    }
}

/// Any owned descriptor: a `File`, a `UnixStream`, a pipe's end, …
impl<T: Into<OwnedFd>> From<T> for Stdio {
    fn from(fd: T) -> Self {
        Stdio(Kind::Given(Arc::new(fd.into())))
    }
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.0 {
            Kind::Null => "null",
            Kind::Inherit => "inherit",
            Kind::Piped => "piped",
            Kind::Journal => "journal",
            Kind::Given(_) => "descriptor",
            Kind::Opened(..) => "file",
        };
        f.write_str(name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Input,
    Output,
    Error,
}

impl Stream {
    fn property(self) -> &'static str {
        match self {
            Stream::Input => "StandardInput",
            Stream::Output => "StandardOutput",
            Stream::Error => "StandardError",
        }
    }

    fn own(self) -> Result<OwnedFd> {
        let own = match self {
            Stream::Input => std::io::stdin().as_fd().try_clone_to_owned(),
            Stream::Output => std::io::stdout().as_fd().try_clone_to_owned(),
            Stream::Error => std::io::stderr().as_fd().try_clone_to_owned(),
        };
        own.map_err(|error| Error::io("duplicate a standard stream of this process", &error))
    }
}

/// The three streams of one unit, made ready: what is sent.
#[derive(Default)]
pub(super) struct Streams {
    ready: [Option<Ready>; 3],
    /// The path of the unit's terminal, if it has one.
    pub tty: Option<String>,
}

/// The ends of the pipes and of the terminal that stay here.
#[derive(Default)]
pub(super) struct Pipes {
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
    pub terminal: Option<Pair>,
}

enum Ready {
    Word(&'static str),
    Descriptor(Arc<OwnedFd>),
    File(&'static str, String),
}

impl Streams {
    /// Makes the pipes that are asked for. What is not said is the terminal, if there is one. Otherwise, where standard
    /// output is said and standard error is not, that is the journal: by itself systemd would have it follow standard
    /// output.
    pub fn prepare(stdio: [Option<&Stdio>; 3], terminal: Option<Opened>) -> Result<(Self, Pipes)> {
        let [stdin, stdout, stderr] = stdio;
        if stdio.iter().flatten().any(|stdio| matches!(stdio.0, Kind::Piped)) {
            // The ends that stay here are registered with it.
            Handle::try_current().map_err(|_| Error::NoRuntime)?;
        }
        let (mut streams, mut pipes) = (Streams::default(), Pipes::default());
        // systemd 252 opens no terminal beside a stream that is a descriptor (it aborts), so then the terminal is one too.
        // Where it may be opened that is better: a descriptor systemd 252 forgets when it restarts a unit.
        let descriptor = stdio.iter().flatten().any(|stdio| stdio.is_descriptor());
        let passed = match &terminal {
            Some(terminal) if terminal.foreign || descriptor => Some(Arc::new(terminal.slave()?)),
            _ => None,
        };
        let Opened { path, pair, .. } = terminal.unwrap_or_default();
        (streams.tty, pipes.terminal) = (path, pair);
        for (at, (stream, stdio)) in
            [(Stream::Input, stdin), (Stream::Output, stdout), (Stream::Error, stderr)].into_iter().enumerate()
        {
            streams.ready[at] = match stdio.map(|stdio| &stdio.0) {
                None if streams.tty.is_some() => Some(match &passed {
                    Some(slave) => Ready::Descriptor(slave.clone()),
                    None => Ready::Word("tty"),
                }),
                None if stream == Stream::Error && stdout.is_some() => Some(Ready::Word("journal")),
                None => None,
                Some(Kind::Null) => Some(Ready::Word("null")),
                Some(Kind::Journal) => Some(Ready::Word("journal")),
                Some(Kind::Inherit) => Some(Ready::Descriptor(Arc::new(stream.own()?))),
                Some(Kind::Given(fd)) => Some(Ready::Descriptor(fd.clone())),
                Some(Kind::Opened(how, path)) => Some(Ready::File(how, path.clone()?)),
                Some(Kind::Piped) => {
                    let (reading, writing) = pipe()?;
                    let theirs = match stream {
                        Stream::Input => {
                            pipes.stdin = Some(ChildStdin::new(writing)?);
                            reading
                        }
                        Stream::Output => {
                            pipes.stdout = Some(ChildStdout::new(reading)?);
                            writing
                        }
                        Stream::Error => {
                            pipes.stderr = Some(ChildStderr::new(reading)?);
                            writing
                        }
                    };
                    Some(Ready::Descriptor(Arc::new(theirs)))
                }
            };
        }
        Ok((streams, pipes))
    }

    /// How many descriptors will be sent.
    pub fn descriptors(&self) -> usize {
        self.ready.iter().flatten().filter(|ready| matches!(ready, Ready::Descriptor(_))).count()
    }

    pub fn append_to(&self, message: &mut Message<'_>) -> Result<()> {
        if let Some(path) = &self.tty {
            property_str(message, "TTYPath", path)?;
        }
        // systemd compares the words of the two outputs, and gives standard error the descriptor of standard output
        // where they are the same, though that has a descriptor and its word means nothing. So they differ.
        if let [_, Some(Ready::Descriptor(_)), Some(Ready::Word(error))] = &self.ready {
            let other = if *error == "null" { "journal" } else { "null" };
            property_str(message, Stream::Output.property(), other)?;
        }
        for (stream, ready) in [Stream::Input, Stream::Output, Stream::Error].into_iter().zip(&self.ready) {
            let name = stream.property();
            match ready {
                None => {}
                Some(Ready::Word(word)) => property_str(message, name, word)?,
                Some(Ready::File(how, path)) => property_str(message, &format!("{name}{how}"), path)?,
                Some(Ready::Descriptor(fd)) => {
                    property(message, &format!("{name}FileDescriptor"), c"h", |m| m.append_fd(fd.as_fd()))?;
                }
            }
        }
        Ok(())
    }
}

/// A pipe that a program of any user can open again through `/proc/self/fd`. Nobody else can: it has no name, and
/// another process's `/proc/PID/fd` is closed to whoever may not trace that process.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let failed = |errno| Error::system("make a pipe", errno);
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    fchmod(&writing, Mode::from_bits_truncate(0o666)).map_err(failed)?;
    Ok((reading, writing))
}
