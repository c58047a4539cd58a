//! Assignments, on a running manager: what is set is there, and what only the manager knows is asked of it.

mod support;

use sdrun::{Command, Error, Properties, UnitType, Value};
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
        assert!(text.starts_with("Nonsense=1: systemd 2") && text.ends_with("for a service"), "{transport}: {text}");
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

#[test]
fn as_a_user() {
    support::again_as_user();
}
