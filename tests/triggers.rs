//! Timers, paths and sockets that start a command, on a real systemd.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{
    Activations, Command, Error, Exit, Outcome, PathUnit, Signature, SocketUnit, Status, TimerUnit, Trigger, Unit,
    Value,
};
use support::{managers, soon};

const MILLISECOND: Duration = Duration::from_millis(1);

fn shell(script: &str) -> Command {
    Command::from(["/bin/sh", "-c", script])
}

/// A script that may be started as often as one likes.
fn unlimited(script: &str) -> Command {
    let mut command = shell(script);
    command.extra("StartLimitIntervalUSec", 0u64).collect(true);
    command
}

/// A path that is nobody else's.
fn scratch(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("sdrun-triggers-{}-{count}-{name}", std::process::id()))
}

async fn next(runs: &mut Activations) -> Unit {
    soon("the next run", runs.next()).await.expect("there is one").unwrap()
}

async fn exit(unit: &Unit) -> Exit {
    soon("the exit", unit.wait()).await.unwrap()
}

async fn over(runs: &mut Activations) {
    let more = soon("the end of the stream", runs.next()).await;
    assert!(more.is_none(), "{more:?}");
}

async fn stop(trigger: &Trigger) {
    soon("the stop", trigger.unit().stop()).await.unwrap();
}

#[tokio::test]
async fn a_timer_that_elapses_once() {
    for (transport, manager) in managers().await {
        for code in [0, 7] {
            let mut timer = TimerUnit::new();
            timer.on_active(20 * MILLISECOND).accuracy(MILLISECOND);
            let mut command = shell(&format!("exit {code}"));
            let trigger = timer.start(&manager, command.collect(true)).await.unwrap();
            assert_eq!(trigger.unit().name().strip_suffix(".timer"), trigger.service_name().strip_suffix(".service"));
            let mut runs = trigger.activations();
            let run = next(&mut runs).await;
            assert!(run.invocation_id().is_some());
            assert_eq!(run.name(), trigger.service_name());
            let exit = exit(&run).await;
            assert_eq!(exit.status, Some(Status::Exited(code)), "{transport}: {exit:?}");
            assert_eq!(exit.invocation_id, run.invocation_id(), "{transport}");
            assert_eq!(exit.success(), code == 0, "{transport}");
            assert!(exit.started.is_some() && exit.ended >= exit.started, "{transport}: {exit:?}");
            soon("the activation", run.activated()).await.unwrap();
            over(&mut runs).await;
            over(&mut trigger.activations()).await;
            assert!(soon("the timer's end", trigger.unit().wait()).await.unwrap().success(), "{transport}");
        }
    }
}

#[tokio::test]
async fn every_run_of_twenty_is_there_once() {
    for (transport, manager) in managers().await {
        for kind in ["simple", "oneshot", "exec"] {
            let counter = scratch("count");
            let mut timer = TimerUnit::new();
            timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
            let mut command = unlimited(&format!("echo >>{0}; exit $(wc -l <{0})", counter.display()));
            let trigger = timer.start(&manager, command.property(format!("Type={kind}")).unwrap()).await.unwrap();
            let mut runs = trigger.activations();
            let mut ids = Vec::new();
            for number in 1..=20 {
                let run = next(&mut runs).await;
                let exit = exit(&run).await;
                assert_eq!(exit.status, Some(Status::Exited(number)), "{transport}, {kind}");
                assert_eq!(exit.result, Outcome::ExitCode, "{transport}, {kind}");
                ids.push(exit.invocation_id.unwrap());
            }
            stop(&trigger).await;
            let mut number = 20;
            while let Some(run) = soon("the last runs", runs.next()).await {
                number += 1;
                assert_eq!(exit(&run.unwrap()).await.status, Some(Status::Exited(number)), "{transport}, {kind}");
            }
            let lines = std::fs::read_to_string(&counter).unwrap().lines().count();
            assert_eq!(usize::from(number), lines, "{transport}, {kind}");
            ids.sort_by_key(|id| *id.as_bytes());
            ids.dedup();
            assert_eq!(ids.len(), 20, "{transport}, {kind}");
            std::fs::remove_file(counter).unwrap();
        }
    }
}

