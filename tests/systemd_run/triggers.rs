//! Timers, paths and sockets that start the command.

use std::fs;

use crate::folder;
use crate::settings::systemd_version;
use crate::side::{SIDES, Side, Stopped, both_return, property, said, systemctl, until};
use crate::support::{DEADLINE, is_root};

/// What is shown of both units that these options make.
async fn shown(side: Side, kind: &str, options: &[&str], names: &str) -> (Vec<String>, String) {
    let (trigger, service) = (format!("made-{}.{kind}", side.name()), format!("made-{}.service", side.name()));
    let _stopped = [Stopped(trigger.clone()), Stopped(service.clone())];
    let run = side.run(&[&["--unit=made-{}"], options, &["true"]].concat()).await;
    assert_eq!((run.status, &*run.stdout), (Some(0), ""), "{side:?} {options:?}: {run:?}");
    let text = systemctl(&["show", "--property", names, &trigger, &service]);
    // Monotonic times lie as far apart as the two runs.
    let without_times = |line: &str| match line.split_once(" ; next_elapse=") {
        Some((before, _)) => before.to_owned(),
        None => line.to_owned(),
    };
    let text = text.lines().map(without_times).collect::<Vec<_>>().join("\n");
    let lines = said(&run).into_iter().map(|line| line.replace(side.name(), "{}"));
    (lines.collect(), text.replace(side.name(), "{}"))
}

#[tokio::test]
async fn timers_are_made_alike() {
    let cases: [&[&str]; 12] = [
        &["--on-active=5h"],
        &["--on-active=1h 30min", "--timer-property=AccuracySec=100ms"],
        &["--on-boot=400d"],
        &["--on-startup", "400d"],
        &["--on-unit-active=3h", "--on-active=2h"],
        &["--on-unit-inactive=3h", "--on-active=2h"],
        &["--on-calendar=2035-01-01"],
        &["--on-calendar=Mon *-*-* 10:00 UTC", "--on-calendar=daily"],
        &["--on-clock-change"],
        &["--on-timezone-change"],
        &["--timer-property=OnCalendar=weekly", "--timer-property=Persistent=yes", "--timer-property=WakeSystem=no"],
        &[
            "--on-active=5h",
            "-G",
            "--description=of both",
            "--slice=trig",
            "--nice=3",
            "-p",
            "CPUWeight=55",
            "-EA=b",
            "-r",
        ],
    ];
    let names = "Id,TimersMonotonic,TimersCalendar,OnClockChange,OnTimezoneChange,AccuracyUSec,Persistent,WakeSystem,\
                 RemainAfterElapse,CollectMode,Slice,Nice,CPUWeight,Environment,Unit,RemainAfterExit";
    for options in cases {
        let [theirs, ours] =
            [shown(Side::Theirs, "timer", options, names).await, shown(Side::Ours, "timer", options, names).await];
        assert_eq!(theirs, ours, "{options:?}");
        let expected = ["Running timer as unit: made-{}.timer", "Will run service as unit: made-{}.service"];
        assert_eq!(ours.0, expected);
    }
    for run in both_return(0, &["--on-active=5h", "--quiet", "--unit=quiet-{}", "true"]).await {
        assert_eq!(run.stdout + &run.stderr, "");
    }
    let _stopped = SIDES.map(|side| Stopped(format!("quiet-{}.timer", side.name())));
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    for options in [
        &["--on-active=x"][..],
        &["--on-active="],
        &["--on-active=-1"],
        &["--on-boot=1 fortnight"],
        &["--on-calendar=x"],
        &["--on-calendar=Mon *-*-* 25:00"],
        &["--on-calendar="],
        &["--timer-property=OnClockChange=no"],
        &["--timer-property=AccuracySec=1s"],
        &["--timer-property=Bogus=1", "--on-active=1h"],
        &["--timer-property=Bogus", "--on-active=1h"],
        &["--path-property=Bogus=1"],
        &["--path-property=MakeDirectory=yes"],
        &["--socket-property=Bogus=1"],
        &["--socket-property=Accept=yes"],
        &["--path-property="],
        &["--on-active=1h", "--unit=x.slice"],
        &["--on-active=1h", "--unit=a@"],
        &["--on-active=1h", "--unit="],
    ] {
        // 252 makes a timer of `x.slice`, that it cannot make; all refuse it.
        for run in both_return(1, &[options, &["true"]].concat()).await {
            assert_ne!(run.stderr, "", "{options:?}");
        }
    }
    let run = Side::Ours.run(&["--on-calendar=Mon *-13-01", "true"]).await;
    assert!(run.stderr.contains("\"13\" (at character 7) is not a month"), "{run:?}");
}

