//! Limits that bite and accounts that are right, which takes all of the kernel's cgroup controllers: `make vm` runs this in
//! whole machines (tests/vm/run). Elsewhere everything here is ignored.
//!
//! What a unit does is done by this very program, which then says what it has done by its own account.

mod support;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sdrun::{Command, Exit, Manager, Outcome, Scope, Status, Stdio, Usage, Value};
use support::{managers, soon};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const MIB: u64 = 1 << 20;

/// The arguments of this program that have it do what `SDRUN_TEST_DOES` says.
const PROGRAM: [&str; 5] = ["program", "--exact", "--ignored", "--nocapture", "--test-threads=1"];

/// The limits that users may set too, on the user bus and the user manager's private socket.
#[test]
#[ignore = "needs a whole machine (make vm)"]
fn again_as_user() {
    if support::is_root() {
        let status =
            support::as_user(&["--ignored", "--test-threads=1", "--color=never", "--show-output", "--skip", "as_user"])
                .status()
                .unwrap();
        assert!(status.success(), "as an ordinary user: {status}");
    }
}

// ------------------------------------------------------------------ the program in the unit

/// What the unit does: the test's own work, named by `SDRUN_TEST_DOES`.
#[test]
#[ignore = "run by the other tests, in a unit"]
fn program() {
    let Ok(does) = std::env::var("SDRUN_TEST_DOES") else { return };
    let mut words = does.split(' ');
    let mut next = || words.next().expect("another word");
    let what = next();
    let amount: u64 = next().parse().unwrap();
    let begun = Instant::now();
    match what {
        "touch" => touch(amount),
        "threads" => threads(amount),
        "burn" => burn(Duration::from_millis(amount)),
        "write" => write(amount, next()),
        "read" => read(amount, next()),
        "send" => send(amount),
        other => panic!("what is {other}?"),
    }
    let wall = begun.elapsed();
    println!("\nwall {}", wall.as_nanos());
    for line in own_file("cpu.stat").lines() {
        println!("{line}");
    }
    println!("cpu {}", own_cpu().as_nanos());
}

/// CPU time of this process.
fn own_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

/// A file of this process's cgroup.
fn own_file(name: &str) -> String {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let group = groups.trim_end().strip_prefix("0::").expect("cgroup v2 alone");
    std::fs::read_to_string(format!("/sys/fs/cgroup{group}/{name}")).unwrap_or_default()
}

/// Has this many MiB of memory at once.
fn touch(mib: u64) {
    let mut memory = vec![0u8; (mib * MIB) as usize];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    println!("\ntouched {}", std::hint::black_box(&memory).len());
}

/// Starts threads until there may be no more, or this many.
fn threads(most: u64) {
    let barrier = std::sync::Arc::new(std::sync::Mutex::new(()));
    let held = barrier.lock().unwrap();
    let mut threads = Vec::new();
    while (threads.len() as u64) < most {
        let barrier = barrier.clone();
        let wait = move || drop(barrier.lock());
        match std::thread::Builder::new().stack_size(64 << 10).spawn(wait) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(nix::libc::EAGAIN), "{error}");
                break;
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    println!("\nthreads {}", count.trim());
    drop(held);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Works until it has had this much CPU time.
fn burn(time: Duration) {
    while own_cpu() < time {
        std::hint::black_box((0..10_000u64).fold(0, |sum, n| sum ^ n.wrapping_mul(sum + n)));
    }
}

/// A file that is transferred past the page cache, and a MiB where the kernel wants it for that.
fn direct(options: &mut OpenOptions, path: &str) -> (std::fs::File, &'static mut [u8]) {
    let memory = vec![7; 2 * MIB as usize].leak();
    let aligned = memory.as_ptr().align_offset(4096);
    (options.custom_flags(nix::libc::O_DIRECT).open(path).unwrap(), &mut memory[aligned..][..MIB as usize])
}

/// Writes a file of this many MiB.
fn write(mib: u64, path: &str) {
    let (mut file, block) = direct(OpenOptions::new().write(true).create(true).truncate(true), path);
    (0..mib).for_each(|_| file.write_all(block).unwrap());
}

/// Reads this many MiB of a file.
fn read(mib: u64, path: &str) {
    let (mut file, block) = direct(OpenOptions::new().read(true), path);
    (0..mib).for_each(|_| file.read_exact(block).unwrap());
}

/// Sends this many MiB over the loopback interface, to itself.
fn send(mib: u64) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut receiver = listener.accept().unwrap().0;
    let reader = std::thread::spawn(move || std::io::copy(&mut receiver, &mut std::io::sink()).unwrap());
    for _ in 0..mib {
        sender.write_all(&[7; MIB as usize]).unwrap();
    }
    drop(sender);
    assert_eq!(reader.join().unwrap(), mib * MIB);
}

