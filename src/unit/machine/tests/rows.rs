//! FACTS.md, "When a unit has really ended", row by row: that the recordings show what a row says, trap and all, so
//! that replaying them (`orders`) tests it.

use std::collections::BTreeSet;

use super::replay::{Answers, Reading, last_service, last_unit, numbered, recordings, replay, versions};
use crate::unit::machine::recording::{Expected, Line, Recording, Run, ServiceLine, UnitLine};

/// The rows, with the cases that were recorded for each.
const ROWS: &[(&str, &[&str])] = &[
    ("before the start", &["exit-0", "exit-3", "exit-3-collected", "exec", "idle", "forking", "notify", "dbus"]),
    ("ConditionPathExists= fails", &["condition-path-exists"]),
    ("AssertPathExists= fails", &["assert-path-exists"]),
    ("ExecCondition= fails", &["exec-condition"]),
    ("ExecCondition= itself fails", &["exec-condition-fails"]),
    ("Type=oneshot", &["oneshot-success", "oneshot-failure", "oneshot-killed-by-sigterm"]),
    ("ExecStartPre= fails, notify times out", &["exec-start-pre-fails", "notify-times-out", "notify-without-ready"]),
    ("ExecStartPost= fails", &["exec-start-post-fails"]),
    ("ExecStopPost= fails", &["exec-stop-post-fails"]),
    ("namespace or exec fails (226, 203)", &["namespace-fails", "exec-fails"]),
    ("exec fails, Type=exec", &["exec-fails-type-exec"]),
    (
        "Restart=",
        &[
            "restart-start-limit",
            "restart-at-once",
            "restart-then-succeeds",
            "restart-oneshot-then-succeeds",
            "restart-always-stopped",
            "restart-on-success-stopped",
            "restart-forced",
            "restart-then-condition-fails",
            "restart-manager-reloaded",
            "crowd-restart",
        ],
    ),
    ("RestartMode=direct", &["restart-direct"]),
    ("the manager cannot spawn", &["cannot-spawn"]),
    ("killed by SIGTERM", &["killed-by-sigterm"]),
    ("killed by another signal", &["killed-by-sigkill", "core-dump", "watchdog"]),
    ("RemainAfterExit=", &["remain-after-exit", "remain-after-exit-oneshot"]),
    ("RemainAfterExit= of a failure", &["remain-after-exit-fails"]),
    ("RuntimeMaxSec=", &["runtime-max"]),
    ("Requires= a unit that does not exist, --job-mode=fail", &["requires-missing", "job-mode-fail"]),
    ("a dependency that fails later", &["dependency-fails"]),
    ("a conflicting job, waiting", &["canceled-while-waiting"]),
    ("a conflicting job, running", &["canceled-while-starting", "canceled-while-starting-notify"]),
    ("the job's own time limits", &["job-timeout", "job-running-timeout", "job-running-timeout-notify"]),
    ("stopped", &["stopped", "stop-times-out"]),
    ("restarted by someone", &["restarted", "restarted-while-starting"]),
    ("reloaded", &["reloaded"]),
    ("daemon-reload", &["manager-reloaded", "manager-reloaded-while-starting"]),
    ("a loaded manager", &["crowd-exit-0", "crowd-oneshot"]),
];

/// A run of a case, cut where it ends.
struct Seen {
    name: String,
    version: u32,
    case: String,
    lines: Vec<Line>,
    /// Up to the message that ends it.
    life: Vec<Line>,
    asked: Vec<usize>,
}

impl Seen {
    fn new(version: u32, recording: &Recording, run: &Run) -> Self {
        let name = format!("{version}/{} ({}, held {})", recording.case, run.transport, run.held);
        let asked = replay(&name, recording.restarts, &run.lines, Answers::AsRecorded, Reading::Full).asked;
        let end = run.lines.iter().position(|line| *line == Line::End).unwrap_or(run.lines.len());
        let life = run.lines[..end].to_vec();
        Seen { name, version, case: recording.case.clone(), lines: run.lines.clone(), life, asked }
    }

    fn units(&self) -> Vec<&UnitLine> {
        self.life.iter().filter_map(|line| if let Line::Unit(unit) = line { Some(unit) } else { None }).collect()
    }

    /// The unit and its service at the end.
    fn last(&self) -> (&UnitLine, &ServiceLine) {
        (last_unit(&self.life).expect("a unit"), last_service(&self.life).expect("a service"))
    }

    fn service_is(&self, result: &str, code: i32, status: i32) {
        let (_, service) = self.last();
        let is = (service.result.as_str(), service.code, service.status);
        self.holds(is == (result, code, status), &format!("{result}, code {code}, status {status} at the end"));
    }

