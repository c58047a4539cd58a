//! Tables, on the terminal and in Markdown alike, and the lines that programs read.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::part::table;
use super::stats::{Contender, Samples};
use super::warm::{Runtime, Warm};
use super::whole::Whole;
use super::{Result, Way};

/// What was measured so far.
#[derive(Debug, Default)]
pub struct Report {
    title: String,
    warm: Vec<(Way, Runtime, Warm)>,
    whole: Option<Whole>,
}

impl Report {
    pub fn new(title: String) -> Self {
        Report { title, ..Report::default() }
    }

    pub fn add_warm(&mut self, way: Way, runtime: Runtime, warm: Warm) {
        self.warm.push((way, runtime, warm));
    }

    pub fn add_whole(&mut self, whole: Whole) {
        self.whole = Some(whole);
    }

    /// The tables.
    pub fn text(&self) -> String {
        let mut text = format!("## {}\n", self.title);
        if !self.warm.is_empty() {
            text.push_str(
                "\nWarm: one process, unit by unit, times in µs. `floor` is libsystemd called directly; `noise` is the \
                 floor against itself on another connection.\n\n",
            );
            text.push_str(&table(WARM_HEAD, &self.warm.iter().map(warm_row).collect::<Vec<_>>()));
            text.push_str(
                "\nWhat a unit cost this process between its start and its end: CPU time in µs, sleeps (voluntary \
                 context switches), allocations by Rust code; of the floor in brackets.\n\n",
            );
            text.push_str(&table(COST_HEAD, &self.warm.iter().map(cost_row).collect::<Vec<_>>()));
        }
        if let Some(whole) = &self.whole {
            text.push_str(
                "\nWhole processes, and sdrun warm between them, each four times in a row by turns; times in µs.\n\n",
            );
            text.push_str(&table(WHOLE_HEAD, &whole_rows(whole)));
        }
        text
    }

    /// One line for each ratio; `noise_…` is the same for one thing measured twice.
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |name: &str, ratio: f64| writeln!(lines, "bench: {name} {ratio:.3} x").expect("a String");
        let find = |way| {
            self.warm.iter().find(|(its, runtime, _)| *its == way && *runtime == Runtime::CurrentThread).map(|w| &w.2)
        };
        let (private, bus) = (find(Way::Private), find(Way::Bus));
        if let Some(Warm { floor, again, .. }) = private {
            line("noise_floor_p50", again.latency.over(&floor.latency, 0.5));
            line("noise_floor_p90", again.latency.over(&floor.latency, 0.9));
        }
        if let Some(Warm { floor, again, .. }) = bus {
            line("noise_bus_floor_p50", again.latency.over(&floor.latency, 0.5));
        }
        if let Some(whole) = &self.whole {
            line("noise_systemd_run_p50", whole.again.over(&whole.systemd_run, 0.5));
        }
        if let Some(Warm { sdrun, floor, .. }) = private {
            line("warm_over_floor_p50", sdrun.latency.over(&floor.latency, 0.5));
            line("warm_over_floor_p90", sdrun.latency.over(&floor.latency, 0.9));
        }
        if let Some(Warm { sdrun, floor, .. }) = bus {
            line("warm_bus_over_floor_p50", sdrun.latency.over(&floor.latency, 0.5));
        }
        if let Some(whole) = &self.whole {
            line("systemd_run_over_warm_p50", whole.systemd_run.over(&whole.warm_bus, 0.5));
            if let Some(cold) = &whole.cold {
                line("cold_over_systemd_run_p50", cold.over(&whole.systemd_run, 0.5));
            }
        }
        lines
    }

    /// Writes the report into a file, in place of the one of the same systemd version.
    pub fn save(&self, file: &Path) -> Result<()> {
        let old = std::fs::read_to_string(file).unwrap_or_default();
        let mut sections = old.split("\n## ").map(|section| section.trim_end().to_owned());
        let head = sections.next().filter(|head| head.starts_with("# "));
        let head = head.unwrap_or_else(|| "# Benchmark results\n\nWritten by `make bench`.".into());
        let version = |title: &str| {
            let number = title.strip_prefix("systemd ")?;
            number.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
        };
        let mut sections: Vec<_> = sections.filter(|section| version(section) != version(&self.title)).collect();
        let text = format!("{}\n```text\n{}```", self.text(), self.lines());
        sections.push(text.trim_start_matches("## ").to_owned());
        sections.sort_by_key(|section| version(section));
        std::fs::write(file, format!("{head}\n\n## {}\n", sections.join("\n\n## ")))?;
        Ok(())
    }
}

const WARM_HEAD: &[&str] = &[
    "transport",
    "runtime",
    "units",
    "sdrun p50",
    "p90",
    "floor p50",
    "p90",
    "sdrun/floor p50",
    "p90",
    "noise p50",
    "p90",
];

fn warm_row((way, runtime, warm): &(Way, Runtime, Warm)) -> Vec<String> {
    let Warm { sdrun, floor, again } = warm;
    let (sdrun, floor, again) = (&sdrun.latency, &floor.latency, &again.latency);
    let mut row = vec![way.name().into(), runtime.name().into(), sdrun.len().to_string()];
    row.extend([sdrun.p50(), sdrun.p90(), floor.p50(), floor.p90()].map(micros));
    row.extend([(sdrun, 0.5), (sdrun, 0.9), (again, 0.5), (again, 0.9)].map(|(who, q)| ratio(who.over(floor, q))));
    row
}

const COST_HEAD: &[&str] = &["transport", "runtime", "CPU", "sleeps", "allocations"];

fn cost_row((way, runtime, warm): &(Way, Runtime, Warm)) -> Vec<String> {
    let [sdrun, floor] = [&warm.sdrun, &warm.floor].map(Contender::cost_per_unit);
    let mut row = vec![way.name().into(), runtime.name().into()];
    row.extend(
        [0, 1, 1]
            .iter()
            .zip(sdrun.iter().zip(&floor))
            .map(|(&digits, (sdrun, floor))| format!("{sdrun:.digits$} ({floor:.digits$})")),
    );
    row
}

const WHOLE_HEAD: &[&str] =
    &["", "units", "p50", "p90", "over sdrun warm, bus", "over sdrun warm, private", "over systemd-run"];

fn whole_rows(whole: &Whole) -> Vec<Vec<String>> {
    let row = |name: &str, samples: &Samples| {
        let mut row = vec![name.into(), samples.len().to_string(), micros(samples.p50()), micros(samples.p90())];
        row.extend(
            [&whole.warm_bus, &whole.warm_private, &whole.systemd_run].map(|other| ratio(samples.over(other, 0.5))),
        );
        row
    };
    let mut rows =
        vec![row("`systemd-run --wait`", &whole.systemd_run), row("the same again (the noise)", &whole.again)];
    rows.extend(whole.cold.as_ref().map(|cold| row("sdrun, a new process", cold)));
    rows.extend(whole.floor.as_ref().map(|floor| row("floor.c on the bus, a new process", floor)));
    rows.push(row("sdrun warm, bus", &whole.warm_bus));
    rows.push(row("sdrun warm, private socket", &whole.warm_private));
    rows
}

fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.3}")
}
