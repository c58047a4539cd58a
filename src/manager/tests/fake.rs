//! A systemd that does what it is told.

use std::cell::Cell;
use std::ffi::{CStr, CString};

use crate::bus::tests::Peer;
use crate::bus::{Container, Message, Value};
use crate::error::Result;
use crate::unit::name::label;

/// The unique name that it has on its bus.
pub(super) const SYSTEMD: &CStr = c":1.1";
const DAEMON: &CStr = c"org.freedesktop.DBus";

pub(super) struct Fake {
    pub peer: Peer,
    direct: bool,
    /// Whether it has been asked for signals.
    listened: Cell<bool>,
    jobs: Cell<u32>,
}

/// The properties of the unit interface, as a signal has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub active: &'static str,
    pub sub: &'static str,
    pub job: u32,
    pub left: u64,
    pub entered: u64,
}

/// Before its start.
pub(super) fn before(job: u32) -> State {
    State { active: "inactive", sub: "dead", job, left: 0, entered: 0 }
}

pub(super) fn running() -> State {
    State { active: "active", sub: "running", job: 0, left: 5_000_000, entered: 0 }
}

/// At its end, half a second later.
pub(super) fn dead() -> State {
    State { active: "inactive", sub: "dead", job: 0, left: 5_000_000, entered: 5_500_000 }
}

impl Fake {
    pub fn new(peer: Peer, direct: bool) -> Self {
        let fake = Fake { peer, direct, listened: Cell::new(direct), jobs: Cell::new(100) };
        fake.speak_as(SYSTEMD);
        fake
    }

    /// Whom its messages are from, from now on, where there is a bus daemon to say so.
    pub fn speak_as(&self, sender: &'static CStr) {
        self.peer.sender.set((!self.direct).then_some(sender));
    }

