//! Options that are more than one property.

use super::Command;
use super::message::property;
use crate::bus::Message;
use crate::error::Result;
use crate::property::Properties;

/// What is counted only where it was asked for (`systemd.resource-control(5)`).
const ACCOUNTING: [&str; 4] = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "IPAccounting"];

impl Command {
    /// Has [`Exit::usage`](crate::Exit::usage) say what the unit has used. This turns on `CPUAccounting=`,
    /// `MemoryAccounting=`, `IOAccounting=` and `IPAccounting=`, unless [`extra`](Command::extra) sets them otherwise.
    ///
    /// The unit must stay loaded past its end for that, and the handle resolves one round trip later. On a bus up to 128
    /// units at a time are referenced (`AddRef=`), which costs nothing more. Without a bus, and past that number, each
    /// unit has an empty slice (`sdrunkeep….slice`) beside it from before its start until it was read: two more jobs of
    /// the manager, of which few are started while many are still to be stopped. Should this process, its runtime or
    /// its connection end meanwhile, or at once after the exits of more than sixty units, such a slice stays, and the unit
    /// stays loaded, until someone stops the slice. The exit itself never depends on any of this: where the reading fails
    /// there is no usage in it.
    pub fn usage(&mut self, usage: bool) -> &mut Self {
        self.service.usage = usage;
        self
    }

    /// Has the unit be kept loaded past its end until the handle has its exit, so that nothing is lost of it whatever goes
    /// away and comes back meanwhile: the bus daemon, systemd that executes itself anew, the connection. Without it a unit
    /// that ends in such a gap is unloaded at once; the journal then knows its failure, but of a success not the status, and
    /// of a user's unit not even that it was one ([`Exit::from_journal`](crate::Exit::from_journal),
    /// [`Error::Lost`](crate::Error::Lost)). It also makes the start exact: where systemd's answer to it is lost, it shows
    /// whether the unit was started, and one that was not is started then.
    ///
    /// This costs an empty slice (`sdrunkeep….slice`, `After=` the unit) beside the unit, from before its start until its
    /// exit was told: two more jobs of the manager, about two times the time of a start. The exit is told when systemd has
    /// taken the call to stop the slice, a second later at most. Should the process end before, the slice stays, and the
    /// unit's name stays taken, until someone stops it (`systemctl stop 'sdrunkeep*.slice'`).
    ///
    /// # Errors
    ///
    /// A start fails where the slice cannot be started.
    pub fn durable(&mut self, durable: bool) -> &mut Self {
        self.service.durable = durable;
        self
    }
}

/// Turns on what is counted, where what was used is to be said.
pub(super) fn append_accounting(message: &mut Message<'_>, wanted: bool, extra: &Properties) -> Result<()> {
    let given = |name: &str| extra.known().any(|(other, _)| other == name);
    let missing = ACCOUNTING.into_iter().filter(|name| wanted && !given(name));
    missing.into_iter().try_for_each(|name| property(message, name, c"b", |m| m.append(true)))
}
