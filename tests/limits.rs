//! What a manager and its bus bear, and that no exit is lost where they are asked for more.
//!
//! The limits of a system bus are the manager's too, which all clients share. So these tests run one at a time.

mod support;

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use sdrun::{Command, Error, Exit, Manager, Result, ServiceType, Status, Transport, Unit};
use support::other::Other;
use support::{Folder, managers, soon};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// One test after the other. In the end the manager is the one that was there in the beginning, still on its bus, and
/// what it had of the bus at most is within the bus's limit.
struct Alone {
    before: Bus,
    disconnects: usize,
    _one: MutexGuard<'static, ()>,
}

/// What the bus daemon says of the manager's connection.
#[derive(Debug)]
struct Bus {
    name: String,
    #[allow(dead_code)] // to be shown
    rules: u32,
    most_rules: u32,
}

static ONE: Mutex<()> = Mutex::new(());

impl Alone {
    fn new() -> Self {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Alone { before: Bus::when_joined(), disconnects: disconnects(), _one }
    }

    /// The same, of a test that has done no harm.
    fn done(self) {
        let after = Bus::now();
        eprintln!("before {:?}, after {after:?}", self.before);
        assert_eq!(after.name, self.before.name, "the manager has another connection");
        assert_eq!(disconnects(), self.disconnects);
        if support::is_root() {
            assert!(after.most_rules <= 512, "{after:?}");
        }
    }
}

impl Bus {
    /// When the manager is on it: a bus that somebody has just woken it may not have joined yet.
    fn when_joined() -> Self {
        let list = || {
            let output = std::process::Command::new("busctl").arg(support::scope()).args(["status", MANAGER]).output();
            output.expect("busctl runs").status.success()
        };
        let begun = std::time::Instant::now();
        while !list() {
            assert!(begun.elapsed() < support::DEADLINE, "the manager does not join its bus");
            std::thread::sleep(Duration::from_millis(50)); // there is no signal without a bus
        }
        Self::now()
    }

