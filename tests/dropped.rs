//! Every future of the public interface, polled n times and dropped, for every n: nothing is left behind, neither units nor
//! descriptors nor match rules, and what comes after it works.
//!
//! Starts and waits of services are in `cancellation.rs`, the terminal's own settings in `terminal.rs`.

mod support;

use std::any::Any;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::StreamExt;
use sdrun::{
    Command, Manager, PathUnit, Result, Scope, ServiceType, SocketUnit, Status, Stdio, TimerUnit, Transport, Unit, Whom,
};
use support::{Folder, managers, poll_at_most, shell, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// What a future may use.
struct With {
    manager: Manager,
    /// A unit that runs, and has logged a line. It is stopped when this is gone.
    unit: Arc<Unit>,
    /// For a unit of its own.
    name: String,
    folder: Arc<Folder>,
}

impl With {
    fn named(&self, script: &str) -> Command {
        let mut command = shell(script);
        command.name(&self.name);
        command
    }

    fn error(&self, kind: std::io::Error) -> sdrun::Error {
        panic!("{}: {kind}", self.name)
    }
}

/// What becomes of the unit of that name when the future is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is not there, or is stopped again.
    Gone,
    /// It may be there: it is left as it is, or was done whatever became of the future.
    Left,
}
use Then::{Gone, Left};

type Done = Result<Box<dyn Any + Send>>;
type Case = (&'static str, Then, fn(With) -> BoxFuture<'static, Done>);

macro_rules! case {
    ($name:literal, $then:ident, $with:ident => $body:expr) => {
        ($name, $then, |$with: With| async move { Ok(Box::new($body) as Box<dyn Any + Send>) }.boxed())
    };
}

