//! The connection is lost and made again: what was outstanding is asked about, and nothing is told twice or made up.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;

use super::fake::{State, dead, running, unit_properties};
use super::*;
use crate::bus::tests::Peer;
use crate::bus::{Bus, Message, Receiver, Target, Value, Way};
use crate::manager::hindsight::Home;
use crate::unit::{Outcome, Status};

const UNIT: &str = "a.service";

/// Where a systemd listens that comes and goes.
struct Socket {
    direct: bool,
    folder: PathBuf,
    listener: Option<UnixListener>,
}

impl Socket {
    fn new(direct: bool) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sdrun-gap-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let mut socket = Socket { direct, folder, listener: None };
        socket.listen();
        socket
    }

    fn listen(&mut self) {
        let listener = UnixListener::bind(self.folder.join("socket")).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.listener = Some(listener);
    }

    /// Nobody is there any more.
    fn close(&mut self) {
        self.listener = None;
        std::fs::remove_file(self.folder.join("socket")).unwrap();
    }

    fn way(&self, patience: Duration) -> Way {
        let address = format!("unix:path={}", self.folder.join("socket").display());
        let address = std::ffi::CString::new(address).unwrap();
        let target = if self.direct { Target::Peer(address) } else { Target::Bus(address) };
        Way { target, interactive: false, patience: Some(patience) }
    }

    /// A systemd that is connected to.
    async fn accept(&self) -> Fake {
        let pause = || tokio::time::sleep(Duration::from_millis(1));
        let accept = async {
            let stream = loop {
                match self.listener.as_ref().unwrap().accept() {
                    Ok((stream, _)) => break stream,
                    Err(_) => pause().await,
                }
            };
            let bus = Bus::over(stream.into(), true).unwrap();
            while !bus.is_ready().unwrap() {
                bus.process().unwrap();
                pause().await;
            }
            let peer = Peer::new(bus);
            if !self.direct {
                let hello = any(&peer).await;
                assert_eq!(hello.member(), Some("Hello"));
                peer.reply(&hello, |m| m.append_str(":1.7"));
            }
            peer
        };
        Fake::new(soon(accept).await, self.direct)
    }

    async fn connect(&self, patience: Duration) -> (Manager, Fake) {
        let jobs = Arc::new(Jobs::new(!self.direct, Most::default()));
        let open = Link::open(self.way(patience), Registry::new(self.direct, jobs.clone()));
        let (link, fake) = tokio::join!(open, self.accept());
        let link = link.unwrap();
        let scope = Scope::Address(String::new());
        let home = Home::new(link.downgrade(), None, true);
        link.with(|registry, cx| registry.settle_in(home, patience, &scope, cx)).unwrap();
        let (known, journals) = Default::default();
        let inner = Inner { link, jobs, scope, private: self.direct, patience, known, journals };
        (Manager { inner: Arc::new(inner) }, fake)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// The connection is lost, and there again.
async fn gap(manager: &Manager, socket: &Socket, fake: Fake) -> Fake {
    drop(fake);
    // The driver has to see that first.
    let (fake, ready) = tokio::join!(socket.accept(), async {
        loop {
            match manager.inner.link.either(|_, _| true, |_, _| false) {
                Ok(false) => return soon(manager.inner.link.ready()).await,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    ready.unwrap();
    fake
}

/// The next call, while the driver goes on.
async fn any(peer: &Peer) -> Message<'_> {
    let call = async {
        loop {
            match peer.poll() {
                Some(call) => return call,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    soon(call).await
}

async fn expect<'f>(fake: &'f Fake, member: &str) -> Message<'f> {
    let call = any(&fake.peer).await;
    assert_eq!(call.member(), Some(member));
    call
}

/// The next question about the unit.
async fn asked<'f>(fake: &'f Fake, interface: &str) -> Message<'f> {
    if !fake.is_asked_for_signals() {
        fake.listen();
    }
    let call = expect(fake, "GetAll").await;
    assert_eq!(call.read_str().unwrap(), format!("org.freedesktop.systemd1.{interface}"));
    call
}

/// Answers the first question about a unit.
async fn tell(fake: &Fake, state: State, id: u8) {
    let call = asked(fake, "Unit").await;
    fake.give_all(&call, &with_id(state, id));
}

fn with_id(state: State, id: u8) -> Vec<(&'static str, Value)> {
    let mut properties = unit_properties(state);
    properties.retain(|(name, _)| *name != "InvocationID");
    properties.push(("InvocationID", Value::Bytes(vec![id; 16])));
    properties
}

async fn tell_gone(fake: &Fake) {
    let mut properties = unit_properties(State { active: "inactive", sub: "dead", job: 0, left: 0, entered: 0 });
    properties.retain(|(name, _)| *name != "InvocationID");
    properties.push(("LoadState", Value::from("not-found")));
    let call = asked(fake, "Unit").await;
    fake.give_all(&call, &properties);
}

async fn tell_service(fake: &Fake, result: &str, code: i32, status: i32) {
    let call = asked(fake, "Service").await;
    let properties =
        [("Result", Value::from(result)), ("ExecMainCode", Value::from(code)), ("ExecMainStatus", Value::from(status))];
    fake.give_all(&call, &properties);
}

/// A time after the start of the test, in µs of the monotonic clock, as those of units that it has started are.
fn later() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec()).unwrap() * 1_000_000 + 60_000_000
}

fn up() -> State {
    State { left: later(), ..running() }
}

fn over() -> State {
    State { left: later(), entered: later() + 500_000, ..dead() }
}

/// A unit that is running, as its signals have said.
async fn running_unit(manager: &Manager, fake: &Fake) -> Unit {
    let (unit, job) = started(manager, fake, UNIT).await;
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(up(), 1));
    fake.job_removed(job, UNIT, "done");
    soon(unit.activated()).await.unwrap();
    unit
}