    fn now() -> Self {
        let call = |arguments: &[&str]| {
            let output =
                std::process::Command::new("busctl").arg(support::scope()).arg("call").args(arguments).output();
            let output = output.expect("busctl runs");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let daemon = ["org.freedesktop.DBus", "/org/freedesktop/DBus"];
        let stats =
            call(&[&daemon[..], &["org.freedesktop.DBus.Debug.Stats", "GetConnectionStats"], &["s", MANAGER]].concat());
        let value = |key: &str| {
            let mut words = stats.split_whitespace().skip_while(|word| *word != format!("{key:?}")).skip(2);
            words.next().unwrap_or_else(|| panic!("no {key} in {stats}")).trim_matches('"').to_owned()
        };
        Bus {
            name: value("UniqueName"),
            rules: value("MatchRules").parse().unwrap(),
            most_rules: value("PeakMatchRules").parse().unwrap(),
        }
    }
}

const MANAGER: &str = "org.freedesktop.systemd1";

/// How often the manager was thrown off its bus.
fn disconnects() -> usize {
    let mut journal = std::process::Command::new("journalctl");
    if support::is_root() {
        journal.args(["--sync"]);
        assert!(journal.status().unwrap().success());
        journal = std::process::Command::new("journalctl");
    }
    let output = journal.args(["--quiet", "--no-pager", "--boot", "--output=cat"]).output().expect("journalctl runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.contains("Got disconnect on API bus")).count()
}

/// A service of a shell that ends as soon as somebody has the FIFO open for writing.
fn gated(gate: &str, code: u8) -> Command {
    support::shell(&format!(": <{gate}; exit {code}"))
}

fn oneshot(gate: &str, code: u8) -> Command {
    let mut command = gated(gate, code);
    command.service_type(ServiceType::Oneshot);
    command
}

/// One that has to be killed when it is stopped.
fn stubborn(gate: &str) -> Command {
    let mut command = support::shell(&format!("trap '' TERM; : <{gate}"));
    command.timeout_stop(Duration::from_secs(1));
    command
}

fn open(gate: &str) -> std::fs::File {
    // Not for writing alone, which would wait for the first who reads.
    std::fs::OpenOptions::new().read(true).write(true).open(gate).unwrap()
}

fn check(exits: Vec<Result<Exit>>) {
    for (number, exit) in exits.into_iter().enumerate() {
        assert_eq!(exit.unwrap().status, Some(Status::Exited(number as u8)), "{number}");
    }
}

/// The same where the manager was away for a moment: of what it unloaded meanwhile the journal has the failures, and of a
/// success that it was one.
fn check_over_a_gap(exits: Vec<Result<Exit>>) {
    for (number, exit) in exits.into_iter().enumerate() {
        let exit = exit.unwrap();
        let known = exit.status == Some(Status::Exited(number as u8));
        assert!(known || number == 0 && exit.from_journal && exit.success(), "{number}: {exit:?}");
    }
}

async fn quick(manager: &Manager) {
    let unit = soon("a quick start", support::shell("exit 7").start(manager)).await.unwrap();
    assert_eq!(soon("a quick exit", unit.wait()).await.unwrap().status, Some(Status::Exited(7)));
}

/// This test program once more, with this load.
fn helper(test: &str, gate: &str, load: &[(&str, usize)]) -> Other {
    let mut command = support::helper(test);
    command.envs(load.iter().map(|(key, value)| (key, value.to_string()))).env("SDRUN_TEST_GATE", gate);
    Other::start(command)
}

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}

async fn told_to_go_on() {
    let read = || assert!(std::io::stdin().read_line(&mut String::new()).unwrap() > 0);
    tokio::task::spawn_blocking(read).await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A process with 2,000 units outstanding. Then it calls `run()` a thousand times at once, starts 150 oneshots at once,
/// asks something of all its units at once, and stops a hundred at once.
#[test]
fn two_thousand_units() {
    at_full_load(1, 2000, 1000);
}

/// Three at once. What they have in flight is at its bounds also with fewer units, of which the manager needs more time for
/// each the more there are: `SDRUN_TEST_FULL=1` has each of them do as much as the one above.
#[test]
fn three_processes() {
    let full = std::env::var_os("SDRUN_TEST_FULL").is_some();
    let (outstanding, runs) = if full { (2000, 1000) } else { (250, 250) };
    at_full_load(3, outstanding, runs);
}

/// That many processes at once, with that many units outstanding and `run()` called that often at once.
fn at_full_load(processes: usize, outstanding: usize, runs: usize) {
    let alone = Alone::new();
    let folder = Folder::new();
    let gate = folder.fifo("gate");
    let load = [("OUTSTANDING", outstanding), ("RUNS", runs)];
    let mut helpers: Vec<_> = (0..processes).map(|_| helper("one_process", &gate, &load)).collect();
    let begun = std::time::Instant::now();
    for line in ["outstanding", "run", "oneshots"] {
        helpers.iter_mut().for_each(|helper| helper.says(line));
        eprintln!("{line}: {:?} {:?}", begun.elapsed(), Bus::now());
        helpers.iter_mut().for_each(Other::go_on);
    }
    helpers.iter_mut().for_each(|helper| helper.says("stopped"));
    eprintln!("stopped: {:?} {:?}", begun.elapsed(), Bus::now());
    let _open = open(&gate);
    helpers.into_iter().for_each(|mut helper| assert!(helper.child.wait().unwrap().success()));
    alone.done();
}

#[test]
#[ignore = "run by `at_full_load`, in a process of its own"]
fn one_process() {
    let [outstanding, runs] = ["OUTSTANDING", "RUNS"].map(|key| std::env::var(key).unwrap().parse().unwrap());
    let gate = &std::env::var("SDRUN_TEST_GATE").unwrap();
    runtime().block_on(async {
        let manager = &Manager::shared().await.unwrap();
        let start = |number| async move { gated(gate, number as u8).start(manager).await.unwrap() };
        let units: Vec<Unit> = join_all((0..outstanding).map(start)).await;
        say("outstanding");
        told_to_go_on().await;

        let run =
            |number| async move { sdrun::run(&mut support::shell(&format!("exit {}", number as u8))).await?.await };
        check(join_all((0..runs).map(run)).await);
        say("run");
        told_to_go_on().await;

        let start = |number| {
            let (mut command, manager) = (oneshot(gate, number as u8), manager.clone());
            tokio::spawn(async move { command.start(&manager).await?.await })
        };
        let oneshots = join_all((0..150).map(start));
        join_all((0..100).map(|_| quick(manager))).await;
        say("oneshots");
        told_to_go_on().await;

        let pids = join_all(units.iter().map(|unit| unit.main_pid())).await;
        assert!(pids.into_iter().all(|pid| pid.unwrap().is_some()));
        // Stopping one takes as long as it takes to get to know that it will not end by itself.
        let start = |_| async move { stubborn(gate).start(manager).await.unwrap() };
        let stopping: Vec<Unit> = join_all((0..100).map(start)).await;
        for stopped in join_all(stopping.iter().map(|unit| unit.stop())).await {
            stopped.unwrap();
        }
        say("stopped");
        check(join_all(units.iter().map(|unit| unit.wait())).await);
        check(oneshots.await.into_iter().map(|exit| exit.unwrap()).collect());
    });
}

/// 200 oneshots and 200 notify services that do not come to an end, and a quick one.
#[test]
fn slow_starts_hold_up_no_quick_one() {
    let alone = Alone::new();
    runtime().block_on(async {
        for (transport, manager) in managers().await {
            let folder = Folder::new();
            let gate = &folder.fifo("gate");
            let start = |number: usize| {
                let mut command = oneshot(gate, number as u8);
                if number >= 200 {
                    // It never says that it is ready, and ends as one that failed at that.
                    command.service_type(ServiceType::Notify).timeout_start(Duration::from_secs(1000));
                }
                let manager = manager.clone();
                tokio::spawn(async move { command.start(&manager).await?.await })
            };
            let slow: Vec<_> = (0..400).map(start).collect();
            for _ in 0..100 {
                quick(&manager).await;
            }
            assert!(slow.iter().all(|task| !task.is_finished()), "{transport}");
            let _open = open(gate);
            let exits = soon("the slow ones", join_all(slow)).await;
            check(exits.into_iter().map(|exit| exit.unwrap()).collect());
        }
    });
    alone.done();
}

/// Oneshots that are called at once run at once on the private socket and on a user bus, where no limit is near.
#[test]
fn a_thousand_oneshots_run_at_once_elsewhere() {
    let alone = Alone::new();
    runtime().block_on(async {
        for (transport, manager) in managers().await {
            if support::is_root() && transport == "bus" {
                continue;
            }
            let folder = Folder::new();
            let gate = &folder.fifo("gate");
            let manager = &manager;
            // The handle is there as soon as systemd has accepted the start, for which one needs a place.
            let start = |number| async move { oneshot(gate, number as u8).start(manager).await.unwrap() };
            let units = join_all((0..1000).map(start)).await;
            assert!(units.iter().all(|unit| unit.try_wait().unwrap().is_none()), "{transport}");
            let _open = open(gate);
            check(join_all(units.iter().map(|unit| unit.wait())).await);
        }
    });
    alone.done();
}

/// As many as a stock system bus bears run there at once, the rest wait, and none is lost.
#[test]
fn as_many_oneshots_as_the_system_bus_bears() {
    const MOST: usize = 400;
    if !support::is_root() {
        return;
    }
    let alone = Alone::new();
    runtime().block_on(async {
        let builder = Manager::builder().transport(Transport::Bus).most_lasting(MOST);
        let manager = &builder.connect().await.unwrap();
        let folder = Folder::new();
        let gate = &folder.fifo("gate");
        let start = |number| {
            let (mut command, manager) = (oneshot(gate, number as u8), manager.clone());
            async move { command.start(&manager).await.unwrap() }
        };
        let mut units = join_all((0..MOST).map(start)).await;
        let rest: Vec<_> = (MOST..1000).map(|number| tokio::spawn(start(number))).collect();
        for _ in 0..10 {
            quick(manager).await;
        }
        assert!(rest.iter().all(|task| !task.is_finished()), "there is no place for any of them");
        let bus = Bus::now();
        assert!(bus.rules as usize >= MOST, "{bus:?}");
        let _open = open(gate);
        units.extend(join_all(rest).await.into_iter().map(|unit| unit.unwrap()));
        check(join_all(units.iter().map(|unit| unit.wait())).await);
    });
    alone.done();
}

/// What has no place waits in order, and whoever gives up waiting is passed over.
#[test]
fn the_rest_wait_in_order() {
    let alone = Alone::new();
    runtime().block_on(async {
        for transport in [Transport::Bus, Transport::Private] {
            let builder = Manager::builder().transport(transport).most_lasting(2);
            let manager = &builder.connect().await.unwrap();
            let folder = Folder::new();
            let gates: Vec<String> = (0..8).map(|number| folder.fifo(&format!("gate-{number}"))).collect();
            let mut commands: Vec<Command> = gates.iter().map(|gate| oneshot(gate, 0)).collect();
            let mut starts: Vec<_> =
                commands.iter_mut().map(|command| Some(Box::pin(command.start(manager)))).collect();
            for start in starts.iter_mut().flatten() {
                assert!(futures::poll!(start).is_pending());
            }
            // The third is polled, has no place, and is given up.
            starts[2] = None;
            let mut running = Vec::new();
            let mut opened = Vec::new();
            for number in [0, 1, 3, 4, 5, 6, 7] {
                if let Some(number) = running.len().checked_sub(2) {
                    for later in starts.iter_mut().flatten() {
                        assert!(futures::poll!(later).is_pending(), "more than two");
                    }
                    let (unit, gate): &(Unit, usize) = &running[number];
                    opened.push(open(&gates[*gate]));
                    soon("its end", unit.wait()).await.unwrap();
                }
                let start = starts[number].take().unwrap();
                running.push((soon("the next", start).await.unwrap(), number));
            }
            drop((starts, opened));
            let _open: Vec<_> = running.iter().map(|(_, gate)| open(&gates[*gate])).collect();
            for (unit, _) in &running {
                soon("its end", unit.wait()).await.unwrap();
            }
            quick(manager).await;
        }
    });
    alone.done();
}

#[tokio::test]
async fn bounds_of_nothing_are_refused() {
    for builder in [Manager::builder().most_starting(0), Manager::builder().most_lasting(0)] {
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
        assert!(error.to_string().contains("would let nothing be started"), "{error}");
    }
    let most = usize::MAX;
    let builder = Manager::builder().transport(Transport::Private).most_starting(most).most_lasting(most);
    quick(&builder.connect().await.unwrap()).await;
    let one = Manager::builder().transport(Transport::Bus).most_starting(1).most_lasting(1).connect().await.unwrap();
    let run = |number: u8| {
        let mut command = support::shell(&format!("exit {number}"));
        command.service_type(if number % 2 == 0 { ServiceType::Oneshot } else { ServiceType::Simple });
        command.usage(number % 3 == 0);
        let manager = one.clone();
        async move { command.start(&manager).await?.await }
    };
    check(soon("one after the other", join_all((0..50).map(run))).await);
}

/// Handles with `kill_on_drop` to 600 units that do not end when they are asked to, all dropped at once: a job each.
#[test]
fn very_many_are_killed_on_drop() {
    const UNITS: usize = 600;
    let alone = Alone::new();
    runtime().block_on(async {
        for (transport, manager) in managers().await {
            let manager = &manager;
            let folder = Folder::new();
            let gate = &folder.fifo("gate");
            let prefix = format!("sdrun-dropped-{transport}-{}", std::process::id());
            let prefix = &prefix;
            let start = |number| async move {
                let mut command = stubborn(gate);
                command.name(format!("{prefix}-{number}")).kill_on_drop(true).start(manager).await.unwrap()
            };
            let units = join_all((0..UNITS).map(start)).await;
            // Those whose shell ignores the signal already: those that have come to the FIFO.
            drop(units);
            quick(manager).await;
            eprintln!("{transport}: {:?}", Bus::now());
            let loaded = || support::systemctl(&["list-units", "--plain", "--no-legend", &format!("{prefix}-*")]);
            let gone = async {
                while !loaded().is_empty() {
                    tokio::time::sleep(Duration::from_millis(100)).await; // systemctl has the manager list all units
                }
            };
            soon("all stopped", gone).await;
        }
    });
    alone.done();
}

/// Another client that has more jobs in flight than the bus bears: a manager of 252 is thrown off the bus, and has no
/// subscribers when it comes back; one of 262 is not, but leaves signals of the other client's out. No exit of ours is lost.
#[test]
fn another_client_breaks_the_managers_connection() {
    if !support::is_root() {
        return; // no limit is near on a user bus
    }
    let alone = Alone::new();
    let folder = Folder::new();
    let (gate, theirs) = (&folder.fifo("gate"), folder.fifo("theirs"));
    runtime().block_on(async {
        let manager = &support::on_bus().await;
        let start = |number| async move { gated(gate, number as u8).start(manager).await.unwrap() };
        let units = join_all((0..200).map(start)).await;
        let mut breaker = helper("breaker", &theirs, &[]);
        breaker.says("called");
        if support::systemd_version() < 257 {
            let broken = async {
                while disconnects() == alone.disconnects {
                    tokio::time::sleep(Duration::from_millis(100)).await; // the journal has no signal for it
                }
            };
            soon("the manager is thrown off the bus", broken).await;
        } else {
            quick(manager).await;
        }
        // Some end while nobody is subscribed, perhaps, and some later.
        let _open = open(gate);
        check_over_a_gap(soon("all exits", join_all(units.iter().map(|unit| unit.wait()))).await);
        check_over_a_gap(
            soon(
                "later ones",
                join_all((0..50).map(|number| async move {
                    support::shell(&format!("exit {number}")).start(manager).await?.await
                })),
            )
            .await,
        );
        let _theirs = open(&theirs);
        breaker.go_on();
        assert!(breaker.child.wait().unwrap().success());
    });
}

#[test]
#[ignore = "run by `another_client_breaks_the_managers_connection`, in a process of its own"]
fn breaker() {
    let gate = &std::env::var("SDRUN_TEST_GATE").unwrap();
    runtime().block_on(async {
        let builder = Manager::builder().transport(Transport::Bus).most_lasting(2000);
        let manager = &builder.connect().await.unwrap();
        let starts: Vec<_> = (0..700)
            .map(|_| {
                let (mut command, manager) = (oneshot(gate, 0), manager.clone());
                tokio::spawn(async move { command.start(&manager).await.map(drop) })
            })
            .collect();
        // All are over when nothing was broken; else those that were refused, and the others never.
        let _ = tokio::time::timeout(Duration::from_secs(20), join_all(starts)).await;
        say("called");
        told_to_go_on().await;
    });
}
