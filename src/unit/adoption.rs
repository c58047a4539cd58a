//! Handles to units that someone else has started.

use std::sync::{Arc, OnceLock};

use super::{Unit, name};
use crate::error::Result;
use crate::manager::Manager;

impl Manager {
    /// A handle to a unit that is loaded, whoever has started it: a process of this program that has ended, for
    /// instance. It is the same as to a unit of one's own; dropping it leaves the unit as it is.
    ///
    /// The unit may be of any type (`backup.timer`, `user.slice`); `.service` is added to a name that has no suffix of a
    /// type. An alias finds the unit that it stands for. One that has ended and is loaded still, as a failed one is,
    /// gives its exit at once, and [`Outcome::NotStarted`](crate::Outcome::NotStarted) where systemd knows of no run of
    /// it. Of a unit that is neither a service nor a scope an exit says no more than whether it failed.
    ///
    /// ```no_run
    /// # async fn example(manager: sdrun::Manager) -> sdrun::Result<()> {
    /// let unit = manager.unit("backup.service").await?;
    /// println!("{}", unit.wait().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchUnit`](crate::Error::NoSuchUnit) when no such unit is loaded, because it has ended for instance;
    /// [`Error::Invalid`](crate::Error::Invalid) for a name that no unit can have; and what systemd or the connection
    /// gives. Cancel-safe.
    pub async fn unit(&self, name: impl AsRef<str>) -> Result<Unit> {
        let name = name::of_any_type(name.as_ref())?;
        let name = self.name_of(&name).await?;
        let unit = Unit::new(self.adopt(&name).await?, Arc::new(OnceLock::from(self.clone())));
        unit.tracked.started().await?;
        Ok(unit)
    }
}
