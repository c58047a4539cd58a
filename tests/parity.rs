//! The property language against the real systemd-run: for each line of `parity/assignments` the message that
//! `systemd-run -p` puts on the bus, and the one that sdrun does, as `busctl monitor --json=short` shows them. They must
//! be equal in name, signature and value, and where one of the two refuses, so must the other, by itself or as the
//! manager does. What remains is in `parity/differences.rs`, with the reasons.
//!
//! Nothing is started (`SuccessAction=reboot` is in the list): systemd-run is run by a user whom the manager refuses
//! everything, and sdrun starts a unit that exists already, which the manager refuses before it looks at any property.
//! Where only one of the two sent something, the manager is asked to do it, with a dependency on a unit that does not
//! exist: it refuses that last, so another refusal is the property's.
//!
//! `PARITY=MemoryMax= cargo test --test parity` takes only the lines that begin like this (`PARITY=timer:` those of
//! timers), `PARITY_LIST=FILE` those of another file.

#[path = "parity/differences.rs"]
mod differences;
#[path = "parity/json.rs"]
mod json;
#[path = "parity/monitor.rs"]
mod monitor;
#[path = "parity/sample.rs"]
mod sample;
mod support;
#[path = "parity/systemd_run.rs"]
mod systemd_run;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use monitor::{Monitor, Sent};
use sdrun::{Command, Error, Manager, Properties, UnitType};
use support::{is_root, on_bus, systemd_version};
use systemd_run::{NEVER, Who};

/// The unit that exists.
const EXISTS: &str = "sdrun-parity";

/// How many systemd-run are there at a time.
const AT_ONCE: usize = 4;

/// How many are made up, of which more than 2,000 are of settings that the oldest systemd has.
const ENOUGH: u64 = 3800;

const TYPES: [(&str, UnitType); 6] = [
    ("service", UnitType::Service),
    ("scope", UnitType::Scope),
    ("timer", UnitType::Timer),
    ("path", UnitType::Path),
    ("socket", UnitType::Socket),
    ("slice", UnitType::Slice),
];

/// A line of the list.
struct Line {
    unit_type: UnitType,
    assignment: String,
}

/// What one of the two makes of an assignment.
struct Answer {
    /// The properties that it sends for it, beyond those that it sends without it.
    sent: Option<Vec<String>>,
    /// Why it refused, or what the manager said.
    said: String,
}

#[tokio::test]
async fn sdrun_sends_what_systemd_run_sends() {
    if !is_root() {
        return; // on a user's own manager this would leave things behind
    }
    let (known, _) = compare("of the list", list).await;
    if std::env::var_os("PARITY").or(std::env::var_os("PARITY_LIST")).is_none() {
        assert!(known.unused().is_empty(), "these are listed, but do not differ: {:?}", known.unused());
    }
}

/// What sdrun takes systemd-run takes too, also what is not in the list. `PARITY_SEED` makes others.
#[tokio::test]
async fn what_sdrun_takes_systemd_run_takes() {
    if !is_root() {
        return;
    }
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (count, seed) = (number("PARITY_COUNT", ENOUGH), number("PARITY_SEED", 1));
    // Some are of settings that this systemd does not have.
    let (_, equal) = compare("made up", || sample::accepted(&list(), count as usize, seed)).await;
    assert!(equal >= 2000 || count < ENOUGH, "only {equal} of {count} were sent");
}

