//! Keeping a unit loaded past its end, so that what it used can be read.
//!
//! On a bus that is a reference (`AddRef=`), which is gone with us. Without a bus, and past the number of references that
//! a bus daemon bears, it is a slice that is ordered after the unit: an active unit keeps loaded what it is ordered after.

use tokio::sync::oneshot;

use super::Manager;
use super::awaited::Told;
use super::calls::{MANAGER_INTERFACE, MANAGER_PATH, Method};
use super::entry::Hold;
use crate::bus::{Container, Message, Value};
use crate::error::{Error, Result};
use crate::manager::Pace;
use crate::unit::machine::JobResult;
use crate::unit::name;

/// What keeps a unit that is about to be started. It is given back when this is dropped, unless it was taken out.
pub(super) struct Holding<'a> {
    pub manager: &'a Manager,
    pub hold: Option<Hold>,
}

impl Holding<'_> {
    /// Has the unit kept: `durable` also while the connection is lost, else as long as that is there. Where the latter cannot
    /// be done it is not, and what it used is not known.
    pub async fn take(&mut self, unit: &str, durable: bool) -> Result<()> {
        loop {
            match self.try_take(unit, durable).await? {
                Ok(()) => return Ok(()),
                // Perhaps there is one, which is stopped then, and perhaps not.
                Err(Error::Disconnected { .. } | Error::Lost { .. })
                    if durable && !self.manager.inner.link.is_lost() =>
                {
                    self.let_go();
                }
                Err(error) if durable => return Err(error),
                Err(error) => {
                    tracing::debug!(unit, %error, "no slice to keep the unit");
                    // It may be there all the same, where only its job could not be followed.
                    self.let_go();
                    return Ok(());
                }
            }
        }
    }

    async fn try_take(&mut self, unit: &str, durable: bool) -> Result<Result<()>> {
        let Manager { inner } = self.manager;
        if !inner.private && !durable {
            self.hold = inner.jobs.try_reference().map(Hold::Reference);
        }
        if self.hold.is_some() {
            return Ok(Ok(()));
        }
        let keeper = name::generate_keeper();
        let keeping = inner.jobs.admit_keeper().await;
        let admission = inner.jobs.admit(Pace::Quick).await;
        let (told, answer) = oneshot::channel();
        // From here on there may be a slice to be stopped.
        self.hold = Some(Hold::Keeper(keeper.as_str().into()));
        let method = Method {
            path: MANAGER_PATH,
            interface: MANAGER_INTERFACE,
            member: c"StartTransientUnit",
            name: "StartTransientUnit",
        };
        let fill = |message: &mut Message<'_>| {
            message.append_str(&keeper)?;
            message.append_str("fail")?;
            message.container(Container::Array, c"(sv)", |m| {
                Value::from(format!("Keeps {unit} until it was read")).append_property_to("Description", m)?;
                Value::from("inactive-or-failed").append_property_to("CollectMode", m)?;
                Value::from([unit]).append_property_to("After", m)
            })?;
            message.container(Container::Array, c"(sa(sv))", |_| Ok(()))
        };
        let mut places = admission.keep();
        places.add(keeping.keep());
        let told = (Told::Future(told), places);
        inner.link.with_ready(|registry, cx| registry.order(method, &keeper, told, fill, cx)).await??;
        Ok(match answer.await.unwrap_or_else(|_| Err(self.manager.how_lost())) {
            Ok(JobResult::Done) => Ok(()),
            Ok(result) => Err(Error::Job { unit: keeper.into(), job: "start", result: result.as_str().into() }),
            Err(error) => Err(error),
        })
    }

    fn let_go(&mut self) {
        let Manager { inner } = self.manager;
        match self.hold.take() {
            None => {}
            Some(Hold::Reference(places)) => inner.jobs.give_back(places),
            // Where the connection is lost it cannot be stopped.
            Some(Hold::Keeper(keeper)) => {
                let later = keeper.clone();
                let _ = inner
                    .link
                    .either(|registry, cx| registry.let_go(keeper, cx), |registry, _| registry.let_go_later(later));
            }
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}
