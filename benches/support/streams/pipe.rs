//! A unit's standard output, through a pipe, against that of a child of tokio's.

use std::process::Stdio;

use sdrun::Manager;

use super::super::part::{Part, Target};
use super::super::stats::Samples;
use super::super::warm::Runtime;
use super::super::{Plan, Result};
use super::{OVERDUE, Process, Producer, Session, Stream, Turns, child, faster, producer, rounds, tabulate};

/// 1 GiB each.
const TURNS: Turns = Turns { unmeasured: 2 << 20, measured: 32 << 20, turns: 32 };

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
    let samples = runtime.run(plan.at_most + OVERDUE, move |_| rounds(&ALL, TURNS, plan, start))?;
    let [unit, unit_again, tokio, tokio_again, own, own_again, bare_unit, bare, bare_own] = &samples[..] else {
        return Err("not as many as there are".into());
    };
    let title = format!("1 GiB through a pipe, read in blocks of 64 KiB on a {} runtime:", runtime.name());
    tabulate(part, &title, &ALL, TURNS, &samples);
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

async fn start(who: Who, manager: &Manager) -> Result<Producer> {
    let bytes = TURNS.bytes();
    let (stream, process) = match who {
        Who::Sdrun | Who::BareUnit => {
            let [program, arguments @ ..] = producer(bytes)?;
            let mut command = sdrun::Command::new(program);
            command.args(arguments).stdout(sdrun::Stdio::piped()).collect(true);
            let mut unit = command.start(manager).await?;
            let pipe = unit.stdout.take().expect("it is piped");
            let stream = match who {
                Who::Sdrun => Stream::Async(Box::pin(pipe)),
                _ => Stream::Bare(pipe.into_owned_fd()?),
            };
            (stream, Process::Unit(Box::new(unit)))
        }
        Who::Tokio(session) => {
            let mut command = tokio::process::Command::from(child(bytes, session)?);
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            let pipe = child.stdout.take().expect("it is piped");
            (Stream::Async(Box::pin(pipe)), Process::Tokio(Box::new(child)))
        }
        Who::BareChild(session) => {
            let mut child = child(bytes, session)?.stdout(Stdio::piped()).spawn()?;
            let pipe = child.stdout.take().expect("it is piped");
            (Stream::Bare(pipe.into()), Process::Child(child))
        }
    };
    Ok(Producer { stream, process, samples: Samples::default() })
}
