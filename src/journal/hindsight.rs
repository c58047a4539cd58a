//! How a unit ended, from what its manager has logged of it.
//!
//! For units that were unloaded while nobody could hear of their end. The manager logs every failure, with the status of
//! the main process; of a success no more than that it was one, and a user's manager not even that.

use std::sync::Arc;

use sdrun_sys::reader::Journal;

use super::origin::Owner;
use super::reader::{self, Journals};
use super::sync;
use crate::error::{Error, Result};
use crate::unit::InvocationId;

/// A unit that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub unit: Box<str>,
    /// The run that is asked about; the last one without.
    pub run: Option<InvocationId>,
    /// In µs of the monotonic clock: nothing that came before is of this unit.
    pub since: u64,
}

/// What the manager has logged of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub run: Option<InvocationId>,
    /// Its `Result`, where that was logged.
    pub result: Option<Box<str>>,
    /// How its main process ended, where that was logged: `exited`, `killed` or `dumped`, and the code or signal.
    pub status: Option<(Box<str>, i32)>,
    /// When the result was logged, in µs of the real-time and of the monotonic clock.
    pub ended: (u64, u64),
}

/// `SD_MESSAGE_…_STR`, sd-messages.h.
const PROCESS_EXITED: &[u8] = b"98e322203f7a4ed290d09fe03c09fe15";
const FAILED: &[u8] = b"d9b373ed55a64feb8242e02dbe79a49c";
const SUCCEEDED: &[u8] = b"7ad2d189f7e94e70a38c781354912448";
const SKIPPED: &[u8] = b"0e4284a0caca4bfc81c0bb6786972673";

/// Answers each question with what the journal knows of it, `None` where that is nothing. `manager` is the process of a
/// user's manager.
///
/// # Errors
///
/// [`Error::Unavailable`] where the caller may not read the journal, or there is none.
pub(crate) async fn hindsight(
    user: Option<u32>,
    manager: Option<u32>,
    questions: Vec<Question>,
) -> Result<Vec<Option<Remembered>>> {
    let owner = user.map_or(Owner::System, Owner::User);
    let journals = Arc::new(Journals::new()?);
    // What the manager has said comes before the unit is unloaded, and may be on its way still.
    sync::synchronize(&journals, &[None]).await;
    let read = journals.block(move || {
        reader::access(owner, None)?;
        let boot = sdrun_sys::reader::boot().map_err(|error| Error::io("read the boot's ID", &error))?;
        let mut journal = Journal::open(None).map_err(|error| Error::io("open the journal", &error))?;
        let answer = |question| look(&mut journal, owner, manager, boot, question);
        questions.iter().map(answer).collect::<std::io::Result<Vec<_>>>().map_err(|e| Error::io("read the journal", &e))
    });
    read.await?
}

fn look(
    journal: &mut Journal,
    owner: Owner,
    manager: Option<u32>,
    boot: [u8; 16],
    question: &Question,
) -> std::io::Result<Option<Remembered>> {
    let field = |name: &str, value: &str| format!("{name}={value}").into_bytes();
    // Only what the manager itself has said: those fields the journal adds.
    let (set, id_field) = match owner {
        Owner::System => {
            (vec![field("UNIT", &question.unit), field("_PID", "1"), field("_UID", "0")], c"INVOCATION_ID")
        }
        Owner::User(uid) => {
            let mut set = vec![field("USER_UNIT", &question.unit), field("_UID", &uid.to_string())];
            set.extend(manager.map(|manager| field("_PID", &manager.to_string())));
            (set, c"USER_INVOCATION_ID")
        }
    };
    journal.select(&[set])?;
    journal.seek_monotonic(boot, question.since)?;
    let mut last: Option<Remembered> = None;
    while journal.advance()? {
        let (monotonic, of_boot) = journal.monotonic()?;
        if of_boot != boot || monotonic < question.since {
            continue;
        }
        let run = journal.field(id_field)?.and_then(InvocationId::parse);
        if question.run.is_some() && run != question.run {
            continue;
        }
        // With `Restart=` it has several: the last one counts.
        if last.as_ref().is_none_or(|last| run.is_some() && last.run != run) {
            last = Some(Remembered { run, ..Remembered::default() });
        }
        let Some(found) = &mut last else { continue };
        let result: Box<str> = match journal.field(c"MESSAGE_ID")? {
            Some(PROCESS_EXITED) => {
                let status = read_status(journal)?;
                found.status = status.or(found.status.take());
                continue;
            }
            Some(FAILED) => match journal.field(c"UNIT_RESULT")? {
                Some(result) => String::from_utf8_lossy(result).into(),
                None => continue,
            },
            Some(SUCCEEDED) => "success".into(),
            Some(SKIPPED) => "condition".into(),
            _ => continue,
        };
        found.result = Some(result);
        found.ended = (journal.realtime()?, monotonic);
    }
    Ok(last)
}

/// How the main process ended, where the present entry is about that: it may be about a process of `ExecStop=`.
fn read_status(journal: &mut Journal) -> std::io::Result<Option<(Box<str>, i32)>> {
    const MAIN: &[u8] = b"Main process exited";
    let is_main = journal.field(c"MESSAGE")?.is_some_and(|text| text.windows(MAIN.len()).any(|part| part == MAIN));
    if !is_main {
        return Ok(None);
    }
    let Some(code) = journal.field(c"EXIT_CODE")?.map(|code| String::from_utf8_lossy(code).into()) else {
        return Ok(None);
    };
    let status = journal.field(c"EXIT_STATUS")?.and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    Ok(status.map(|status| (code, status)))
}
