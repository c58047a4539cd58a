//! Other programs: whole processes, from before the fork until they are reaped, and those that serve one unit after the
//! other; and sdrun warm between them. A few of each in a row, by turns.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sdrun::Manager;
use tokio::runtime::{Builder, Handle};

use super::part::{Part, Target, micros, ratio};
use super::stats::{Order, Samples, Scope};
use super::{PROGRAM, Plan, Result, Way, on_user_manager, plots, warm};

/// How often each runs in a row. The first does not count: what came before it was another's, and one that waits for
/// whole processes leaves the manager and the kernel colder than one that goes on at once.
const IN_A_ROW: usize = 5;
/// How many of those count in each round.
const COUNTED: usize = IN_A_ROW - 1;

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    SystemdRun,
    /// The same once more, for the noise.
    SystemdRunAgain,
    /// sdrun's example, a new process each time.
    Cold,
    /// The floor in C, a new process each time.
    Floor,
    /// The crate `systemd-run`, in a process that stays.
    Crate,
    /// pystemd.run, in a process that stays.
    Pystemd,
    WarmBus,
    /// The same on another connection, for the noise.
    WarmBusAgain,
    /// The same from a spawned task of a multi-thread runtime.
    WarmBusSpawned,
    WarmPrivate,
}

/// What came of it, for those that could be run.
#[derive(Debug)]
pub struct Whole(Vec<(Who, Samples)>);

impl Whole {
    pub fn get(&self, who: Who) -> Option<&Samples> {
        self.0.iter().find(|(its, _)| *its == who).map(|(_, samples)| samples)
    }

    /// The ratio of two medians.
    pub fn ratio(&self, who: Who, other: Who) -> Option<f64> {
        Some(self.get(who)?.over(self.get(other)?, 0.5))
    }
}

const NAMES: [(Who, &str); 10] = [
    (Who::SystemdRun, "`systemd-run --wait`"),
    (Who::SystemdRunAgain, "the same again"),
    (Who::Cold, "sdrun, a new process"),
    (Who::Floor, "floor.c on the bus, a new process"),
    (Who::Pystemd, "`pystemd.run(wait=True)`"),
    (Who::Crate, "the crate `systemd-run`"),
    (Who::WarmBus, "sdrun warm, bus"),
    (Who::WarmBusAgain, "the same again"),
    (Who::WarmBusSpawned, "sdrun warm, bus, spawned task"),
    (Who::WarmPrivate, "sdrun warm, private socket"),
];

/// Puts it into the part.
pub fn report(part: &mut Part, whole: &Whole) {
    part.paragraph(
        "Other programs, and sdrun warm between them, each four times in a row by turns; times in µs. `systemd-run`, \
         sdrun's example and floor.c are a new process for each unit; pystemd and the crate stay, and time themselves.",
    );
    let mut rows = Vec::new();
    let mut bars = Vec::new();
    let mut curves = Vec::new();
    for (who, name) in NAMES {
        let Some(samples) = whole.get(who) else { continue };
        let mut row = vec![name.into(), samples.len().to_string(), micros(samples.p50()), micros(samples.p90())];
        let others = [Who::WarmBus, Who::SystemdRun].map(|other| whole.ratio(who, other));
        row.extend(others.map(|other| other.map_or(String::new(), ratio)));
        rows.push(row);
        let short = match who {
            Who::SystemdRun => "systemd-run",
            Who::Cold => "sdrun, cold",
            Who::Floor => "floor.c, cold",
            Who::Pystemd => "pystemd",
            Who::Crate => "crate (zbus)",
            Who::WarmBus => "sdrun, bus",
            Who::WarmPrivate => "sdrun, private",
            _ => continue,
        };
        bars.push((short, whole.ratio(who, Who::WarmBus).unwrap_or_default()));
        curves.push((short, samples.millis()));
    }
    part.table(&["", "units", "p50", "p90", "over sdrun warm, bus", "over systemd-run"], &rows);
    let title = "One unit, start to known end, over sdrun warm on the bus (p50)";
    part.plot("peers", "Medians of others over sdrun's", plots::bars(title, "x", &bars, Some(1.0)));
    part.plot("peers-cdf", "Latencies of others and of sdrun", plots::cdf("Start to known end", "ms", &curves));
    let systemd_run = whole.ratio(Who::SystemdRunAgain, Who::SystemdRun);
    let warm = whole.ratio(Who::WarmBusAgain, Who::WarmBus);
    let spawned = Who::WarmBusSpawned;
    for (name, who, over, target, noise) in [
        ("systemd_run_over_warm_p50", Who::SystemdRun, Who::WarmBus, Target::AtLeast(2.5), systemd_run),
        ("systemd_run_over_warm_p50_spawned", Who::SystemdRun, spawned, Target::AtLeast(2.5), systemd_run),
        ("crate_over_warm_p50", Who::Crate, Who::WarmBus, Target::AtLeast(1.4), warm),
        ("crate_over_warm_p50_spawned", Who::Crate, spawned, Target::AtLeast(1.4), warm),
        ("pystemd_over_warm_p50", Who::Pystemd, Who::WarmBus, Target::AtLeast(2.5), warm),
        ("pystemd_over_warm_p50_spawned", Who::Pystemd, spawned, Target::AtLeast(2.5), warm),
        ("cold_over_systemd_run_p50", Who::Cold, Who::SystemdRun, Target::AtMost(0.8), systemd_run),
    ] {
        if let Some(value) = whole.ratio(who, over) {
            part.figure(name, value, "x", target, noise);
        }
    }
}