// ------------------------------------------------------------------ what the tests share

/// A service, by its name, whose program does this.
fn doing(what: &str) -> Command {
    assert!(std::env::var_os("SDRUN_IN_VM").is_some(), "only in a machine of its own: make vm");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(PROGRAM);
    command.env("SDRUN_TEST_DOES", what).usage(true).collect(true);
    command
}

/// How it ended, and what its program said of itself.
async fn run(manager: &Manager, command: &mut Command) -> (Exit, HashMap<String, u64>) {
    let unit = command.stdout(Stdio::piped()).start(manager).await.unwrap();
    let output = soon("the unit", unit.wait_with_output()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| Some((line.split_once(' ')?.0.to_owned(), line.split_once(' ')?.1.parse().ok()?));
    (output.status, text.lines().filter_map(words).collect())
}

/// The same, where it is to succeed.
async fn done(manager: &Manager, command: &mut Command) -> (Usage, Exit, HashMap<String, u64>) {
    let (exit, said) = run(manager, command).await;
    assert!(exit.success(), "{exit:?} {said:?}");
    (exit.usage.expect("a usage"), exit, said)
}

#[track_caller]
fn within_ten_percent(what: &str, counted: u64, did: u64) {
    eprintln!("vm: {what}: counted {counted}, did {did} ({:+.1} %)", (counted as f64 / did as f64 - 1.0) * 100.0);
    assert!(counted.abs_diff(did) <= did / 10, "{what}: counted {counted}, did {did}");
}

/// What only systems that are new enough count.
fn counts_memory() -> bool {
    support::systemd_version() >= 256
}

// ------------------------------------------------------------------ accounts

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn cpu_time_is_what_the_program_measured() {
    for (transport, manager) in managers().await {
        let (usage, _, said) = done(&manager, &mut doing("burn 8000")).await;
        let counted = usage.cpu.expect("CPU time").as_nanos() as u64;
        within_ten_percent(&format!("{transport}: ns of CPU"), counted, said["cpu"]);
    }
}

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn the_memory_peak_is_what_the_program_had() {
    for (transport, manager) in managers().await {
        let (usage, _, said) = done(&manager, &mut doing("touch 256")).await;
        if !counts_memory() {
            assert_eq!(usage.memory_peak, None);
            continue;
        }
        within_ten_percent(&format!("{transport}: bytes of memory"), usage.memory_peak.unwrap(), said["touched"]);
    }
}

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn io_is_what_the_program_transferred() {
    if !support::is_root() {
        return; // a user manager has no io controller
    }
    for (transport, manager) in managers().await {
        let path = format!("/var/lib/sdrun-{transport}");
        let (written, ..) = done(&manager, &mut doing(&format!("write 64 {path}"))).await;
        let (read, ..) = done(&manager, &mut doing(&format!("read 64 {path}"))).await;
        // Someone asks when half is written.
        let mut command = support::shell("\"$@\"; read line; \"$@\"");
        command.args(["sh", std::env::current_exe().unwrap().to_str().unwrap()]).args(PROGRAM).usage(true);
        command.env("SDRUN_TEST_DOES", format!("write 32 {path}")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut unit = command.start(&manager).await.unwrap();
        let mut lines = BufReader::new(unit.stdout.take().unwrap()).lines();
        while !soon("a line", lines.next_line()).await.unwrap().expect("more").starts_with("cpu ") {}
        unit.stdout = Some(lines.into_inner().into_inner());
        let meanwhile = unit.get("IOWriteBytes").await.unwrap();
        let Value::U64(meanwhile) = meanwhile else { panic!("{meanwhile:?}") };
        within_ten_percent(&format!("{transport}: bytes written, half way"), meanwhile, 32 * MIB);
        unit.stdin.take().unwrap().write_all(b"\n").await.unwrap();
        let halves = soon("the unit", unit.wait_with_output()).await.unwrap().status;
        assert!(halves.success(), "{halves:?}");
        std::fs::remove_file(path).unwrap();
        let halves = halves.usage.expect("a usage");
        if support::systemd_version() < 257 {
            // It forgets, or has in mind only what it was asked for meanwhile.
            for usage in [written, read, halves] {
                assert_eq!((usage.io_read, usage.io_written), (None, None), "{transport}");
            }
            continue;
        }
        within_ten_percent(&format!("{transport}: bytes written"), written.io_written.unwrap(), 64 * MIB);
        assert!(written.io_read.unwrap() < 6 * MIB, "{written:?}");
        within_ten_percent(&format!("{transport}: bytes read"), read.io_read.unwrap(), 64 * MIB);
        assert!(read.io_written.unwrap() < 6 * MIB, "{read:?}");
        within_ten_percent(&format!("{transport}: bytes written in halves"), halves.io_written.unwrap(), 64 * MIB);
    }
}

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn ip_traffic_is_what_the_program_sent() {
    if !support::is_root() {
        return; // a user manager may load no BPF programs
    }
    for (transport, manager) in managers().await {
        let (usage, ..) = done(&manager, &mut doing("send 16")).await;
        within_ten_percent(&format!("{transport}: bytes sent"), usage.ip_sent.unwrap(), 16 * MIB);
        within_ten_percent(&format!("{transport}: bytes received"), usage.ip_received.unwrap(), 16 * MIB);
    }
}

// ------------------------------------------------------------------ limits

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn memory_max_ends_in_oom_kill() {
    for (transport, manager) in managers().await {
        let (exit, said) = run(&manager, doing("touch 256").memory_max(64 * MIB)).await;
        assert_eq!(exit.result, Outcome::OomKill, "{transport}: {exit:?}");
        assert_eq!(exit.status, Some(Status::Killed(nix::libc::SIGKILL)), "{transport}");
        assert!(!said.contains_key("touched"), "{transport}: {said:?}");
        assert!(exit.check().is_err());
        if counts_memory() {
            let peak = exit.usage.expect("a usage").memory_peak.unwrap();
            assert!((60 * MIB..=64 * MIB).contains(&peak), "{transport}: {peak}");
        }
        // Less than the limit is no matter.
        done(&manager, doing("touch 32").memory_max(64 * MIB)).await;
    }
}

/// Of a scope the kernel kills the processes, and systemd says why.
#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn memory_max_of_a_scope() {
    for (transport, manager) in managers().await {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.args(PROGRAM).stdout(std::process::Stdio::null()).env("SDRUN_TEST_DOES", "touch 256");
        let mut scope = Scope::new();
        let scope = scope.collect(true).property("MemoryMax=64M").unwrap();
        let mut scoped = soon("the start", scope.spawn(child, &manager)).await.unwrap();
        let status = soon("the child", scoped.child.wait()).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(nix::libc::SIGKILL), "{transport}");
        let exit = soon("the scope", scoped.unit.wait()).await.unwrap();
        assert_eq!(exit.result, Outcome::OomKill, "{transport}: {exit:?}");
    }
}

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn memory_max_set_later() {
    for (transport, manager) in managers().await {
        let mut command = support::shell("read line; exec \"$@\"");
        command.args(["sh", std::env::current_exe().unwrap().to_str().unwrap()]);
        command.args(PROGRAM).env("SDRUN_TEST_DOES", "touch 256");
        let mut unit = command.stdin(Stdio::piped()).start(&manager).await.unwrap();
        unit.set("MemoryMax=64M").await.unwrap();
        let mut stdin = unit.stdin.take().unwrap();
        stdin.write_all(b"\n").await.unwrap();
        let exit = soon("the exit", unit.wait()).await.unwrap();
        assert_eq!(exit.result, Outcome::OomKill, "{transport}: {exit:?}");
    }
}