fn cases() -> Vec<Case> {
    vec![
        // Managers.
        case!("connect", Gone, w => {
            let transport = if w.manager.is_private() { Transport::Private } else { Transport::Bus };
            Manager::builder().transport(transport).connect().await?
        }),
        case!("shared", Gone, _w => Manager::shared().await?),
        case!("adopt", Gone, w => w.manager.unit(w.unit.name()).await?),
        case!("adopt-nothing", Gone, w => w.manager.unit("sdrun-there-is-none.service").await.unwrap_err()),
        // Control of a unit.
        case!("get", Gone, w => w.unit.get("SubState").await?),
        case!("main-pid", Gone, w => w.unit.main_pid().await?),
        case!("kill", Gone, w => w.unit.kill(18, Whom::All).await?),
        case!("set-property", Gone, w => w.unit.set_property("TasksMax", 1000u64).await?),
        case!("set", Gone, w => w.unit.set("TasksMax=1000").await?),
        case!("reset-failed", Gone, w => w.unit.reset_failed().await?),
        case!("freeze", Gone, w => w.unit.freeze().await.map_err(|error| error.to_string())),
        case!("thaw", Gone, w => {
            let frozen = w.unit.freeze().await;
            (frozen.is_ok(), w.unit.thaw().await.map_err(|error| error.to_string()))
        }),
        case!("reload", Gone, w => w.unit.reload().await.unwrap_err()),
        case!("restart", Gone, w => w.unit.restart().await?),
        case!("stop", Gone, w => (w.unit.stop().await?, w.unit.wait().await?)),
        case!("states", Gone, w => w.unit.states().next().await.unwrap()?),
        case!("logs", Gone, w => w.unit.logs().next().await.unwrap()?),
        case!("activated", Gone, w => w.unit.activated().await?),
        // Starts.
        case!("run", Left, w => sdrun::run(&mut w.named(":")).await?.await?),
        case!("status", Left, w => w.named(":").status().await?),
        case!("output", Left, w => w.named("echo a").output().await?),
        case!("wait-with-output", Left, w => {
            w.named("echo a").stdout(Stdio::piped()).start(&w.manager).await?.wait_with_output().await?
        }),
        case!("spawn", Gone, w => w.named("sleep 1000").kill_on_drop(true).spawn()?.activated().await?),
        case!("start-oneshot", Gone, w => {
            w.named("sleep 1000").service_type(ServiceType::Oneshot).kill_on_drop(true).start(&w.manager).await?
        }),
        case!("start-and-use", Gone, w => {
            let unit = w.named("exit 0").usage(true).kill_on_drop(true).start(&w.manager).await?;
            unit.wait().await?
        }),
        case!("start-refused", Gone, w => {
            w.named("exit 0").name(w.unit.name()).start(&w.manager).await.unwrap_err()
        }),
        case!("pipes", Gone, w => {
            let mut command = w.named("exec cat");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut unit = command.start(&w.manager).await?;
            let (mut stdin, mut stdout) = (unit.stdin.take().unwrap(), unit.stdout.take().unwrap());
            stdin.write_all(b"a\n").await.map_err(|error| w.error(error))?;
            let mut bytes = [0; 2];
            stdout.read_exact(&mut bytes).await.map_err(|error| w.error(error))?;
            drop(stdin);
            unit.await?
        }),
        case!("pty", Gone, w => {
            let mut command = w.named("read line; echo ready; read line");
            command.env("TERM", "dumb").kill_on_drop(true).pty();
            let mut unit = command.start(&w.manager).await?;
            let mut pty = unit.pty.take().unwrap();
            pty.write_all(b"a\n").await.map_err(|error| w.error(error))?;
            let mut all = Vec::new();
            while !all.ends_with(b"ready\r\n") {
                pty.read_buf(&mut all).await.map_err(|error| w.error(error))?;
            }
            pty.write_all(b"a\n").await.map_err(|error| w.error(error))?;
            let (reader, writer) = pty.into_split();
            (unit.wait().await?, reader, writer)
        }),
        case!("forward-terminal", Gone, w => {
            let mut command = w.named("echo a; exit 3");
            command.env("TERM", "dumb").kill_on_drop(true).pty();
            let mut unit = command.start(&w.manager).await?;
            let sink = File::create(w.folder.path("terminal")).map_err(|error| w.error(error))?;
            unit.forward_terminal(File::open("/dev/null").map_err(|error| w.error(error))?, sink).await?
        }),
        // Scopes.
        case!("scope-spawn", Gone, w => {
            let mut command = tokio::process::Command::new("/bin/sleep");
            command.arg("1000").kill_on_drop(true);
            Scope::new().name(&w.name).kill_on_drop(true).spawn(command, &w.manager).await?
        }),
        case!("scope-start", Gone, w => {
            let mut command = Command::from("/bin/sleep 1000");
            command.name(&w.name).kill_on_drop(true);
            command.scope().start(&w.manager).await?
        }),
        case!("scope-around", Left, w => {
            let child = tokio::process::Command::new("/bin/sleep").arg("1000").kill_on_drop(true).spawn();
            let child = child.map_err(|error| w.error(error))?;
            let unit = Scope::new().name(&w.name).around([child.id().unwrap()], &w.manager).await?;
            (child, unit)
        }),
        // Timers, paths, sockets.
        case!("timer", Left, w => {
            let mut timer = TimerUnit::new();
            timer.on_active(Duration::from_millis(1)).accuracy(Duration::from_millis(1));
            let trigger = timer.start(&w.manager, &w.named("exit 4")).await?;
            let mut activations = trigger.activations();
            let run = activations.next().await.unwrap()?;
            run.await?
        }),
        case!("path", Left, w => {
            let trigger = PathUnit::new().path_exists("/").start(&w.manager, &w.named("sleep 1000")).await?;
            trigger.activations().next().await.unwrap()?.activated().await?
        }),
        case!("socket", Left, w => {
            let mut socket = SocketUnit::new();
            socket.listen_stream(format!("@{}", w.name)).start(&w.manager, &w.named("sleep 1000")).await?
        }),
    ]
}

async fn works(manager: &Manager, code: u8) {
    let unit = soon("a later start", shell(&format!("exit {code}")).start(manager)).await.expect("a later start");
    let exit = soon("a later exit", unit.wait()).await.expect("a later exit");
    assert_eq!(exit.status, Some(Status::Exited(code)));
}

async fn systemctl(arguments: &[&str]) -> String {
    let output = tokio::process::Command::new("systemctl").arg(support::scope()).args(arguments).output().await;
    String::from_utf8(output.expect("systemctl runs").stdout).unwrap()
}