#[tokio::test]
async fn a_unit_that_runs_is_followed_on() {
    for direct in [true, false] {
        let socket = Socket::new(direct);
        let (manager, fake) = socket.connect(PATIENCE).await;
        let unit = running_unit(&manager, &fake).await;
        let mut fake = gap(&manager, &socket, fake).await;
        tell(&fake, up(), 1).await;
        // And once more: nothing of the first gap is left.
        fake = gap(&manager, &socket, fake).await;
        tell(&fake, up(), 1).await;
        settle(&manager, &fake).await;
        assert!(unit.try_wait().unwrap().is_none());
        fake.service(UNIT, "exit-code", 1, 9);
        fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(over(), 1));
        let exit = soon(unit.wait()).await.unwrap();
        assert_eq!(
            (&exit.result, exit.status, exit.from_journal),
            (&Outcome::ExitCode, Some(Status::Exited(9)), false)
        );
        assert_eq!(places(&manager), ALL);
        // The next start is as any other.
        let (next, job) = started(&manager, &fake, "b.service").await;
        fake.runs("b.service", job, 0);
        assert!(soon(next.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn the_start_job_may_be_over_when_the_gap_is() {
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let (unit, _) = started(&manager, &fake, UNIT).await;
    assert_eq!(places(&manager).0, ALL.0 - 1);
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, up(), 1).await;
    soon(unit.activated()).await.unwrap();
    assert_eq!(places(&manager), ALL);
    fake.ends(UNIT, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_unit_that_has_ended_and_is_loaded_still_is_asked() {
    let socket = Socket::new(false);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let unit = running_unit(&manager, &fake).await;
    let fake = gap(&manager, &socket, fake).await;
    let failed = State { active: "failed", sub: "failed", ..over() };
    tell(&fake, failed, 1).await;
    tell_service(&fake, "signal", 2, 9).await;
    tell(&fake, failed, 1).await;
    let exit = soon(unit.wait()).await.unwrap();
    assert_eq!((exit.result, exit.status), (Outcome::Signal, Some(Status::Killed(9))));
}

#[tokio::test]
async fn what_cannot_be_known_is_not_made_up() {
    for direct in [true, false] {
        let socket = Socket::new(direct);
        // It was unloaded, or unloaded between two questions, or another one of its name is there.
        for how in 0..3 {
            let (manager, fake) = socket.connect(PATIENCE).await;
            let unit = running_unit(&manager, &fake).await;
            let fake = gap(&manager, &socket, fake).await;
            match how {
                0 => tell_gone(&fake).await,
                1 => {
                    tell(&fake, over(), 1).await;
                    tell_service(&fake, "success", 0, 0).await;
                    tell_gone(&fake).await;
                }
                _ => tell(&fake, up(), 2).await,
            }
            let error = soon(unit.wait()).await.unwrap_err();
            let Error::Lost { unit: name, invocation_id, .. } = &error else { panic!("{error}") };
            assert_eq!((&**name, invocation_id.unwrap().as_bytes()), (UNIT, &[1; 16]), "{error}");
            assert_eq!(places(&manager), ALL);
        }
    }
}

#[tokio::test]
async fn signals_that_come_first_are_the_answer() {
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let (unit, _) = started(&manager, &fake, UNIT).await;
    let fake = gap(&manager, &socket, fake).await;
    // It ends as soon as the connection is there, and is unloaded before the question comes.
    fake.service(UNIT, "exit-code", 1, 4);
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(over(), 1));
    tell_gone(&fake).await;
    let exit = soon(unit.wait()).await.unwrap();
    assert_eq!((exit.result, exit.status), (Outcome::ExitCode, Some(Status::Exited(4))));
}

#[tokio::test]
async fn a_start_without_an_answer_is_asked_about() {
    for direct in [true, false] {
        let socket = Socket::new(direct);
        let (manager, fake) = socket.connect(PATIENCE).await;
        let start = begin(&manager, UNIT);
        fake.start(UNIT);
        let fake = gap(&manager, &socket, fake).await;
        tell(&fake, up(), 1).await;
        let unit = start.unit().await.unwrap();
        fake.ends(UNIT, 0);
        assert!(soon(unit.wait()).await.unwrap().success());
        assert_eq!(places(&manager), ALL);

        // Nobody knows whether it was started.
        let start = begin(&manager, UNIT);
        fake.start(UNIT);
        let fake = gap(&manager, &socket, fake).await;
        tell_gone(&fake).await;
        let error = start.unit().await.unwrap_err();
        assert!(
            matches!(&error, Error::Lost { .. }) && error.to_string().contains("whether it was started"),
            "{error}"
        );

        // The one that is there was there before.
        let start = begin(&manager, UNIT);
        fake.start(UNIT);
        let fake = gap(&manager, &socket, fake).await;
        tell(&fake, running(), 1).await;
        assert!(matches!(start.unit().await.unwrap_err(), Error::UnitExists { .. }));
        settle(&manager, &fake).await;
        assert!(fake.peer.poll().is_none());
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn a_start_that_was_not_sent_is_sent_when_it_can_be() {
    let mut socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    socket.close();
    drop(fake);
    let start = begin(&manager, UNIT);
    // It waits for the connection, which is there again now.
    socket.listen();
    let serve = async {
        let fake = socket.accept().await;
        soon(manager.inner.link.ready()).await.unwrap();
        fake
    };
    let mut future = start.future;
    let fake = futures::select! {
        fake = serve.boxed_local().fuse() => fake,
        _ = (&mut future).fuse() => panic!("nobody has answered it"),
    };
    assert!((&mut future).now_or_never().is_none());
    let job = fake.accept(&fake.start(UNIT));
    soon(future).await.unwrap();
    let unit = Unit::new(start.tracked, Arc::new(OnceLock::from(manager)));
    fake.runs(UNIT, job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}

/// What keeps it would have kept it: so it was never started, and is.
#[tokio::test]
async fn a_durable_start_that_was_lost_is_sent_again() {
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let tracked = Arc::new(Tracked::new(UNIT));
    let durable = Start { durable: true, ..how(Pace::Quick, false) };
    let (theirs, inside) = (manager.clone(), tracked.clone());
    let start = async move { theirs.start(&inside, durable, |_| Ok(()), |_| Ok(())).await };
    let start = tokio::spawn(start);
    // Its slice first.
    let keep = async |fake: &Fake| {
        let call = expect(fake, "StartTransientUnit").await;
        let keeper = call.read_str().unwrap().to_owned();
        assert!(keeper.starts_with("sdrunkeep"), "{keeper}");
        let job = fake.accept(&call);
        fake.job_removed(job, &keeper, "done");
        keeper
    };
    let first = keep(&fake).await;
    drop(expect(&fake, "StartTransientUnit").await);
    let fake = gap(&manager, &socket, fake).await;
    tell_gone(&fake).await;
    // The slice is stopped, and another one comes in its place.
    let mut stopped = Vec::new();
    let call = loop {
        let call = any(&fake.peer).await;
        match call.member() {
            Some("StopUnit") => {
                stopped.push(call.read_str().unwrap().to_owned());
                let job = fake.new_job();
                fake.peer.reply(&call, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
                fake.job_removed(job, stopped.last().unwrap(), "done");
            }
            Some("StartTransientUnit") => {
                let name = call.read_str().unwrap().to_owned();
                if name == UNIT {
                    break call;
                }
                let job = fake.accept(&call);
                fake.job_removed(job, &name, "done");
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stopped, [first]);
    let job = fake.accept(&call);
    drop(call);
    soon(start).await.unwrap().unwrap();
    let unit = Unit::new(tracked, Arc::new(OnceLock::from(manager.clone())));
    // It is kept until its exit was told, and has its status after a gap.
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(up(), 1));
    fake.job_removed(job, UNIT, "done");
    soon(unit.activated()).await.unwrap();
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, over(), 1).await;
    tell_service(&fake, "success", 1, 0).await;
    tell(&fake, over(), 1).await;
    assert_eq!(soon(unit.wait()).await.unwrap().status, Some(Status::Exited(0)));
    let stop = expect(&fake, "StopUnit").await;
    assert!(stop.read_str().unwrap().starts_with("sdrunkeep"));
}

/// The runs of a service that a timer starts.
#[tokio::test]
async fn runs_of_a_trigger_are_told_apart_over_a_gap() {
    use crate::manager::Triggers;
    use crate::unit::runs::Runs;
    use crate::unit::{Activations, Trigger};
    use futures::StreamExt;

    async fn next(runs: &mut Activations) -> Unit {
        soon(runs.next()).await.expect("a run").unwrap()
    }
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let tracked = Arc::new(Tracked::new("t.timer"));
    let timer = Unit::new(tracked.clone(), Arc::new(OnceLock::from(manager.clone())));
    let runs = Arc::new(Runs::default());
    let trigger = Trigger::new(timer, UNIT, runs.clone(), manager.clone());
    let theirs = manager.clone();
    let start = tokio::spawn(async move {
        let triggers = Triggers { service: UNIT, restarts: false, runs: &runs };
        let fill = (|_: &mut Message<'_>| Ok(()), |_: &mut Message<'_>| Ok(()));
        theirs.start_triggering(&tracked, how(Pace::Quick, false), fill, Some(triggers)).await
    });
    let job = fake.accept(&expect(&fake, "StartTransientUnit").await);
    soon(start).await.unwrap().unwrap();
    let waiting = State { sub: "waiting", ..up() };
    fake.changed("t.timer", "org.freedesktop.systemd1.Unit", &with_id(waiting, 9));
    fake.job_removed(job, "t.timer", "done");
    let mut runs = trigger.activations();
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(up(), 1));
    let first = next(&mut runs).await;

    // The same run goes on.
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, waiting, 9).await; // the timer
    tell_service(&fake, "success", 0, 0).await;
    tell(&fake, up(), 1).await;
    settle(&manager, &fake).await;
    assert!(first.try_wait().unwrap().is_none());

    // It is over, nobody knows how, and the next one has begun.
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, waiting, 9).await;
    tell_service(&fake, "success", 0, 0).await;
    tell(&fake, State { left: later() + 1_000_000, ..running() }, 2).await;
    assert!(matches!(soon(first.wait()).await, Err(Error::Lost { .. })));
    let second = next(&mut runs).await;
    assert_eq!(second.invocation_id().unwrap().as_bytes(), &[2; 16]);
    let end = State { left: later() + 1_000_000, entered: later() + 2_000_000, ..dead() };
    let service = [
        ("Result", Value::from("exit-code")),
        ("ExecMainCode", Value::from(1i32)),
        ("ExecMainStatus", Value::from(3i32)),
        ("ExecMainExitTimestampMonotonic", Value::from(end.entered)),
    ];
    fake.changed(UNIT, "org.freedesktop.systemd1.Service", &service);
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(end, 2));
    assert_eq!(soon(second.wait()).await.unwrap().code(), Some(3));
}

/// The manager itself leaves the bus and comes back: calls are answered by the daemon, with errors.
#[tokio::test]
async fn a_manager_that_leaves_the_bus_is_asked_when_it_is_back() {
    let socket = Socket::new(false);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let unit = running_unit(&manager, &fake).await;
    let start = begin(&manager, "b.service");
    let call = fake.expect("StartTransientUnit");
    let owner = |old: &str, new: &str| {
        fake.daemon(|daemon| {
            let path = c"/org/freedesktop/DBus";
            daemon.signal(path, c"org.freedesktop.DBus", c"NameOwnerChanged", |m| {
                m.append_str("org.freedesktop.systemd1")?;
                m.append_str(old)?;
                m.append_str(new)
            });
        });
    };
    owner(":1.1", "");
    fake.daemon(|daemon| daemon.refuse(&call, c"org.freedesktop.DBus.Error.NoReply", c"it has gone"));
    fake.speak_as(c":1.9");
    owner("", ":1.9");
    let subscribe = expect(&fake, "Subscribe").await;
    fake.peer.reply(&subscribe, |_| Ok(()));
    for _ in 0..2 {
        let call = expect(&fake, "GetAll").await;
        let is_first = call.path().unwrap().ends_with("/a_2eservice");
        fake.give_all(&call, &with_id(up(), if is_first { 1 } else { 2 }));
    }
    let second = start.unit().await.unwrap();
    for (unit, name, code) in [(unit, UNIT, 5), (second, "b.service", 6)] {
        fake.ends(name, code);
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(code));
    }
    assert_eq!(places(&manager), ALL);
}

#[tokio::test]
async fn stops_are_asked_for_again_and_other_jobs_are_looked_for() {
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let unit = running_unit(&manager, &fake).await;
    let reply = |fake: &Fake, call: &Message<'_>, job: u32| {
        fake.peer.reply(call, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
    };
    let mut stop = Box::pin(unit.stop());
    let mut reload = Box::pin(unit.reload());
    assert!((&mut stop).now_or_never().is_none() && (&mut reload).now_or_never().is_none());
    fake.expect("StopUnit");
    reply(&fake, &fake.expect("ReloadUnit"), 77);
    settle(&manager, &fake).await;
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, up(), 1).await;
    let call = fake.expect("StopUnit");
    let there = fake.expect("GetJob");
    assert_eq!(there.read::<u32>().unwrap(), 77);
    fake.peer.refuse(&there, c"org.freedesktop.systemd1.NoSuchJob", c"Job 77 does not exist.");
    assert!(matches!(soon(reload).await, Err(Error::Lost { .. })));
    reply(&fake, &call, 78);
    drop((call, there));
    fake.job_removed(78, UNIT, "done");
    soon(stop).await.unwrap();
    // One that is not loaded any more is stopped.
    let mut stop = Box::pin(unit.stop());
    assert!((&mut stop).now_or_never().is_none());
    fake.expect("StopUnit");
    let fake = gap(&manager, &socket, fake).await;
    tell(&fake, up(), 1).await;
    fake.peer.refuse(&fake.expect("StopUnit"), c"org.freedesktop.systemd1.NoSuchUnit", c"");
    soon(stop).await.unwrap();
}

#[tokio::test]
async fn what_was_given_up_is_undone_after_the_gap() {
    let socket = Socket::new(true);
    let (manager, fake) = socket.connect(PATIENCE).await;
    let start = begin(&manager, UNIT);
    fake.accept(&fake.start(UNIT));
    settle(&manager, &fake).await;
    drop(start.give_up());
    fake.expect("StopUnit");
    let fake = gap(&manager, &socket, fake).await;
    // It is followed by whoever wants it undone, and as long as its job is not over.
    let mut stops = 0;
    while let Some(call) = next_call(&manager, &fake).await {
        match call.member() {
            Some("GetAll") => fake.give_all(&call, &with_id(up(), 1)),
            Some("StopUnit") => {
                stops += 1;
                let job = fake.new_job();
                fake.peer.reply(&call, |m| m.append_path(&format!("/org/freedesktop/systemd1/job/{job}")));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stops, 1);
    fake.changed(UNIT, "org.freedesktop.systemd1.Unit", &with_id(over(), 1));
    settle(&manager, &fake).await;
    assert_eq!(places(&manager), ALL);
    assert!(manager.inner.link.with(|registry, _| registry.units.is_empty() && !registry.is_obliged()).unwrap());
}

/// The next call that comes before all that is on its way is read.
async fn next_call<'f>(manager: &Manager, fake: &'f Fake) -> Option<Message<'f>> {
    for _ in 0..20 {
        if let Some(call) = fake.peer.poll() {
            return Some(call);
        }
        // The driver reads what was answered.
        manager.inner.link.with(|_, _| ()).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    None
}

#[tokio::test]
async fn a_gap_without_an_end_is_an_error_and_the_next_call_tries_anew() {
    for direct in [true, false] {
        let mut socket = Socket::new(direct);
        let (manager, fake) = socket.connect(Duration::from_millis(200)).await;
        let unit = running_unit(&manager, &fake).await;
        socket.close();
        drop(fake);
        let error = soon(unit.wait()).await.unwrap_err();
        assert!(matches!(&error, Error::Lost { .. }) && error.to_string().contains("200ms"), "{error}");
        assert_eq!(places(&manager), ALL);
        // Nobody is there still, which is told at once.
        let tracked = Arc::new(Tracked::new("b.service"));
        let start = manager.start(&tracked, how(Pace::Quick, false), |_| Ok(()), |_| Ok(()));
        assert!(matches!(soon(start).await, Err(Error::Disconnected { .. })));
        socket.listen();
        let tracked = Arc::new(Tracked::new("c.service"));
        let start = manager.start(&tracked, how(Pace::Quick, false), |_| Ok(()), |_| Ok(()));
        let mut start = Box::pin(start).fuse();
        let mut accept = Box::pin(socket.accept()).fuse();
        let fake = futures::select! { fake = accept => fake, _ = start => panic!("nobody has answered it") };
        soon(manager.inner.link.ready()).await.unwrap();
        assert!((&mut start).now_or_never().is_none());
        fake.accept(&fake.start("c.service"));
        soon(start).await.unwrap();
    }
}

#[tokio::test]
async fn questions_that_nobody_answers_end_too() {
    let socket = Socket::new(false);
    let (manager, fake) = socket.connect(Duration::from_millis(300)).await;
    let unit = running_unit(&manager, &fake).await;
    let fake = gap(&manager, &socket, fake).await;
    fake.listen();
    // There is a bus, and no systemd on it.
    let serve = async {
        loop {
            while let Some(call) = fake.peer.poll() {
                let name = c"org.freedesktop.DBus.Error.ServiceUnknown";
                fake.daemon(|daemon| daemon.refuse(&call, name, c"nobody has the name"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let error = futures::select! {
        end = Box::pin(soon(unit.wait())).fuse() => end.unwrap_err(),
        _ = Box::pin(serve).fuse() => unreachable!(),
    };
    assert!(matches!(&error, Error::Lost { .. }) && error.to_string().contains("300ms"), "{error}");
    assert_eq!(places(&manager), ALL);
}
