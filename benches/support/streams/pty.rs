//! A unit's terminal, against a bare read loop on one.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sdrun::Manager;
use sdrun_sys::terminal::{open_master, open_peer};

use super::super::part::{Part, Target};
use super::super::stats::{Order, Samples};
use super::super::warm::Runtime;
use super::super::{Plan, Result, Way};
use super::{Session, child, faster, producer, rate, read_async, read_bare};

const WRITTEN: u64 = 256 << 20;
/// Each line of 64 bytes has a carriage return more when it is read.
const READ: u64 = WRITTEN / 64 * 65;

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
    let samples = runtime.run(plan, move |_| alternate(plan))?;
    let [unit, bare, bare_again, own, own_again, bare_unit] = &samples[..] else {
        return Err("not as many as there are".into());
    };
    let rows = ALL.iter().zip(&samples).map(|((name, _), samples)| vec![(*name).into(), rate(READ, samples)]);
    part.paragraph(&format!("256 MiB through a pseudo-terminal, read on a {} runtime:", runtime.name()));
    part.table(&["producer and reader", "MiB/s"], &rows.collect::<Vec<_>>());
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

async fn alternate(plan: Plan) -> Result<Vec<Samples>> {
    let manager = Manager::builder().transport(Way::Bus.transport()).connect().await?;
    let mut samples: Vec<_> = ALL.iter().map(|_| Samples::default()).collect();
    let mut order = Order::of(ALL.len());
    for counts in plan.rounds(1) {
        for at in order.next_round() {
            let took = match ALL[at].1 {
                Who::Sdrun => sdrun(&manager).await?,
                Who::BareUnit => bare_unit(&manager).await?,
                Who::Bare(session) => bare(session)?,
            };
            if counts {
                samples[at].push(took);
            }
        }
    }
    Ok(samples)
}

async fn sdrun(manager: &Manager) -> Result<Duration> {
    let [program, arguments @ ..] = producer(WRITTEN)?;
    let mut unit = sdrun::Command::new(program).args(arguments).pty().collect(true).start(manager).await?;
    let pty = unit.pty.take().expect("asked for");
    // Not dropped before the end: that hangs the terminal up.
    let mut pty = pty;
    let took = read_async(&mut pty, READ).await?;
    unit.wait().await?.check()?;
    Ok(took)
}

/// The unit has the slave as its standard output, so that it is the same for it.
async fn bare_unit(manager: &Manager) -> Result<Duration> {
    let (master, slave) = open()?;
    let [program, arguments @ ..] = producer(WRITTEN)?;
    let mut command = sdrun::Command::new(program);
    let unit = command.args(arguments).stdout(slave).collect(true).start(manager).await?;
    let took = read_bare(&master, READ)?;
    unit.wait().await?.check()?;
    Ok(took)
}

fn bare(session: Session) -> Result<Duration> {
    let (master, slave) = open()?;
    let mut child = child(WRITTEN, session)?.stdout(slave).spawn()?;
    let took = read_bare(&master, READ)?;
    child.wait()?;
    Ok(took)
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
