//! A unit's terminal put through to the caller's.

#[path = "terminal/others.rs"]
mod others;
#[path = "terminal/outer.rs"]
mod outer;
#[path = "terminal/streams.rs"]
mod streams;
mod support;

use std::fs::File;
use std::io::Read;

use nix::sys::signal::Signal;
use outer::Outer;
use sdrun::{Command, Forwarded, Manager, Unit};

async fn manager() -> Manager {
    support::on_bus().await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What the helper waits for before it goes on: see `Outer::go`.
async fn go() {
    tokio::task::spawn_blocking(|| File::open("/proc/self/fd/2").unwrap().read_to_end(&mut Vec::new()).unwrap())
        .await
        .unwrap();
}

async fn shell() -> Unit {
    let mut command = Command::new("/bin/bash");
    command.args(["--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").env("HISTFILE", "/dev/null").collect(true);
    command.pty().start(&manager().await).await.unwrap()
}

/// Prints what can be waited for, and goes on until its input ends.
async fn ready() -> Unit {
    let script = "echo up; exec cat";
    Command::from(["/bin/sh", "-c", script]).collect(true).pty().start(&manager().await).await.unwrap()
}

#[test]
#[ignore = "run on a scripted terminal"]
fn helper() {
    let way = std::env::var("WAY").unwrap();
    runtime().block_on(async {
        let mut unit = if way == "shell" { shell().await } else { ready().await };
        let name = unit.name().to_owned();
        println!("name={name};");
        let forward = unit.forward_terminal(std::io::stdin(), std::io::stdout());
        match way.as_str() {
            "shell" => {
                let end = forward.await.unwrap();
                assert!(matches!(end, Forwarded::Ended), "{end:?}");
                println!("ended: {}.", unit.wait().await.unwrap());
            }
            "disconnect" => {
                let end = forward.await.unwrap();
                let Forwarded::Disconnected(pty) = end else { panic!("{end:?}") };
                println!("disconnected {:?}.", unit.try_wait().unwrap().is_none());
                // Forwarded again it is the same terminal.
                unit.pty = Some(pty);
                let end = unit.forward_terminal(std::io::stdin(), std::io::stdout()).await.unwrap();
                println!("then {end:?}.");
            }
            "drop" => {
                tokio::select! {
                    end = forward => panic!("{end:?}"),
                    () = go() => {}
                }
                println!("dropped.");
            }
            "panic" => {
                // What is given to it by value is dropped before the branch is run.
                let mut forward = std::pin::pin!(forward);
                tokio::select! {
                    end = &mut forward => panic!("{end:?}"),
                    () = go() => panic!("on purpose"),
                }
            }
            "exit" => {
                // What is given to it by value is dropped before the branch is run.
                let mut forward = std::pin::pin!(forward);
                tokio::select! {
                    end = &mut forward => panic!("{end:?}"),
                    () = go() => std::process::exit(7),
                }
            }
            "abort" => {
                // What is given to it by value is dropped before the branch is run.
                let mut forward = std::pin::pin!(forward);
                tokio::select! {
                    end = &mut forward => panic!("{end:?}"),
                    () = go() => std::process::abort(),
                }
            }
            "fork" => {
                let mut forward = std::pin::pin!(forward);
                tokio::select! {
                    end = &mut forward => panic!("{end:?}"),
                    () = go() => {}
                }
                ends_of_children();
                let line = sdrun_sys::terminal::line(std::os::fd::AsFd::as_fd(&std::io::stdin())).unwrap();
                println!("cooked: {}.", line.canonical);
            }
            "own handler" => {
                // The program's own handlers stay in charge: one that was there, and one that comes while forwarding.
                let mut first = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
                let mut forward = std::pin::pin!(forward);
                let up = futures::poll!(forward.as_mut());
                assert!(up.is_pending());
                let mut second = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
                let both = async {
                    first.recv().await.unwrap();
                    second.recv().await.unwrap();
                };
                tokio::select! {
                    end = forward => panic!("{end:?}"),
                    () = both => {}
                }
                println!("both came.");
                go().await;
            }
            _ => panic!("{way}"),
        }
    });
    // After the forwarding signals do again what they did.
    if way == "drop" {
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
    }
}

/// Two children of fork, one of which exits while a signal ends the other.
#[allow(unsafe_code)]
fn ends_of_children() {
    for signal in [None, Some(Signal::SIGTERM)] {
        // SAFETY: the child calls `raise` and `exit` alone. (That runs what is registered with atexit(3).)
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                if let Some(signal) = signal {
                    let _ = nix::sys::signal::raise(signal);
                }
                // SAFETY: as above.
                unsafe { nix::libc::exit(0) }
            }
            nix::unistd::ForkResult::Parent { child } => {
                let ended = nix::sys::wait::waitpid(child, None).unwrap();
                assert_eq!(matches!(ended, nix::sys::wait::WaitStatus::Signaled(..)), signal.is_some(), "{ended:?}");
            }
        }
    }
}

