//! Units that may be restarted: one question decides.

use super::fake::{State, before, dead, running};
use super::{ALL, Fake, begin_with, is_forgotten, manager, places, settle, soon};
use crate::bus::{Message, Value};
use crate::error::{Error, Result};
use crate::manager::{Manager, Pace};
use crate::unit::Unit;

const NAME: &str = "a.service";

async fn restarting(manager: &Manager, fake: &Fake) -> Unit {
    let starting = begin_with(manager, NAME, Pace::Quick, true);
    let job = fake.accept(&fake.start(NAME));
    let unit = starting.unit().await.unwrap();
    fake.unit(NAME, before(job));
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    unit
}

/// Is asked for the `SubState`.
async fn asked<'f>(manager: &Manager, fake: &'f Fake) -> Message<'f> {
    settle(manager, fake).await;
    let question = fake.expect("Get");
    assert_eq!(question.path(), Some("/org/freedesktop/systemd1/unit/a_2eservice"));
    assert_eq!(question.read_str().unwrap(), "org.freedesktop.systemd1.Unit");
    assert_eq!(question.read_str().unwrap(), "SubState");
    question
}

fn says(fake: &Fake, question: &Message<'_>, sub: &str) {
    fake.peer.reply(question, |m| Value::from(sub).append_variant_to(m));
}

#[tokio::test]
async fn a_unit_that_is_restarted_has_not_ended() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let unit = restarting(&manager, &fake).await;
        for code in 1..4 {
            fake.ends(NAME, code);
            says(&fake, &asked(&manager, &fake).await, "auto-restart");
            fake.unit(NAME, State { active: "activating", sub: "auto-restart", ..dead() });
            fake.unit(NAME, running());
            settle(&manager, &fake).await;
            assert!(unit.try_wait().unwrap().is_none());
        }
        fake.ends(NAME, 0);
        says(&fake, &asked(&manager, &fake).await, "dead");
        assert!(soon(unit.wait()).await.unwrap().success());
        assert_eq!(places(&manager), ALL);
        assert!(fake.peer.poll().is_none());
    }
}

#[tokio::test]
async fn a_unit_that_is_gone_has_ended() {
    for gone in [
        c"org.freedesktop.systemd1.NoSuchUnit",
        c"org.freedesktop.DBus.Error.UnknownObject",
        c"org.freedesktop.DBus.Error.UnknownInterface",
        c"org.freedesktop.DBus.Error.UnknownMethod",
    ] {
        let (manager, fake) = manager(false).await;
        let unit = restarting(&manager, &fake).await;
        fake.ends(NAME, 3);
        fake.peer.refuse(&asked(&manager, &fake).await, gone, c"");
        assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(3));
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_says_nothing() {
    let (manager, fake) = manager(true).await;
    let unit = restarting(&manager, &fake).await;
    fake.ends(NAME, 1);
    let question = asked(&manager, &fake).await;
    // It runs again already, and ends again.
    fake.unit(NAME, running());
    fake.ends(NAME, 2);
    let second = asked(&manager, &fake).await;
    says(&fake, &question, "dead");
    settle(&manager, &fake).await;
    assert!(unit.try_wait().unwrap().is_none());
    says(&fake, &second, "dead");
    assert_eq!(soon(unit.wait()).await.unwrap().code(), Some(2));
}

#[tokio::test]
async fn without_an_answer_the_end_cannot_be_told() {
    let answers: [fn(&Fake, &Message<'_>); 4] = [
        |fake, question| fake.peer.reply(question, |_| Ok(())),
        |fake, question| fake.peer.reply(question, |m| m.append_str("dead")),
        |fake, question| fake.peer.reply(question, |m| Value::from(1u32).append_variant_to(m)),
        |fake, question| fake.peer.refuse(question, c"org.freedesktop.DBus.Error.AccessDenied", c"no"),
    ];
    for answer in answers {
        let (manager, fake) = manager(false).await;
        let unit = restarting(&manager, &fake).await;
        fake.ends(NAME, 1);
        answer(&fake, &asked(&manager, &fake).await);
        let end: Result<_> = soon(unit.wait()).await;
        assert!(matches!(end, Err(Error::Message { .. } | Error::AccessDenied { .. })), "{end:?}");
        assert_eq!(places(&manager), ALL);
    }
}

#[tokio::test]
async fn nobody_needs_an_answer_when_the_handle_is_gone() {
    let (manager, fake) = manager(true).await;
    let starting = begin_with(&manager, NAME, Pace::Quick, true);
    let tracked = starting.tracked.clone();
    let job = fake.accept(&fake.start(NAME));
    let unit = starting.unit().await.unwrap();
    fake.unit(NAME, running());
    fake.job_removed(job, NAME, "done");
    fake.ends(NAME, 1);
    let question = asked(&manager, &fake).await;
    drop(unit);
    says(&fake, &question, "dead");
    settle(&manager, &fake).await;
    assert!(is_forgotten(&tracked));
}
