//! One run of sdrun, moment by moment, and the system calls that one costs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sdrun::{Command, Manager};
use tokio::runtime::Builder;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::floor::Floor;
use super::part::Part;
use super::{PROGRAM, Result, Way};

/// So many runs, of which the one that took the median time is shown.
const RUNS: usize = 51;
/// Units that are run under strace, once and then twice as many: what is added is theirs.
const COUNTED: usize = 100;

/// Puts the timeline of one run into the part.
pub fn report(part: &mut Part, way: Way) -> Result<()> {
    let mut runs = record(way)?;
    runs.sort_by_key(|moments| moments.last().map(|(at, _)| *at));
    let moments = &runs[runs.len() / 2];
    part.paragraph(&format!(
        "One run of sdrun on the {} transport, current_thread, of {RUNS} the one of median length. µs since `start` was \
         called, and since the line before; what sdrun's own trace events tell.",
        way.name()
    ));
    let mut before = Duration::ZERO;
    let rows = moments.iter().map(|(at, what)| {
        let row = vec![at.as_micros().to_string(), (*at - before).as_micros().to_string(), what.clone()];
        before = *at;
        row
    });
    part.table(&["µs", "since", "what"], &rows.collect::<Vec<_>>());
    Ok(())
}

type Moments = Vec<(Duration, String)>;

fn record(way: Way) -> Result<Vec<Moments>> {
    let log = Log::default();
    let _shown = tracing::subscriber::set_default(log.clone());
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let manager = Manager::builder().transport(way.transport()).connect().await?;
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            log.take();
            let begun = Instant::now();
            log.push("`start` is called");
            let unit = Command::new(PROGRAM).collect(true).start(&manager).await?;
            log.push("`start` has returned the handle");
            unit.wait().await?;
            log.push("`wait` has returned the exit");
            let moments = log.take().into_iter().map(|(at, what)| (at.duration_since(begun), what));
            runs.push(moments.collect());
        }
        Ok(runs)
    })
}

/// Keeps what sdrun says, with the time.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<(Instant, String)>>>);

impl Log {
    fn push(&self, what: impl Into<String>) {
        let at = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, what.into()));
    }

    fn take(&self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("sdrun")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.push(text.message + &text.fields);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "unit" | "status" => {}
            _ => write!(self.fields, " `{value:?}`").expect("a String"),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "unit" {
            write!(self.fields, " `{value}`").expect("a String");
        }
    }
}

/// Puts the system calls of a unit into the part: of sdrun's and of the floor's, as `strace -c -f` counts them.
pub fn report_calls(part: &mut Part) -> Result<()> {
    let mut all: BTreeMap<String, [f64; 4]> = BTreeMap::new();
    let kinds = [("sdrun", Way::Private), ("floor", Way::Private), ("sdrun", Way::Bus), ("floor", Way::Bus)];
    for (at, (who, way)) in kinds.into_iter().enumerate() {
        let [few, many] = [COUNTED, 2 * COUNTED].map(|units| count(who, way, units));
        let few = few?;
        for (call, calls) in many? {
            let more = calls - few.get(&call).copied().unwrap_or_default();
            all.entry(call).or_default()[at] = more / COUNTED as f64;
        }
    }
    let mut rows: Vec<_> = all.into_iter().filter(|(_, counts)| counts.iter().any(|count| *count >= 0.05)).collect();
    rows.sort_by(|(_, one), (_, two)| two[0].total_cmp(&one[0]));
    part.paragraph(
        "System calls for each unit, one at a time on a warm connection, as `strace -c -f` counts them. A message is two \
         `recvmsg`; a unit alone makes the manager send 16 to 20 messages, a third of them about slices and targets.",
    );
    let rows = rows.into_iter().map(|(call, counts)| {
        let counts = counts.map(|count| format!("{count:.1}"));
        std::iter::once(format!("`{call}`")).chain(counts).collect()
    });
    let head = ["call", "sdrun, private", "floor, private", "sdrun, bus", "floor, bus"];
    part.table(&head, &rows.collect::<Vec<_>>());
    Ok(())
}

/// How often a program that runs so many units calls what.
fn count(who: &str, way: Way, units: usize) -> Result<BTreeMap<String, f64>> {
    let this = std::env::current_exe()?;
    let traced = Process::new("strace")
        .args(["-f", "-c", "-o", "/dev/stdout"])
        .arg(this)
        .args(["--bench", "--traced", who, way.name(), &units.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("strace: {error}"))?;
    if !traced.status.success() {
        return Err(format!("strace: {}", String::from_utf8_lossy(&traced.stderr)).into());
    }
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    // % time, seconds, µs per call, calls, errors where there are any, and the call.
    let lines = text.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let call = words.last().filter(|call| **call != "total")?;
        Some(((*call).to_owned(), words.get(3)?.parse().ok()?))
    });
    Ok(lines.collect())
}

/// What `count` has strace run.
pub fn traced(arguments: &[String]) -> Result<()> {
    let [who, way, units] = arguments else { return Err("--traced WHO WAY UNITS".into()) };
    let way = if way == Way::Bus.name() { Way::Bus } else { Way::Private };
    let units: usize = units.parse()?;
    if who == "floor" {
        let mut floor = Floor::open(way, "t")?;
        return (0..units).try_for_each(|_| floor.run());
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let manager = Manager::builder().transport(way.transport()).connect().await?;
        for _ in 0..units {
            Command::new(PROGRAM).collect(true).start(&manager).await?.wait().await?;
        }
        Ok(())
    })
}
