//! The terminal that a command runs on.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::{Command, words};
use crate::error::{Error, Result};
use crate::manager::{Manager, Seat, open_machine_pty};
use crate::unit::pty::Pair;

/// What systemd takes a terminal for of which nothing is known. Without any `TERM` newer ones ask the terminal itself,
/// and wait for its answer.
const UNKNOWN: &str = "vt220";

/// The terminal that was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Terminal {
    /// A new one, made when the command is started, whatever else is given.
    new: bool,
    /// The caller's own.
    path: Option<String>,
    master: Option<Arc<OwnedFd>>,
}

/// A terminal that is open, as the unit is told of it.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub path: Option<String>,
    /// Whether its manager may not open the path, so that the unit gets the slave.
    pub foreign: bool,
    /// Whether the path is one of a machine.
    elsewhere: bool,
    /// What the handle is to have.
    pub pair: Option<Pair>,
}

impl Command {
    /// Runs the program on a terminal of its own: a new pseudo-terminal, on that side of the machine's border where
    /// the unit runs, becomes its controlling terminal and those of its standard streams that are not given otherwise
    /// (`StandardInput=tty`, `TTYPath=`, …, `systemd.exec(5)`). [`Unit::pty`](crate::Unit::pty) is the other end of it.
    ///
    /// The program's `TERM` is that of this process, unless it is set with [`env`](Command::env).
    ///
    /// Nobody types anything where the handle is only awaited, or [`status`](Command::status) is: then a program that
    /// reads from the terminal waits for ever. Give it another input (`stdin(Stdio::null())`).
    ///
    /// This takes the place of [`pty_path`](Command::pty_path) and [`pty_master`](Command::pty_master), whichever is
    /// called first.
    ///
    /// ```no_run
    /// # async fn example(manager: &sdrun::Manager) -> sdrun::Result<()> {
    /// let mut unit = sdrun::Command::new("/bin/bash").pty().start(manager).await?;
    /// unit.forward_terminal(std::io::stdin(), std::io::stdout()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What starts the command fails with [`Error::System`] where no pseudo-terminal can be had, and with
    /// [`Error::Invalid`] on another host ([`Manager::remote`]), where there is none. One in a machine is
    /// opened by systemd-machined (`OpenMachinePTY`, org.freedesktop.machine1(5)): [`Error::Unavailable`] where that
    /// does not run or does not know the machine, and [`Error::AccessDenied`] for who is neither root nor allowed to
    /// by polkit.
    pub fn pty(&mut self) -> &mut Self {
        self.terminal.new = true;
        self
    }

    /// Runs the program on a terminal of the caller's own, as on that of [`pty`](Command::pty): the path is that of a
    /// terminal, for instance of a pseudo-terminal's slave (`ptsname(3)`), where the unit runs (`TTYPath=`).
    ///
    /// [`Unit::pty`](crate::Unit::pty) stays empty, unless [`pty_master`](Command::pty_master) is given too: the terminal
    /// is whoever's it was, and the program writes to it also after the handle was dropped.
    ///
    /// A terminal that controls a session, as that does in which this process was started, systemd gives to no other
    /// program as its input: the unit would wait until the session ends. To write there the unit needs another input
    /// (`stdin(Stdio::null())`), or just the descriptors ([`Stdio::inherit`](crate::Stdio::inherit)).
    pub fn pty_path(&mut self, path: impl AsRef<Path>) -> &mut Self {
        let path = terminal_path(path.as_ref());
        self.terminal.path = self.accept(path);
        self
    }

    /// Hands over the master of the terminal of [`pty_path`](Command::pty_path), for [`Unit::pty`](crate::Unit::pty)
    /// and [`Unit::forward_terminal`](crate::Unit::forward_terminal).
    ///
    /// The description of the descriptor becomes non-blocking, for all who share it, and none of them is to read from
    /// it meanwhile. The command keeps the descriptor, so that it can be started again: the terminal is hung up when
    /// the command is dropped too.
    ///
    /// What starts the command fails with [`Error::Invalid`] where `pty_path` is missing.
    pub fn pty_master(&mut self, master: impl Into<OwnedFd>) -> &mut Self {
        self.terminal.master = Some(Arc::new(master.into()));
        self
    }
}

/// A path that systemd takes for `TTYPath=`.
fn terminal_path(path: &Path) -> Result<String> {
    let text = words::one_line("pty path", words::text("pty path", path.as_os_str())?.into())?;
    if !path.is_absolute() {
        return Err(Error::invalid("pty path", text, "is not an absolute path (as /dev/pts/3 is one)"));
    }
    Ok(text)
}

impl Terminal {
    /// Whether the command is to have one.
    pub fn is_wanted(&self) -> bool {
        self.new || self.path.is_some() || self.master.is_some()
    }

    /// Opens it, if there is to be one, where the manager's units can open it too.
    pub async fn open(&self, manager: &Manager) -> Result<Option<Opened>> {
        if self.new || self.master.is_some() {
            manager.check_terminal()?;
        }
        let Seat { machine, foreign } = manager.seat();
        let opened = match &machine {
            Some(machine) if self.new => Some(open_machine_pty(machine).await?.into()),
            _ => self.open_here()?,
        };
        let elsewhere = machine.is_some();
        // The caller's own path the caller may have made accessible.
        Ok(opened.map(|opened: Opened| Opened { foreign: foreign && opened.pair.is_some(), elsewhere, ..opened }))
    }

    /// Opens it, if there is to be one, on this host.
    pub fn open_here(&self) -> Result<Option<Opened>> {
        let pair = match (self, &self.path, &self.master) {
            (Terminal { new: true, .. }, _, _) => Pair::open_here()?,
            (_, None, None) => return Ok(None),
            (_, Some(path), None) => return Ok(Some(Opened { path: Some(path.clone()), ..Opened::default() })),
            (_, Some(path), Some(master)) => {
                let copy = master.try_clone().map_err(|error| Error::io("duplicate the pty's master", &error))?;
                Pair::of(copy, path.clone())?
            }
            (_, None, Some(_)) => {
                return Err(Error::invalid("pty master", "", "needs the path of its slave: see Command::pty_path"));
            }
        };
        Ok(Some(pair.into()))
    }
}

impl From<Pair> for Opened {
    fn from(pair: Pair) -> Self {
        Opened { path: Some(pair.path.clone()), pair: Some(pair), ..Opened::default() }
    }
}

impl Opened {
    /// The slave, for a unit that cannot open the path.
    pub fn slave(&self) -> Result<OwnedFd> {
        let failed = |error| Error::io("open the slave of the pty", &error);
        match (&self.pair, &self.path) {
            (Some(pair), _) => pair.slave.try_clone().map_err(failed),
            (None, Some(path)) if self.elsewhere => {
                let reason = "is one of a machine, and cannot be combined with streams that are descriptors: give the \
                              master too (pty_master)";
                Err(Error::invalid("pty path", path, reason))
            }
            (None, path) => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).custom_flags(nix::libc::O_NOCTTY);
                Ok(options.open(path.as_deref().unwrap_or_default()).map_err(failed)?.into())
            }
        }
    }
}

/// The program's `TERM` where the caller has not set it.
pub(super) fn term() -> String {
    // An empty one is as good as none, and D-Bus carries only text.
    std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| UNKNOWN.into())
}
