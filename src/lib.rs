//! temp
#![deny(unsafe_code)]

mod bus;
mod command;
mod error;
mod manager;
mod unit;

pub use bus::{Signature, Value};
pub use command::Command;
pub use error::{Error, Result};
pub use manager::{Manager, ManagerBuilder, Transport};
pub use unit::{Exit, InvocationId, Outcome, Status, Unit, Waiting};

/// Runs
pub async fn run(command: impl Into<Command>) -> Result<Unit> {
    let mut command = command.into();
    command.start_shared().await
}