enum Kind {
    Process(Vec<String>),
    Serving(Peer),
    Warm(Manager),
    Spawned(Handle, Manager),
}

/// The programs that are there to be measured.
pub struct Programs {
    pub example: Option<PathBuf>,
    floor: Option<PathBuf>,
    peers: Vec<(Who, Command)>,
    /// Why one is not.
    pub notes: Vec<String>,
}

impl Programs {
    pub fn find() -> Self {
        let mut notes = Vec::new();
        let example = example().map_err(|why| notes.push(format!("sdrun as a new process is left out: {why}"))).ok();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
        let mut built = |name: &str| {
            let program = folder.join(name);
            let there = program.is_file().then_some(program);
            if there.is_none() {
                notes.push(format!("`{name}` is left out: benches/peers/build has not made it"));
            }
            there
        };
        let floor = built("floor").filter(|_| !on_user_manager());
        let peers = [(Who::Crate, "crate"), (Who::Pystemd, "pystemd")];
        let peers = peers.into_iter().filter_map(|(who, name)| Some((who, Command::new(built(name)?)))).collect();
        Programs { example, floor, peers, notes }
    }
}

pub fn measure(programs: &mut Programs, plan: Plan) -> Result<Whole> {
    let multi = Builder::new_multi_thread().enable_all().build()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = multi.handle().clone();
    runtime.block_on(async { tokio::time::timeout(plan.overdue(), alternate(programs, handle, plan)).await? })
}

async fn alternate(programs: &mut Programs, multi: Handle, plan: Plan) -> Result<Whole> {
    let user = if on_user_manager() { "--user" } else { "--system" };
    let words = |words: &[&str]| words.iter().copied().map(String::from).collect::<Vec<_>>();
    let connect = |way: Way| Manager::builder().transport(way.transport()).connect();
    let systemd_run = words(&["systemd-run", user, "--wait", "-q", "--collect", PROGRAM]);
    let mut contenders = vec![
        (Who::SystemdRun, Kind::Process(systemd_run.clone())),
        (Who::SystemdRunAgain, Kind::Process(systemd_run)),
        (Who::WarmBus, Kind::Warm(connect(Way::Bus).await?)),
        (Who::WarmBusAgain, Kind::Warm(connect(Way::Bus).await?)),
        (Who::WarmBusSpawned, Kind::Spawned(multi.clone(), multi.spawn(connect(Way::Bus)).await??)),
        (Who::WarmPrivate, Kind::Warm(connect(Way::Private).await?)),
    ];
    if let Some(example) = &programs.example {
        let mut command = words(&[&example.to_string_lossy()]);
        command.extend(on_user_manager().then(|| user.to_owned()));
        command.extend(words(&["--wait", "-q", "--collect", PROGRAM]));
        contenders.push((Who::Cold, Kind::Process(command)));
    }
    if let Some(floor) = &programs.floor {
        let command = words(&[&floor.to_string_lossy(), "bus", "1", "1", PROGRAM]);
        contenders.push((Who::Floor, Kind::Process(command)));
    }
    for (who, mut command) in std::mem::take(&mut programs.peers) {
        match Peer::start(command.arg(user).arg(PROGRAM)) {
            Ok(peer) => contenders.push((who, Kind::Serving(peer))),
            Err(error) => programs.notes.push(format!("a peer is left out: {command:?}: {error}")),
        }
    }
    let mut samples: Vec<_> = contenders.iter().map(|(who, _)| (*who, Samples::default())).collect();
    let mut order = Order::of(contenders.len());
    let plan = Plan { rounds: plan.rounds.div_ceil(COUNTED), ..plan };
    for counts in plan.rounds(1) {
        for who in order.next_round() {
            for number in 0..IN_A_ROW {
                // The manager comes to rest, and the drivers read what the last one made it send.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let took = match &mut contenders[who].1 {
                    Kind::Process(words) => run(words)?,
                    Kind::Serving(peer) => peer.run()?,
                    Kind::Warm(manager) => warm::sdrun(manager, Scope::Thread).await?.0,
                    Kind::Spawned(multi, manager) => {
                        let manager = manager.clone();
                        multi.spawn(async move { warm::sdrun(&manager, Scope::Process).await }).await??.0
                    }
                };
                if counts && number > 0 {
                    samples[who].1.push(took);
                }
            }
        }
    }
    Ok(Whole(samples))
}

fn run(words: &[String]) -> Result<Duration> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(|error| format!("{}: {error}", words[0]))?;
    let took = begun.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{words:?}: {status}").into()) }
}

/// A program that runs one unit for each line that it gets, and answers how many nanoseconds it took: it is as warm as
/// its library lets it be.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let (requests, answers) = requests.zip(answers).ok_or("no pipes")?;
        let mut peer = Peer { child, requests, answers: BufReader::new(answers) };
        peer.run()?;
        Ok(peer)
    }

    fn run(&mut self) -> Result<Duration> {
        self.requests.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let took = line.trim().parse().map_err(|_| format!("a peer answered {line:?}"))?;
        Ok(Duration::from_nanos(took))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be ill. It has no more to do in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// sdrun's example: cargo puts it beside the folder that this program is in.
fn example() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let release = this.ancestors().nth(2).ok_or("this program is in no target folder")?;
    let path = release.join("examples/sdrun");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no {}; `cargo build --release --example sdrun` makes it", path.display()).into())
    }
}
