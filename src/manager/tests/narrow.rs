//! On a bus with much traffic of others: rules for single units.

use std::time::Duration;

use super::fake::{before, running};
use super::{Fake, begin, manager, settle, soon, started};
use crate::manager::Manager;
use crate::unit::Unit;

const NAME: &str = "a.service";

fn others(fake: &Fake) {
    for number in 0..64 {
        fake.unit(&format!("other{number}.service"), running());
    }
}

fn accept(fake: &Fake) -> String {
    let (call, rule) = fake.expect_rule("AddMatch");
    fake.daemon(|daemon| daemon.reply(&call, |_| Ok(())));
    rule
}

fn removed(fake: &Fake) -> String {
    let (call, rule) = fake.expect_rule("RemoveMatch");
    assert!(!call.wants_reply());
    rule
}

/// A unit that is listened to alone: its rule, and those for all units, that are gone.
async fn narrowed(manager: &Manager, fake: &Fake) -> (Unit, String, [String; 2]) {
    let (unit, job) = started(manager, fake, NAME).await;
    fake.unit(NAME, before(job));
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    others(fake);
    settle(manager, fake).await;
    let narrow = accept(fake);
    settle(manager, fake).await;
    assert!(narrow.contains("path='/org/freedesktop/systemd1/unit/a_2eservice'"), "{narrow}");
    let broad = [removed(fake), removed(fake)];
    assert!(broad.iter().all(|rule| rule.contains("arg0='org.freedesktop.systemd1.")), "{broad:?}");
    (unit, narrow, broad)
}

#[tokio::test]
async fn few_units_among_many_are_listened_to_alone() {
    let (manager, fake) = manager(false).await;
    let (unit, narrow, broad) = narrowed(&manager, &fake).await;
    others(&fake);
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none(), "they were sent before, perhaps");
    // The next unit has all of them be listened to before it is started.
    let starting = begin(&manager, "b.service");
    assert_eq!([accept(&fake), accept(&fake)], broad);
    assert_eq!(removed(&fake), narrow);
    let job = fake.accept(&fake.start("b.service"));
    let other = starting.unit().await.unwrap();
    fake.ends(NAME, 3);
    fake.runs("b.service", job, 0);
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
    assert!(soon(other.wait()).await.unwrap().success());
}

#[tokio::test]
async fn where_it_is_refused_all_are_listened_to() {
    let (manager, fake) = manager(false).await;
    let (unit, job) = started(&manager, &fake, NAME).await;
    others(&fake);
    settle(&manager, &fake).await;
    let (call, rule) = fake.expect_rule("AddMatch");
    fake.daemon(|daemon| daemon.refuse(&call, c"org.freedesktop.DBus.Error.LimitsExceeded", c"no more"));
    settle(&manager, &fake).await;
    assert_eq!(removed(&fake), rule);
    others(&fake);
    settle(&manager, &fake).await;
    assert!(fake.peer.poll().is_none(), "once is enough");
    fake.runs(NAME, job, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
}

#[tokio::test]
async fn rules_for_single_units_go_too_when_nothing_is_outstanding() {
    let (manager, fake) = manager(false).await;
    let (unit, narrow, _) = narrowed(&manager, &fake).await;
    fake.ends(NAME, 0);
    assert!(soon(unit.wait()).await.unwrap().success());
    tokio::time::sleep(Duration::from_millis(3200)).await;
    assert_eq!(removed(&fake), narrow);
    let rest = [removed(&fake), removed(&fake)];
    assert!(rest[0].contains("JobRemoved") && rest[1].contains("NameOwnerChanged"), "{rest:?}");
    assert!(!fake.expect("Unsubscribe").wants_reply());
}
