//! Scopes: children of this process, and processes that exist, in units of their own.

mod support;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use sdrun::{Command, Error, Outcome, Scope, Scoped, Unit, Whom};
use support::{managers, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process;

const SIGKILL: i32 = 9;

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

fn shell(script: &str) -> process::Command {
    let mut command = process::Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// What the program writes, when it has ended well.
async fn output(mut scoped: Scoped) -> String {
    let mut text = String::new();
    drop(scoped.child.stdin.take());
    let mut stdout = scoped.child.stdout.take().expect("piped");
    soon("the output", stdout.read_to_string(&mut text)).await.unwrap();
    assert!(soon("the child", scoped.child.wait()).await.unwrap().success());
    let exit = soon("the scope", scoped.unit.wait()).await.unwrap();
    assert_eq!((&exit.result, exit.status), (&Outcome::Success, None));
    text
}

/// The control group of a process.
fn cgroup(process: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    unified(&text).to_owned()
}

fn unified(cgroups: &str) -> &str {
    cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default()
}

fn exists(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn until_gone(process: u32) {
    while exists(process) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn is_loaded(unit: &str) -> bool {
    let output = process::Command::new("systemctl")
        .args([support::scope(), "list-units", "--all", "--plain", "--no-legend", unit])
        .output()
        .await
        .expect("systemctl runs");
    !output.stdout.is_empty()
}

async fn until_unloaded(unit: &str) {
    while is_loaded(unit).await {
        tokio::task::yield_now().await;
    }
}

/// 500 times, on both transports: the first thing that the program does is to look where it is.
#[tokio::test]
async fn a_process_is_in_its_scope_before_its_first_instruction() {
    for (transport, manager) in managers().await {
        for number in 0..250 {
            let mut command = process::Command::new("/bin/cat");
            command.arg("/proc/self/cgroup").stdout(Stdio::piped());
            let scoped = soon("the start", Scope::new().spawn(command, &manager)).await.unwrap();
            let name = scoped.unit.name().to_owned();
            let text = output(scoped).await;
            assert!(unified(&text).ends_with(&format!("/{name}")), "{transport}, {number}: {text}");
        }
    }
}

#[tokio::test]
async fn it_is_a_child_with_pipes_and_a_status() {
    for (transport, manager) in managers().await {
        let script = "read line; echo \"got $line\"; echo \"by $PPID\"; cat; exit 3";
        let mut scoped = Scope::new().spawn(shell(script), &manager).await.unwrap();
        let id = scoped.child.id().unwrap();
        assert!(cgroup(id).ends_with(scoped.unit.name()), "{transport}: {}", cgroup(id));
        assert_eq!(scoped.unit.main_pid().await.unwrap(), None);
        let mut stdin = scoped.child.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\n").await.unwrap();
        drop(stdin);
        let mut text = String::new();
        let mut stdout = scoped.child.stdout.take().unwrap();
        soon("the output", stdout.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, format!("got one\nby {}\ntwo\n", std::process::id()));
        assert_eq!(soon("the child", scoped.child.wait()).await.unwrap().code(), Some(3));
        // What it returned is for its parent to know.
        let exit = soon("the scope", scoped.unit.wait()).await.unwrap();
        assert_eq!((&exit.result, exit.status), (&Outcome::Success, None), "{transport}");
        assert_eq!(exit.invocation_id, scoped.unit.invocation_id());
        assert!(exit.check().is_ok());
    }
}

#[tokio::test]
async fn a_command_of_sdrun_runs_as_a_child() {
    let folder = support::Folder::new();
    for (transport, manager) in managers().await {
        let script = "echo $0; env; echo cwd=$PWD; echo nice=$(nice); echo oops >&2; cat; exit 4";
        let mut command = Command::new("sh");
        command
            .arg0("-named")
            .args(["-c", script])
            .env("ADDED", "a b")
            .env_remove("CARGO")
            .current_dir("/usr")
            .nice(3)
            .name(format!("sdrun-test-{transport}"))
            .description("a test of scopes")
            .stdin(sdrun::Stdio::piped())
            .stdout(sdrun::Stdio::piped())
            .stderr(sdrun::Stdio::append(folder.path("stderr")));
        let mut scoped = soon("the start", command.scope().start(&manager)).await.unwrap();
        assert_eq!(scoped.unit.name(), format!("sdrun-test-{transport}.scope"));
        assert_eq!(scoped.unit.get("Description").await.unwrap(), "a test of scopes".into());
        drop(scoped.child.stdin.take());
        let mut text = String::new();
        soon("the output", scoped.child.stdout.take().unwrap().read_to_string(&mut text)).await.unwrap();
        assert_eq!(soon("the child", scoped.child.wait()).await.unwrap().code(), Some(4));
        let exit = soon("the scope", scoped.unit.wait()).await.unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "-named", "{text}");
        assert!(lines.contains(&"cwd=/usr") && lines.contains(&"nice=3"), "{text}");
        let variables: HashMap<_, _> = lines.iter().filter_map(|line| line.split_once('=')).collect();
        assert_eq!(variables["ADDED"], "a b");
        assert_eq!(variables["HOME"], std::env::var("HOME").unwrap(), "inherited");
        assert!(!variables.contains_key("CARGO"));
        assert_eq!(variables["INVOCATION_ID"], exit.invocation_id.unwrap().to_string(), "{transport}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("INVOCATION_ID=")).count(), 1);

        let mut command = Command::new("/usr/bin/env");
        let scoped =
            command.env_clear().env("A", "b").stdout(sdrun::Stdio::piped()).scope().start(&manager).await.unwrap();
        let id = scoped.unit.invocation_id().unwrap();
        assert_eq!(output(scoped).await, format!("A=b\nINVOCATION_ID={id}\n"));
    }
    assert_eq!(folder.read("stderr"), "oops\noops\n");
}

#[tokio::test]
async fn a_child_of_another_user() {
    if !support::is_root() {
        let mut command = Command::new("/bin/true");
        let manager = support::on_bus().await;
        let error = command.user("root").scope().start(&manager).await.unwrap_err();
        assert!(matches!(error, Error::System { errno: nix::errno::Errno::EPERM, .. }), "{error:?}");
        return;
    }
    for (_, manager) in managers().await {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "id -un; id -Gn; echo $HOME $USER; pwd"]).user("tester").current_dir("/tmp");
        command.stdout(sdrun::Stdio::piped()).stderr(sdrun::Stdio::null());
        let tester = nix::unistd::User::from_name("tester").unwrap().unwrap();
        let scoped = command.scope().start(&manager).await.unwrap();
        let text = output(scoped).await;
        let expected = format!("tester\ntester\n{} tester\n/tmp\n", tester.dir.display());
        assert_eq!(text, expected);
        let unknown = command.user("no-such-user").scope().start(&manager).await.unwrap_err();
        assert_eq!(unknown.to_string(), "user \"no-such-user\" does not exist");
        let unknown = command.uid(54321).scope().start(&manager).await.unwrap_err();
        assert!(unknown.to_string().contains("group"), "{unknown}");
        let scoped = command.gid(54322).scope().start(&manager).await.unwrap();
        drop(scoped);
        let unknown = command.group("no-such-group").scope().start(&manager).await.unwrap_err();
        assert_eq!(unknown.to_string(), "group \"no-such-group\" does not exist");
    }
}

#[tokio::test]
async fn limits_before_and_while_it_runs() {
    for (_, manager) in managers().await {
        let mut scope = Scope::new();
        scope.extra("MemoryMax", 100u64 << 20).extra("TasksMax", 5u64).slice("sdruntest").collect(true);
        let scoped = scope.spawn(shell("cat"), &manager).await.unwrap();
        let unit = &scoped.unit;
        let group = format!("/sys/fs/cgroup{}", cgroup(scoped.child.id().unwrap()));
        assert!(group.contains("/sdruntest.slice/"), "{group}");
        assert_eq!(unit.get("MemoryMax").await.unwrap(), (100u64 << 20).into());
        assert_eq!(unit.get("TasksMax").await.unwrap(), 5u64.into());
        let pids = std::fs::read_to_string(format!("{group}/pids.max"));
        if let Ok(pids) = pids {
            assert_eq!(pids.trim(), "5");
        }
        unit.set_property("MemoryMax", 50u64 << 20).await.unwrap();
        assert_eq!(unit.get("MemoryMax").await.unwrap(), (50u64 << 20).into());
        output(scoped).await;
    }
}

/// The scope ends with its last process, however that came to be in it, and can be ended as a whole.
#[tokio::test]
async fn what_is_left_behind_is_killed() {
    for (transport, manager) in managers().await {
        for stop in [false, true] {
            // A process that has left its session, its parent and its terminal.
            let mut command = shell("setsid sh -c 'sleep 1000 & echo $!; exec sleep 1001' & echo $!");
            command.stderr(Stdio::null());
            let mut scoped = Scope::new().spawn(command, &manager).await.unwrap();
            let mut stdout = scoped.child.stdout.take().unwrap();
            let mut text = Vec::new();
            while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
                assert!(soon("the numbers", stdout.read_buf(&mut text)).await.unwrap() > 0);
            }
            let left: Vec<u32> = String::from_utf8(text).unwrap().lines().map(|line| line.parse().unwrap()).collect();
            assert!(soon("the child", scoped.child.wait()).await.unwrap().success());
            assert!(left.iter().all(|process| exists(*process)));
            assert_eq!(scoped.unit.try_wait().unwrap(), None, "{transport}: it has processes still");
            if stop {
                soon("the stop", scoped.unit.stop()).await.unwrap();
            } else {
                scoped.unit.kill(SIGKILL, Whom::All).await.unwrap();
            }
            let exit = soon("the end", scoped.unit.wait()).await.unwrap();
            assert_eq!(exit.result, Outcome::Success, "{transport}");
            for process in left {
                soon("their end", until_gone(process)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_scope_that_takes_too_long() {
    for (transport, manager) in managers().await {
        let mut scope = Scope::new();
        let scoped = scope.runtime_max(Duration::from_millis(200)).spawn(shell("exec sleep 1000"), &manager).await;
        let Scoped { mut child, unit, .. } = scoped.unwrap();
        let exit = soon("the end", unit.wait()).await.unwrap();
        assert_eq!(exit.result, Outcome::Timeout, "{transport}");
        assert!(matches!(exit.check(), Err(Error::Failed { .. })));
        let status = soon("the child", child.wait()).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        unit.reset_failed().await.unwrap();
        // Collected, the reason is known all the same.
        let scoped = scope.collect(true).spawn(shell("exec sleep 1000"), &manager).await.unwrap();
        assert_eq!(soon("the end", scoped.unit.wait()).await.unwrap().result, Outcome::Timeout, "{transport}");
    }
}

#[tokio::test]
async fn usage_is_read_at_its_end() {
    for (transport, manager) in managers().await {
        let scoped =
            Scope::new().usage(true).spawn(shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), &manager);
        let exit = soon("the end", scoped.await.unwrap().unit.wait()).await.unwrap();
        let cpu = exit.usage.as_ref().and_then(|usage| usage.cpu);
        assert!(cpu.is_some_and(|cpu| cpu > Duration::ZERO), "{transport}: {exit:?}");
    }
}

alone! {
    /// A name that is taken: no process is left.
    fn a_name_that_is_taken() {
        runtime().block_on(async {
            let folder = support::Folder::new();
            for (transport, manager) in managers().await {
                let mut scope = Scope::new();
                scope.name("sdrun-taken");
                let first = scope.spawn(shell("cat"), &manager).await.unwrap();
                let second = scope.spawn(shell(&format!("touch {}", folder.path("ran"))), &manager);
                let error = soon("the refusal", second).await.unwrap_err();
                assert!(matches!(&error, Error::UnitExists { name, .. } if &**name == "sdrun-taken.scope"), "{error:?}");
                assert_eq!(children(), [first.child.id().unwrap()], "{transport}");
                assert!(!std::fs::exists(folder.path("ran")).unwrap());
                output(first).await;
                until_unloaded("sdrun-taken.scope").await;
            }
        });
    }
}

alone! {
    /// A program that cannot be executed: neither process nor scope are left, also where it is tried again at once.
    fn a_program_that_cannot_be_executed() {
        runtime().block_on(async {
            for (transport, manager) in managers().await {
                let mut scope = Scope::new();
                scope.name("sdrun-no-program");
                for _ in 0..5 {
                    let error = soon("the error", scope.spawn(process::Command::new("/no/such"), &manager)).await.unwrap_err();
                    assert!(matches!(&error, Error::ProgramNotFound { program } if &**program == "/no/such"), "{error:?}");
                    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::NotFound);
                    let error = soon("the error", scope.spawn(process::Command::new("/etc"), &manager)).await.unwrap_err();
                    assert!(matches!(&error, Error::System { errno: nix::errno::Errno::EACCES, .. }), "{error:?}");
                    let mut command = Command::new("/no/such");
                    let error = soon("the error", command.name("sdrun-no-program").scope().start(&manager)).await.unwrap_err();
                    assert!(matches!(&error, Error::ProgramNotFound { program } if &**program == "/no/such"), "{error:?}");
                    assert_eq!(children(), [], "{transport}");
                    assert!(!is_loaded("sdrun-no-program.scope").await, "{transport}");
                }
                // What fails before the scope is there.
                let mut command = Command::new("/bin/true");
                let error = command.current_dir("/no/such").scope().start(&manager).await.unwrap_err();
                assert_eq!(error.to_string(), "enter the working directory of the process failed: No such file or directory");
                let mut command = process::Command::new("/bin/true");
                command.current_dir("/no/such");
                let error = Scope::new().spawn(command, &manager).await.unwrap_err();
                assert!(matches!(error, Error::System { errno: nix::errno::Errno::ENOENT, .. }), "{error:?}");
                let error = Scope::new().spawn(process::Command::new("a\0b"), &manager).await.unwrap_err();
                assert!(matches!(error, Error::Invalid { what: "command", .. }), "{error:?}");
                let missing = Command::new("no-such-program").scope().start(&manager).await.unwrap_err();
                assert!(matches!(missing, Error::ProgramNotFound { .. }), "{missing:?}");
                assert_eq!(children(), [], "{transport}");
            }
        });
    }
}

alone! {
    /// A process that is killed while it is held is not waited for.
    fn a_process_that_is_killed_while_it_is_held() {
        runtime().block_on(async {
            for (transport, manager) in managers().await {
                for round in 0..30 {
                    let start = Scope::new().collect(true).spawn(shell("echo here"), &manager);
                    let task = tokio::spawn(start);
                    let victim = loop {
                        if let Some(victim) = children().first() {
                            break *victim;
                        }
                        tokio::task::yield_now().await;
                    };
                    tokio::time::sleep(Duration::from_micros(round * 200)).await;
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim as i32), nix::sys::signal::SIGKILL);
                    match soon("the start", task).await.unwrap() {
                        Err(Error::System { errno: nix::errno::Errno::ESRCH, .. }) => {}
                        // It was dead, though not yet waited for, when systemd was told of it; or it was killed later.
                        Err(Error::Call { .. } | Error::Failed { .. }) => {}
                        Ok(mut scoped) => {
                            soon("the child", scoped.child.wait()).await.unwrap();
                            soon("the scope", scoped.unit.wait()).await.unwrap();
                        }
                        other => panic!("{transport}: {other:?}"),
                    }
                    assert_eq!(children(), [], "{transport}");
                }
                soon("their scopes", until_unloaded(&format!("sdrun-{}x*.scope", std::process::id()))).await;
            }
        });
    }
}

alone! {
    /// Many at once, more than may be held: all run, and nothing is left.
    fn many_at_once() {
        runtime().block_on(async {
            for (transport, manager) in managers().await {
                output(Scope::new().spawn(shell("exit 0"), &manager).await.unwrap()).await;
                let before = support::descriptors();
                let one = |number: usize| {
                    let manager = &manager;
                    async move {
                        let mut command = process::Command::new("/bin/sh");
                        command.args(["-c", &format!("cat /proc/self/cgroup; exit {}", number % 100)]).stdout(Stdio::piped());
                        let Scoped { child, unit, .. } = Scope::new().spawn(command, manager).await.unwrap();
                        let output = child.wait_with_output().await.unwrap();
                        assert_eq!(output.status.code(), Some(number as i32 % 100));
                        let text = String::from_utf8(output.stdout).unwrap();
                        assert!(unified(&text).ends_with(unit.name()), "{text}");
                        assert!(unit.wait().await.unwrap().success());
                    }
                };
                soon("all of them", join_all((0..300).map(one))).await;
                assert_eq!(children(), [], "{transport}");
                soon("the descriptors", async {
                    while support::descriptors() > before {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                })
                .await;
            }
        });
    }
}

alone! {
    /// Given up at every await point, and at other times: neither process, scope nor descriptor are left.
    fn given_up() {
        runtime().block_on(async {
            for (transport, manager) in managers().await {
                output(Scope::new().spawn(shell("exit 0"), &manager).await.unwrap()).await;
                let before = support::descriptors();
                let mut finished = 0;
                for round in 0..120u64 {
                    let mut scope = Scope::new();
                    scope.name("sdrun-given-up").collect(true);
                    let mut start = Box::pin(scope.spawn(shell("exec sleep 1000"), &manager));
                    let limit = Duration::from_micros(round * 150);
                    for _ in 0..round % 3 {
                        assert!(futures::poll!(&mut start).is_pending());
                        tokio::task::yield_now().await;
                    }
                    if let Ok(scoped) = tokio::time::timeout(limit, &mut start).await {
                        let scoped = scoped.unwrap();
                        finished += 1;
                        scoped.unit.stop().await.unwrap();
                        drop(scoped);
                    }
                    drop(start);
                    soon("the end of the process", async {
                        while !children().is_empty() {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    })
                    .await;
                    soon("the end of the scope", until_unloaded("sdrun-given-up.scope")).await;
                }
                assert!(finished < 120, "{transport}: none was given up");
                soon("the descriptors", async {
                    while support::descriptors() > before {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                })
                .await;
                // The places are free.
                output(Scope::new().spawn(shell("exit 0"), &manager).await.unwrap()).await;
            }
        });
    }
}

alone! {
    /// A start that is polled once and then forgotten, and a runtime that goes away: the process is not held for ever.
    fn a_runtime_that_goes_away() {
        for round in 0..30u64 {
            let runtime = if round % 2 == 0 { runtime() } else { tokio::runtime::Runtime::new().unwrap() };
            let manager = runtime.block_on(support::on_bus());
            let mut start = Box::pin(async move { Scope::new().collect(true).spawn(shell("exec sleep 1000"), &manager).await });
            runtime.block_on(async {
                let _ = tokio::time::timeout(Duration::from_micros(round * 300), &mut start).await;
            });
            drop(runtime);
            // Nobody waits for children any more, so they stay as zombies.
            let until_none = |held: bool| {
                let deadline = std::time::Instant::now() + support::DEADLINE;
                let counts = |process: &u32| {
                    let program = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
                    exists(*process) && !(held && program.starts_with("sleep"))
                };
                while children().iter().any(counts) {
                    assert!(std::time::Instant::now() < deadline, "round {round}, {held}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            };
            // The future is still there, and may have a child in it, but none that is held.
            until_none(true);
            drop(start);
            until_none(false);
        }
    }
}

#[tokio::test]
async fn dropped_handles() {
    for (transport, manager) in managers().await {
        // Both go on.
        let mut command = process::Command::new("/bin/sleep");
        command.arg("1000");
        let Scoped { child, unit, .. } = Scope::new().spawn(command, &manager).await.unwrap();
        let (process, name) = (child.id().unwrap(), unit.name().to_owned());
        drop((child, unit));
        assert!(exists(process) && is_loaded(&name).await, "{transport}");
        let unit = manager.unit(&name).await.unwrap();
        unit.kill(SIGKILL, Whom::All).await.unwrap();
        assert_eq!(soon("the end", unit.wait()).await.unwrap().result, Outcome::Success);
        // The scope is stopped.
        let mut command = process::Command::new("/bin/sleep");
        command.arg("1000");
        let Scoped { mut child, unit, .. } = Scope::new().kill_on_drop(true).spawn(command, &manager).await.unwrap();
        drop(unit);
        let status = soon("the child", child.wait()).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15), "{transport}");
        // The child is killed, and what is beside it.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 1000 & exec sleep 1000"]).kill_on_drop(true);
        let scoped = command.scope().start(&manager).await.unwrap();
        let (process, name) = (scoped.child.id().unwrap(), scoped.unit.name().to_owned());
        drop(scoped);
        soon("its end", until_gone(process)).await;
        soon("the end of the scope", until_unloaded(&name)).await;
    }
}

/// A child that is none of ours to wait for.
fn sleeper() -> std::process::Child {
    std::process::Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn pidfd(process: u32) -> OwnedFd {
    sdrun_sys::hold::open_process(process).unwrap()
}

#[tokio::test]
async fn around_processes_that_exist() {
    for (transport, manager) in managers().await {
        for by_descriptor in [false, true] {
            let mut children: Vec<_> = (0..3).map(|_| sleeper()).collect();
            let ids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
            let mut scope = Scope::new();
            scope.extra("TasksMax", 100u64);
            let unit = if by_descriptor {
                let descriptors: Vec<_> = ids.iter().map(|id| pidfd(*id)).collect();
                soon("the start", scope.around_pidfds(descriptors.iter().map(AsFd::as_fd), &manager)).await.unwrap()
            } else {
                soon("the start", scope.around(ids.clone(), &manager)).await.unwrap()
            };
            for id in &ids {
                assert!(cgroup(*id).ends_with(unit.name()), "{transport}: {}", cgroup(*id));
            }
            assert_eq!(unit.get("TasksMax").await.unwrap(), 100u64.into());
            unit.kill(SIGKILL, Whom::All).await.unwrap();
            assert_eq!(soon("the end", unit.wait()).await.unwrap().result, Outcome::Success);
            children.iter_mut().for_each(|child| _ = child.wait().unwrap());
        }
    }
}

#[tokio::test]
async fn processes_that_have_ended() {
    for (transport, manager) in managers().await {
        let mut zombie = sleeper();
        let descriptor = pidfd(zombie.id());
        zombie.kill().unwrap();
        while exists(zombie.id()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let alive = sleeper();
        let refused = |error: Result<Unit, Error>| match error {
            Err(Error::Invalid { what: "process", .. }) => {}
            other => panic!("{transport}: {other:?}"),
        };
        refused(soon("the zombie", Scope::new().around([zombie.id()], &manager)).await);
        refused(soon("the zombie", Scope::new().around([alive.id(), zombie.id()], &manager)).await);
        refused(soon("the zombie", Scope::new().around_pidfds([&descriptor], &manager)).await);
        zombie.wait().unwrap();
        refused(soon("one that is gone", Scope::new().around([zombie.id()], &manager)).await);
        refused(soon("one that is gone", Scope::new().around_pidfds([&descriptor], &manager)).await);
        refused(soon("none", Scope::new().around([0], &manager)).await);
        refused(soon("none", Scope::new().around([u32::MAX], &manager)).await);
        let error = Scope::new().around([], &manager).await.unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = Scope::new().around_pidfds([file], &manager).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { what: "descriptor", .. }), "{error:?}");
        // What systemd refuses: its own.
        let error = Scope::new().around([1], &manager).await.unwrap_err();
        assert!(matches!(error, Error::Call { .. } | Error::AccessDenied { .. }), "{transport}: {error:?}");
        let mut alive = alive;
        alive.kill().unwrap();
        alive.wait().unwrap();
    }
}

/// A process that ends while the scope is made around it: its scope ends too, or there is none.
#[tokio::test]
async fn processes_that_end_meanwhile() {
    for (transport, manager) in managers().await {
        for round in 0..60 {
            let mut child = sleeper();
            let id = child.id();
            let scope = Scope::new();
            let start = scope.around([id], &manager);
            let kill = async {
                tokio::time::sleep(Duration::from_micros(100 * round)).await;
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id as i32), nix::sys::signal::SIGKILL);
            };
            let (unit, ()) = soon("the start", async { futures::join!(start, kill) }).await;
            match unit {
                // Nobody has waited for the child: it is a zombie.
                Ok(unit) => drop(soon("the end", unit.wait()).await.unwrap()),
                Err(Error::Invalid { what: "process", .. } | Error::Failed { .. } | Error::Call { .. }) => {}
                Err(other) => panic!("{transport}: {other:?}"),
            }
            child.wait().unwrap();
        }
    }
}

alone! {
    /// This process itself, as `systemd-run --scope` puts itself into one and then becomes the program.
    fn around_this_process() {
        runtime().block_on(async {
            for (_, manager) in managers().await {
                let unit = Scope::new().around([std::process::id()], &manager).await.unwrap();
                assert!(cgroup(std::process::id()).ends_with(unit.name()));
            }
        });
        let error = std::process::Command::new("/bin/true").exec();
        panic!("{error}");
    }
}

#[tokio::test]
async fn what_is_for_services_is_refused() {
    let manager = support::on_bus().await;
    type Set = fn(&mut Command) -> &mut Command;
    let refused: [(&str, Set); 12] = [
        ("service_type", |command| command.service_type(sdrun::ServiceType::Notify)),
        ("exit_type", |command| command.exit_type(sdrun::ExitType::Cgroup)),
        ("remain_after_exit", |command| command.remain_after_exit(true)),
        ("start_pre", |command| command.start_pre("/bin/true")),
        ("start_post", |command| command.start_post("/bin/true")),
        ("stop", |command| command.stop("/bin/true")),
        ("stop_post", |command| command.stop_post("/bin/true")),
        ("pty", |command| command.pty()),
        ("ignore_failure", |command| command.ignore_failure(true)),
        ("expand_environment", |command| command.expand_environment(true)),
        ("property", |command| command.extra("Type", "exec")),
        ("Stdio::journal", |command| command.stdout(sdrun::Stdio::journal())),
    ];
    for (setting, set) in refused {
        let mut command = Command::new("/bin/true");
        let error = set(&mut command).scope().start(&manager).await.unwrap_err();
        let named = matches!(&error, Error::Invalid { what: "setting", value, .. } if &**value == setting);
        assert!(named, "{setting}: {error:?}");
    }
    let error = Scope::new().name("a b").spawn(shell("true"), &manager).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "unit name", .. }), "{error:?}");
    let error = Scope::new().runtime_max(Duration::ZERO).around([1], &manager).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "runtime_max", .. }), "{error:?}");
    let unknown = Scope::new().extra("NoSuch", 1u32).spawn(shell("true"), &manager).await.unwrap_err();
    assert!(matches!(unknown, Error::Call { .. } | Error::AccessDenied { .. }), "{unknown:?}");
    let outside = std::thread::spawn(move || {
        let command = process::Command::new("/bin/true");
        futures::executor::block_on(Scope::new().spawn(command, &manager)).map(drop)
    });
    assert!(matches!(outside.join().unwrap(), Err(Error::NoRuntime)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The children of this process, zombies among them.
fn children() -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if parent == Some(std::process::id()) {
            found.push(process);
        }
    }
    found
}
