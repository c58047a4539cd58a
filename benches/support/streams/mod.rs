//! What goes through a unit's streams, and how fast a child is in its scope.

pub mod first;
pub mod output;
pub mod pipe;
pub mod pty;
pub mod scope;

use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;
use sdrun::Manager;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::part::Part;
use super::stats::{Order, Samples};
use super::{Plan, Result, Way};

/// What the reading loops read at a time, and the producer writes.
pub const BLOCK: usize = 64 * 1024;

/// The argument that makes this program the producer.
pub const PRODUCE: &str = "--produce";

/// Writes so many bytes to standard output: lines of 64.
pub fn produce(bytes: u64) -> std::io::Result<()> {
    // SAFETY: standard output is open, and nothing else here writes to it.
    let mut output = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(1) });
    let line = [[b'x'; 63].as_slice(), b"\n"].concat();
    let block = line.repeat(BLOCK / line.len());
    for _ in 0..bytes / BLOCK as u64 {
        output.write_all(&block)?;
    }
    Ok(())
}

/// The producer's program and its arguments.
fn producer(bytes: u64) -> Result<[String; 3]> {
    let program = std::env::current_exe()?.into_os_string().into_string().map_err(|_| "the path is no UTF-8")?;
    Ok([program, PRODUCE.into(), bytes.to_string()])
}

/// Where a child runs, as far as the scheduler looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// In ours.
    Same,
    /// In one of its own, as every unit is: with autogroups (`sched(7)`) it shares the processors as a group of its own.
    Own,
}

/// The producer as a child.
fn child(bytes: u64, session: Session) -> Result<Command> {
    let [program, arguments @ ..] = producer(bytes)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    // In both, so that the way in which it is spawned is the same.
    let before_exec = move || {
        if session == Session::Own {
            // SAFETY: no argument, and async-signal-safe.
            unsafe { libc::setsid() };
        }
        Ok(())
    };
    // SAFETY: it calls one function, which is async-signal-safe.
    unsafe { command.pre_exec(before_exec) };
    Ok(command)
}

/// What is read from.
enum Stream {
    /// With tokio's `read`.
    Async(Pin<Box<dyn AsyncRead + Send>>),
    /// With read(2), which waits.
    Bare(OwnedFd),
}

impl Stream {
    async fn read(&mut self, block: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Async(stream) => stream.read(block).await,
            Stream::Bare(fd) => Ok(nix::unistd::read(fd, block)?),
        }
    }

    /// Reads that many bytes.
    async fn skip(&mut self, block: &mut [u8], bytes: u64) -> Result<()> {
        let mut got = 0;
        while got < bytes {
            // Not more than that, so that what is timed begins and ends where it should.
            let most = block.len().min((bytes - got).try_into()?);
            match self.read(&mut block[..most]).await? {
                0 => return Err(format!("an end after {got} bytes of {bytes}").into()),
                read => got += read as u64,
            }
        }
        Ok(())
    }
}

/// One of those that are compared.
struct Producer {
    stream: Stream,
    /// What is waited for when all was read.
    process: Process,
    samples: Samples,
}

enum Process {
    Unit(Box<sdrun::Unit>),
    Child(std::process::Child),
    Tokio(Box<tokio::process::Child>),
}

impl Process {
    async fn wait(self) -> Result<()> {
        match self {
            Process::Unit(unit) => unit.wait().await?.check()?,
            Process::Child(mut child) => drop(child.wait()?),
            Process::Tokio(mut child) => drop(child.wait().await?),
        }
        Ok(())
    }
}

/// How much of one stream is read before it is the next one's turn, so that what else happens on the machine happens to
/// all; and how often.
#[derive(Debug, Clone, Copy)]
struct Turns {
    /// Without its clock: the pipe was full, since nobody had read it.
    unmeasured: u64,
    measured: u64,
    turns: u64,
}

impl Turns {
    const fn bytes(self) -> u64 {
        (self.unmeasured + self.measured) * self.turns
    }
}

/// One round of it may take so long on a busy machine, whatever was planned.
const OVERDUE: Duration = Duration::from_secs(300);

/// Reads all streams to their end, by turns.
async fn read(mut producers: Vec<Producer>, turns: Turns) -> Result<Vec<Samples>> {
    let mut block = vec![0; BLOCK];
    let mut order = Order::of(producers.len());
    for _ in 0..turns.turns {
        for at in order.next_round() {
            let Producer { stream, samples, .. } = &mut producers[at];
            stream.skip(&mut block, turns.unmeasured).await?;
            let begun = Instant::now();
            stream.skip(&mut block, turns.measured).await?;
            samples.push(begun.elapsed());
        }
    }
    let mut all = Vec::new();
    for Producer { stream, process, samples } in producers {
        process.wait().await?;
        // Not before: a terminal is hung up then.
        drop(stream);
        all.push(samples);
    }
    Ok(all)
}

/// Has each of these produce, and reads them by turns, in the rounds that there is time for.
async fn rounds<W: Copy>(
    all: &[(&str, W)],
    turns: Turns,
    plan: Plan,
    start: impl AsyncFn(W, &Manager) -> Result<Producer>,
) -> Result<Vec<Samples>> {
    let manager = Manager::builder().transport(Way::Bus.transport()).connect().await?;
    let mut samples: Vec<_> = all.iter().map(|_| Samples::default()).collect();
    for counts in plan.rounds(0) {
        let mut producers = Vec::new();
        for &(_, who) in all {
            producers.push(start(who, &manager).await?);
        }
        let found = read(producers, turns).await?;
        if counts {
            samples.iter_mut().zip(found).for_each(|(all, more)| all.extend(more));
        }
    }
    Ok(samples)
}

/// A paragraph and a table of them.
fn tabulate<W>(part: &mut Part, title: &str, all: &[(&str, W)], turns: Turns, samples: &[Samples]) {
    let rows = all.iter().zip(samples).map(|((name, _), samples)| row(name, turns.measured, samples));
    part.paragraph(title);
    part.table(&HEAD, &rows.collect::<Vec<_>>());
}

/// How much faster one is than another.
fn faster(one: &Samples, than: &Samples) -> f64 {
    than.over(one, 0.5)
}

/// The head of a table of [`row`]s.
const HEAD: [&str; 3] = ["producer and reader", "MiB/s, p50", "quickest tenth"];

fn row(name: &str, bytes: u64, samples: &Samples) -> Vec<String> {
    let mib = bytes as f64 / f64::from(1 << 20);
    let rate = |q| format!("{:.0}", mib / samples.quantile(q).as_secs_f64());
    vec![name.into(), rate(0.5), rate(0.1)]
}

/// The head of a table of [`micros`].
const HEAD_MICROS: [&str; 4] = ["what", "p10 µs", "p50 µs", "p90 µs"];

fn micros(name: &str, samples: &Samples) -> Vec<String> {
    let of = |q| format!("{:.0}", samples.quantile(q).as_secs_f64() * 1e6);
    vec![name.into(), of(0.1), of(0.5), of(0.9)]
}
