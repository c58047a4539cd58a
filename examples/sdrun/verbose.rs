//! `--verbose`: the unit's log, while something else goes on.

use std::error::Error;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use sdrun::{Entry, Logs};

use crate::log::{Printer, Record};
use crate::options::Options;
use crate::say::{print, say};
use crate::service::Followed;

/// How long, after the start, the entry that tells of it may take. Where the manager writes none this is waited in vain.
const LATE: Duration = Duration::from_secs(1);

/// The manager's entry about a start that is done. sd_messages(3)
const UNIT_STARTED: &[u8] = b"39f53479d3a045ac8e11786248231fbf";

/// Prints the log until the unit has ended, or, where that is not waited for, until its start is told of.
pub async fn alongside(
    mut logs: Logs,
    options: &Options,
    work: impl Future<Output = Result<Followed, Box<dyn Error>>>,
) -> Result<ExitCode, Box<dyn Error>> {
    let mut printer = Printer::new(options.output);
    let mut started = false;
    let mut work = pin!(work.fuse());
    let mut over = false;
    let followed = loop {
        if over {
            break (&mut work).await?;
        }
        match select(&mut work, logs.next()).await {
            Either::Left((followed, _)) => break followed?,
            Either::Right((entry, _)) => over = !shown(entry, &mut printer, &mut started),
        }
    };
    if over {
        return Ok(followed.code);
    }
    if followed.has_ended {
        while shown(logs.next().await, &mut printer, &mut started) {}
        return Ok(followed.code);
    }
    let rest = async { while !started && shown(logs.next().await, &mut printer, &mut started) {} };
    let _ = tokio::time::timeout(LATE, rest).await;
    Ok(followed.code)
}

/// Prints an entry; `false` at the end.
fn shown(entry: Option<sdrun::Result<Entry>>, printer: &mut Printer, started: &mut bool) -> bool {
    match entry {
        Some(Ok(entry)) => {
            *started |= entry.get("MESSAGE_ID") == Some(UNIT_STARTED);
            print(printer.print(&record(&entry)));
            true
        }
        Some(Err(error)) => {
            say(format_args!("sdrun: the log cannot be read: {error}"));
            false
        }
        None => false,
    }
}

fn record(entry: &Entry) -> Record {
    let since_1970 = entry.time().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Record {
        cursor: entry.cursor().to_owned(),
        realtime: micros(since_1970),
        monotonic: micros(entry.monotonic()),
        fields: entry.fields().map(|(name, value)| (name.into_owned(), value.to_vec())).collect(),
    }
}