#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn tasks_max_refuses_one_more() {
    for (transport, manager) in managers().await {
        let (_, _, said) = done(&manager, doing("threads 100").tasks_max(20)).await;
        assert_eq!(said["threads"], 20, "{transport}");
        let (_, _, said) = done(&manager, &mut doing("threads 100")).await;
        assert!(said["threads"] > 100, "{transport}: without a limit: {said:?}");
    }
}

/// However slow the machine is, the program gets no more than its share of the time that passes.
#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn cpu_quota_slows_it_down() {
    for (transport, manager) in managers().await {
        let (usage, exit, said) = done(&manager, doing("burn 1500").cpu_quota(25)).await;
        assert!(said["nr_throttled"] > 0, "{transport}: {said:?}");
        // Of the whole time: to start such a program takes much of it on a slow machine.
        let share = usage.cpu.unwrap().as_secs_f64() / exit.runtime.unwrap().as_secs_f64();
        eprintln!("vm: {transport}: {share:.3} of a CPU, where 0.25 is the most");
        assert!(share < 0.275, "{transport}: {share:.3} of a CPU");
        let (_, _, said) = done(&manager, &mut doing("burn 500")).await;
        assert_eq!(said.get("nr_throttled").copied().unwrap_or(0), 0, "{transport}: without a limit");
    }
}