    /// How the start job went, and whether the end came with its removal.
    fn job(&self, result: &str, ends: bool) {
        let gone = Line::JobRemoved { job: 1, result: result.into() };
        self.holds(self.life.contains(&gone), &format!("a start job that is {result}"));
        let last = self.life.iter().rfind(|line| line.event().is_some());
        self.holds((last == Some(&gone)) == ends, &format!("an end with the job's removal: {ends}"));
    }

    fn was(&self, sub: &str) -> bool {
        self.units().iter().any(|unit| unit.sub == sub)
    }

    fn was_active(&self) -> bool {
        self.units().iter().any(|unit| unit.active == "active")
    }

    fn holds(&self, what: bool, text: &str) {
        assert!(what, "{}: not true: {text}\n{}", self.name, numbered(&self.lines));
    }
}

/// All runs of a row's cases.
fn row(row: &str) -> Vec<Seen> {
    let (_, cases) = ROWS.iter().find(|(name, _)| *name == row).expect("a row");
    let mut seen = Vec::new();
    for version in versions() {
        for recording in recordings(version).iter().filter(|recording| cases.contains(&recording.case.as_str())) {
            seen.extend(recording.runs.iter().map(|run| Seen::new(version, recording, run)));
        }
    }
    for case in *cases {
        assert!(seen.iter().any(|seen| seen.case == *case), "no recording of {case}");
    }
    seen
}

#[test]
fn every_case_is_recorded_on_every_version_and_has_a_row() {
    let in_rows: BTreeSet<&str> = ROWS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    for version in versions() {
        let recordings = recordings(version);
        let recorded: BTreeSet<&str> = recordings.iter().map(|recording| recording.case.as_str()).collect();
        let mut wanted = in_rows.clone();
        if version < 254 {
            wanted.remove("restart-direct");
        }
        assert_eq!(recorded, wanted, "of version {version}");
        for recording in &recordings {
            assert!(
                recording.version.starts_with(&version.to_string()),
                "{} is of {}",
                recording.case,
                recording.version
            );
            let transports: String = recording.runs.iter().map(|run| format!("{} ", run.transport)).collect();
            assert!(transports.contains("private") && transports.contains("bus"), "{}: {transports}", recording.case);
            let held = recording.runs.iter().any(|run| run.held && run.truth.is_some());
            assert!(held || recording.expected == Expected::Refused, "{}: nothing confirms it", recording.case);
        }
    }
}

/// `inactive`, entered = 0, job set: not an end.
#[test]
fn row_before_the_start() {
    for seen in row("before the start") {
        let first = seen.units()[0];
        let before = (first.active.as_str(), first.entered) == ("inactive", 0) && first.job == 1;
        seen.holds(before, "inactive before the start");
        seen.job("done", false);
    }
}

/// `inactive`, entered = 0, `ConditionResult=false`, `JobRemoved done`, job 0: an end, though entered stays 0 and
/// Result is `success`.
#[test]
fn row_condition_path_exists_fails() {
    for seen in row("ConditionPathExists= fails") {
        seen.job("done", false);
        seen.service_is("success", 0, 0);
        let (unit, _) = seen.last();
        seen.holds(!unit.condition && unit.entered == 0 && unit.job == 0, "never entered, no condition, no job");
    }
}

/// The same, `JobRemoved assert`.
#[test]
fn row_assert_path_exists_fails() {
    for seen in row("AssertPathExists= fails") {
        seen.job("assert", false);
        seen.service_is("success", 0, 0);
        let (unit, _) = seen.last();
        seen.holds(unit.entered == 0 && unit.job == 0, "never entered, no job");
    }
}

/// `Result=exec-condition`, `inactive`, entered > 0, job still set, then job 0: ended without having run.
#[test]
fn row_exec_condition_fails() {
    for seen in row("ExecCondition= fails") {
        seen.job("done", true);
        seen.service_is("exec-condition", 0, 0);
        let (unit, _) = seen.last();
        seen.holds(unit.active == "inactive" && unit.entered > 0 && unit.job == 1, "entered, with its job");
    }
    for seen in row("ExecCondition= itself fails") {
        seen.job("failed", true);
        seen.service_is("exit-code", 0, 0);
    }
}

/// Never `active`: `activating`, then `inactive`, entered > 0, job still set, then `JobRemoved done`, then job 0: the
/// end comes before the start job's.
#[test]
fn row_type_oneshot() {
    for seen in row("Type=oneshot") {
        seen.job(if seen.case == "oneshot-success" { "done" } else { "failed" }, true);
        let (unit, _) = seen.last();
        seen.holds(!seen.was_active() && unit.entered > 0 && unit.job == 1, "never active, entered, with its job");
    }
}