/// The service has ended, and is to be started again at once: there is no signal in which it just has.
#[tokio::test]
async fn a_path_that_still_exists_starts_it_anew() {
    for (transport, manager) in managers().await {
        for kind in ["simple", "oneshot", "exec"] {
            let (file, counter) = (scratch("file"), scratch("count"));
            std::fs::write(&file, "").unwrap();
            let mut path = PathUnit::new();
            path.path_exists(&file).property("TriggerLimitIntervalSec=0").unwrap();
            let script = format!(
                "echo >>{0}; n=$(wc -l <{0}); [ $n -lt 20 ] || rm {1}; exit $n",
                counter.display(),
                file.display()
            );
            let mut command = unlimited(&script);
            let trigger = path.start(&manager, command.property(format!("Type={kind}")).unwrap()).await.unwrap();
            let mut runs = trigger.activations();
            for number in 1..=20 {
                let exit = exit(&next(&mut runs).await).await;
                assert_eq!(exit.status, Some(Status::Exited(number)), "{transport}, {kind}");
            }
            assert!(trigger.unit().try_wait().unwrap().is_none());
            stop(&trigger).await;
            over(&mut runs).await;
            assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), 20, "{transport}, {kind}");
            std::fs::remove_file(counter).unwrap();
        }
    }
}

