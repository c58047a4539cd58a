//! Assignments, on a running manager: what is set is there, and what only the manager knows is asked of it.

mod support;

use std::time::Duration;

use sdrun::{Command, Error, JobMode, KillMode, Properties, ProtectHome, ProtectSystem, Restart, UnitType, Value};
use support::managers;

fn sleep() -> Command {
    Command::from(["/bin/sleep", "60"])
}

#[tokio::test]
async fn an_assignment_arrives_as_its_property() {
    for (transport, manager) in managers().await {
        let unit = sleep().property("Description=of a test").unwrap().start(&manager).await.unwrap();
        assert_eq!(unit.get("Description").await.unwrap(), "of a test".into(), "{transport}");
        unit.stop().await.unwrap();
    }
}

/// No table has these: they are what a setting of a newer systemd is to us.
#[tokio::test]
async fn what_no_table_has_is_asked_of_the_manager() {
    for (transport, manager) in managers().await {
        // The manager knows the property and its type, but refuses to set it: it was asked, and sent.
        let error = sleep().property("NRestarts=3").unwrap().start(&manager).await.unwrap_err();
        let Error::Call { method: "StartTransientUnit", message, .. } = &error else { panic!("{transport}: {error}") };
        assert!(message.contains("NRestarts"), "{transport}: {message}");

        let error = sleep().property("NRestarts=many").unwrap().start(&manager).await.unwrap_err();
        assert!(error.to_string().starts_with(r#"NRestarts=many: "many" is not a number"#), "{transport}: {error}");
        let error = sleep().property("Nonsense=1").unwrap().start(&manager).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("Nonsense=…: systemd 2") && text.ends_with("for a service"), "{transport}: {text}");
    }
}

#[tokio::test]
async fn what_is_no_assignment_is_refused_at_once() {
    for bad in ["", "MemoryMax", "=1", "Memory Max=1", "Description=a\0b", "é=1"] {
        let error = Command::new("/bin/true").property(bad).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Property { .. }), "{bad:?}: {error}");
    }
}