/// The name may be that of either unit.
#[tokio::test]
async fn both_units_have_the_name() {
    for (name, kind, option) in [
        ("either-{}", "timer", "--on-active=5h"),
        ("either-{}.timer", "timer", "--on-active=5h"),
        ("either-{}.service", "timer", "--on-active=5h"),
        ("either-{}.path", "path", "--path-property=PathExists=/nonexistent/either"),
        ("either-{}.socket", "socket", "--socket-property=ListenStream=@either-{}"),
    ] {
        for side in SIDES {
            let is_trigger = !matches!(name.rsplit_once('.'), None | Some((_, "service")));
            if side == Side::Theirs && is_trigger && systemd_version() < 258 {
                continue; // it takes the name for the service's
            }
            let _stopped = Stopped(format!("either-{}.{kind}", side.name()));
            let run = side.run(&[&format!("--unit={name}"), option, "true"]).await;
            assert_eq!(run.status, Some(0), "{side:?} {name}: {run:?}");
            let lines = said(&run).into_iter().map(|line| line.replace(side.name(), "{}")).collect::<Vec<_>>();
            let expected = [
                format!("Running {kind} as unit: either-{{}}.{kind}"),
                "Will run service as unit: either-{}.service".to_owned(),
            ];
            assert_eq!(lines, expected, "{side:?} {name}");
        }
    }
}

/// Without a command, a service that there is.
#[tokio::test]
async fn an_existing_service_is_triggered() {
    let units = match std::env::var("XDG_RUNTIME_DIR") {
        Ok(runtime) if !is_root() => format!("{runtime}/systemd/user"),
        _ => "/run/systemd/system".into(),
    };
    fs::create_dir_all(&units).unwrap();
    for side in SIDES {
        let text = "[Service]\nType=oneshot\nExecStart=/bin/true\nRemainAfterExit=yes\n";
        fs::write(format!("{units}/existing-{}.service", side.name()), text).unwrap();
    }
    crate::settings::write_drop_ins();
    systemctl(&["daemon-reload"]);
    for side in SIDES {
        let service = format!("existing-{}.service", side.name());
        let _stopped = [Stopped(service.clone()), Stopped(format!("existing-{}.timer", side.name()))];
        let run = side.run(&["--unit=existing-{}", "--on-active=0", "--timer-property=AccuracySec=1ms"]).await;
        let lines = said(&run).into_iter().map(|line| line.replace(side.name(), "{}")).collect::<Vec<_>>();
        assert_eq!((run.status, &lines[..]), (Some(0), &["Running timer as unit: existing-{}.timer".to_owned()][..]));
        until(&service, "SubState", |state| state == "exited").await;
    }
    for run in both_return(1, &["--unit=not-there-{}", "--on-active=1h"]).await {
        assert_ne!(run.stderr, "");
    }
}

async fn appears(path: &std::path::Path) {
    let since = std::time::Instant::now();
    while !path.exists() {
        assert!(since.elapsed() < DEADLINE, "{} does not appear", path.display());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// They do what they are for.
#[tokio::test]
async fn the_command_runs_when_it_is_triggered() {
    let folder = folder("triggers");
    for side in SIDES {
        let path = |name: &str| folder.join(format!("{name}-{}", side.name()));
        let touch = |name: &str| path(name).to_str().unwrap().to_owned();
        let _stopped = Stopped(format!("does-{}.path", side.name()));
        let run = side
            .run(&["-q", "-G", "--on-active=0", "--timer-property=AccuracySec=1ms", "touch", &touch("timer")])
            .await;
        assert_eq!(run.status, Some(0), "{run:?}");
        appears(&path("timer")).await;

        let watched = path("watched");
        let option = format!("--path-property=PathExists={}", watched.display());
        let script = format!("rm {}; touch {}", watched.display(), touch("path"));
        let run = side.run(&["-q", "--unit=does-{}", &option, "sh", "-c", &script]).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(!path("path").exists());
        fs::write(&watched, "").unwrap();
        appears(&path("path")).await;

        let socket = path("socket");
        let option = format!("--socket-property=ListenStream={}", socket.display());
        let _stopped = Stopped(format!("serves-{}.socket", side.name()));
        let words = ["-q", "--unit=serves-{}", &option, "-p", "StandardInput=socket", "sh", "-c", "true"];
        let run = side.run(&words).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        assert_eq!(property(&format!("serves-{}.socket", side.name()), "SubState"), "listening");
        let script = format!("touch {}", touch("connected"));
        let _stopped = Stopped(format!("fifo-{}.socket", side.name()));
        let option = format!("--socket-property=ListenFIFO={}", touch("fifo"));
        let words = ["-q", "--unit=fifo-{}", &option, "--", "sh", "-c", &format!("read line <&3; {script}")];
        let run = side.run(&words).await;
        assert_eq!(run.status, Some(0), "{run:?}");
        fs::write(path("fifo"), "line\n").unwrap();
        appears(&path("connected")).await;
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn no_block_is_for_triggers_too() {
    let _stopped = SIDES.map(|side| Stopped(format!("unwaited-{}.timer", side.name())));
    let runs = both_return(0, &["--no-block", "--on-active=5h", "--unit=unwaited-{}", "true"]).await;
    for run in runs {
        assert_eq!(said(&run).len(), 2, "{run:?}");
    }
    for side in SIDES {
        until(&format!("unwaited-{}.timer", side.name()), "SubState", |state| state == "waiting").await;
    }
}
