//! Asking the journal what became of units that nobody could hear of.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use super::recovery::lost;
use super::registry::Registry;
use crate::bus::WeakLink;
use crate::error::Error;
use crate::journal::{Question, hindsight};
use crate::unit::InvocationId;
use crate::unit::tracked::Tracked;

/// The connection that units are looked up again on, and where their manager logs.
#[derive(Debug, Clone)]
pub(super) struct Home {
    link: WeakLink<Registry>,
    /// Whose manager it is, where that logs to the journal of this host: root's and the system's are `None` inside.
    owner: Option<Option<u32>>,
    /// Whether that is certain. Else only runs are asked about that are known by their ID.
    certain: bool,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Query>,
    /// Somebody is at it.
    busy: bool,
}

/// A unit that is not loaded any more.
#[derive(Debug)]
pub(super) struct Query {
    pub tracked: Arc<Tracked>,
    /// The round of questions that it was found out in.
    pub round: u32,
    /// The run that is asked about; the last without.
    pub run: Option<InvocationId>,
    /// When that began.
    pub left: Option<(u64, u64)>,
    /// Whether it is not even known that it was started.
    pub start: bool,
}

impl Query {
    pub fn lost(&self, reason: &str) -> Error {
        let before = if self.start {
            "the connection was lost before systemd answered its start, so that it is not known whether it was started, \
             and it is not loaded"
        } else {
            "it ended while the connection to its manager was lost, and was unloaded"
        };
        lost(&self.tracked, &format!("{before}; {reason}"))
    }
}

impl Home {
    pub fn new(link: WeakLink<Registry>, owner: Option<Option<u32>>, certain: bool) -> Self {
        Home { link, owner, certain, queue: Arc::default() }
    }

    /// Whether the journal can be asked about this.
    pub fn has_journal(&self, query: &Query) -> bool {
        self.owner.is_some() && (self.certain || query.run.is_some())
    }
}

/// Asks the journal about this unit too. The registry is told what that says.
pub(super) fn ask(home: &Home, manager: Option<u32>, query: Query) {
    // At an address it may be somebody in between.
    let manager = manager.filter(|_| home.certain);
    let mut queue = home.queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.waiting.push(query);
    if !std::mem::replace(&mut queue.busy, true) {
        tokio::spawn(work(home.clone(), manager));
    }
}

/// Works through the queue: all that is in it at once, since opening the journal costs more than looking into it.
async fn work(home: Home, manager: Option<u32>) {
    loop {
        let batch = {
            let mut queue = home.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.busy = !queue.waiting.is_empty();
            take(&mut queue.waiting)
        };
        if batch.is_empty() {
            return;
        }
        let questions = batch.iter().map(|query| Question {
            unit: query.tracked.name().into(),
            run: query.run,
            since: query.tracked.since(),
        });
        let answers = hindsight(home.owner.flatten(), manager, questions.collect()).await;
        let Some(link) = home.link.upgrade() else { return };
        // Where the connection is lost again, all is asked again after that.
        let _ = link.with(|registry, cx| {
            for (at, query) in batch.iter().enumerate() {
                let answer = match &answers {
                    Ok(found) => Ok(found.get(at).cloned().flatten()),
                    Err(error) => Err(error.clone()),
                };
                registry.remembered(query, &answer, cx);
            }
        });
    }
}
