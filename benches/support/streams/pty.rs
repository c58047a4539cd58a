//! A unit's terminal, against a bare read loop on one.

use std::os::fd::{AsFd, OwnedFd};

use sdrun::Manager;
use sdrun_sys::terminal::{open_master, open_peer};

use super::super::part::{Part, Target};
use super::super::stats::Samples;
use super::super::warm::Runtime;
use super::super::{Plan, Result};
use super::{BLOCK, OVERDUE, Process, Producer, Session, Stream, Turns, child, faster, producer, rounds, tabulate};

/// 256 MiB each.
const TURNS: Turns = Turns { unmeasured: 65 * BLOCK as u64 / 64, measured: 65 << 16, turns: 64 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Sdrun,
    Bare(Session),
    /// read(2) on the terminal of a unit.
    BareUnit,
}

const ALL: [(&str, Who); 6] = [
    ("unit, sdrun", Who::Sdrun),
    ("child, read(2)", Who::Bare(Session::Same)),
    ("child, read(2), again", Who::Bare(Session::Same)),
    ("child in a session of its own, read(2)", Who::Bare(Session::Own)),
    ("child in a session of its own, read(2), again", Who::Bare(Session::Own)),
    ("unit, read(2)", Who::BareUnit),
];

pub fn measure(part: &mut Part, runtime: Runtime, plan: Plan) -> Result<()> {
    let samples = runtime.run(plan.at_most + OVERDUE, move |_| rounds(&ALL, TURNS, plan, start))?;
    let [unit, bare, bare_again, own, own_again, bare_unit] = &samples[..] else {
        return Err("not as many as there are".into());
    };
    let title = format!("256 MiB through a pseudo-terminal, read on a {} runtime:", runtime.name());
    tabulate(part, &title, &ALL, TURNS, &samples);
    let suffix = runtime.suffix();
    let mut figure = |name: &str, one, than, target, noise| {
        part.figure(&format!("{name}{suffix}"), faster(one, than), "x", target, noise);
    };
    let target = Target::AtLeast(0.9);
    figure("pty_throughput_over_cat", unit, bare, target, Some(faster(bare_again, bare)));
    figure("pty_throughput_over_cat_own_session", unit, own, target, Some(faster(own_again, own)));
    figure("pty_bare_unit_over_cat", bare_unit, bare, Target::None, None);
    Ok(())
}

async fn start(who: Who, manager: &Manager) -> Result<Producer> {
    // Each line of 64 bytes has a carriage return more when it is read.
    let written = TURNS.bytes() / 65 * 64;
    let (stream, process) = match who {
        Who::Sdrun => {
            let [program, arguments @ ..] = producer(written)?;
            let mut unit = sdrun::Command::new(program).args(arguments).pty().collect(true).start(manager).await?;
            let pty = unit.pty.take().expect("asked for");
            (Stream::Async(Box::pin(pty)), Process::Unit(Box::new(unit)))
        }
        Who::BareUnit => {
            let (master, slave) = open()?;
            let [program, arguments @ ..] = producer(written)?;
            let mut command = sdrun::Command::new(program);
            let unit = command.args(arguments).stdout(slave).collect(true).start(manager).await?;
            (Stream::Bare(master), Process::Unit(Box::new(unit)))
        }
        Who::Bare(session) => {
            let (master, slave) = open()?;
            let child = child(written, session)?.stdout(slave).spawn()?;
            (Stream::Bare(master), Process::Child(child))
        }
    };
    Ok(Producer { stream, process, samples: Samples::default() })
}

/// Master and slave; reading waits.
fn open() -> Result<(OwnedFd, OwnedFd)> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let master = open_master()?;
    let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
    fcntl(&master, FcntlArg::F_SETFL(flags & !OFlag::O_NONBLOCK))?;
    let slave = open_peer(master.as_fd())?;
    Ok((master, slave))
}
