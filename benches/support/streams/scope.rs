//! From `scope()` to the first instruction of the program, against a child that the least client puts into a scope.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use sdrun::Manager;
use tokio::io::AsyncReadExt;

use super::super::floor::Floor;
use super::super::part::{Part, Target};
use super::super::stats::{Order, Samples};
use super::super::warm::{Gate, Runtime, settle};
use super::super::{Plan, Result, Way};
use super::first::{self, First};
use super::{HEAD_MICROS, micros};

/// Rounds that are not counted.
const WARM_UP: usize = 10;

/// Each until the program's first instruction.
#[derive(Debug, Default)]
struct Found {
    sdrun: Samples,
    sdrun_again: Samples,
    /// The least client, its child included.
    floor: Samples,
    floor_again: Samples,
    /// The part of the floor in which it waits for the manager, …
    manager: Samples,
    /// … and the rest: to fork a child, to release it, and until its first instruction.
    fork: Samples,
    /// A child of tokio's without any scope.
    tokio: Samples,
}

pub fn measure(part: &mut Part, way: Way, runtime: Runtime, plan: Plan) -> Result<()> {
    let found = runtime.run(plan.overdue(), move |gate| alternate(way, gate, plan))?;
    let rows = [
        ("`Command::scope()`", &found.sdrun),
        ("the same, again", &found.sdrun_again),
        ("the least client", &found.floor),
        ("the same, again", &found.floor_again),
        ("of that, the manager", &found.manager),
        ("of that, fork, release and exec", &found.fork),
        ("`tokio::process`, no scope", &found.tokio),
    ];
    let rows = rows.map(|(name, samples)| micros(name, samples));
    part.paragraph(&format!(
        "A child in a scope, to its first instruction, {}, {} runtime:",
        way.name(),
        runtime.name()
    ));
    part.table(&HEAD_MICROS, &rows);
    let suffix = way.suffix().to_owned() + runtime.suffix();
    let mut figure =
        |name: &str, value, target, noise| part.figure(&format!("{name}{suffix}"), value, "x", target, noise);
    let over = |samples: &Samples, q| samples.over(&found.floor, q);
    let again = &found.floor_again;
    figure("scope_over_fork_p50", over(&found.sdrun, 0.5), Target::AtMost(1.1), Some(over(again, 0.5)));
    figure("scope_over_fork_p10", over(&found.sdrun, 0.1), Target::None, Some(over(again, 0.1)));
    // What is left when the manager's part is taken away: a small difference of large numbers, of which those of the
    // quickest tenth are the steadiest.
    let rest = |samples: &Samples| samples.quantile(0.1).as_secs_f64() - found.manager.quantile(0.1).as_secs_f64();
    let fork = found.fork.quantile(0.1).as_secs_f64();
    figure("scope_without_manager_over_fork_p10", rest(&found.sdrun) / fork, Target::None, Some(rest(again) / fork));
    Ok(())
}

async fn alternate(way: Way, gate: Arc<Gate>, plan: Plan) -> Result<Found> {
    let manager = Manager::builder().transport(way.transport()).connect().await?;
    let mut floors = [Floor::open(way, "a")?, Floor::open(way, "b")?];
    let program = First::make()?;
    let mut found = Found::default();
    let mut order = Order::of(5);
    for counts in plan.rounds(WARM_UP) {
        for who in order.next_round() {
            settle(&manager, &mut floors).await?;
            match who {
                0 | 1 => {
                    let took = sdrun(&manager, &program).await?;
                    if counts {
                        [&mut found.sdrun, &mut found.sdrun_again][who].push(took);
                    }
                }
                2 | 3 => {
                    let (took, manager) = {
                        let _shut = gate.shut();
                        floor(&mut floors[who - 2], &program)?
                    };
                    if counts {
                        [&mut found.floor, &mut found.floor_again][who - 2].push(took);
                        found.manager.push(manager);
                        found.fork.push(took - manager);
                    }
                }
                _ => {
                    let took = tokio(&program).await?;
                    if counts {
                        found.tokio.push(took);
                    }
                }
            }
        }
    }
    Ok(found)
}

async fn sdrun(manager: &Manager, program: &First) -> Result<Duration> {
    let begun = first::now()?;
    let mut command = sdrun::Command::new(program.path());
    let mut scoped = command.stdout(sdrun::Stdio::piped()).collect(true).scope().start(manager).await?;
    let mut bytes = [0; first::SIZE];
    scoped.child.stdout.take().expect("it is piped").read_exact(&mut bytes).await?;
    scoped.child.wait().await?;
    scoped.unit.await?;
    Ok(first::when(bytes) - begun)
}

fn floor(floor: &mut Floor, program: &First) -> Result<(Duration, Duration)> {
    let begun = first::now()?;
    let path = CString::new(program.path().as_os_str().as_bytes())?;
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    let enclosed = floor.scope(&path, &writing)?;
    drop(writing);
    let mut bytes = [0; first::SIZE];
    nix::unistd::read(&reading, &mut bytes)?;
    let manager = enclosed.manager;
    enclosed.reap()?;
    Ok((first::when(bytes) - begun, manager))
}

async fn tokio(program: &First) -> Result<Duration> {
    let begun = first::now()?;
    let mut child = tokio::process::Command::new(program.path()).stdout(Stdio::piped()).spawn()?;
    let mut bytes = [0; first::SIZE];
    child.stdout.take().expect("it is piped").read_exact(&mut bytes).await?;
    child.wait().await?;
    Ok(first::when(bytes) - begun)
}
