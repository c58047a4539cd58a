//! A command that a change of a file starts.

use std::path::Path;

use super::{Parts, common_calls};
use crate::command::{Command, words};
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::property::UnitType;
use crate::unit::Trigger;

/// A path unit (`systemd.path(5)`) that starts a command when something happens to files:
/// `systemd-run --path-property=…`.
///
/// It may watch several paths. While the command runs, further changes are not told of, but when it has ended they are
/// looked at again: a path that still exists starts it anew. Relative paths are relative to this process's own working
/// directory.
///
/// ```no_run
/// # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
/// let mut print = sdrun::Command::from(["/bin/sh", "-c", "lp /var/spool/in/* && rm /var/spool/in/*"]);
/// let mut path = sdrun::PathUnit::new();
/// path.directory_not_empty("/var/spool/in").make_directory(true);
/// let trigger = path.start(&manager, &mut print).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PathUnit {
    parts: Parts,
}

impl PathUnit {
    /// A path unit that watches nothing, until it is told what.
    pub fn new() -> Self {
        PathUnit { parts: Parts::new(UnitType::Path) }
    }

    /// Starts the command when this exists (`PathExists=`), and again when it exists still at the command's end.
    pub fn path_exists(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.watch("PathExists", path.as_ref())
    }

    /// Starts the command when a file matches this pattern (`PathExistsGlob=`, `glob(7)`).
    pub fn path_exists_glob(&mut self, pattern: impl AsRef<Path>) -> &mut Self {
        self.watch("PathExistsGlob", pattern.as_ref())
    }

    /// Starts the command when the file or directory was changed: created, removed, or closed after writing
    /// (`PathChanged=`).
    pub fn path_changed(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.watch("PathChanged", path.as_ref())
    }

    /// As [`path_changed`](PathUnit::path_changed), and at every single write to the file (`PathModified=`).
    pub fn path_modified(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.watch("PathModified", path.as_ref())
    }

    /// Starts the command when there is something in the directory (`DirectoryNotEmpty=`), and again when there is still at
    /// the command's end.
    pub fn directory_not_empty(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.watch("DirectoryNotEmpty", directory.as_ref())
    }

    /// Whether the directories to be watched are made (`MakeDirectory=`).
    pub fn make_directory(&mut self, make: bool) -> &mut Self {
        self.parts.extra("MakeDirectory", make);
        self
    }

    common_calls!("path");

    fn watch(&mut self, how: &str, path: &Path) -> &mut Self {
        let path = words::watched(path);
        if let Some(path) = self.parts.accept(path) {
            self.parts.pair("Paths", how, path);
        }
        self
    }

    /// Starts the path unit, with the command as the service that it starts. Both have the command's name (`NAME.path`,
    /// `NAME.service`), or one that is generated.
    ///
    /// Dropping the future before it resolves gives the start up: see [`Command::start`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where no path is watched, and otherwise as [`TimerUnit::start`](crate::TimerUnit::start).
    pub async fn start(&self, manager: &Manager, command: &Command) -> Result<Trigger> {
        self.check()?;
        self.parts.start(command, manager).await
    }

    /// Refuses what systemd would refuse.
    fn check(&self) -> Result<()> {
        if self.parts.problem.is_none() && !self.parts.has_one_of(&["Paths"]) {
            return Err(Error::invalid("path unit", "", "watches nothing: say what, with path_exists() for instance"));
        }
        Ok(())
    }
}

impl Default for PathUnit {
    fn default() -> Self {
        Self::new()
    }
}