    /// The next call, which is one of systemd's.
    pub fn expect(&self, member: &str) -> Message<'_> {
        let call = self.peer.expect(member);
        assert_eq!(call.destination(), (!self.direct).then_some("org.freedesktop.systemd1"));
        call
    }

    /// The next call, which is one of the bus daemon's about a match; the rule.
    pub fn expect_rule(&self, member: &str) -> (Message<'_>, String) {
        let call = self.peer.expect(member);
        assert_eq!((call.destination(), call.path()), (Some("org.freedesktop.DBus"), Some("/org/freedesktop/DBus")));
        let rule = call.read_str().unwrap().to_owned();
        (call, rule)
    }

    /// Answers a call of the bus daemon.
    pub fn daemon(&self, answer: impl FnOnce(&Peer)) {
        let sender = self.peer.sender.replace(Some(DAEMON));
        answer(&self.peer);
        self.peer.sender.set(sender);
    }

    pub fn is_asked_for_signals(&self) -> bool {
        self.listened.get()
    }

    /// Is asked for signals.
    pub fn listen(&self) {
        for _ in 0..4 {
            let (call, _) = self.expect_rule("AddMatch");
            self.daemon(|daemon| daemon.reply(&call, |_| Ok(())));
        }
        self.peer.reply(&self.expect("Subscribe"), |_| Ok(()));
        self.listened.set(true);
    }

    /// Is asked for signals no more.
    pub fn listen_no_more(&self) {
        let rules = [(); 4].map(|()| {
            let (call, rule) = self.expect_rule("RemoveMatch");
            assert!(!call.wants_reply());
            rule
        });
        assert!(rules.iter().enumerate().all(|(at, rule)| !rules[..at].contains(rule)));
        assert!(!self.expect("Unsubscribe").wants_reply());
        self.listened.set(false);
    }

    /// Is told to start this unit (and asked for signals first, if it has not been).
    pub fn start(&self, name: &str) -> Message<'_> {
        if !self.listened.get() {
            self.listen();
        }
        let call = self.expect("StartTransientUnit");
        assert_eq!((call.read_str().unwrap(), call.read_str().unwrap()), (name, "fail"));
        call
    }

    /// Accepts a start: the number of its job.
    pub fn accept(&self, start: &Message<'_>) -> u32 {
        let job = self.new_job();
        self.accept_as(start, job);
        job
    }

    /// A number that no job has had.
    pub fn new_job(&self) -> u32 {
        self.jobs.set(self.jobs.get() + 1);
        self.jobs.get()
    }

    pub fn accept_as(&self, start: &Message<'_>, job: u32) {
        self.peer.reply(start, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
    }

    pub fn job_removed(&self, job: u32, unit: &str, result: &str) {
        self.peer.signal(c"/org/freedesktop/systemd1", c"org.freedesktop.systemd1.Manager", c"JobRemoved", |m| {
            m.append(job)?;
            m.append_path(&format!("/org/freedesktop/systemd1/job/{job}"))?;
            m.append_str(unit)?;
            m.append_str(result)
        });
    }

    /// A `PropertiesChanged` with these properties.
    pub fn changed(&self, unit: &str, interface: &str, properties: &[(&str, Value)]) {
        self.changed_by(unit, |m| {
            m.append_str(interface)?;
            append_properties(m, properties)?;
            m.append_strs::<&str>([])
        });
    }

    /// Answers a `GetAll`.
    pub fn give_all(&self, call: &Message<'_>, properties: &[(&str, Value)]) {
        self.peer.reply(call, |m| append_properties(m, properties));
    }

    /// Is asked for all properties of an interface of the unit.
    pub fn asked_all(&self, unit: &str, interface: &str) -> Message<'_> {
        if !self.listened.get() {
            self.listen();
        }
        let call = self.expect("GetAll");
        assert_eq!(call.path().unwrap().strip_prefix("/org/freedesktop/systemd1/unit/"), Some(label(unit).as_str()));
        assert_eq!(call.read_str().unwrap(), format!("org.freedesktop.systemd1.{interface}"));
        call
    }

    /// A `PropertiesChanged` with this body.
    pub fn changed_by(&self, unit: &str, fill: impl FnOnce(&mut Message<'_>) -> Result<()>) {
        let path = CString::new(format!("/org/freedesktop/systemd1/unit/{}", label(unit))).unwrap();
        self.peer.signal(&path, c"org.freedesktop.DBus.Properties", c"PropertiesChanged", fill);
    }

    /// The signal of the unit interface, with what else is in it.
    pub fn unit(&self, unit: &str, state: State) {
        self.changed(unit, "org.freedesktop.systemd1.Unit", &unit_properties(state));
    }

    /// The signal of the service interface: how the main process ended.
    pub fn service(&self, unit: &str, result: &str, code: i32, status: i32) {
        let properties = [
            ("Type", Value::from("simple")),
            ("MainPID", Value::from(0u32)),
            ("Result", Value::from(result)),
            ("ExecMainCode", Value::from(code)),
            ("ExecMainStatus", Value::from(status)),
        ];
        self.changed(unit, "org.freedesktop.systemd1.Service", &properties);
    }

    /// All signals of a unit whose start was accepted, to its end.
    pub fn runs(&self, unit: &str, job: u32, code: i32) {
        self.unit(unit, before(job));
        self.unit(unit, running());
        self.job_removed(job, unit, "done");
        self.ends(unit, code);
    }

    /// The signals of its end.
    pub fn ends(&self, unit: &str, code: i32) {
        self.service(unit, if code == 0 { "success" } else { "exit-code" }, 1, code);
        self.unit(unit, dead());
    }
}

fn append_properties(message: &mut Message<'_>, properties: &[(&str, Value)]) -> Result<()> {
    message.container(Container::Array, c"{sv}", |m| {
        properties.iter().try_for_each(|(name, value)| {
            m.container(Container::DictEntry, c"sv", |m| {
                m.append_str(name)?;
                value.append_variant_to(m)
            })
        })
    })
}

pub(super) fn unit_properties(state: State) -> Vec<(&'static str, Value)> {
    let path = match state.job {
        0 => "/".to_owned(),
        job => format!("/org/freedesktop/systemd1/job/{job}"),
    };
    vec![
        ("ActiveState", Value::from(state.active)),
        ("SubState", Value::from(state.sub)),
        ("InactiveExitTimestampMonotonic", Value::from(state.left)),
        ("InactiveEnterTimestampMonotonic", Value::from(state.entered)),
        ("Job", Value::Struct(vec![Value::from(state.job), Value::ObjectPath(path)])),
        ("ConditionResult", Value::from(true)),
        ("InvocationID", Value::Bytes((1..=16).collect())),
    ]
}