/// Compares what the two make of these lines. Returns the reasons that were needed, and how many are equal.
async fn compare(what: &str, lines: impl FnOnce() -> Vec<Line>) -> (differences::Known, usize) {
    // One at a time: the processor is busy enough.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let lines = lines();
    let version = systemd_version();
    let manager = on_bus().await;
    let _exists = match command(EXISTS, "of the parity test").remain_after_exit(true).start(&manager).await {
        Err(Error::UnitExists { .. }) => None, // from the other test
        unit => Some(unit.unwrap()),
    };
    let monitor = Monitor::start(|description| {
        systemd_run::run(Who::Nobody, UnitType::Service, EXISTS, description, &[]);
    });

    let theirs = theirs(&lines, &monitor);
    let ours = ours(&lines, &monitor, &manager).await;

    let mut report = String::new();
    let mut known = differences::Known::new(version);
    let (mut same, mut refused) = (0, 0);
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        let difference = difference(line, theirs, ours, &manager).await;
        match &difference {
            None if theirs.sent.is_some() && ours.sent.is_some() => same += 1,
            None => refused += 1,
            Some(_) => {}
        }
        let Some(difference) = difference else { continue };
        if known.reason(line.unit_type, &line.assignment).is_none() {
            let unit_type = line.unit_type.as_str();
            writeln!(report, "[{unit_type}] {}\n  systemd-run {version} {difference}", line.assignment).unwrap();
        }
    }
    let (all, listed, wrong) = (lines.len(), known.count(), report.lines().filter(|l| l.starts_with('[')).count());
    println!(
        "systemd {version}: {all} assignments {what}: {same} equal, {refused} refused, {listed} listed, {wrong} wrong"
    );
    assert!(report.is_empty(), "{wrong} of {all} {what} differ:\n{report}");
    (known, same)
}

/// In what the two differ.
async fn difference(line: &Line, theirs: &Answer, ours: &Answer, manager: &Manager) -> Option<String> {
    match (&theirs.sent, &ours.sent) {
        (Some(theirs), Some(ours)) if theirs == ours => None,
        (Some(theirs), Some(ours)) => Some(format!("sends {}\n  sdrun sends {}", theirs.join(","), ours.join(","))),
        (None, None) => None,
        (Some(sent), None) => match real_start(line) {
            Some(_refused) => None,
            None => Some(format!("sends {}\n  sdrun refuses: {}", sent.join(","), ours.said)),
        },
        (None, Some(sent)) => match our_real_start(line, manager).await {
            Some(_refused) => None,
            None => Some(format!("refuses: {}\n  sdrun sends {}", theirs.said, sent.join(","))),
        },
    }
}

/// The list, in order, without what is not asked for.
fn list() -> Vec<Line> {
    let text = match std::env::var("PARITY_LIST") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("parity/assignments").to_owned(),
    };
    let only = std::env::var("PARITY").unwrap_or_default();
    let mut unit_type = UnitType::Service;
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let section = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        if let Some((_, of_section)) = TYPES.into_iter().find(|(name, _)| section == Some(name)) {
            unit_type = of_section;
        } else if !line.is_empty() && !line.starts_with("# ") {
            lines.push(Line { unit_type, assignment: line.to_owned() });
        }
    }
    // What a line cannot say.
    for (_, unit_type) in TYPES {
        lines.extend(["", "Description=a\nb"].map(|text| Line { unit_type, assignment: text.to_owned() }));
    }
    let wanted = |line: &Line| {
        line.assignment.starts_with(&only)
            || format!("{}:{}", line.unit_type.as_str(), line.assignment).starts_with(&only)
    };
    lines.into_iter().filter(wanted).collect()
}

/// What systemd-run makes of each line.
fn theirs(lines: &[Line], monitor: &Monitor) -> Vec<Answer> {
    let said: Vec<Mutex<String>> = lines.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(Line { unit_type, assignment }) = lines.get(number) else { return };
            let description = format!("parity theirs {number}");
            let run = systemd_run::run(Who::Nobody, *unit_type, EXISTS, &description, &[assignment]);
            assert!(!run.success, "{assignment}: the manager took it from nobody");
            *said[number].lock().unwrap() = run.said;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    for (name, unit_type) in TYPES {
        let description = format!("parity theirs {name}");
        systemd_run::run(Who::Nobody, unit_type, EXISTS, &description, &[]);
        monitor.wait_for(&description);
    }
    let base = |unit_type: UnitType| monitor.sent(&format!("parity theirs {}", unit_type.as_str())).unwrap().main;
    answers(lines, said, |number| monitor.sent(&format!("parity theirs {number}")).map(|sent| sent.main), base)
}