#[tokio::test]
async fn paths_that_change() {
    for (transport, manager) in managers().await {
        let folder = scratch("folder");
        let file = folder.join("a");
        let make = || std::fs::write(&file, "text").unwrap();
        for how in ["exists", "glob", "changed", "modified", "directory"] {
            let mut path = PathUnit::new();
            match how {
                "exists" => path.path_exists(&file).make_directory(true),
                "glob" => path.path_exists_glob(folder.join("?")),
                "changed" => path.path_changed(&file),
                "modified" => path.path_modified(&file),
                _ => path.directory_not_empty(&folder).make_directory(true),
            };
            std::fs::create_dir_all(&folder).unwrap();
            let mut command = unlimited(&format!("mv {0}/a {0}.moved", folder.display()));
            let trigger = path.start(&manager, command.description(how)).await.unwrap();
            let mut runs = trigger.activations();
            soon("the path unit", trigger.unit().activated()).await.unwrap();
            // Of changes during a run systemd may say nothing.
            for round in 0..if how.ends_with("ed") { 1 } else { 5 } {
                make();
                let run = next(&mut runs).await;
                assert!(exit(&run).await.success(), "{transport}, {how}, {round}");
            }
            stop(&trigger).await;
            while let Some(run) = soon("the last runs", runs.next()).await {
                exit(&run.unwrap()).await;
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn datagrams_start_it() {
    use std::os::unix::net::UnixDatagram;
    for (transport, manager) in managers().await {
        let (address, log) = (scratch("socket"), scratch("log"));
        let mut socket = SocketUnit::new();
        socket.listen_datagram(address.to_str().unwrap()).property("RemoveOnStop=yes").unwrap();
        socket.property("TriggerLimitIntervalSec=0").unwrap();
        let mut command = unlimited(&format!("dd bs=100 count=1 <&3 >>{}", log.display()));
        let trigger = socket.start(&manager, command.name(format!("sdrun-dgram-{transport}"))).await.unwrap();
        assert_eq!(trigger.unit().name(), format!("sdrun-dgram-{transport}.socket"));
        soon("the socket unit", trigger.unit().activated()).await.unwrap();
        let mut runs = trigger.activations();
        let client = UnixDatagram::unbound().unwrap();
        for word in ["one ", "two ", "three"] {
            client.send_to(word.as_bytes(), &address).unwrap();
            assert!(exit(&next(&mut runs).await).await.success(), "{transport}");
        }
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one two three");
        stop(&trigger).await;
        over(&mut runs).await;
        assert!(!address.exists());
    }
}

#[tokio::test]
async fn connections_start_it() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    for (transport, manager) in managers().await {
        let address = scratch("socket");
        let mut socket = SocketUnit::new();
        socket.listen_stream(address.to_str().unwrap()).file_descriptor_name("talk");
        let answer = r#"open(L, "+<&=3"); accept(C, L); $x = <C>; syswrite(C, "$ENV{LISTEN_FDNAMES}: $x"); exit 4"#;
        let mut command = Command::from(["/usr/bin/perl", "-e", answer]);
        let trigger = socket.start(&manager, command.collect(true)).await.unwrap();
        soon("the socket unit", trigger.unit().activated()).await.unwrap();
        let mut runs = trigger.activations();
        for _ in 0..3 {
            let address = address.clone();
            let asked = tokio::task::spawn_blocking(move || {
                let mut stream = UnixStream::connect(address).unwrap();
                stream.write_all(b"hello\n").unwrap();
                let mut line = String::new();
                BufReader::new(stream).read_line(&mut line).unwrap();
                line
            });
            assert_eq!(soon("the answer", asked).await.unwrap(), "talk: hello\n");
            assert_eq!(exit(&next(&mut runs).await).await.status, Some(Status::Exited(4)), "{transport}");
        }
        stop(&trigger).await;
        over(&mut runs).await;
    }
}

#[tokio::test]
async fn a_calendar_event_each_second() {
    for (transport, manager) in managers().await {
        let mut timer = TimerUnit::new();
        timer.on_calendar("*:*:*").unwrap().accuracy(MILLISECOND);
        let trigger = timer.start(&manager, &shell("exit 0")).await.unwrap();
        let mut runs = trigger.activations();
        let mut last = None;
        for _ in 0..3 {
            let exit = exit(&next(&mut runs).await).await;
            assert!(exit.success() && exit.started > last, "{transport}: {exit:?}");
            last = exit.started;
        }
        stop(&trigger).await;
        over(&mut runs).await;
    }
}

/// What the run before has left behind is not told of a run that came to nothing.
#[tokio::test]
async fn runs_that_come_to_nothing() {
    for (transport, manager) in managers().await {
        let no = scratch("no");
        let mut timer = TimerUnit::new();
        timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
        // The second time its condition is not met.
        let mut command = unlimited(&format!("touch {}; exit 3", no.display()));
        let condition = ["ConditionPathExists".into(), false.into(), true.into(), no.to_str().unwrap().into()];
        let conditions = Value::Array(Signature::new("(sbbs)").unwrap(), vec![Value::Struct(condition.to_vec())]);
        command.extra("Conditions", conditions);
        let trigger = timer.start(&manager, &command).await.unwrap();
        let mut runs = trigger.activations();
        let first = next(&mut runs).await;
        assert_eq!(exit(&first).await.status, Some(Status::Exited(3)), "{transport}");
        let second = next(&mut runs).await;
        let exit = exit(&second).await;
        assert_eq!((&exit.result, exit.status), (&Outcome::Condition, None), "{transport}: {exit:?}");
        assert_eq!((exit.started, exit.ended, exit.invocation_id), (None, None, None), "{transport}: {exit:?}");
        stop(&trigger).await;
        std::fs::remove_file(no).unwrap();
    }
}

#[tokio::test]
async fn a_start_limit() {
    for (transport, manager) in managers().await {
        let mut timer = TimerUnit::new();
        timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
        let mut command = shell("exit 3");
        command.extra("StartLimitBurst", 3u32).extra("StartLimitIntervalUSec", 3_600_000_000u64).collect(true);
        let trigger = timer.start(&manager, &command).await.unwrap();
        let mut runs = trigger.activations();
        for _ in 0..3 {
            assert_eq!(exit(&next(&mut runs).await).await.status, Some(Status::Exited(3)), "{transport}");
        }
        let refused = exit(&next(&mut runs).await).await;
        // systemd 252 does not say why.
        assert!(matches!(refused.result.as_str(), "start-limit-hit" | "failed"), "{transport}: {refused:?}");
        assert_eq!((refused.status, refused.started), (None, None), "{transport}: {refused:?}");
        stop(&trigger).await;
    }
}

/// `Restart=` goes on with the same run.
#[tokio::test]
async fn runs_that_are_restarted() {
    for (transport, manager) in managers().await {
        let counter = scratch("count");
        let script = format!("echo >>{0}; [ $(($(wc -l <{0}) % 3)) = 0 ] && exit 0; exit 9", counter.display());
        let mut command = unlimited(&script);
        command.extra("Restart", "on-failure").extra("RestartUSec", 1000u64);
        let mut timer = TimerUnit::new();
        timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
        let trigger = timer.start(&manager, &command).await.unwrap();
        let mut runs = trigger.activations();
        for _ in 0..5 {
            let exit = exit(&next(&mut runs).await).await;
            assert_eq!((&exit.result, exit.status), (&Outcome::Success, Some(Status::Exited(0))), "{transport}");
        }
        stop(&trigger).await;
        while let Some(run) = soon("the last runs", runs.next()).await {
            assert!(exit(&run.unwrap()).await.success(), "{transport}");
        }
        let lines = std::fs::read_to_string(&counter).unwrap().lines().count();
        assert!(lines >= 15 && lines % 3 == 0, "{transport}: {lines}");
        std::fs::remove_file(counter).unwrap();
    }
}

/// The run goes on when what triggers it is stopped, and the stream waits for it.
#[tokio::test]
async fn a_run_outlives_its_timer() {
    for (transport, manager) in managers().await {
        let mut timer = TimerUnit::new();
        let trigger = timer.on_active(MILLISECOND).accuracy(MILLISECOND).start(&manager, &shell("sleep 1000")).await;
        let trigger = trigger.unwrap();
        let mut runs = trigger.activations();
        let run = next(&mut runs).await;
        stop(&trigger).await;
        soon("the timer's end", trigger.unit().wait()).await.unwrap();
        assert!(run.try_wait().unwrap().is_none(), "{transport}");
        soon("the stop", run.stop()).await.unwrap();
        assert_eq!(exit(&run).await.signal(), Some(15), "{transport}");
        over(&mut runs).await;
    }
}

#[tokio::test]
async fn handles_that_are_dropped() {
    for (transport, manager) in managers().await {
        let mut timer = TimerUnit::new();
        timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
        let counter = scratch("count");
        let command = unlimited(&format!("echo >>{}", counter.display()));

        // Streams go on without the handle, and runs that nobody looks at are runs too.
        let trigger = timer.start(&manager, &command).await.unwrap();
        let name = trigger.unit().name().to_owned();
        let mut runs = trigger.activations();
        drop(trigger);
        for _ in 0..5 {
            drop(next(&mut runs).await);
        }
        assert!(exit(&next(&mut runs).await).await.success(), "{transport}");
        drop(runs);
        let unit = soon("the adoption", manager.unit(&name)).await.unwrap();
        let lines = || std::fs::read_to_string(&counter).unwrap().lines().count();
        let before = lines();
        while lines() < before + 3 {
            tokio::task::yield_now().await; // it goes on
        }
        soon("the stop", unit.stop()).await.unwrap();

        // A run that is held outlives all else.
        let mut long = shell("sleep 1000");
        let trigger = timer.start(&manager, long.kill_on_drop(true)).await.unwrap();
        let timer = soon("the adoption", manager.unit(trigger.unit().name())).await.unwrap();
        let run = next(&mut trigger.activations()).await;
        drop(trigger);
        assert!(soon("the timer's end", timer.wait()).await.unwrap().success(), "{transport}");
        assert!(run.try_wait().unwrap().is_none(), "{transport}");
        soon("the stop", run.stop()).await.unwrap();
        assert_eq!(exit(&run).await.signal(), Some(15), "{transport}");
        std::fs::remove_file(counter).unwrap();
    }
}

/// What is refused is refused before anything is sent.
#[tokio::test]
async fn what_is_refused() {
    for (_, manager) in managers().await {
        let name = format!("sdrun-refused-{}", std::process::id());
        let refused = |result: sdrun::Result<Trigger>| result.unwrap_err().to_string();
        let mut timer = TimerUnit::new();
        let bad = timer.on_calendar("Mon *-13-01").unwrap_err();
        assert_eq!(bad.to_string(), r#"OnCalendar=Mon *-13-01: "13" (at character 7) is not a month (1 to 12)"#);
        assert!(matches!(bad, Error::Property { .. }));
        let plain = || {
            let mut command = shell("exit 0");
            command.name(&name);
            command
        };
        assert!(refused(timer.start(&manager, &plain()).await).contains("no time"));
        assert!(refused(timer.property("OnCalendar=").unwrap().start(&manager, &plain()).await).contains("no time"));
        assert!(refused(timer.on_clock_change(false).start(&manager, &plain()).await).contains("no time"));
        assert!(refused(PathUnit::new().start(&manager, &plain()).await).contains("watches nothing"));
        assert!(refused(SocketUnit::new().start(&manager, &plain()).await).contains("listens on nothing"));
        let mut socket = SocketUnit::new();
        socket.listen_stream("/run/x").property("Accept=yes").unwrap();
        assert!(refused(socket.start(&manager, &plain()).await).contains("template"));
        assert!(refused(PathUnit::new().path_exists("a\nb").start(&manager, &plain()).await).contains("line break"));

        timer.on_active(Duration::from_secs(1000));
        for (what, command) in [
            ("pty", plain().pty().clone()),
            ("stdin", plain().stdin(sdrun::Stdio::piped()).clone()),
            ("stdout", plain().stdout(sdrun::Stdio::inherit()).clone()),
            ("stderr", plain().stderr(std::fs::File::open("/dev/null").unwrap()).clone()),
            ("usage", plain().usage(true).clone()),
        ] {
            let error = refused(timer.start(&manager, &command).await);
            assert!(error.starts_with(&format!("{what} cannot go with")) && error.contains(&name), "{error}");
        }
        assert!(matches!(manager.unit(format!("{name}.timer")).await, Err(Error::NoSuchUnit { .. })));

        // What systemd itself refuses.
        let trigger = timer.start(&manager, &plain()).await.unwrap();
        let mut runs = trigger.activations();
        let again = timer.start(&manager, &plain()).await;
        assert!(matches!(&again, Err(Error::UnitExists { .. })), "{again:?}");
        stop(&trigger).await;
        over(&mut runs).await;
        let again = timer.start(&manager, &plain()).await.unwrap();
        stop(&again).await;
    }
}

#[tokio::test]
async fn settings_reach_the_unit() {
    for (transport, manager) in managers().await {
        let mut timer = TimerUnit::new();
        timer.on_clock_change(true).on_timezone_change(true).description("a timer").collect(true);
        timer
            .accuracy(Duration::from_secs(2))
            .randomized_delay(Duration::from_secs(3))
            .property("Persistent=no")
            .unwrap();
        timer.on_boot(Duration::from_secs(1 << 40)).on_calendar("2199-01-01 UTC").unwrap();
        let mut command = shell("exit 0");
        let trigger = timer.start(&manager, command.description("a service").env("A", "b")).await.unwrap();
        let get = async |name: &str| soon("the property", trigger.unit().get(name)).await;
        assert_eq!(get("Description").await.unwrap(), Value::from("a timer"), "{transport}");
        assert_eq!(get("CollectMode").await.unwrap(), Value::from("inactive-or-failed"), "{transport}");
        for (name, value) in [
            ("OnClockChange", Value::Bool(true)),
            ("OnTimezoneChange", Value::Bool(true)),
            ("AccuracyUSec", Value::U64(2_000_000)),
            ("RandomizedDelayUSec", Value::U64(3_000_000)),
            ("RemainAfterElapse", Value::Bool(false)),
            ("Unit", Value::from(trigger.service_name())),
        ] {
            assert_eq!(get(name).await.unwrap(), value, "{transport}, {name}");
        }
        let service = manager.unit(trigger.service_name()).await.unwrap();
        assert_eq!(service.get("Description").await.unwrap(), Value::from("a service"), "{transport}");
        assert_eq!(service.get("Environment").await.unwrap(), Value::from(["A=b"]), "{transport}");
        stop(&trigger).await;
    }
}

/// Which calendar events are taken: what systemd-analyze says here and now, of expressions drawn at random.
#[test]
fn calendar_events_are_judged_as_by_systemd() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut drawn = seed;
    let mut draw = |most: u64| {
        // splitmix64
        drawn = drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    };
    let mut expressions = Vec::new();
    for _ in 0..2000 {
        let mut list = |from: u64, to: u64| {
            let mut number = || (from + draw(to - from + 1) + u64::from(draw(15) == 0) * 40).to_string();
            let mut parts = Vec::new();
            for _ in 0..=number().len() % 2 {
                let mut part = number();
                if part.ends_with(['1', '4', '7']) {
                    part = format!("{part}..{}", number());
                }
                if part.ends_with(['2', '5']) {
                    part = format!("{part}/{}", number());
                }
                parts.push(part);
            }
            if draw(3) == 0 { "*".to_owned() } else { parts.join(",") }
        };
        let date = [list(1970, 2199), list(1, 12), list(1, 31)];
        let time = [list(0, 23), list(0, 59), list(0, 59)];
        let days = ["", "", "Mon ", "Tue,Sat ", "wed..Sun ", "Fri..Mon ", "Sun-Sun "][draw(7) as usize];
        let date = match draw(4) {
            0 => String::new(),
            1 => format!("{}-{}~{} ", date[0], date[1], date[2]),
            2 => format!("{}-{} ", date[1], date[2]),
            _ => format!("{} ", date.join("-")),
        };
        let time = if draw(3) == 0 { time[..2].join(":") } else { time.join(":") };
        let zone = ["", "", "", " UTC", " Europe/Berlin", " Nowhere"][draw(6) as usize];
        expressions.push(format!("{days}{date}{time}{zone}"));
    }
    for some in expressions.chunks(250) {
        let output =
            std::process::Command::new("systemd-analyze").args(["calendar", "--"]).args(some).output().unwrap();
        let complaints = String::from_utf8(output.stderr).unwrap();
        for expression in some {
            let bad = complaints.contains(&format!("Failed to parse calendar specification '{expression}'"));
            let ours = TimerUnit::new().on_calendar(expression).map(drop);
            assert_eq!(ours.is_err(), bad, "seed {seed}: {expression:?}: {ours:?}");
        }
    }
}

/// What a run has written before it was heard of is in its log, and what later runs of the same name write is not.
#[tokio::test]
async fn the_log_of_one_run() {
    for (transport, manager) in managers().await {
        let file = scratch("ran");
        let mut timer = TimerUnit::new();
        timer.on_active(MILLISECOND).on_unit_inactive(MILLISECOND).accuracy(MILLISECOND);
        let script = format!("echo hello; echo >>{}", file.display());
        let trigger = timer.start(&manager, &unlimited(&script)).await.unwrap();
        let mut runs = trigger.activations();
        // Nothing is read meanwhile: this is the only thread.
        while !file.exists() {
            std::thread::yield_now();
        }
        let first = next(&mut runs).await;
        exit(&first).await;
        for _ in 0..3 {
            exit(&next(&mut runs).await).await;
        }
        let entries: Vec<_> = soon("the log", first.logs().collect()).await;
        let count =
            |text: &str| entries.iter().filter(|entry| entry.as_ref().unwrap().message().contains(text)).count();
        // (The journal does not always know of which run it is what a process writes that is gone at once.)
        assert!(count("hello") >= 1, "{transport}: {entries:#?}");
        assert_eq!(count("Deactivated successfully"), 1, "{transport}: {entries:#?}");
        stop(&trigger).await;
        std::fs::remove_file(file).unwrap();
    }
}