/// `failed`, entered > 0, job set, `JobRemoved failed`, job 0: ExecMainCode is 0 or the signal.
#[test]
fn row_exec_start_pre_fails_or_notify_times_out() {
    for seen in row("ExecStartPre= fails, notify times out") {
        seen.job("failed", true);
        let (unit, _) = seen.last();
        let failed = unit.active == "failed" && unit.entered > 0 && unit.job == 1;
        seen.holds(failed && !seen.was_active(), "failed, with its job, and never active");
        match seen.case.as_str() {
            "exec-start-pre-fails" => seen.service_is("exit-code", 0, 0),
            "notify-times-out" => seen.service_is("timeout", 2, 15),
            _ => seen.service_is("protocol", 1, 0),
        }
    }
    for seen in row("ExecStartPost= fails") {
        seen.service_is("exit-code", 2, 15);
    }
}

/// `deactivating stop-post` with code 1 status 0, then `failed`, `Result=exit-code`, status still 0: the main
/// process's status is not the unit's result.
#[test]
fn row_exec_stop_post_fails() {
    for seen in row("ExecStopPost= fails") {
        seen.holds(seen.was("stop-post"), "stop-post");
        seen.service_is("exit-code", 1, 0);
    }
}

/// `active running` first, then `failed`: it was "active" without ever running the program.
#[test]
fn row_namespace_or_exec_fails() {
    for seen in row("namespace or exec fails (226, 203)") {
        seen.holds(seen.was("running"), "running");
        seen.job("done", false);
        seen.service_is("exit-code", 1, if seen.case == "exec-fails" { 203 } else { 226 });
    }
    for seen in row("exec fails, Type=exec") {
        seen.holds(!seen.was("running"), "never running");
        seen.job("failed", true);
    }
}

/// 252: `failed`/`failed` (after a success `inactive`/`dead`), entered > 0, job 0, which looks exactly like an end,
/// then `activating`/`auto-restart`; 262: `failed-before-auto-restart` or `dead-before-auto-restart`, `auto-restart`,
/// `auto-restart-queued`. One round trip decides, and the last end is the real one.
#[test]
fn row_restart() {
    for seen in row("Restart=") {
        let units = seen.units();
        let waits = |sub: &str| sub.starts_with("auto-restart");
        let between: Vec<_> = units.windows(2).filter(|two| two[0].is_over() && waits(&two[1].sub)).collect();
        seen.holds(!between.is_empty(), "an end that is none");
        for two in between {
            let looks = two[0].sub == "failed" || two[0].sub == "dead";
            seen.holds(looks == (seen.version < 254), "a first signal that looks like the end, on 252 alone");
        }
        let end = seen.life.iter().rposition(|line| line.event().is_some()).unwrap();
        let before = seen.asked.iter().filter(|at| **at < end).count();
        seen.holds(seen.asked.contains(&end), "a question at the end");
        seen.holds((before > 0) == (seen.version < 254), "questions before the end, on 252 alone");
        let (unit, service) = seen.last();
        if ["restart-start-limit", "restart-at-once"].contains(&seen.case.as_str()) {
            let word = if seen.version > 257 { "start-limit-hit" } else { "exit-code" };
            seen.holds(unit.sub == "failed" && service.result == word, "the word for the start limit");
        }
    }
}

/// Since 254: straight from `running` to `auto-restart`.
#[test]
fn row_restart_mode_direct() {
    for seen in row("RestartMode=direct") {
        let ends = seen.units().iter().filter(|unit| unit.is_over() && unit.entered > 0).count();
        seen.holds(seen.was("auto-restart") && ends == 1, "a single end");
    }
}

/// 257, 262: `Result=resources` already in the first `inactive`, `JobRemoved failed`, `failed`, entered = 0, job 0.
/// 252 reports 203 instead.
#[test]
fn row_the_manager_cannot_spawn() {
    for seen in row("the manager cannot spawn") {
        if seen.version < 254 {
            seen.service_is("exit-code", 1, 203);
            continue;
        }
        seen.job("failed", false);
        seen.service_is("resources", 0, 0);
        let (unit, _) = seen.last();
        seen.holds(unit.active == "failed" && unit.entered == 0 && unit.job == 0, "failed, never entered, no job");
        let first = seen.life.windows(2).find_map(|two| match two {
            [Line::Service(service), Line::Unit(unit)] if unit.active == "inactive" && unit.invocation > 0 => {
                Some(service.result.as_str())
            }
            _ => None,
        });
        seen.holds(first == Some("resources"), "resources at the first inactive of its own");
    }
}

