//! Runs a case.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::cases::{BUS_NAME, Case, Do, Properties, commands};
use super::hindsight::{confirm, count_time, mark_end};
use super::tape::{Tape, Ticket};
use super::{MANAGER, MANAGER_PATH, PROPERTIES, UNIT};
use crate::bus::{Container, Link, Message, Target, Value, Way};
use crate::error::Result;
use crate::unit::machine::recording::{Line, Run, ServiceLine, Truth, UnitLine};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many other units are started at the same time, where the manager is to be busy.
const CROWD: usize = 48;
/// So many answers after the last message show that no other one follows.
const SETTLED: usize = 12;

/// A connection, and what is done over it.
pub(super) struct Recorder {
    link: Link<Tape>,
    changed: Arc<watch::Sender<u64>>,
    direct: bool,
}

/// What the steps of a case need.
struct Props {
    gate: File,
    name_owner: Option<Recorder>,
}

type Filled<'a> = &'a (dyn Fn(&mut Message<'_>) -> Result<()> + Sync);

impl Recorder {
    pub async fn connect(direct: bool) -> Self {
        let changed = Arc::new(watch::Sender::new(0));
        let tape = Tape { direct, changed: changed.clone(), ..Tape::default() };
        let target = if direct { Target::Peer(c"unix:path=/run/systemd/private".into()) } else { Target::System };
        let recorder = Recorder { link: Link::open(Way::once(target), tape).await.unwrap(), changed, direct };
        if !direct {
            let rule =
                |message: &mut Message<'_>| message.append_str("type='signal',sender='org.freedesktop.systemd1'");
            recorder.bus_daemon(c"AddMatch", &rule).await;
            recorder.manager(c"Subscribe", &|_| Ok(())).await.unwrap();
        }
        recorder
    }

    async fn bus_daemon(&self, method: &CStr, fill: Filled<'_>) {
        let bus = c"org.freedesktop.DBus";
        self.call_of(Some(bus), (c"/org/freedesktop/DBus", bus, method), fill).await.unwrap();
    }

    /// Calls a method; the error has its D-Bus name in front.
    async fn call(&self, at: (&CStr, &CStr, &CStr), fill: Filled<'_>) -> Result<Vec<Value>, String> {
        let systemd = (!self.direct).then_some(c"org.freedesktop.systemd1");
        self.call_of(systemd, at, fill).await
    }

    async fn call_of(
        &self,
        destination: Option<&CStr>,
        at: (&CStr, &CStr, &CStr),
        fill: Filled<'_>,
    ) -> Result<Vec<Value>, String> {
        let answer = self.link.with(|_, cx| {
            let mut message = cx.bus.method_call(destination, at.0, at.1, at.2).unwrap();
            fill(&mut message).unwrap();
            let (told, answer) = oneshot::channel();
            cx.call(message, Ticket::Call(told)).unwrap();
            answer
        });
        tokio::time::timeout(PATIENCE, answer.unwrap()).await.expect("an answer in time").unwrap()
    }

    async fn manager(&self, method: &CStr, fill: Filled<'_>) -> Result<Vec<Value>, String> {
        self.call((MANAGER_PATH, MANAGER, method), fill).await
    }

    pub async fn property(&self, path: &CStr, interface: &str, name: &str) -> Result<Value, String> {
        let fill = |message: &mut Message<'_>| {
            message.append_str(interface)?;
            message.append_str(name)
        };
        match self.call((path, PROPERTIES, c"Get"), &fill).await?.pop() {
            Some(Value::Variant(value)) => Ok(*value),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// Waits until there is what is looked for.
    async fn until<T>(&self, what: &str, look: impl Fn(&Tape) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.link.with(|tape, _| look(tape)).unwrap() {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => self.give_up(what),
        }
    }

    fn give_up(&self, what: &str) -> ! {
        let lines = self.link.with(|tape, _| std::mem::take(&mut tape.lines)).unwrap();
        let lines: Vec<_> = lines.iter().map(Line::to_string).collect();
        panic!("waited for {what} in vain:\n{}", lines.join("\n"));
    }

    async fn start_and_wait(&self, name: &str, properties: &Properties) {
        let job = self.start_other(name, properties).await;
        self.until(name, |tape| tape.others.contains(&job).then_some(())).await;
    }

    async fn start_other(&self, name: &str, properties: &Properties) -> u32 {
        let fill = |message: &mut Message<'_>| append_start(message, name, properties, &[]);
        match self.manager(c"StartTransientUnit", &fill).await.unwrap().pop() {
            Some(Value::ObjectPath(path)) => path.rsplit('/').next().unwrap().parse().unwrap(),
            other => panic!("the reply is {other:?}"),
        }
    }

    async fn stop(&self, name: &str) {
        let stop = |message: &mut Message<'_>| {
            message.append_str(name)?;
            message.append_str("replace")
        };
        // It may be gone already.
        if let Ok(job) = self.manager(c"StopUnit", &stop).await {
            let Some(Value::ObjectPath(path)) = job.last() else { panic!("{job:?}") };
            let job: u32 = path.rsplit('/').next().unwrap().parse().unwrap();
            self.until("the stop job of another unit", |tape| tape.others.contains(&job).then_some(())).await;
        }
        let reset = |message: &mut Message<'_>| message.append_str(name);
        let _ = self.manager(c"ResetFailedUnit", &reset).await;
    }

    async fn act(&self, unit: &str, act: Do, props: &mut Props) {
        let named = |message: &mut Message<'_>| {
            message.append_str(unit)?;
            message.append_str("replace")
        };
        match act {
            Do::Stop => drop(self.manager(c"StopUnit", &named).await.unwrap()),
            Do::Restart => drop(self.manager(c"RestartUnit", &named).await.unwrap()),
            Do::Reload => drop(self.manager(c"ReloadUnit", &named).await.unwrap()),
            Do::ReloadManager => drop(self.manager(c"Reload", &|_| Ok(())).await.unwrap()),
            Do::Kill(signal) => {
                let fill = |message: &mut Message<'_>| {
                    message.append_str(unit)?;
                    message.append_str("main")?;
                    message.append(signal)
                };
                drop(self.manager(c"KillUnit", &fill).await.unwrap());
            }
            Do::OpenGate => props.gate.write_all(b"go\n").unwrap(),
            Do::TakeName => {
                let owner = Recorder::connect(false).await;
                let name = |message: &mut Message<'_>| {
                    message.append_str(BUS_NAME)?;
                    message.append(0u32)
                };
                owner.bus_daemon(c"RequestName", &name).await;
                props.name_owner = Some(owner);
            }
            Do::Nothing => {}
        }
    }

    /// Runs the case once.
    pub async fn run(&self, case: &Case, held: bool) -> Run {
        let transport = if self.direct { "private" } else { "bus" };
        let name = format!("rec-{}-{transport}-{}.service", case.name, if held { "held" } else { "free" });
        let own = Own::new(&name);
        let properties = own.fill_in(&case.properties);
        let holder = format!("hold-{name}");
        if held {
            let hold: Properties =
                vec![("After", vec![name.clone()].into()), ("ExecStart", commands(&[&["/bin/sleep", "infinity"]]))];
            self.start_and_wait(&holder, &hold).await;
        }
        if let Some(text) = case.drop_in {
            let folder = PathBuf::from(format!("/run/systemd/system/{name}.d"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("case.conf"), text).unwrap();
            self.manager(c"Reload", &|_| Ok(())).await.unwrap();
        }
        for (earlier, properties) in &case.earlier {
            self.start_other(earlier, properties).await;
        }
        let crowd: Vec<_> = (0..if case.crowd { CROWD } else { 0 }).map(|n| format!("crowd-{n}-{name}")).collect();

        let sent = self.link.with(|tape, cx| {
            tape.unit = name.clone();
            tape.restarts = case.restarts;
            (tape.lines, tape.jobs, tape.invocations, tape.questions) = Default::default();
            let destination = tape.destination();
            let start = |name: &str, properties: &Properties, helpers: &[(&'static str, Properties)]| {
                let mut message = cx.bus.method_call(destination, MANAGER_PATH, MANAGER, c"StartTransientUnit")?;
                append_start(&mut message, name, properties, helpers)?;
                Ok(message)
            };
            for name in &crowd {
                let program: Properties =
                    vec![("CollectMode", "inactive-or-failed".into()), ("ExecStart", commands(&[&["/bin/true"]]))];
                cx.bus.send_only(start(name, &program, &[])?)?;
            }
            let message = start(&name, &properties, &case.helpers)?;
            cx.call(message, Ticket::Start)
        });
        sent.unwrap().unwrap();

        let mut props = Props { gate: own.gate(), name_owner: None };
        let mut from = 0;
        for (number, (when, act)) in case.steps.iter().enumerate() {
            let what = format!("step {number} of {}", case.name);
            from = self.until(&what, |tape| when.find(&tape.lines, from)).await;
            self.act(&name, *act, &mut props).await;
        }
        self.settled(&name, if case.remains { "exited" } else { "dead" }).await;
        let truth = self.truth(&name).await;
        let before_the_stop = self.link.with(|tape, _| tape.lines.len()).unwrap();
        if case.remains {
            self.act(&name, Do::Stop, &mut props).await;
            self.settled(&name, "dead").await;
        }

        let (mut lines, jobs) = self.link.with(|tape, _| (std::mem::take(&mut tape.lines), tape.jobs.clone())).unwrap();
        let truth = truth.map(|text| self.read_truth(&text, &jobs));
        self.link.with(|tape, _| tape.unit.clear()).unwrap();
        if held {
            self.stop(&holder).await;
        }
        self.stop(&name).await;
        for (other, _) in case.earlier.iter().chain(&case.helpers) {
            self.stop(other).await;
        }
        let mut truth = truth;
        mark_end(&mut lines, before_the_stop, &name);
        count_time(&mut lines, truth.as_mut());
        confirm(case, &lines, truth.as_ref());
        Run { transport: transport.into(), held, lines, truth }
    }

    /// Waits until the unit is over, and all was sent about that.
    async fn settled(&self, name: &str, final_sub: &str) {
        let mut seen = 0;
        loop {
            // Whatever is yet to happen to the unit is followed by a message about it.
            seen = self
                .until(&format!("the end of {name}"), |tape| {
                    let refused = tape.lines.iter().any(|line| matches!(line, Line::Refused { .. }));
                    let over = tape.last_unit().is_some_and(|unit| unit.is_over() || unit.sub == final_sub);
                    ((over || refused) && tape.lines.len() > seen).then_some(tape.lines.len())
                })
                .await;
            let over = self.is_over(name, final_sub).await;
            for _ in 0..SETTLED {
                self.property(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "Version").await.unwrap();
            }
            let count = self.link.with(|tape, _| tape.lines.len()).unwrap();
            if over && count == seen {
                return;
            }
            if over {
                // What came meanwhile is looked at too, without waiting for more.
                seen = count - 1;
            }
        }
    }

    /// What the manager itself says. Not by the object's path: asking for that would load the unit.
    async fn is_over(&self, name: &str, final_sub: &str) -> bool {
        let Some(path) = self.loaded(name).await else { return true };
        let sub = self.property(&path, UNIT, "SubState").await.unwrap();
        let job = self.property(&path, UNIT, "Job").await.unwrap();
        let Value::Struct(job) = job else { panic!("Job is {job:?}") };
        let over = [final_sub, if final_sub == "dead" { "failed" } else { final_sub }];
        over.iter().any(|state| sub == Value::from(*state)) && job[0] == Value::U32(0)
    }

    /// The object of a unit, if it is loaded.
    async fn loaded(&self, name: &str) -> Option<CString> {
        match self.manager(c"GetUnit", &|message| message.append_str(name)).await.ok()?.pop() {
            Some(Value::ObjectPath(path)) => Some(CString::new(path).unwrap()),
            other => panic!("the reply is {other:?}"),
        }
    }

    /// `systemctl show`, if the unit is loaded.
    async fn truth(&self, name: &str) -> Option<String> {
        self.loaded(name).await?;
        let output = tokio::process::Command::new("systemctl").args(["show", name]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap()).filter(|text| text.contains("\nLoadState=loaded\n"))
    }

    fn read_truth(&self, text: &str, jobs: &[u32]) -> Truth {
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.unwrap_or_default().to_owned()
        };
        let number = |name: &str| value(name).parse::<u64>().unwrap_or_else(|_| panic!("{name}={}", value(name)));
        let id = value("InvocationID");
        let id: Vec<u8> =
            (0..id.len() / 2).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
        let job = value("Job").parse().unwrap_or(0);
        Truth {
            unit: UnitLine {
                active: value("ActiveState"),
                sub: value("SubState"),
                job: jobs.iter().position(|known| *known == job).map_or(0, |at| at as u32 + 1),
                condition: value("ConditionResult") == "yes",
                left: number("InactiveExitTimestampMonotonic"),
                entered: number("InactiveEnterTimestampMonotonic"),
                invocation: self.link.with(|tape, _| tape.invocation(&id)).unwrap(),
            },
            service: ServiceLine {
                result: value("Result"),
                code: number("ExecMainCode") as i32,
                status: number("ExecMainStatus") as i32,
                exited: number("ExecMainExitTimestampMonotonic"),
            },
        }
    }
}

