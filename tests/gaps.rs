//! The manager, the bus or the connection goes away while units run: each handle resolves once, with the truth.
//!
//! What a unit did is known beforehand, and how often it ran is counted in a file of its own (`gaps/crowd.rs`). Some gaps
//! are made by a real fault (`gaps/faults.rs`), some, where the moment matters, by a relay between us and the manager's
//! socket, which can be cut (`gaps/relay.rs`).

#[path = "gaps/again.rs"]
mod again;
#[path = "gaps/broker.rs"]
mod broker;
#[path = "gaps/bus.rs"]
mod bus;
#[path = "gaps/crowd.rs"]
mod crowd;
#[path = "gaps/cut.rs"]
mod cut;
#[path = "gaps/faults.rs"]
mod faults;
#[path = "gaps/kinds.rs"]
mod kinds;
#[path = "gaps/relay.rs"]
mod relay;
#[path = "gaps/replies.rs"]
mod replies;
mod support;
#[path = "gaps/user_manager.rs"]
mod user_manager;

use sdrun::{Command, Error, Exit, Manager, ManagerBuilder, Transport};

/// One fault at a time: they disturb each other, whatever it is that they are to show.
static FAULTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    let _alone = FAULTS.blocking_lock();
    support::again_as_user();
}

/// Room for all of the oneshots here, which wait at the same time: nobody else has jobs.
fn roomy() -> ManagerBuilder {
    Manager::builder().most_lasting(400)
}

async fn on_bus() -> Manager {
    roomy().transport(Transport::Bus).connect().await.expect("a bus")
}

async fn managers() -> [(&'static str, Manager); 2] {
    let private = roomy().transport(Transport::Private).connect().await.expect("a private socket");
    [("bus", on_bus().await), ("private", private)]
}

/// Whether the error says that it cannot be known what became of the unit.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Lost { .. })
}

/// Whether the exit was learnt from the journal.
fn is_from_journal(exit: &Exit) -> bool {
    exit.from_journal
}

fn durable(command: &mut Command) -> &mut Command {
    command.durable(true)
}

fn patience(builder: ManagerBuilder, patience: std::time::Duration) -> ManagerBuilder {
    builder.patience(patience)
}

/// How many handles wait, and how often the faults are repeated: as the environment says where the file is looped.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |number| number.parse().expect("a number"))
}
