//! A unit's whole output, against the least client whose pipes tokio reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use sdrun::{Manager, Stdio};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use super::super::floor::Floor;
use super::super::part::{Part, Target};
use super::super::stats::{Order, Samples};
use super::super::warm::{Gate, Runtime, settle};
use super::super::{PROGRAM, Plan, Result, Way};
use super::{HEAD_MICROS, micros};

/// Rounds that are not counted.
const WARM_UP: usize = 10;

#[derive(Debug, Default)]
struct Found {
    sdrun: Samples,
    floor: Samples,
    floor_again: Samples,
}

pub fn measure(part: &mut Part, way: Way, runtime: Runtime, plan: Plan) -> Result<()> {
    let found = runtime.run(plan.overdue(), move |gate| alternate(way, gate, plan))?;
    let rows = [("`output()`", &found.sdrun), ("floor", &found.floor), ("floor, again", &found.floor_again)];
    let rows = rows.map(|(name, samples)| micros(name, samples));
    part.paragraph(&format!("`output()` of {PROGRAM}, {}, {} runtime:", way.name(), runtime.name()));
    part.table(&HEAD_MICROS, &rows);
    let suffix = way.suffix().to_owned() + runtime.suffix();
    let mut figure = |name: &str, q, target| {
        let ratio = |samples: &Samples| samples.over(&found.floor, q);
        part.figure(&format!("{name}{suffix}"), ratio(&found.sdrun), "x", target, Some(ratio(&found.floor_again)));
    };
    figure("output_over_tokio_warm", 0.5, Target::AtMost(1.05));
    figure("output_over_tokio_warm_p10", 0.1, Target::None);
    Ok(())
}

async fn alternate(way: Way, gate: Arc<Gate>, plan: Plan) -> Result<Found> {
    let manager = Manager::builder().transport(way.transport()).connect().await?;
    let mut floors = [Floor::open(way, "a")?, Floor::open(way, "b")?];
    let mut found = Found::default();
    let mut order = Order::of(3);
    for counts in plan.rounds(WARM_UP) {
        for who in order.next_round() {
            settle(&manager, &mut floors).await?;
            let took = match who {
                0 => sdrun(way, &manager).await?,
                _ => floor(&mut floors[who - 1], &gate).await?,
            };
            if counts {
                [&mut found.sdrun, &mut found.floor, &mut found.floor_again][who].push(took);
            }
        }
    }
    Ok(found)
}

async fn sdrun(way: Way, manager: &Manager) -> Result<Duration> {
    let begun = Instant::now();
    let mut command = sdrun::Command::new(PROGRAM);
    let output = match way {
        Way::Bus => command.collect(true).output().await?,
        // By hand what `output()` does, which knows the default manager only.
        Way::Private => {
            command.collect(true).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.start(manager).await?.wait_with_output().await?
        }
    };
    let took = begun.elapsed();
    output.status.check()?;
    Ok(took)
}

async fn floor(floor: &mut Floor, gate: &Gate) -> Result<Duration> {
    let begun = Instant::now();
    let ((out, their_out), (err, their_err)) = (pipe2(OFlag::O_CLOEXEC)?, pipe2(OFlag::O_CLOEXEC)?);
    let (mut out, mut err) = (Receiver::from_owned_fd(out)?, Receiver::from_owned_fd(err)?);
    {
        let _shut = gate.shut();
        floor.run_with_outputs([their_out, their_err])?;
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    tokio::try_join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr))?;
    Ok(begun.elapsed())
}
