//! Managers of capsules: `capsule@.service(5)`.

use std::path::PathBuf;

use super::Manager;
use super::connect::{Scope, Transport};
use crate::bus::{Foreign, Target};
use crate::error::{Error, Result};

/// The systemd that brought them.
const SINCE: u32 = 256;

/// The longest name. With `c-` before it, it is a user's name, which has 31 characters at most.
const LONGEST: usize = 29;

/// Where to connect to, in the order of trying.
pub(super) fn targets(name: &str, transport: Transport) -> Result<Vec<Target>> {
    check(name)?;
    let target = |socket, direct| {
        let directory = PathBuf::from(format!("/run/capsules/{name}"));
        Target::Foreign(Foreign { directory, socket, direct })
    };
    let (bus, private) = (target("bus", false), target("systemd/private", true));
    Ok(match transport {
        Transport::Auto => vec![bus, private],
        Transport::Bus => vec![bus],
        Transport::Private => vec![private],
    })
}

fn check(name: &str) -> Result<()> {
    let invalid = |reason: &str| Err(Error::invalid("capsule name", name, reason));
    if name.is_empty() {
        return invalid("is empty");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return invalid("has something else in it than letters, digits, \"-\" and \"_\"");
    }
    if name.len() > LONGEST {
        return invalid("is longer than 29 characters");
    }
    Ok(())
}

/// Nobody listens there: systemd knows no capsules, or this one does not run.
pub(super) async fn why_not(name: &str, scope: &Scope) -> Error {
    match running_version().await {
        Ok(version) if version < SINCE => Error::Unsupported { what: "a capsule", since: SINCE },
        _ => scope
            .unreachable(format!("nobody listens in /run/capsules/{name}; `systemctl start capsule@{name}.service`")),
    }
}

/// The version of the systemd that runs this host.
async fn running_version() -> Result<u32> {
    // Boxed, since this is what connecting calls.
    Box::pin(Manager::system()).await?.version().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["a", "web", "1", "A_b-c", "-x", &"a".repeat(29)] {
            assert_eq!(targets(name, Transport::Auto).unwrap().len(), 2, "{name}");
        }
        for name in ["", ".", "..", "a.b", "a/b", "../x", "a b", "a@b", "é", "a\0", "a\n", &"a".repeat(30)] {
            let error = targets(name, Transport::Auto).unwrap_err();
            assert!(matches!(error, Error::Invalid { what: "capsule name", .. }), "{name}: {error}");
        }
    }
}
