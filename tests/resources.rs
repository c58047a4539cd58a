//! What a process has left after many runs, after a runtime's end, and after a standstill.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use sdrun::{Command, Error, Status};
use support::{managers, on_bus, soon};
use tokio::runtime::Runtime;

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

alone! {
    /// The default manager is one per runtime, also when it is asked for many times at once, and it survives the end of
    /// another runtime.
    fn the_default_manager() {
        for round in 0..3 {
            let runtime = runtime();
            runtime.block_on(async {
                let before = support::descriptors();
                let exits = join_all((0..20u8).map(|code| async move {
                    let script = format!("exit {code}");
                    sdrun::run(Command::from(["/bin/sh", "-c", &script]).collect(true)).await?.await
                }));
                for (number, exit) in soon("all exits", exits).await.into_iter().enumerate() {
                    assert_eq!(exit.unwrap().status, Some(Status::Exited(number as u8)), "round {round}");
                }
                // One connection: the socket and the duplicate that tokio watches, two sockets with newer systemd; and the
                // process of a user's manager.
                let more = support::descriptors() - before;
                assert!(more <= 3 + usize::from(!support::is_root()), "{more}: {:#?}", support::list_descriptors());
                let unit = Command::from("/bin/sh -c 'exit 4'").collect(true).spawn().unwrap();
                assert_eq!(soon("a spawned unit", unit).await.unwrap().status, Some(Status::Exited(4)));
                let exit = soon("status", Command::new("/bin/false").collect(true).status()).await.unwrap();
                assert_eq!(exit.status, Some(Status::Exited(1)));
            });
        }
    }
}

alone! {
    /// What waits when the runtime is shut down that drives the connection ends with an error, wherever it waits.
    fn a_runtime_is_shut_down_with_units_outstanding() {
        drop(runtime()); // the first one of a process opens what stays open
        let before = support::descriptors();
        let prefix = format!("sdrun-outlives-{}", std::process::id());
        for round in 0..5 {
            let ending = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let units = ending.block_on(async {
                let mut units = Vec::new();
                for (_, manager) in managers().await {
                    let sleeper = |number| {
                        let mut command = Command::from(["/bin/sleep", "1000"]);
                        command.name(format!("{prefix}-{round}-{}-{number}", manager.is_private())).collect(true);
                        command
                    };
                    for number in 0..50 {
                        units.push(sleeper(number).start(&manager).await.unwrap());
                    }
                    // A start that is on its way when the runtime ends.
                    let mut command = sleeper(50);
                    tokio::spawn(async move {
                        let unit = command.start(&manager).await;
                        std::future::pending::<()>().await;
                        drop((unit, manager));
                    });
                }
                tokio::task::yield_now().await;
                units
            });
            ending.shutdown_background();
            let elsewhere = runtime();
            elsewhere.block_on(async {
                for unit in &units {
                    let end = soon("the error", unit.wait()).await;
                    assert!(matches!(end, Err(Error::RuntimeGone)), "{end:?}");
                }
            });
        }
        let scope = if support::is_root() { "--system" } else { "--user" };
        let stopped = std::process::Command::new("systemctl").args([scope, "stop", &format!("{prefix}-*")]).status();
        assert!(stopped.unwrap().success());
        // Runtimes that are shut down in the background close what they have in their own time.
        let deadline = std::time::Instant::now() + support::DEADLINE;
        while support::descriptors() > before {
            let left = support::list_descriptors();
            assert!(std::time::Instant::now() < deadline, "descriptors are left open: {left:#?}");
            std::thread::yield_now();
        }
    }
}