/// What sdrun makes of each line.
async fn ours(lines: &[Line], monitor: &Monitor, manager: &Manager) -> Vec<Answer> {
    let mut said = Vec::with_capacity(lines.len());
    for (number, line) in lines.iter().enumerate() {
        let started = start(line, EXISTS, &format!("parity ours {number}"), None, manager).await;
        said.push(Mutex::new(started.unwrap_err().to_string()));
    }
    let none = |unit_type| Line { unit_type, assignment: String::new() };
    for (name, unit_type) in TYPES {
        let description = format!("parity ours {name}");
        let mut command = command(EXISTS, &description);
        if unit_type != UnitType::Service {
            command.auxiliary_unit(format!("sdrun-parity.{name}"), Properties::new(unit_type));
        }
        let error = command.start(manager).await.unwrap_err();
        assert!(matches!(error, Error::UnitExists { .. }), "{name}: {error}");
        monitor.wait_for(&description);
    }
    let of = |line: &Line, sent: Sent| match line.unit_type {
        UnitType::Service => sent.main,
        _ => sent.auxiliary,
    };
    answers(
        lines,
        said,
        |number| monitor.sent(&format!("parity ours {number}")).map(|sent| of(&lines[number], sent)),
        |unit_type| of(&none(unit_type), monitor.sent(&format!("parity ours {}", unit_type.as_str())).unwrap()),
    )
}

fn answers(
    lines: &[Line],
    said: Vec<Mutex<String>>,
    sent: impl Fn(usize) -> Option<Vec<String>>,
    base: impl Fn(UnitType) -> Vec<String>,
) -> Vec<Answer> {
    let bases = TYPES.map(|(_, unit_type)| (unit_type, base(unit_type)));
    let answer = |(number, said): (usize, Mutex<String>)| {
        let base = &bases.iter().find(|(unit_type, _)| *unit_type == lines[number].unit_type).unwrap().1;
        Answer { sent: sent(number).map(|sent| beyond(sent, base)), said: said.into_inner().unwrap() }
    };
    said.into_iter().enumerate().map(answer).collect()
}

/// The properties that are not among these, which the same program sends in any case.
fn beyond(sent: Vec<String>, base: &[String]) -> Vec<String> {
    let mut base: Vec<&String> = base.iter().collect();
    let own = |property: &String| {
        // The description is the message's mark. A scope's process is another one each time.
        property.starts_with(r#"["Description",{"type":"s","data":"parity "#) || property.starts_with(r#"["PID"#)
    };
    sent.into_iter()
        .filter(|property| !own(property))
        .filter(|property| match base.iter().position(|other| *other == property) {
            Some(at) => {
                base.remove(at);
                false
            }
            None => true,
        })
        .collect()
}

fn command(unit: &str, description: &str) -> Command {
    let mut command = Command::new("/bin/true");
    command.name(unit).description(description);
    command
}

/// Starts a service with this assignment, or one that has such a unit beside it. It does not get far: the service exists,
/// or it depends on what does not.
async fn start(
    line: &Line,
    unit: &str,
    description: &str,
    requires: Option<&str>,
    manager: &Manager,
) -> Result<(), Error> {
    let mut command = command(unit, description);
    if let Some(requires) = requires {
        command.property(format!("Requires={requires}"))?;
    }
    if line.unit_type == UnitType::Service {
        command.property(&line.assignment)?;
    } else {
        let mut properties = Properties::new(line.unit_type);
        properties.set(&line.assignment)?;
        command.auxiliary_unit(format!("{unit}.{}", line.unit_type.as_str()), properties);
    }
    command.start(manager).await.map(drop)
}

/// The name of a unit that was never there.
fn fresh() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("sdrun-parity-fresh-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Why the manager refuses what systemd-run sends, if it does.
fn real_start(line: &Line) -> Option<String> {
    let unit = fresh();
    if line.unit_type == UnitType::Slice {
        let run = systemd_run::run(Who::Root, line.unit_type, &unit, "parity", &[&line.assignment]);
        return (!run.success).then_some(run.said);
    }
    let never = format!("Requires={NEVER}");
    let run = systemd_run::run(Who::Root, line.unit_type, &unit, "parity", &[&never, &line.assignment]);
    assert!(!run.success, "{}: {unit} was started", line.assignment);
    (!run.said.contains(NEVER)).then_some(run.said)
}

/// Why the manager refuses what sdrun sends, if it does.
async fn our_real_start(line: &Line, manager: &Manager) -> Option<String> {
    let unit = fresh();
    let error = start(line, &unit, "parity", Some(NEVER), manager).await.unwrap_err().to_string();
    (!error.contains(NEVER)).then_some(error)
}