#[tokio::test]
async fn a_loaded_unit_takes_assignments() {
    for (transport, manager) in managers().await {
        let unit = sleep().start(&manager).await.unwrap();
        unit.activated().await.unwrap();
        unit.set("CPUWeight=77").await.unwrap();
        assert_eq!(unit.get("CPUWeight").await.unwrap(), Value::from(77u64), "{transport}");
        unit.set("TasksMax=infinity").await.unwrap();
        assert_eq!(unit.get("TasksMax").await.unwrap(), Value::from(u64::MAX), "{transport}");
        assert!(matches!(unit.set("CPUWeight=x").await.unwrap_err(), Error::Property { .. }), "{transport}");
        unit.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_auxiliary_unit_takes_assignments() {
    for (transport, manager) in managers().await {
        let slice = format!("sdruntest{}{transport}.slice", std::process::id());
        let mut properties = Properties::new(UnitType::Slice);
        properties.set("CPUWeight=55").unwrap();
        let unit = sleep().slice(&slice).auxiliary_unit(&slice, properties).start(&manager).await.unwrap();
        unit.activated().await.unwrap();
        assert_eq!(unit.get("Slice").await.unwrap(), slice.as_str().into());
        let slice = manager.unit(&slice).await.unwrap();
        let weight = slice.get("CPUWeight").await;
        unit.stop().await.unwrap();
        slice.stop().await.unwrap();
        assert_eq!(weight.unwrap(), Value::from(55u64));
    }
}

/// Every setting that has a call of its own arrives as the property that it is.
#[tokio::test]
async fn typed_settings_arrive() {
    for (transport, manager) in managers().await {
        let mut command = sleep();
        command.memory_max(1 << 30).memory_high(1 << 29).memory_swap_max(4096).cpu_quota(150).cpu_weight(77);
        command.io_weight(55).tasks_max(33).open_files_max(100).oom_score_adjust(500).umask(0o027);
        command.no_new_privileges(true).private_network(false).private_devices(false).dynamic_user(false);
        command.protect_system(ProtectSystem::No).protect_home(ProtectHome::No).private_tmp(false);
        command.restart(Restart::OnFailure).restart_delay(Duration::from_millis(1500)).kill_mode(KillMode::Mixed);
        command.start_limit(7, Duration::from_secs(70)).watchdog(Duration::from_secs(80)).kill_signal(10);
        command.timeout_start(Duration::from_secs(90)).timeout_stop(Duration::MAX).job_mode(JobMode::Replace);
        command.after("basic.target").wants("basic.target").requires("basic.target");
        let unit = command.start(&manager).await.unwrap();
        unit.activated().await.unwrap();
        let expected = [
            ("MemoryMax", Value::from(1u64 << 30)),
            ("MemoryHigh", (1u64 << 29).into()),
            ("MemorySwapMax", 4096u64.into()),
            ("CPUQuotaPerSecUSec", 1_500_000u64.into()),
            ("CPUWeight", 77u64.into()),
            ("IOWeight", 55u64.into()),
            ("TasksMax", 33u64.into()),
            ("LimitNOFILE", 100u64.into()),
            ("OOMScoreAdjust", 500.into()),
            ("UMask", 0o027u32.into()),
            ("NoNewPrivileges", true.into()),
            ("ProtectSystem", "no".into()),
            ("ProtectHome", "no".into()),
            ("Restart", "on-failure".into()),
            ("RestartUSec", 1_500_000u64.into()),
            ("KillMode", "mixed".into()),
            ("StartLimitBurst", 7u32.into()),
            ("StartLimitIntervalUSec", 70_000_000u64.into()),
            ("WatchdogUSec", 80_000_000u64.into()),
            ("KillSignal", 10.into()),
            ("TimeoutStartUSec", 90_000_000u64.into()),
            ("TimeoutStopUSec", u64::MAX.into()),
        ];
        for (name, value) in expected {
            assert_eq!(unit.get(name).await.unwrap(), value, "{transport}: {name}");
        }
        for name in ["After", "Wants", "Requires"] {
            let Value::Array(_, units) = unit.get(name).await.unwrap() else { panic!("{name}") };
            assert!(units.contains(&"basic.target".into()), "{transport}: {name}: {units:?}");
        }
        unit.stop().await.unwrap();
    }
}

/// What sandboxing needs root for, seen from inside.
#[tokio::test]
async fn the_sandbox_is_as_it_was_told() {
    if !support::is_root() {
        return;
    }
    let script = "touch /usr/x 2>&1; touch '/var/lib/a \"b' && touch '/var/lib/a \"b/c' && rm -r '/var/lib/a \"b/c'; \
                  cat $CREDENTIALS_DIRECTORY/one | od -An -tx1; cat $CREDENTIALS_DIRECTORY/two; id -un; \
                  ls /home /var/lib/hidden 2>&1";
    let folder = std::path::Path::new("/var/lib/a \"b");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::create_dir_all("/var/lib/hidden").unwrap();
    std::fs::write("/run/two", "second").unwrap();
    for (transport, manager) in managers().await {
        let mut command = Command::from(["/bin/sh", "-c", script]);
        command.protect_system(ProtectSystem::Strict).read_write_path(folder).protect_home(ProtectHome::Tmpfs);
        command.set_credential("one", [0u8, 255, b':']).load_credential("two", "/run/two").dynamic_user(true);
        command.private_tmp(true).private_network(true).private_devices(true).read_only_path("/opt");
        command.inaccessible_path("/var/lib/hidden");
        let unit = command.stdout(sdrun::Stdio::piped()).start(&manager).await.unwrap();
        let output = support::soon("the end", unit.wait_with_output()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in ["/usr/x", "00 ff 3a", "second", "/var/lib/hidden"] {
            assert!(text.contains(part), "{transport}: {part:?} in {text:?}");
        }
        assert!(!text.contains("root"), "{transport}: {text:?}");
    }
}

#[tokio::test]
async fn typed_settings_that_cannot_be_are_refused_before_anything_is_sent() {
    let manager = support::on_bus().await;
    let check = async |part: &str, command: &mut Command| {
        let error = command.start(&manager).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    check("is not absolute", sleep().read_only_path("usr")).await;
    check("CPUWeight=10001", sleep().cpu_weight(10001)).await;
    check("may not be empty", sleep().set_credential("", "x")).await;
}

#[test]
fn as_a_user() {
    support::again_as_user();
}