async fn until_none(pattern: &str) {
    while !systemctl(&["list-units", "--all", "--plain", "--no-legend", pattern]).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

/// How many match rules the connections of this process have.
async fn rules() -> u32 {
    let busctl = async |arguments: &[&str]| {
        let output = tokio::process::Command::new("busctl").arg(support::scope()).args(arguments).output().await;
        String::from_utf8(output.expect("busctl runs").stdout).unwrap()
    };
    let pid = std::process::id().to_string();
    let list = busctl(&["list", "--no-legend", "--unique"]).await;
    let mut rules = 0;
    for row in list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|row| row[1] == pid) {
        let daemon = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats"];
        let stats = busctl(&[&daemon[..], &["GetConnectionStats", "s", row[0]]].concat()).await;
        let mut words = stats.split_whitespace().skip_while(|word| *word != "\"MatchRules\"").skip(2);
        rules += words.next().map_or(0, |word| word.parse::<u32>().unwrap());
    }
    rules
}

async fn at_every_await_point(
    (name, then, make): Case,
    late: bool,
    transport: &str,
    manager: &Manager,
    folder: &Arc<Folder>,
    descriptors: &mut usize,
) {
    let mut polls = 0;
    loop {
        let prefix = format!("sdrun-every-{name}-{transport}-{}-{late}-{polls}", std::process::id());
        let mut base = shell("echo a line; exec sleep 1000");
        base.name(format!("{prefix}-base")).kill_on_drop(true);
        let unit = soon("the start", base.start(manager)).await.unwrap();
        let with = With {
            manager: manager.clone(),
            unit: Arc::new(unit),
            name: format!("{prefix}-own"),
            folder: folder.clone(),
        };
        let finished = soon(&prefix, poll_at_most(polls, late, make(with))).await;
        let done = finished.is_some();
        if let Some(result) = finished {
            drop(result.unwrap_or_else(|error| panic!("{prefix}: {error}")));
        }
        works(manager, polls as u8).await;
        if matches!(name, "freeze" | "thaw") {
            // It may be frozen now, and systemd 262 stops nothing that is.
            systemctl(&["thaw", &format!("{prefix}-base.service")]).await;
            systemctl(&["stop", &format!("{prefix}-base.service")]).await;
        }
        if then == Left {
            // What goes on without its future may be there only after this: so again and again.
            let pattern = format!("{prefix}-*");
            let stopped = async {
                loop {
                    // What would start it again goes first.
                    for kind in ["path", "timer", "socket", "*"] {
                        systemctl(&["stop", &format!("{prefix}-own*.{kind}")]).await;
                    }
                    // A scope around a process that was killed meanwhile has failed, and stays so.
                    systemctl(&["reset-failed", &format!("{prefix}-own*")]).await;
                    if systemctl(&["list-units", "--all", "--plain", "--no-legend", &pattern]).await.is_empty() {
                        break;
                    }
                }
            };
            soon(&prefix, stopped).await;
        }
        soon(&prefix, until_none(&format!("{prefix}-*"))).await;
        // Threads and closed connections take their time.
        let closed = async {
            while support::descriptors() > *descriptors {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), closed).await.is_err() {
            panic!("{prefix}: {descriptors} descriptors before, now {:#?}", support::list_descriptors());
        }
        *descriptors = support::descriptors().min(*descriptors);
        if done {
            break;
        }
        polls += 1;
        assert!(polls < 200, "{prefix}");
    }
    eprintln!("{name} on {transport}: {polls} await points");
}

alone! {
    fn every_future_at_every_await_point() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Arc::new(Folder::new());
            let only = std::env::var("SDRUN_TEST_ONLY").ok();
            let shared = Manager::shared().await.unwrap(); // one of the cases would open it, and what it watches
            works(&shared, 0).await;
            let managers = managers().await;
            for (transport, manager) in &managers {
                works(manager, 0).await;
                // What is opened once in a process is.
                let units = shell("echo a").start(manager).await.unwrap();
                drop(soon("a line", units.logs().next()).await);
                drop(units);
                for case in cases().into_iter().filter(|case| only.as_ref().is_none_or(|only| case.0 == only)) {
                    let mut before = support::descriptors();
                    for late in [true, false] {
                        at_every_await_point(case, late, transport, manager, &folder, &mut before).await;
                    }
                }
            }
            let no_rules = async {
                while rules().await > 0 {
                    tokio::task::yield_now().await;
                }
            };
            soon("no match rule is left", no_rules).await;
            drop((shared, managers));
        });
    }
}