/// However slow the disk is, no more is transferred than may be in the time that passes.
#[tokio::test]
#[ignore = "needs a whole machine (make vm)"]
async fn io_limits_slow_it_down() {
    if !support::is_root() {
        return; // a user manager has no io controller
    }
    for (transport, manager) in managers().await {
        let path = format!("/var/lib/sdrun-limit-{transport}");
        for (does, limit) in [("write", "IOWriteBandwidthMax"), ("read", "IOReadBandwidthMax")] {
            let does = format!("{does} 24 {path}");
            let mut slow = doing(&does);
            let (_, exit, said) = done(&manager, slow.property(format!("{limit}=/var/lib 4M")).unwrap()).await;
            // 24 MiB at 4 MB a second are 6.3 s; the kernel lets a part of a second's worth pass at once.
            let took = Duration::from_nanos(said["wall"]);
            eprintln!("vm: {transport}: {limit}=4M: 24 MiB took {took:?}");
            assert!(took > Duration::from_secs_f64(5.5), "{transport}: {limit}: {took:?}, {exit:?}");
        }
        for (does, limit) in [("write", "IOWriteIOPSMax"), ("read", "IOReadIOPSMax")] {
            let does = format!("{does} 24 {path}");
            let mut slow = doing(&does);
            let (_, exit, said) = done(&manager, slow.property(format!("{limit}=/var/lib 5")).unwrap()).await;
            // A MiB is one request or more.
            let took = Duration::from_nanos(said["wall"]);
            eprintln!("vm: {transport}: {limit}=5: 24 requests or more took {took:?}");
            assert!(took > Duration::from_secs_f64(4.0), "{transport}: {limit}: {took:?}, {exit:?}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