/// `Result=success`, code 2, status 15: success to systemd, not to `ExitStatus`.
#[test]
fn row_killed_by_sigterm() {
    for seen in row("killed by SIGTERM") {
        seen.service_is("success", 2, 15);
        seen.holds(seen.last().0.active == "inactive", "inactive, not failed");
    }
    for seen in row("killed by another signal") {
        match seen.case.as_str() {
            "killed-by-sigkill" => seen.service_is("signal", 2, 9),
            "core-dump" => seen.service_is("core-dump", 3, 6),
            _ => seen.service_is("watchdog", 2, 6),
        }
    }
}

/// `active`/`exited`: the main process has ended, the unit has not.
#[test]
fn row_remain_after_exit() {
    for seen in row("RemainAfterExit=") {
        let (unit, _) = seen.last();
        seen.holds((unit.active.as_str(), unit.sub.as_str()) == ("active", "exited"), "active/exited at the end");
        seen.job("done", seen.case == "remain-after-exit-oneshot");
        let stopped = last_unit(&seen.lines).unwrap();
        seen.holds(stopped.active == "inactive", "stopped at last");
    }
    for seen in row("RemainAfterExit= of a failure") {
        seen.holds(!seen.was("exited"), "never exited");
    }
}

/// The method call fails: no signals at all, but that of a unit that was looked up.
#[test]
fn row_requires_a_unit_that_does_not_exist() {
    for seen in row("Requires= a unit that does not exist, --job-mode=fail") {
        let error = match seen.case.as_str() {
            "requires-missing" => "org.freedesktop.systemd1.NoSuchUnit",
            _ => "org.freedesktop.systemd1.TransactionIsDestructive",
        };
        seen.holds(seen.lines.contains(&Line::Refused { error: error.into() }), error);
        seen.holds(seen.lines.iter().all(|line| line.event().is_none()), "no event");
    }
}

/// A dependency that fails later ends the job as `dependency`, a conflicting job as `canceled`.
#[test]
fn row_jobs_that_end_otherwise() {
    for seen in row("a dependency that fails later") {
        seen.job("dependency", false);
        seen.service_is("success", 0, 0);
    }
    for seen in row("a conflicting job, waiting") {
        seen.job("canceled", false);
        seen.service_is("success", 0, 0);
        seen.holds(seen.life.contains(&Line::JobRemoved { job: 2, result: "done".into() }), "a stop job");
    }
    for seen in row("a conflicting job, running") {
        seen.job("canceled", false);
        // What SIGTERM is to a service depends on its type.
        seen.service_is(if seen.case == "canceled-while-starting" { "signal" } else { "success" }, 2, 15);
    }
    for seen in row("the job's own time limits") {
        seen.job("timeout", false);
        if seen.case != "job-timeout" {
            let goes_on = seen.units().iter().any(|unit| unit.active == "activating" && unit.job == 0);
            seen.holds(goes_on, "activating without a job");
        }
    }
}

#[test]
fn row_runtime_max() {
    for seen in row("RuntimeMaxSec=") {
        seen.service_is("timeout", 2, 15);
    }
}

/// The stop job is still there when the unit has entered its last state.
#[test]
fn row_stopped() {
    for seen in row("stopped") {
        let with_job = seen.units().iter().any(|unit| unit.is_over() && unit.entered > 0 && unit.job == 2);
        seen.holds(with_job, "entered, with the stop job");
        seen.job("done", false);
    }
}

/// Between the two runs it is `inactive` or `failed` with entered > 0, and its job is that of the restart; where its
/// start job ran still, that very job.
#[test]
fn row_restarted_by_someone() {
    for seen in row("restarted by someone") {
        let job = if seen.case == "restarted" { 2 } else { 1 };
        let units = seen.units();
        let between =
            units.iter().any(|unit| unit.is_over() && unit.entered > 0 && unit.job == job && unit.invocation == 1);
        seen.holds(between && seen.last().0.invocation == 2, "an end that is none");
    }
    for seen in row("reloaded") {
        seen.service_is("exit-code", 1, 3);
    }
}

/// `UnitRemoved` and `UnitNew` between `Reloading(true)` and `Reloading(false)`, though it runs.
#[test]
fn row_daemon_reload() {
    for seen in row("daemon-reload") {
        let reload =
            [Line::Reloading { active: true }, Line::UnitRemoved, Line::UnitNew, Line::Reloading { active: false }];
        let kinds: Vec<_> = seen.life.iter().filter(|line| reload.contains(line)).collect();
        let tail: Vec<_> = kinds.iter().rev().take(4).rev().copied().cloned().collect();
        seen.holds(tail == reload, "removed and new while it runs");
    }
}

#[test]
fn row_a_loaded_manager() {
    for seen in row("a loaded manager") {
        seen.holds(seen.last().0.entered > 0, "entered");
    }
}