/// The paths that are one run's own.
struct Own {
    unit: String,
    flag: PathBuf,
    gate: PathBuf,
}

impl Own {
    fn new(unit: &str) -> Self {
        let own = Own {
            unit: unit.into(),
            flag: format!("/run/{unit}.flag").into(),
            gate: format!("/run/{unit}.gate").into(),
        };
        assert!(std::process::Command::new("mkfifo").arg(&own.gate).status().unwrap().success());
        if unit.contains("condition-fails") {
            fs::create_dir(&own.flag).unwrap();
        }
        own
    }

    /// Open for reading as well, so that neither end waits for the other.
    fn gate(&self) -> File {
        File::options().read(true).write(true).open(&self.gate).unwrap()
    }

    fn fill_in(&self, properties: &Properties) -> Properties {
        properties.iter().map(|(name, value)| (*name, self.fill_in_value(value))).collect()
    }

    fn fill_in_value(&self, value: &Value) -> Value {
        let all = |values: &[Value]| values.iter().map(|value| self.fill_in_value(value)).collect();
        match value {
            Value::Str(text) => Value::Str(
                text.replace("@FLAG", self.flag.to_str().unwrap())
                    .replace("@GATE", self.gate.to_str().unwrap())
                    .replace("@UNIT", &self.unit),
            ),
            Value::Array(element, values) => Value::Array(element.clone(), all(values)),
            Value::Struct(fields) => Value::Struct(all(fields)),
            other => other.clone(),
        }
    }
}

fn append_start(
    message: &mut Message<'_>,
    name: &str,
    properties: &Properties,
    helpers: &[(&'static str, Properties)],
) -> Result<()> {
    let fill = |message: &mut Message<'_>, properties: &Properties| {
        message.container(Container::Array, c"(sv)", |m| {
            properties.iter().try_for_each(|(name, value)| {
                m.container(Container::Struct, c"sv", |m| {
                    m.append_str(name)?;
                    value.append_variant_to(m)
                })
            })
        })
    };
    message.append_str(name)?;
    message.append_str("fail")?;
    fill(message, properties)?;
    message.container(Container::Array, c"(sa(sv))", |m| {
        helpers.iter().try_for_each(|(name, properties)| {
            m.container(Container::Struct, c"sa(sv)", |m| {
                m.append_str(name)?;
                fill(m, properties)
            })
        })
    })
}