/// A helper that forwards its terminal to a program that is up.
fn forwarding(way: &str) -> Outer {
    let mut outer = Outer::run("helper", &[("WAY", way)]);
    outer.expect("up\r\n");
    assert_ne!(outer.modes(), outer.before, "it is raw while it is forwarded");
    outer
}

/// Waits until this command line is the foreground process of the unit's terminal: until then a key for it goes to the
/// shell.
fn in_foreground(unit: &str, command_line: &str) {
    let is = |pid: &str| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // Its process group, and that which is in the foreground: proc_pid_stat(5), after the name.
        let stat = read("stat");
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        read("cmdline") == command_line && read("cgroup").contains(unit) && fields.get(2) == fields.get(5)
    };
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while !std::fs::read_dir("/proc").unwrap().flatten().any(|entry| is(&entry.file_name().to_string_lossy())) {
        assert!(std::time::Instant::now() < deadline, "{command_line:?} does not come to the foreground");
        std::thread::yield_now();
    }
}

#[test]
fn a_shell_is_used_as_if_it_ran_here() {
    let mut outer = Outer::run("helper", &[("WAY", "shell")]);
    outer.expect("name=");
    let name = outer.expect(";").replace(';', "");
    outer.expect("prompt> ");
    assert_ne!(outer.modes(), outer.before);
    outer.type_keys("ec\t");
    outer.expect("echo ");
    outer.type_keys("\"hi all\"\r");
    outer.expect("\r\nhi all\r\nprompt> ");
    outer.type_keys("sleep 30\r");
    outer.expect("sleep 30\r\n");
    in_foreground(&name, "sleep\x0030\0");
    outer.type_keys("\x03");
    outer.expect("^C");
    outer.expect("prompt> ");
    outer.type_keys("sleep 60\r");
    outer.expect("sleep 60\r\n");
    in_foreground(&name, "sleep\x0060\0");
    outer.type_keys("\x1a");
    outer.expect("^Z");
    outer.expect("Stopped");
    outer.expect("prompt> ");
    outer.type_keys("jobs\r");
    outer.expect("jobs\r\n");
    outer.expect("[1]+  Stopped  ");
    outer.expect("  sleep 60\r\n");
    outer.expect("prompt> ");
    outer.type_keys("stty size\r");
    outer.expect("\r\n31 113\r\n");
    outer.resize(47, 99);
    loop {
        // It takes effect when the helper has got the signal.
        outer.type_keys("stty size\r");
        outer.expect("stty size\r\n");
        if outer.expect("prompt> ").starts_with("47 99\r\n") {
            break;
        }
    }
    outer.type_keys("exit 3\r");
    outer.expect("There are stopped jobs.\r\n");
    outer.expect("prompt> ");
    outer.type_keys("exit 3\r");
    outer.expect("exit\r\n");
    outer.expect("ended: ");
    assert!(outer.expect(".").contains('3'));
    assert!(outer.end().success());
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn disconnected_by_three_keys_and_forwarded_again() {
    let mut outer = forwarding("disconnect");
    outer.type_keys("\x1d\x1d\x1d");
    outer.expect("disconnected true.");
    outer.expect("\n");
    // Raw again, for the second time.
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while outer.modes() == outer.before {
        assert!(std::time::Instant::now() < deadline, "it is not forwarded again");
    }
    outer.type_keys("more\r");
    outer.expect("more");
    outer.type_keys("\x04\x04");
    outer.expect("then Ended.");
    assert!(outer.end().success());
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn restored_when_the_future_is_dropped() {
    let mut outer = forwarding("drop");
    outer.go();
    outer.expect("dropped.");
    outer.end_by(Signal::SIGTERM);
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn restored_after_a_panic() {
    let mut outer = forwarding("panic");
    outer.go();
    assert_eq!(outer.end().code(), Some(101));
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn restored_by_exit() {
    let mut outer = forwarding("exit");
    outer.go();
    assert_eq!(outer.end().code(), Some(7));
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn restored_by_signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1] {
        let mut outer = forwarding("exit");
        outer.signal(signal);
        outer.end_by(signal);
        assert_eq!(outer.modes(), outer.before, "{signal}");
    }
    let mut outer = forwarding("abort");
    outer.go();
    outer.end_by(Signal::SIGABRT);
    assert_eq!(outer.modes(), outer.before);
}

/// A child of fork ends without touching the terminal, which is still its parent's.
#[test]
fn left_raw_by_children() {
    let mut outer = forwarding("fork");
    outer.go();
    outer.expect("cooked: false.");
    assert!(outer.end().success());
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn handlers_of_the_program_stay_in_charge() {
    let mut outer = forwarding("own handler");
    outer.signal(Signal::SIGTERM);
    outer.signal(Signal::SIGINT);
    outer.expect("both came.");
    outer.go();
    assert!(outer.end().success());
    assert_eq!(outer.modes(), outer.before);
}

#[test]
fn as_user() {
    let _quiet = outer::BUSY.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    support::again_as_user();
}
