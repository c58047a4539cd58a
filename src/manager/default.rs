//! The manager that `run` and `spawn` use: one per runtime, made when it is first needed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Handle, Id};
use tokio::sync::OnceCell;

use super::Manager;
use crate::error::{Error, Result};

type Cell = Arc<OnceCell<Manager>>;

/// Few runtimes live in a process, mostly one.
static CELLS: Mutex<Vec<(Id, Cell)>> = Mutex::new(Vec::new());

pub(super) async fn get() -> Result<Manager> {
    let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?.id();
    // All who come while it is being made wait for the one connection.
    cell(runtime).get_or_try_init(|| Manager::builder().connect()).await.cloned()
}

/// The runtime's cell. Those whose connection was lost are left behind, as when their runtime is gone.
fn cell(runtime: Id) -> Cell {
    let mut cells = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
    let gone = |cell: &Cell| match cell.get() {
        Some(manager) => manager.is_lost(),
        None => Arc::strong_count(cell) == 1,
    };
    let (dead, alive): (Vec<_>, _) = std::mem::take(&mut *cells).into_iter().partition(|(_, cell)| gone(cell));
    *cells = alive;
    let found = cells.iter().find(|(id, _)| *id == runtime).map(|(_, cell)| cell.clone());
    let cell = found.unwrap_or_else(|| {
        let cell = Cell::default();
        cells.push((runtime, cell.clone()));
        cell
    });
    drop(cells);
    // The last reference to a connection, perhaps, which is closed with it: not under the lock.
    drop(dead);
    cell
}
