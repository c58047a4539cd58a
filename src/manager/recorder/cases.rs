//! The cases: what is started, what happens to it, and how that ends.

use crate::bus::{Signature, Value};
use crate::unit::machine::recording::{Expected, Line};

/// A name that root may own on the bus, and that nobody does in the sandbox.
pub(super) const BUS_NAME: &str = "org.freedesktop.timedate1";

pub(super) type Properties = Vec<(&'static str, Value)>;

/// Something that happens to a unit.
pub(super) struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub properties: Properties,
    /// Units that are made with it, which it names in its dependencies.
    pub helpers: Vec<(&'static str, Properties)>,
    /// Units that are started before it.
    pub earlier: Vec<(&'static str, Properties)>,
    /// What systemd takes only from a file: the text of a drop-in.
    pub drop_in: Option<&'static str>,
    pub steps: Vec<(When, Do)>,
    pub restarts: bool,
    pub remains: bool,
    pub crowd: bool,
    /// The oldest version that can do it.
    pub since: u32,
    pub expected: Expected,
}

/// What is waited for: each the next one after what the step before had waited for.
#[derive(Clone, Copy)]
pub(super) enum When {
    Sub(&'static str),
    Reloaded,
    JobGone,
    Accepted,
}

#[derive(Clone, Copy)]
pub(super) enum Do {
    Stop,
    Restart,
    Reload,
    ReloadManager,
    Kill(i32),
    /// Lets the program go on that reads from its gate.
    OpenGate,
    /// Owns the bus name that the unit waits for.
    TakeName,
    /// Nothing: the next step is to look further.
    Nothing,
}

/// How the case ends; `status` as in [`Expected`].
fn ends(result: &str, status: &str) -> Expected {
    Expected::Exit { result: result.into(), status: status.into() }
}

fn case(name: &'static str, about: &'static str, properties: Properties, expected: Expected) -> Case {
    Case {
        name,
        about,
        properties,
        helpers: Vec::new(),
        earlier: Vec::new(),
        drop_in: None,
        steps: Vec::new(),
        restarts: false,
        remains: false,
        crowd: false,
        since: 0,
        expected,
    }
}

impl Case {
    fn steps(mut self, steps: &[(When, Do)]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    fn helper(mut self, name: &'static str, properties: Properties) -> Self {
        self.helpers.push((name, properties));
        self
    }

    fn restarts(mut self) -> Self {
        self.restarts = true;
        self
    }

    fn remains(mut self) -> Self {
        self.remains = true;
        self
    }
}

pub(super) fn commands(programs: &[&[&str]]) -> Value {
    let one = |words: &&[&str]| {
        let arguments = words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        Value::Struct(vec![words[0].into(), arguments.into(), false.into()])
    };
    Value::Array(Signature::new("(sasb)").unwrap(), programs.iter().map(one).collect())
}

fn sh(script: &str) -> Value {
    commands(&[&["/bin/sh", "-c", script]])
}

/// `Conditions` or `Asserts` with a single one.
fn check(kind: &str, path: &str) -> Value {
    let check = Value::Struct(vec![kind.into(), false.into(), false.into(), path.into()]);
    Value::Array(Signature::new("(sbbs)").unwrap(), vec![check])
}

fn exit_codes(code: i32) -> Value {
    let i = || Signature::new("i").unwrap();
    Value::Struct(vec![Value::Array(i(), vec![code.into()]), Value::Array(i(), Vec::new())])
}

fn ms(milliseconds: u64) -> Value {
    (milliseconds * 1000).into()
}

/// All that this version of systemd can do. `@FLAG`, `@GATE` and `@UNIT` in texts stand for paths and a name that are
/// the unit's own; `$$` is one `$` to the program.
pub(super) fn cases(version: u32) -> Vec<Case> {
    let groups = [plain(), not_started(version), restarting(version), signalled(), jobs(), interfered(), crowded()];
    groups.into_iter().flatten().filter(|case| case.since <= version).collect()
}

fn endless() -> Value {
    commands(&[&["/bin/sleep", "infinity"]])
}

/// Does what is said once its gate is opened.
fn at_gate(then: &str) -> Value {
    sh(&format!("read x <@GATE; {then}"))
}

/// Fails the first time, then does what is said.
fn at_second(then: &str) -> Value {
    sh(&format!("mkdir @FLAG 2>/dev/null && exit 1; {then}"))
}

fn fast(restart: &'static str, more: Properties) -> Properties {
    let mut properties: Properties = vec![("Restart", restart.into()), ("RestartUSec", ms(100))];
    properties.extend(more);
    properties
}

/// Programs that run and return.
fn plain() -> Vec<Case> {
    vec![
        case("exit-0", "a program returns 0", vec![("ExecStart", sh("exit 0"))], ends("success", "exited:0")),
        case("exit-3", "a program returns 3", vec![("ExecStart", sh("exit 3"))], ends("exit-code", "exited:3")),
        case(
            "exit-3-collected",
            "a program returns 3, and the failed unit is not kept (CollectMode=inactive-or-failed)",
            vec![("ExecStart", sh("exit 3")), ("CollectMode", "inactive-or-failed".into())],
            ends("exit-code", "exited:3"),
        ),
        case(
            "exec",
            "Type=exec, the program returns 3",
            vec![("Type", "exec".into()), ("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[(When::Sub("running"), Do::OpenGate)]),
        case(
            "idle",
            "Type=idle, the program returns 3",
            vec![("Type", "idle".into()), ("ExecStart", sh("exit 3"))],
            ends("exit-code", "exited:3"),
        ),
        case(
            "forking",
            "Type=forking, the child that goes on returns 4",
            vec![("Type", "forking".into()), ("ExecStart", sh("(read x <@GATE; exit 4) & exit 0"))],
            ends("exit-code", "exited:4"),
        )
        .steps(&[(When::Sub("running"), Do::OpenGate)]),
        case(
            "notify",
            "Type=notify, the program says that it is ready and returns 5",
            vec![
                ("Type", "notify".into()),
                ("NotifyAccess", "all".into()),
                ("ExecStart", sh("systemd-notify --ready; read x <@GATE; exit 5")),
            ],
            ends("exit-code", "exited:5"),
        )
        .steps(&[(When::Sub("running"), Do::OpenGate)]),
        case(
            "dbus",
            "Type=dbus, the name is taken, the program returns 6",
            vec![("Type", "dbus".into()), ("BusName", BUS_NAME.into()), ("ExecStart", at_gate("exit 6"))],
            ends("exit-code", "exited:6"),
        )
        .steps(&[(When::Sub("start"), Do::TakeName), (When::Sub("running"), Do::OpenGate)]),
        case(
            "oneshot-success",
            "Type=oneshot, the program returns 0",
            vec![("Type", "oneshot".into()), ("ExecStart", sh("exit 0"))],
            ends("success", "exited:0"),
        ),
        case(
            "oneshot-failure",
            "Type=oneshot, the program returns 3",
            vec![("Type", "oneshot".into()), ("ExecStart", sh("exit 3"))],
            ends("exit-code", "exited:3"),
        ),
    ]
}

/// Starts that are skipped or that fail.
fn not_started(version: u32) -> Vec<Case> {
    vec![
        case(
            "condition-path-exists",
            "ConditionPathExists= fails",
            vec![("Conditions", check("ConditionPathExists", "/nonexistent")), ("ExecStart", sh("exit 0"))],
            ends("condition", "none"),
        ),
        case(
            "assert-path-exists",
            "AssertPathExists= fails",
            vec![("Asserts", check("AssertPathExists", "/nonexistent")), ("ExecStart", sh("exit 0"))],
            ends("assert", "none"),
        ),
        case(
            "exec-condition",
            "ExecCondition= says no",
            vec![("ExecCondition", sh("exit 1")), ("ExecStart", sh("exit 0"))],
            ends("exec-condition", "none"),
        ),
        case(
            "exec-condition-fails",
            "ExecCondition= itself fails",
            vec![("ExecCondition", sh("exit 255")), ("ExecStart", sh("exit 0"))],
            ends("exit-code", "none"),
        ),
        case(
            "exec-start-pre-fails",
            "ExecStartPre= fails",
            vec![("ExecStartPre", sh("exit 7")), ("ExecStart", sh("exit 0"))],
            ends("exit-code", "none"),
        ),
        case(
            "exec-start-post-fails",
            "ExecStartPost= fails, and the program is ended for it",
            vec![("ExecStartPost", sh("exit 7")), ("ExecStart", endless())],
            ends("exit-code", "killed:15"),
        ),
        case(
            "notify-times-out",
            "Type=notify, the program does not say that it is ready in time",
            vec![("Type", "notify".into()), ("TimeoutStartUSec", ms(200)), ("ExecStart", endless())],
            ends("timeout", "killed:15"),
        ),
        case(
            "notify-without-ready",
            "Type=notify, the program returns 0 without a word",
            vec![("Type", "notify".into()), ("ExecStart", sh("exit 0"))],
            ends("protocol", "exited:0"),
        ),
        case(
            "exec-stop-post-fails",
            "the program returns 0, ExecStopPost= fails",
            vec![("ExecStopPost", sh("exit 7")), ("ExecStart", sh("exit 0"))],
            ends("exit-code", "exited:0"),
        ),
        case(
            "namespace-fails",
            "the program's mount namespace cannot be made (226)",
            vec![
                (
                    "BindPaths",
                    Value::Array(
                        Signature::new("(ssbt)").unwrap(),
                        vec![Value::Struct(vec!["/nonexistent".into(), "/mnt".into(), false.into(), 0u64.into()])],
                    ),
                ),
                ("ExecStart", sh("exit 0")),
            ],
            ends("exit-code", "exited:226"),
        ),
        case(
            "exec-fails",
            "there is no such program (203)",
            vec![("ExecStart", commands(&[&["/nonexistent/program"]]))],
            ends("exit-code", "exited:203"),
        ),
        case(
            "exec-fails-type-exec",
            "there is no such program (203), and Type=exec",
            vec![("Type", "exec".into()), ("ExecStart", commands(&[&["/nonexistent/program"]]))],
            ends("exit-code", "exited:203"),
        ),
        case(
            "cannot-spawn",
            "an argument of 1 MiB, more than the kernel takes",
            vec![("ExecStart", commands(&[&["/bin/true", &"x".repeat(1 << 20)]]))],
            if version > 252 { ends("resources", "none") } else { ends("exit-code", "exited:203") },
        ),
    ]
}

/// `Restart=`
fn restarting(version: u32) -> Vec<Case> {
    vec![
        case(
            "restart-start-limit",
            "Restart=on-failure until the start limit is hit",
            fast(
                "on-failure",
                vec![
                    ("StartLimitBurst", 3u32.into()),
                    ("StartLimitIntervalUSec", ms(60_000)),
                    ("ExecStart", sh("exit 3")),
                ],
            ),
            ends(if version > 257 { "start-limit-hit" } else { "exit-code" }, "exited:3"),
        )
        .restarts(),
        case(
            "restart-then-succeeds",
            "Restart=on-failure, the second run returns 0",
            fast("on-failure", vec![("ExecStart", at_second("exit 0"))]),
            ends("success", "exited:0"),
        )
        .restarts(),
        case(
            "restart-at-once",
            "Restart=on-failure with RestartSec=0 until the start limit is hit",
            vec![
                ("Restart", "on-failure".into()),
                ("RestartUSec", ms(0)),
                ("StartLimitBurst", 5u32.into()),
                ("StartLimitIntervalUSec", ms(60_000)),
                ("ExecStart", sh("exit 3")),
            ],
            ends(if version > 257 { "start-limit-hit" } else { "exit-code" }, "exited:3"),
        )
        .restarts(),
        case(
            "restart-oneshot-then-succeeds",
            "Type=oneshot with Restart=on-failure, the second run returns 0",
            fast("on-failure", vec![("Type", "oneshot".into()), ("ExecStart", at_second("exit 0"))]),
            ends("success", "exited:0"),
        )
        .restarts(),
        case(
            "restart-always-stopped",
            "Restart=always, and the second run is stopped",
            fast("always", vec![("ExecStart", at_second("exec sleep infinity"))]),
            ends("success", "killed:15"),
        )
        .restarts()
        .steps(&[(When::Sub("auto-restart"), Do::Nothing), (When::Sub("running"), Do::Stop)]),
        case(
            "restart-on-success-stopped",
            "Restart=on-success, and while it waits for its third run it is stopped",
            vec![
                ("Restart", "on-success".into()),
                ("RestartUSec", ms(300)),
                ("StartLimitIntervalUSec", ms(0)),
                ("ExecStart", sh("exit 0")),
            ],
            ends("success", "exited:0"),
        )
        .restarts()
        .steps(&[
            (When::Sub("auto-restart"), Do::Nothing),
            (When::Sub("running"), Do::Nothing),
            (When::Sub("auto-restart"), Do::Stop),
        ]),
        case(
            "restart-forced",
            "RestartForceExitStatus= without Restart=, the second run returns 0",
            vec![
                ("RestartForceExitStatus", exit_codes(1)),
                ("RestartUSec", ms(100)),
                ("ExecStart", at_second("exit 0")),
            ],
            ends("success", "exited:0"),
        )
        .restarts(),
        case(
            "restart-then-condition-fails",
            "Restart=on-failure, and before the second run a condition is not met any more (looked at only until 253)",
            fast(
                "on-failure",
                vec![("Conditions", check("ConditionPathExists", "@FLAG")), ("ExecStart", sh("rmdir @FLAG; exit 3"))],
            ),
            ends(if version > 257 { "start-limit-hit" } else { "exit-code" }, "exited:3"),
        )
        .restarts(),
        Case {
            since: 254,
            ..case(
                "restart-direct",
                "Restart=on-failure with RestartMode=direct, the second run returns 0",
                fast("on-failure", vec![("RestartMode", "direct".into()), ("ExecStart", at_second("exit 0"))]),
                ends("success", "exited:0"),
            )
            .restarts()
        },
        case(
            // Without `;`, which 252 rewrites on a daemon-reload.
            "restart-manager-reloaded",
            "Restart=on-failure, a daemon-reload while it waits for the second run, which returns 0",
            vec![
                ("Restart", "on-failure".into()),
                ("RestartUSec", ms(1000)),
                ("ExecStart", sh("! mkdir @FLAG 2>/dev/null")),
            ],
            ends("success", "exited:0"),
        )
        .restarts()
        .steps(&[(When::Sub("auto-restart"), Do::ReloadManager), (When::Reloaded, Do::Nothing)]),
    ]
}

/// Ended by a signal or a time limit, or remaining.
fn signalled() -> Vec<Case> {
    vec![
        case(
            "killed-by-sigterm",
            "the program is ended by SIGTERM",
            vec![("ExecStart", sh("kill -TERM $$$$"))],
            ends("success", "killed:15"),
        ),
        case(
            "oneshot-killed-by-sigterm",
            "Type=oneshot, the program is ended by SIGTERM, which is no success here",
            vec![("Type", "oneshot".into()), ("ExecStart", sh("kill -TERM $$$$"))],
            ends("signal", "killed:15"),
        ),
        case(
            "killed-by-sigkill",
            "the program is ended by SIGKILL, sent by someone else",
            vec![("ExecStart", endless())],
            ends("signal", "killed:9"),
        )
        .steps(&[(When::Sub("running"), Do::Kill(9))]),
        case(
            "core-dump",
            "the program is ended by SIGABRT and dumps core",
            vec![
                ("LimitCORE", u64::MAX.into()),
                ("WorkingDirectory", "/tmp".into()),
                ("ExecStart", sh("kill -ABRT $$$$")),
            ],
            ends("core-dump", "dumped:6"),
        ),
        case(
            "watchdog",
            "the program does not feed its watchdog",
            vec![
                ("Type", "notify".into()),
                ("NotifyAccess", "all".into()),
                ("WatchdogUSec", ms(200)),
                ("LimitCORE", 0u64.into()),
                ("ExecStart", sh("systemd-notify --ready; exec sleep infinity")),
            ],
            ends("watchdog", "killed:6"),
        ),
        case(
            "runtime-max",
            "RuntimeMaxSec= runs out",
            vec![("RuntimeMaxUSec", ms(200)), ("ExecStart", endless())],
            ends("timeout", "killed:15"),
        ),
        case(
            "remain-after-exit",
            "RemainAfterExit=yes, the program returns 0; later the unit is stopped",
            vec![("RemainAfterExit", true.into()), ("ExecStart", sh("exit 0"))],
            ends("success", "exited:0"),
        )
        .remains(),
        case(
            "remain-after-exit-oneshot",
            "Type=oneshot, RemainAfterExit=yes, the program returns 0; later the unit is stopped",
            vec![("Type", "oneshot".into()), ("RemainAfterExit", true.into()), ("ExecStart", sh("exit 0"))],
            ends("success", "exited:0"),
        )
        .remains(),
        case(
            "remain-after-exit-fails",
            "RemainAfterExit=yes, but the program returns 3",
            vec![("RemainAfterExit", true.into()), ("ExecStart", sh("exit 3"))],
            ends("exit-code", "exited:3"),
        ),
    ]
}

/// What becomes of the start job.
fn jobs() -> Vec<Case> {
    vec![
        case(
            "requires-missing",
            "Requires= a unit that does not exist",
            vec![
                ("Requires", ["sdrun-missing.service"].into()),
                ("After", ["sdrun-missing.service"].into()),
                ("ExecStart", sh("exit 0")),
            ],
            Expected::Refused,
        ),
        Case {
            earlier: vec![("sdrun-slow.service", vec![("Type", "oneshot".into()), ("ExecStart", endless())])],
            ..case(
                "job-mode-fail",
                "Conflicts= a unit whose start job is running, with mode=fail",
                vec![("Conflicts", ["sdrun-slow.service"].into()), ("ExecStart", sh("exit 0"))],
                Expected::Refused,
            )
        },
        case(
            "dependency-fails",
            "a unit that it requires fails to start",
            vec![
                ("Requires", ["sdrun-helper.service"].into()),
                ("After", ["sdrun-helper.service"].into()),
                ("ExecStart", sh("exit 0")),
            ],
            ends("dependency", "none"),
        )
        .helper("sdrun-helper.service", vec![("Type", "oneshot".into()), ("ExecStart", sh("exit 1"))]),
        case(
            "canceled-while-waiting",
            "the start waits for another unit and is cancelled by a stop",
            vec![
                ("Wants", ["sdrun-helper.service"].into()),
                ("After", ["sdrun-helper.service"].into()),
                ("ExecStart", sh("exit 0")),
            ],
            ends("canceled", "none"),
        )
        .helper("sdrun-helper.service", vec![("Type", "oneshot".into()), ("ExecStart", endless())])
        .steps(&[(When::Accepted, Do::Stop)]),
        case(
            "canceled-while-starting-notify",
            "Type=notify, stopped before it has said that it is ready",
            vec![("Type", "notify".into()), ("ExecStart", endless())],
            ends("canceled", "killed:15"),
        )
        .steps(&[(When::Sub("start"), Do::Stop)]),
        case(
            "canceled-while-starting",
            "Type=oneshot, stopped while its program runs, which is its start",
            vec![("Type", "oneshot".into()), ("ExecStart", endless())],
            ends("signal", "killed:15"),
        )
        .steps(&[(When::Sub("start"), Do::Stop)]),
        Case {
            drop_in: Some("[Unit]\nJobTimeoutSec=200ms\n"),
            ..case(
                "job-timeout",
                "the start waits for another unit for longer than JobTimeoutSec=",
                vec![
                    ("Wants", ["sdrun-helper.service"].into()),
                    ("After", ["sdrun-helper.service"].into()),
                    ("ExecStart", sh("exit 0")),
                ],
                ends("timeout", "none"),
            )
            .helper("sdrun-helper.service", vec![("Type", "oneshot".into()), ("ExecStart", endless())])
        },
        case(
            "job-running-timeout",
            "Type=oneshot, the program returns 0 only after JobRunningTimeoutSec=",
            vec![("JobRunningTimeoutUSec", ms(200)), ("Type", "oneshot".into()), ("ExecStart", at_gate("exit 0"))],
            ends("timeout", "exited:0"),
        )
        .steps(&[(When::JobGone, Do::OpenGate)]),
        case(
            "job-running-timeout-notify",
            "Type=notify, the program says that it is ready only after JobRunningTimeoutSec=, and returns 0",
            vec![
                ("JobRunningTimeoutUSec", ms(200)),
                ("Type", "notify".into()),
                ("NotifyAccess", "all".into()),
                ("ExecStart", at_gate("systemd-notify --ready; read x <@GATE; exit 0")),
            ],
            ends("success", "exited:0"),
        )
        .steps(&[(When::JobGone, Do::OpenGate), (When::Sub("running"), Do::OpenGate)]),
    ]
}

/// What others do to it.
fn interfered() -> Vec<Case> {
    vec![
        case("stopped", "stopped while it runs", vec![("ExecStart", endless())], ends("success", "killed:15"))
            .steps(&[(When::Sub("running"), Do::Stop)]),
        case(
            "stop-times-out",
            "stopped while it runs, and killed because it does not care",
            vec![
                ("TimeoutStopUSec", ms(200)),
                ("Type", "notify".into()),
                ("NotifyAccess", "all".into()),
                ("ExecStart", sh("trap '' TERM; systemd-notify --ready; sleep infinity")),
            ],
            ends("timeout", "killed:9"),
        )
        .steps(&[(When::Sub("running"), Do::Stop)]),
        case(
            "restarted",
            "someone restarts it while it runs; the second run returns 3",
            vec![("Type", "exec".into()), ("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[
            (When::Sub("running"), Do::Restart),
            (When::Sub("dead"), Do::Nothing),
            (When::Sub("running"), Do::OpenGate),
        ]),
        case(
            "restarted-while-starting",
            "Type=oneshot, someone restarts it while its program runs; the second run returns 3",
            vec![("Type", "oneshot".into()), ("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[
            (When::Sub("start"), Do::Restart),
            (When::Sub("failed"), Do::Nothing),
            (When::Sub("start"), Do::OpenGate),
        ]),
        case(
            "reloaded",
            "someone reloads it (ExecReload=) while it runs; then the program returns 3",
            vec![("ExecReload", sh("exit 0")), ("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[(When::Sub("running"), Do::Reload), (When::Sub("running"), Do::OpenGate)]),
        case(
            "manager-reloaded",
            "a daemon-reload while it runs; then the program returns 3",
            vec![("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[(When::Sub("running"), Do::ReloadManager), (When::Reloaded, Do::OpenGate)]),
        case(
            "manager-reloaded-while-starting",
            "Type=oneshot, a daemon-reload while its program runs; then it returns 3",
            vec![("Type", "oneshot".into()), ("ExecStart", at_gate("exit 3"))],
            ends("exit-code", "exited:3"),
        )
        .steps(&[(When::Sub("start"), Do::ReloadManager), (When::Reloaded, Do::OpenGate)]),
    ]
}

/// On a manager that is busy.
fn crowded() -> Vec<Case> {
    vec![
        Case {
            crowd: true,
            ..case(
                "crowd-exit-0",
                "a program returns 0 at once while the manager starts many other units",
                vec![("ExecStart", commands(&[&["/bin/true"]]))],
                ends("success", "exited:0"),
            )
        },
        Case {
            crowd: true,
            ..case(
                "crowd-oneshot",
                "Type=oneshot, the program returns 3 while the manager starts many other units",
                vec![("Type", "oneshot".into()), ("ExecStart", sh("exit 3"))],
                ends("exit-code", "exited:3"),
            )
        },
        Case {
            crowd: true,
            ..case(
                "crowd-restart",
                "Restart=on-failure, the second run returns 0, while the manager starts many other units",
                fast("on-failure", vec![("ExecStart", at_second("exit 0"))]),
                ends("success", "exited:0"),
            )
            .restarts()
        },
    ]
}

impl When {
    /// Where the step after this one is to look from, once this has happened.
    pub fn find(self, lines: &[Line], from: usize) -> Option<usize> {
        let at = lines.get(from..)?.iter().position(|line| match (self, line) {
            (When::Sub(sub), Line::Unit(unit)) => unit.sub == sub,
            (When::Reloaded, Line::Reloading { active }) => !active,
            (When::JobGone, Line::JobRemoved { .. }) => true,
            (When::Accepted, Line::Reply { .. }) => true,
            _ => false,
        })?;
        Some(from + at + 1)
    }
}