alone! {
    /// Ten thousand runs leave neither descriptors nor memory behind: not Rust's and not libsystemd's.
    fn nothing_is_left_after_ten_thousand_runs() {
        /// In use on the whole heap, which C shares.
        fn heap() -> usize {
            // SAFETY: it only reads malloc's own figures.
            #[allow(unsafe_code)]
            unsafe { nix::libc::mallinfo2() }.uordblks
        }
        runtime().block_on(async {
            let managers = managers().await;
            let runs = async |count: usize| {
                stream::iter(0..count)
                    .map(|run| {
                        let manager = &managers[run % managers.len()].1;
                        async move {
                            let mut command = Command::from(["/bin/sh", "-c", if run % 3 == 0 { "exit 1" } else { ":" }]);
                            soon("a run", command.collect(true).start(manager).await.unwrap()).await.unwrap();
                        }
                    })
                    .buffer_unordered(32)
                    .collect::<()>()
                    .await;
            };
            runs(1000).await; // tables and buffers grow to their size
            let before = (support::descriptors(), heap());
            runs(10_000).await;
            let after = (support::descriptors(), heap());
            assert_eq!(after.0, before.0, "descriptors: {:#?}", support::list_descriptors());
            let growth = after.1.saturating_sub(before.1);
            eprintln!("heap: {} bytes before, {} after 10,000 runs", before.1, after.1);
            // A single byte for each run would be more than this.
            assert!(growth < 10_000, "the heap grew by {growth} bytes in 10,000 runs");
        });
    }
}

/// How long a standstill lasts.
const STANDSTILL: Duration = Duration::from_secs(60);
const UNITS: usize = 1000;

/// A process whose runtime is blocked for a minute, and one that is stopped for a minute, each with a thousand units
/// outstanding that end meanwhile: every exit is there when they go on.
#[test]
fn standstills() {
    if !support::is_root() {
        return; // `again_as_user` would have it take two minutes
    }
    // The units wait to open it for reading, until somebody has it open for writing.
    let gate = std::env::temp_dir().join(format!("sdrun-gate-{}", std::process::id()));
    mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let mut children: Vec<_> = ["blocked", "stopped"]
        .map(|kind| {
            let mut command = support::helper("standstill");
            command
                .env("SDRUN_TEST_STANDSTILL", kind)
                .env("SDRUN_TEST_GATE", &gate)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            (kind, child, output)
        })
        .into();
    for (kind, child, output) in &mut children {
        wait_for_line(output, "outstanding");
        if *kind == "stopped" {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGSTOP).unwrap();
        }
    }
    let open = std::fs::OpenOptions::new().write(true).open(&gate).unwrap();
    std::thread::sleep(STANDSTILL); // this is the standstill itself, not a wait for something
    for (kind, child, output) in &mut children {
        if *kind == "stopped" {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGCONT).unwrap();
        }
        wait_for_line(output, "all exits");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "{kind}");
    }
    drop(open);
    std::fs::remove_file(gate).unwrap();
}

fn wait_for_line(output: &mut impl BufRead, wanted: &str) {
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the process ended before it said {wanted:?}");
    }
}

#[test]
#[ignore = "run by `standstills`, in a process of its own"]
fn standstill() {
    let script = format!(": <{}; exit $1", std::env::var("SDRUN_TEST_GATE").unwrap());
    runtime().block_on(async {
        let manager = on_bus().await;
        let units = join_all((0..UNITS).map(|number| {
            let code = (number % 256).to_string();
            let mut command = Command::from(["/bin/sh", "-c", &script, "sh", &code]);
            let manager = &manager;
            async move { command.collect(true).start(manager).await.unwrap() }
        }))
        .await;
        say("outstanding");
        if std::env::var("SDRUN_TEST_STANDSTILL").unwrap() == "blocked" {
            std::thread::sleep(STANDSTILL); // blocks the runtime, which is the point
        }
        let exits = soon("all exits", join_all(units.iter().map(|unit| unit.wait()))).await;
        for (number, exit) in exits.into_iter().enumerate() {
            assert_eq!(exit.unwrap().status, Some(Status::Exited((number % 256) as u8)));
        }
        say("all exits");
    });
}

fn say(line: &str) {
    println!("\n{line}");
    std::io::stdout().flush().unwrap();
}
