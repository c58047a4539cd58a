//! What only a service manager can do for a command, checked from inside the unit or with systemd.

mod support;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sdrun::{Command, Error, Exit, Manager, Outcome, Signature, Status, Stdio, Unit, Value};
use support::{Folder, is_root, managers, on_bus, shell, sleeping, soon, systemctl};

/// Everything in this file again as an ordinary user, on the user bus and the user manager's private socket.
#[test]
fn again_as_user() {
    support::again_as_user();
}

async fn exit(manager: &Manager, command: &mut Command) -> Exit {
    let unit = command.collect(true).start(manager).await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    soon("the exit", unit.wait()).await.unwrap()
}

async fn output(manager: &Manager, command: &mut Command) -> String {
    let unit = command.collect(true).stdout(Stdio::piped()).start(manager).await.unwrap_or_else(|e| panic!("{e}"));
    let output = soon("the output", unit.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{command:?}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn users_and_groups() {
    let id = "echo $(id -u):$(id -g)";
    let user = nix::unistd::User::from_name("tester").unwrap().unwrap();
    for (transport, manager) in managers().await {
        if !is_root() {
            // A user manager may not set groups; systemd 262 sees when there is nothing to change.
            let other = exit(&manager, Command::new("/bin/true").user("daemon")).await;
            assert!(matches!(other.status, Some(Status::Exited(216 | 217))), "{transport}: {other:?}");
            let own = exit(&manager, Command::new("/bin/true").user("tester")).await;
            assert!(matches!(own.status, Some(Status::Exited(0 | 216))), "{transport}: {own:?}");
            continue;
        }
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        assert_eq!(output(&manager, &mut shell(id)).await, "0:0", "{transport}");
        assert_eq!(output(&manager, shell(id).user("tester")).await, format!("{uid}:{gid}"), "{transport}");
        assert_eq!(output(&manager, shell(id).uid(uid)).await, format!("{uid}:{gid}"), "{transport}");
        assert_eq!(output(&manager, shell(id).user("tester").group("daemon")).await, format!("{uid}:1"), "{transport}");
        assert_eq!(output(&manager, shell(id).gid(gid)).await, format!("0:{gid}"), "{transport}");
        let dynamic = output(&manager, shell(id).extra("DynamicUser", true)).await;
        let number: u32 = dynamic.split(':').next().unwrap().parse().unwrap();
        assert!((61184..=65519).contains(&number), "{transport}: {dynamic}");
        let unknown = exit(&manager, Command::new("/bin/true").user("nobody-of-this-name")).await;
        assert_eq!((unknown.result, unknown.status), (Outcome::ExitCode, Some(Status::Exited(217))), "{transport}");
        let unknown = exit(&manager, Command::new("/bin/true").group("no-such-group")).await;
        assert_eq!((unknown.result, unknown.status), (Outcome::ExitCode, Some(Status::Exited(216))), "{transport}");
        // What is no name at all is for systemd to refuse.
        let refused = Command::new("/bin/true").user("a/b").start(&manager).await.unwrap_err();
        assert!(matches!(&refused, Error::Call { message, .. } if message.contains("User")), "{refused:?}");
    }
}

#[tokio::test]
async fn niceness_and_directory() {
    let folder = Folder::new();
    for (transport, manager) in managers().await {
        for nice in if is_root() { [-20, -1, 7, 19] } else { [1, 7, 15, 19] } {
            assert_eq!(
                output(&manager, Command::new("/usr/bin/nice").nice(nice)).await,
                nice.to_string(),
                "{transport}"
            );
        }
        for name in ["plain", "a b", "odd $HOME ${X} %n;", "quote\"'", "back\\slash", "é"] {
            let directory = folder.path(name);
            let _ = std::fs::create_dir(&directory);
            let seen = output(&manager, Command::new("/bin/pwd").current_dir(&directory)).await;
            assert_eq!(seen, directory, "{transport}");
        }
        // Relative to where this process is.
        let parent = std::env::current_dir().unwrap();
        let parent = parent.parent().unwrap_or(&parent).canonicalize().unwrap();
        if parent.metadata().is_ok() {
            let seen = output(&manager, Command::new("/bin/pwd").arg("-P").current_dir("..")).await;
            assert_eq!(std::path::Path::new(&seen), parent, "{transport}");
        }
        let missing = exit(&manager, Command::new("/bin/pwd").current_dir("/no/such/folder")).await;
        assert_eq!(missing.status, Some(Status::Exited(200)), "{transport}");
    }
}

fn variables(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

#[tokio::test]
async fn environments() {
    for (transport, manager) in managers().await {
        let env = || Command::new("/usr/bin/env");
        let plain = output(&manager, env().env("A", "1").env("B", "2").env("A", "3").env_remove("B")).await;
        let plain = variables(&plain);
        assert_eq!((plain.get("A"), plain.get("B")), (Some(&"3"), None), "{transport}");
        assert!(plain.contains_key("PATH") && plain.contains_key("INVOCATION_ID"), "{plain:?}");

        let removed = output(&manager, env().env_remove("PATH").env_remove("LANG")).await;
        let removed = variables(&removed);
        assert!(!removed.contains_key("PATH") && !removed.contains_key("LANG"), "{transport}: {removed:?}");

        // A variable of the manager's own goes too.
        let own = format!("SDRUN_OWN_{transport}");
        systemctl(&["set-environment", &format!("{own}=1")]);
        assert!(variables(&output(&manager, &mut env()).await).contains_key(&*own));
        let mut command = env();
        let cleared = output(&manager, command.env("LOST", "1").env_clear().env("KEPT", "1").env("HOME", "/x")).await;
        systemctl(&["unset-environment", &own]);
        let mut cleared = variables(&cleared);
        assert_eq!((cleared.remove("KEPT"), cleared.remove("HOME")), (Some("1"), Some("/x")), "{transport}");
        // What systemd tells a service about itself.
        let told = ["INVOCATION_ID", "JOURNAL_STREAM", "MANAGERPID", "SYSTEMD_EXEC_PID", "MEMORY_PRESSURE_"];
        cleared.retain(|name, _| !told.iter().any(|told| name.starts_with(told)));
        assert!(cleared.is_empty(), "{transport}: {cleared:?}");
    }
}

#[tokio::test]
async fn slices() {
    let id = std::process::id();
    for (transport, manager) in managers().await {
        let script = "sed -n 's/^0:://p' /proc/self/cgroup | sed 's:/[^/]*$::; s:.*/user@[^/]*::'";
        for (slice, path) in [
            (format!("sdrun{id}{transport}"), format!("/sdrun{id}{transport}.slice")),
            (
                format!("sdrun{id}{transport}-b-c.slice"),
                format!("/sdrun{id}{transport}.slice/sdrun{id}{transport}-b.slice/sdrun{id}{transport}-b-c.slice"),
            ),
            ("-".into(), "".into()),
        ] {
            let seen = output(&manager, shell(script).slice(&slice)).await;
            assert!(seen == path || seen.trim_start_matches("/payload") == path, "{transport}: {seen:?}, not {path:?}");
        }
        let mut command = sleeping();
        let unit = command.slice("sdrun-x").start(&manager).await.unwrap();
        assert_eq!(unit.get("Slice").await.unwrap(), "sdrun-x.slice".into(), "{transport}");
    }
}

/// The same slice as `systemd-run --slice-inherit` takes, from a process in a slice of the caller's manager.
#[tokio::test]
async fn slices_are_inherited() {
    let scope = if is_root() { "--system" } else { "--user" };
    let folder = Folder::new();
    for (slice, below) in [("sdrun-inherit.slice", ""), ("sdrun-inherit-deeper.slice", "below")] {
        let run = |arguments: &[&str]| {
            let mut command = std::process::Command::new("systemd-run");
            command.args(["--quiet", scope, "--scope", "--slice", slice]).args(arguments);
            command.env("SDRUN_BELOW", below).env("SDRUN_OUT", folder.path("seen"));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        let theirs = format!(
            "systemd-run --quiet {scope} --wait --collect --slice-inherit {} \
             -p StandardOutput=truncate:{} sed -n s/^0:://p /proc/self/cgroup",
            if below.is_empty() { String::new() } else { format!("--slice={below}") },
            folder.path("theirs"),
        );
        run(&["/bin/sh", "-c", &theirs]);
        let program = std::env::current_exe().unwrap();
        run(&[program.to_str().unwrap(), "in_a_slice", "--exact", "--ignored"]);
        let theirs = folder.read("theirs");
        let theirs = theirs.trim().rsplit_once('/').unwrap().0;
        assert_eq!(folder.read("seen"), format!("{theirs}\n{theirs}\n"), "{slice}, {below:?}");
        std::fs::remove_file(folder.path("seen")).unwrap();
    }
}

#[tokio::test]
#[ignore = "run by `slices_are_inherited`, in a slice"]
async fn in_a_slice() {
    let (below, out) = (std::env::var("SDRUN_BELOW").unwrap(), std::env::var("SDRUN_OUT").unwrap());
    for (_, manager) in managers().await {
        let mut command = shell("sed -n 's/^0:://p' /proc/self/cgroup");
        if !below.is_empty() {
            command.slice(&below);
        }
        let seen = output(&manager, command.slice_inherit(true)).await;
        let slice = seen.rsplit_once('/').unwrap().0;
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&out).unwrap();
        writeln!(file, "{slice}").unwrap();
    }
}

#[tokio::test]
async fn time_limits() {
    for (transport, manager) in managers().await {
        for limit in [Duration::from_nanos(1), Duration::from_micros(1), Duration::from_millis(150)] {
            let exit = exit(&manager, sleeping().runtime_max(limit)).await;
            assert_eq!((&exit.result, exit.status), (&Outcome::Timeout, Some(Status::Killed(15))), "{transport}");
            assert!(exit.runtime.unwrap() >= limit.min(Duration::from_millis(149)) / 2, "{limit:?}: {exit:?}");
        }
        let mut deaf = shell("trap '' TERM; while :; do sleep 1000; done");
        // Its start is over before it is deaf, so wait for that too: it says so by ending a first command.
        deaf.runtime_max(Duration::from_millis(700)).extra("TimeoutStopUSec", 200_000u64);
        let exit = exit(&manager, &mut deaf).await;
        assert_eq!((&exit.result, exit.status), (&Outcome::Timeout, Some(Status::Killed(9))), "{transport}: {exit:?}");
        for limit in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
            let mut command = Command::new("/bin/true");
            let exit = self::exit(&manager, command.runtime_max(limit)).await;
            assert!(exit.success(), "{transport}, {limit:?}: {exit:?}");
        }
        let mut sent = sleeping();
        let unit = sent.runtime_max(Duration::from_nanos(5_000_000_001)).start(&manager).await.unwrap();
        assert_eq!(unit.get("RuntimeMaxUSec").await.unwrap(), 5_000_001u64.into(), "{transport}");
    }
}

fn signature(text: &str) -> Signature {
    Signature::new(text).unwrap()
}

#[tokio::test]
async fn properties_of_every_kind() {
    use Value::{Array, Bytes, Fd, Struct};
    let texts = |texts: &[&str]| Array(signature("s"), texts.iter().map(|text| (*text).into()).collect());
    for (transport, manager) in managers().await {
        let (reader, writer) = std::io::pipe().unwrap();
        let line = Struct(vec!["/bin/true".into(), texts(&["/bin/true"]), false.into()]);
        let flagged = Struct(vec!["/bin/true".into(), texts(&["/bin/true"]), texts(&["ignore-failure"])]);
        let condition = Struct(vec!["ConditionPathExists".into(), false.into(), false.into(), "/".into()]);
        let mut command = shell("printf written");
        command
            .extra("Description", "extra")
            .extra("SendSIGHUP", true)
            .extra("OOMScoreAdjust", 500i32)
            .extra("UMask", 0o27u32)
            .extra("TimeoutStopUSec", 7_000_000u64)
            .extra("LimitNOFILE", 512u64)
            .extra("Wants", ["basic.target"])
            .extra("Environment", vec!["A=1".to_owned()])
            .extra("CPUAffinity", Bytes(vec![1]))
            .extra("Conditions", Array(signature("(sbbs)"), vec![condition]))
            .extra("ExecStartPre", Array(signature("(sasb)"), vec![line]))
            .extra("ExecStartPostEx", Array(signature("(sasas)"), vec![flagged]))
            .extra("RestrictAddressFamilies", Struct(vec![true.into(), texts(&["AF_UNIX"])]))
            .extra("EnvironmentFiles", Array(signature("(sb)"), vec![Struct(vec!["/no/such".into(), true.into()])]))
            .extra(
                "IPAddressDeny",
                Array(signature("(iayu)"), vec![Struct(vec![2i32.into(), Bytes(vec![127, 0, 0, 1]), 32u32.into()])]),
            )
            .extra("StandardOutputFileDescriptor", Fd(std::sync::Arc::new(OwnedFd::from(writer))));
        let unit = command.start(&manager).await.unwrap_or_else(|error| panic!("{transport}: {error}"));
        let exit = soon("the exit", unit.wait()).await.unwrap();
        drop((command, unit));
        assert!(exit.success(), "{transport}: {exit:?}");
        let read = tokio::task::spawn_blocking(move || std::io::read_to_string(reader).unwrap());
        assert_eq!(soon("the output", read).await.unwrap(), "written", "{transport}");

        let refused = |property: &'static str, value: Value| {
            let manager = &manager;
            async move {
                match Command::new("/bin/true").extra(property, value).start(manager).await.unwrap_err() {
                    Error::Call { name, message, method: "StartTransientUnit" } => format!("{name}: {message}"),
                    other => panic!("{transport}: {other:?}"),
                }
            }
        };
        for (property, value) in [
            ("NoSuchProperty", Value::from(1u32)),
            ("Nice", "five".into()),
            ("RuntimeMaxUSec", 1u32.into()),
            ("Type", "no-such-type".into()),
            ("Slice", "x.service".into()),
            ("ExecStop", texts(&["/bin/true"])),
        ] {
            let text = refused(property, value).await;
            assert!(text.starts_with("org.freedesktop") || text.starts_with("System.Error"), "{text}");
            println!("{property}: {text}");
        }
        let text = refused("NoSuchProperty", 1u32.into()).await;
        assert!(text.contains("NoSuchProperty"), "{text}");
    }
}

#[tokio::test]
async fn auxiliary_units() {
    let id = std::process::id();
    for (transport, manager) in managers().await {
        let folder = Folder::new();
        let other = format!("sdrun-aux-{transport}-{id}.service");
        let slice = format!("sdrunaux{transport}{id}.slice");
        let words = ["/bin/sh", "-c", &format!("echo auxiliary >{}", folder.path("out"))];
        let words = Value::Array(signature("s"), words.into_iter().map(Value::from).collect());
        let line = Value::Struct(vec!["/bin/sh".into(), words, false.into()]);
        let lines = Value::Array(signature("(sasb)"), vec![line]);
        let mut command = shell(&format!("cat {}", folder.path("out")));
        command.auxiliary(&other, [("Type", "oneshot".into()), ("ExecStart", lines)]);
        command.auxiliary(&slice, [("Description", Value::from("made along"))]);
        command.extra("Wants", [other.as_str()]).extra("After", [other.as_str()]).slice(&slice);
        assert_eq!(output(&manager, &mut command).await, "auxiliary", "{transport}");

        for bad in ["x", "x.unknown", "a b.service"] {
            let error = Command::new("/bin/true").auxiliary(bad, [("A", Value::from(1u32))]).start(&manager).await;
            assert!(matches!(error, Err(Error::Invalid { what: "unit name", .. })), "{error:?}");
        }
        let mut command = Command::new("/bin/true");
        let error =
            command.auxiliary(&other, [("NoSuchProperty", Value::from(1u32))]).start(&manager).await.unwrap_err();
        assert!(matches!(&error, Error::Call { message, .. } if message.contains("NoSuchProperty")), "{error:?}");
    }
}

/// Waits until a unit is in this state.
async fn until(name: &str, property: &str, value: &str) {
    let reached = async {
        while systemctl(&["show", "--value", "-p", property, name]).trim() != value {
            tokio::task::yield_now().await;
        }
    };
    soon(&format!("{name}: {property}={value}"), reached).await;
}

#[tokio::test]
async fn failed_units_are_kept_or_collected() {
    for (transport, manager) in managers().await {
        let name = |kind: &str| format!("sdrun-{kind}-{transport}-{}.service", std::process::id());
        let kept = Command::new("/bin/false").name(name("kept")).start(&manager).await.unwrap();
        soon("the exit", kept.wait()).await.unwrap();
        assert_eq!(kept.get("ActiveState").await.unwrap(), "failed".into(), "{transport}");
        let again = Command::new("/bin/true").name(name("kept")).start(&manager).await;
        assert!(matches!(again, Err(Error::UnitExists { .. })), "{again:?}");
        systemctl(&["reset-failed", kept.name()]);
        let collected = Command::new("/bin/false").name(name("gone")).collect(true).start(&manager).await.unwrap();
        soon("the exit", collected.wait()).await.unwrap();
        until(collected.name(), "LoadState", "not-found").await;
    }
}

#[tokio::test]
async fn failures_can_be_errors() {
    for (transport, manager) in managers().await {
        let mut command = shell("exit 3");
        command.raise_on_fail(true);
        let failed = |error: &Error| matches!(error, Error::Failed { exit } if exit.code() == Some(3));
        let unit = command.start(&manager).await.unwrap();
        let error = soon("the exit", unit.wait()).await.unwrap_err();
        assert!(failed(&error), "{transport}: {error:?}");
        assert!(failed(&unit.try_wait().unwrap_err()), "{transport}");
        assert!(failed(&soon("the exit", unit).await.unwrap_err()), "{transport}");
        assert!(failed(&soon("the exit", command.status()).await.unwrap_err()), "{transport}");
        let mut good = Command::new("/bin/true");
        assert!(exit(&manager, good.raise_on_fail(true)).await.success(), "{transport}");
    }
}

#[tokio::test]
async fn dropped_handles_stop_their_units_or_not() {
    for (transport, manager) in managers().await {
        let name = |kind: &str| format!("sdrun-{kind}-{transport}-{}.service", std::process::id());
        let command = |kind: &str, kill: bool| {
            let mut command = Command::from("/bin/sleep 1000");
            command.name(name(kind)).kill_on_drop(kill).collect(true);
            command
        };
        // At once, and once it runs.
        drop(command("at-once", true).start(&manager).await.unwrap());
        until(&name("at-once"), "LoadState", "not-found").await;
        let unit = command("later", true).start(&manager).await.unwrap();
        until(unit.name(), "ActiveState", "active").await;
        drop(unit);
        until(&name("later"), "LoadState", "not-found").await;
        drop(command("goes-on", false).start(&manager).await.unwrap());
        until(&name("goes-on"), "ActiveState", "active").await;
        systemctl(&["stop", &name("goes-on")]);
        // Ended before: there is nothing to stop.
        let unit = shell("exit 0").kill_on_drop(true).start(&manager).await.unwrap();
        soon("the exit", unit.wait()).await.unwrap();
        drop(unit);
        // A future that waits for the unit and is dropped.
        let waiting = command("waited-for", true).start(&manager).await.unwrap().into_future();
        drop(waiting);
        until(&name("waited-for"), "LoadState", "not-found").await;
    }
}

/// The handle is gone before there is a connection, or after there was one.
#[test]
fn spawned_and_dropped() {
    let name = |kind: &str| format!("sdrun-spawned-{kind}-{}.service", std::process::id());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let spawn = |kind: &str, kill: bool| -> Unit {
        let mut command = Command::from("/bin/sleep 1000");
        command.name(name(kind)).kill_on_drop(kill).collect(true).spawn().unwrap()
    };
    let one = runtime();
    one.block_on(async {
        drop(spawn("goes-on", false));
        until(&name("goes-on"), "ActiveState", "active").await;
        systemctl(&["stop", &name("goes-on")]);
        // Dropped at once, or when its start has come a bit further: it was never sent, or is stopped again.
        for turns in 0..20 {
            let unit = spawn(&format!("stopped-{turns}"), true);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            drop(unit);
        }
        // What was spawned after them has ended.
        let after = Command::new("/bin/true").collect(true).spawn().unwrap();
        assert!(soon("the exit", after.wait()).await.unwrap().success());
        for turns in 0..20 {
            until(&name(&format!("stopped-{turns}")), "LoadState", "not-found").await;
        }
        let kept = spawn("kept", true);
        until(kept.name(), "ActiveState", "active").await;
        std::mem::forget(kept);
    });
    // A runtime that goes takes the handles' way to systemd with it: the unit goes on.
    drop(one);
    assert_eq!(systemctl(&["show", "--value", "-p", "ActiveState", &name("kept")]).trim(), "active");
    systemctl(&["stop", &name("kept")]);

    let two = runtime();
    let unit = two.block_on(async {
        let unit = spawn("runtime", true);
        until(unit.name(), "ActiveState", "active").await;
        unit
    });
    drop(two);
    drop(unit);
    assert_eq!(systemctl(&["show", "--value", "-p", "ActiveState", &name("runtime")]).trim(), "active");
    systemctl(&["stop", &name("runtime")]);
}

/// Many processes at once, each making many names; all are taken by systemd at the same time.
#[test]
fn generated_names_never_collide() {
    let processes: Vec<_> =
        (0..8).map(|_| support::helper("make_names").stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
    let mut names = Vec::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        names.extend(text.lines().filter(|line| line.starts_with("sdrun-")).map(str::to_owned));
    }
    assert_eq!(names.len(), 8 * 16);
    assert!(names.iter().all(|name| name.len() < 255 && name.ends_with(".service")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 8 * 16);
}

#[tokio::test]
#[ignore = "run by `generated_names_never_collide`, in many processes"]
async fn make_names() {
    let manager = on_bus().await;
    let mut units = Vec::new();
    for _ in 0..16 {
        units.push(sleeping().start(&manager).await.unwrap());
    }
    println!();
    units.iter().for_each(|unit| println!("{}", unit.name()));
    // One systemctl for all: many at once keep the manager from its work.
    systemctl(&[&["stop"], &*units.iter().map(Unit::name).collect::<Vec<_>>()].concat());
}
