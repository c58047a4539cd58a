//! Whole processes, from before the fork until they are reaped, and sdrun warm between them: a few of each in a row, by
//! turns.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sdrun::Manager;
use tokio::runtime::Builder;

use super::stats::{Order, Samples, Scope};
use super::{PROGRAM, Plan, Result, Way, on_user_manager, warm};

/// How often each runs in a row. The first does not count: what came before it was another's, and one that waits for
/// whole processes leaves the manager and the kernel colder than one that goes on at once.
const IN_A_ROW: usize = 5;
/// How many of those count in each round.
const COUNTED: usize = IN_A_ROW - 1;

/// What came of it; empty where it could not be run.
#[derive(Debug, Default)]
pub struct Whole {
    pub systemd_run: Samples,
    /// The same once more, for the noise.
    pub again: Samples,
    /// sdrun's example, a new process each time.
    pub cold: Option<Samples>,
    /// The floor in C, a new process each time.
    pub floor: Option<Samples>,
    pub warm_bus: Samples,
    pub warm_private: Samples,
}

enum Kind {
    Process(Vec<String>),
    Warm(Manager),
}

struct Contender {
    kind: Kind,
    samples: Samples,
}

/// The programs that are there to be measured.
pub struct Programs {
    pub example: Option<PathBuf>,
    pub floor: Option<Compiled>,
    /// Why one is not.
    pub notes: Vec<String>,
}

impl Programs {
    pub fn find() -> Self {
        let mut notes = Vec::new();
        let example = example().map_err(|why| notes.push(format!("sdrun as a new process is left out: {why}"))).ok();
        let floor =
            Compiled::floor().map_err(|why| notes.push(format!("floor.c as a new process is left out: {why}"))).ok();
        Programs { example, floor, notes }
    }
}

pub fn measure(programs: &Programs, plan: Plan) -> Result<Whole> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(plan.overdue(), alternate(programs, plan)).await? })
}

async fn alternate(programs: &Programs, plan: Plan) -> Result<Whole> {
    let user = if on_user_manager() { "--user" } else { "--system" };
    let words = |words: &[&str]| words.iter().copied().map(String::from).collect::<Vec<_>>();
    let process = |words: Vec<String>| Contender { kind: Kind::Process(words), samples: Samples::default() };
    let warm = async |way: Way| -> Result<Contender> {
        let manager = Manager::builder().transport(way.transport()).connect().await?;
        Ok(Contender { kind: Kind::Warm(manager), samples: Samples::default() })
    };
    let systemd_run = words(&["systemd-run", user, "--wait", "-q", "--collect", PROGRAM]);
    let mut contenders =
        vec![process(systemd_run.clone()), process(systemd_run), warm(Way::Bus).await?, warm(Way::Private).await?];
    if let Some(example) = &programs.example {
        let mut command = words(&[&example.to_string_lossy()]);
        command.extend(on_user_manager().then(|| user.to_owned()));
        command.extend(words(&["--wait", "-q", "--collect", PROGRAM]));
        contenders.push(process(command));
    }
    if let Some(floor) = &programs.floor {
        contenders.push(process(words(&[&floor.0.join("floor").to_string_lossy(), "bus", "1", "1", PROGRAM])));
    }
    let mut order = Order::of(contenders.len());
    let plan = Plan { rounds: plan.rounds.div_ceil(COUNTED), ..plan };
    for counts in plan.rounds(1) {
        for who in order.next_round() {
            let Contender { kind, samples } = &mut contenders[who];
            for number in 0..IN_A_ROW {
                // The manager comes to rest, and the drivers read what the last one made it send.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let took = match kind {
                    Kind::Process(words) => run(words)?,
                    Kind::Warm(manager) => warm::sdrun(manager, Scope::Thread).await?.0,
                };
                if counts && number > 0 {
                    samples.push(took);
                }
            }
        }
    }
    let mut samples = contenders.into_iter().map(|contender| contender.samples);
    let mut next = || samples.next().unwrap_or_default();
    Ok(Whole {
        systemd_run: next(),
        again: next(),
        warm_bus: next(),
        warm_private: next(),
        cold: programs.example.as_ref().map(|_| next()),
        floor: programs.floor.as_ref().map(|_| next()),
    })
}

fn run(words: &[String]) -> Result<Duration> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(|error| format!("{}: {error}", words[0]))?;
    let took = begun.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{words:?}: {status}").into()) }
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

/// The folder of a program that was compiled for now.
pub struct Compiled(PathBuf);

impl Compiled {
    /// floor.c, from the folder beside the checkout that the project's measurements share.
    fn floor() -> Result<Self> {
        if on_user_manager() {
            return Err("it knows the system manager only".into());
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/floor/floor.c");
        if !source.is_file() {
            return Err(format!("there is no {}", source.display()).into());
        }
        let folder = std::env::temp_dir().join(format!("sdrun-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let compiled = Compiled(folder);
        let built = Command::new("cc")
            .arg("-O2")
            .arg(&source)
            .arg("-o")
            .arg(compiled.0.join("floor"))
            .arg("-lsystemd")
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("cc: {error}"))?;
        if built.success() { Ok(compiled) } else { Err(format!("cc: {built}").into()) }
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // It is below the temporary folder, which is cleared anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
