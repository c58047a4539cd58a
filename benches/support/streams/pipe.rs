//! A unit's standard output, through a pipe, against that of a child of tokio's.

use std::process::Stdio;
use std::time::Duration;

use sdrun::Manager;

use super::super::part::{Part, Target};
use super::super::stats::{Order, Samples};
use super::super::warm::Runtime;
use super::super::{Plan, Result, Way};
use super::{Session, child, faster, producer, rate, read_async, read_bare};

const BYTES: u64 = 1 << 30;

/// Who produces, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Sdrun,
    Tokio(Session),
    /// read(2) on the same pipes, which shows what the surroundings of the producer are worth.
    BareUnit,
    BareChild(Session),
}

const ALL: [(&str, Who); 9] = [
    ("unit, sdrun", Who::Sdrun),
    ("unit, sdrun, again", Who::Sdrun),
    ("child, tokio", Who::Tokio(Session::Same)),
    ("child, tokio, again", Who::Tokio(Session::Same)),
    ("child in a session of its own, tokio", Who::Tokio(Session::Own)),
    ("child in a session of its own, tokio, again", Who::Tokio(Session::Own)),
    ("unit, read(2)", Who::BareUnit),
    ("child, read(2)", Who::BareChild(Session::Same)),
    ("child in a session of its own, read(2)", Who::BareChild(Session::Own)),
];

pub fn measure(part: &mut Part, runtime: Runtime, plan: Plan) -> Result<()> {
    let samples = runtime.run(plan, move |_| alternate(plan))?;
    let [unit, unit_again, tokio, tokio_again, own, own_again, bare_unit, bare, bare_own] = &samples[..] else {
        return Err("not as many as there are".into());
    };
    let rows = ALL.iter().zip(&samples).map(|((name, _), samples)| vec![(*name).into(), rate(BYTES, samples)]);
    part.paragraph(&format!("1 GiB through a pipe, read in blocks of 64 KiB on a {} runtime:", runtime.name()));
    part.table(&["producer and reader", "MiB/s"], &rows.collect::<Vec<_>>());
    let suffix = runtime.suffix();
    let mut figure = |name: &str, one, than, target, noise| {
        part.figure(&format!("{name}{suffix}"), faster(one, than), "x", target, noise);
    };
    let target = Target::AtLeast(0.95);
    figure("pipe_throughput_over_tokio", unit, tokio, target, Some(faster(tokio_again, tokio)));
    figure("pipe_throughput_over_tokio_own_session", unit, own, target, Some(faster(own_again, own)));
    figure("pipe_tokio_own_session_over_tokio", own, tokio, Target::None, Some(faster(unit_again, unit)));
    figure("pipe_bare_unit_over_bare_child", bare_unit, bare, Target::None, None);
    figure("pipe_bare_unit_over_bare_own_session", bare_unit, bare_own, Target::None, None);
    Ok(())
}

async fn alternate(plan: Plan) -> Result<Vec<Samples>> {
    let manager = Manager::builder().transport(Way::Bus.transport()).connect().await?;
    let mut samples: Vec<_> = ALL.iter().map(|_| Samples::default()).collect();
    let mut order = Order::of(ALL.len());
    for counts in plan.rounds(1) {
        for at in order.next_round() {
            let took = one(ALL[at].1, &manager).await?;
            if counts {
                samples[at].push(took);
            }
        }
    }
    Ok(samples)
}

async fn one(who: Who, manager: &Manager) -> Result<Duration> {
    match who {
        Who::Sdrun | Who::BareUnit => {
            let [program, arguments @ ..] = producer(BYTES)?;
            let mut command = sdrun::Command::new(program);
            command.args(arguments).stdout(sdrun::Stdio::piped()).collect(true);
            let mut unit = command.start(manager).await?;
            let pipe = unit.stdout.take().expect("it is piped");
            let took = match who {
                Who::Sdrun => read_async(pipe, BYTES).await?,
                _ => read_bare(pipe.into_owned_fd()?, BYTES)?,
            };
            unit.wait().await?.check()?;
            Ok(took)
        }
        Who::Tokio(session) => {
            let mut command = tokio::process::Command::from(child(BYTES, session)?);
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            let took = read_async(child.stdout.take().expect("it is piped"), BYTES).await?;
            child.wait().await?;
            Ok(took)
        }
        Who::BareChild(session) => {
            let mut child = child(BYTES, session)?.stdout(Stdio::piped()).spawn()?;
            let took = read_bare(child.stdout.take().expect("it is piped"), BYTES)?;
            child.wait()?;
            Ok(took)
        }
    }
}
