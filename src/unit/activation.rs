//! Waiting for a unit's start to come to what it should.

use super::Unit;
use crate::error::Result;

impl Unit {
    /// Waits until the unit is up: its start job is done. What that means is for its type to say (`Type=`,
    /// `systemd.service(5)`): a `simple` service counts from when its process exists, an `exec` one from when its program
    /// was executed, a `notify` one from when it says `READY=1`, a `forking` one from when its first process has
    /// returned, and a `oneshot` from when it has run. This is `systemd-run` without `--no-block`.
    ///
    /// A unit that has ended since was activated all the same. That a program cannot be executed is a failed start for
    /// every type but `simple` and `idle`, which are up before it is tried: [`wait`](Unit::wait) has its code 203. (An
    /// `exec` program that fails at once may do so before systemd hears that it was executed, to which the start has
    /// failed then.) A first attempt that fails is no failure as long as `Restart=` makes another.
    ///
    /// Cancel-safe and repeatable, also after the end.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// let mut server = sdrun::Command::new("/usr/bin/server");
    /// let unit = server.service_type(sdrun::ServiceType::Notify).spawn()?;
    /// unit.activated().await?;
    /// println!("{} is ready", unit.name());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Failed`](crate::Error::Failed) with the [`Exit`](crate::Exit) when the start failed or was skipped
    /// because a condition was not met; and as [`wait`](Unit::wait).
    pub async fn activated(&self) -> Result<()> {
        self.tracked.until_activated().await
    }
}
