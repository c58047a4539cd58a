//! What may be asked of somebody, and what is refused.

use std::ffi::CStr;

use futures::FutureExt;

use super::{Fake, manager, soon, started};
use crate::command::Command;
use crate::error::{Error, Result};
use crate::manager::Manager;
use crate::unit::{Unit, Whom};

const DENIED: [&CStr; 2] =
    [c"org.freedesktop.DBus.Error.AccessDenied", c"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"];

/// Everything that can be done with a unit, and the call that it makes.
fn orders(unit: &Unit) -> Vec<(&'static str, futures::future::BoxFuture<'_, Result<()>>)> {
    vec![
        ("StopUnit", unit.stop().boxed()),
        ("RestartUnit", unit.restart().boxed()),
        ("ReloadUnit", unit.reload().boxed()),
        ("KillUnit", unit.kill(15, Whom::All).boxed()),
        ("FreezeUnit", unit.freeze().boxed()),
        ("ThawUnit", unit.thaw().boxed()),
        ("SetUnitProperties", unit.set_property("CPUWeight", 5u64).boxed()),
        ("ResetFailedUnit", unit.reset_failed().boxed()),
    ]
}

/// Has the next call refused, which must say whether somebody may be asked.
fn refuse(fake: &Fake, member: &str, name: &CStr, interactive: bool) {
    let call = fake.expect(member);
    assert_eq!(call.lets_ask(), interactive, "{member}");
    fake.peer.refuse(&call, name, c"Interactive authentication required.");
}

fn is_denied(member: &str, result: Result<()>) {
    let error = result.expect_err(member);
    assert!(matches!(&error, Error::AccessDenied { method, .. } if *method == member), "{member}: {error:?}");
    let text = error.to_string();
    assert!(text.contains(member) && text.contains("polkit") && text.contains("Manager::user()"), "{text}");
}

async fn check(manager: &Manager, fake: &Fake, interactive: bool) {
    for name in DENIED {
        let mut command = Command::new("/bin/true");
        let mut start = std::pin::pin!(command.start(manager));
        assert!((&mut start).now_or_never().is_none());
        refuse(fake, "StartTransientUnit", name, interactive);
        is_denied("StartTransientUnit", soon(start).await.map(drop));
    }
}

/// No call lets polkit ask anybody unless that was said, and then every one does. What is refused is refused by its name.
#[tokio::test]
async fn nobody_is_asked_for_a_password_unless_that_was_said() {
    for direct in [true, false] {
        let (manager, fake) = manager(direct).await;
        let (unit, _) = started(&manager, &fake, "a.service").await;
        check(&manager, &fake, false).await;
        for interactive in [false, true] {
            if interactive {
                manager.inner.link.with(|_, cx| cx.bus.allow_interactive_authorization()).unwrap().unwrap();
                check(&manager, &fake, true).await;
            }
            for name in DENIED {
                for (member, order) in orders(&unit) {
                    let mut order = order;
                    assert!((&mut order).now_or_never().is_none(), "{member}");
                    refuse(&fake, member, name, interactive);
                    is_denied(member, soon(order).await);
                }
            }
        }
        assert!(unit.try_wait().unwrap().is_none());
    }
}
