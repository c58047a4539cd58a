//! What goes through a unit's streams, and how fast a child is in its scope.

pub mod first;
pub mod output;
pub mod pipe;
pub mod pty;
pub mod scope;

use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::libc;

use super::Result;
use super::stats::Samples;

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

/// Reads that many bytes, and says how long it took from the first ones on.
async fn read_async(mut from: impl tokio::io::AsyncRead + Unpin, bytes: u64) -> Result<Duration> {
    use tokio::io::AsyncReadExt as _;

    let mut block = vec![0; BLOCK];
    let mut got = from.read(&mut block).await? as u64;
    let begun = std::time::Instant::now();
    while got < bytes {
        match from.read(&mut block).await? {
            0 => return Err(format!("an end after {got} bytes of {bytes}").into()),
            read => got += read as u64,
        }
    }
    Ok(begun.elapsed())
}

/// The same with nothing but read(2), which waits.
fn read_bare(from: impl AsFd, bytes: u64) -> Result<Duration> {
    let mut block = vec![0; BLOCK];
    let mut got = nix::unistd::read(&from, &mut block)? as u64;
    let begun = std::time::Instant::now();
    while got < bytes {
        match nix::unistd::read(&from, &mut block)? {
            0 => return Err(format!("an end after {got} bytes of {bytes}").into()),
            read => got += read as u64,
        }
    }
    Ok(begun.elapsed())
}

/// How much faster one is than another.
fn faster(one: &Samples, than: &Samples) -> f64 {
    than.over(one, 0.5)
}

fn rate(bytes: u64, samples: &Samples) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20) / samples.p50().as_secs_f64())
}
