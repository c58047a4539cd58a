//! What the integration tests share: managers on every transport, and the same tests again as an ordinary user.
#![allow(dead_code)] // each test file uses its part

pub mod container;

use std::process::Command;
use std::time::Duration;

use sdrun::{Manager, Transport};

/// Longer than anything takes that works, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The user whose manager the sandbox has running beside the system's.
const USER: &str = "tester";

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The option that makes `systemctl` and `systemd-run` talk to the manager of this process.
pub fn scope() -> &'static str {
    if is_root() { "--system" } else { "--user" }
}

/// A manager on each transport that this process can use: as root the system's, else the user's own.
pub async fn managers() -> Vec<(&'static str, Manager)> {
    let mut managers = Vec::new();
    for (name, transport) in [("bus", Transport::Bus), ("private", Transport::Private)] {
        let manager = Manager::builder().transport(transport).connect().await;
        managers.push((name, manager.unwrap_or_else(|error| panic!("{name}: {error}"))));
    }
    managers
}

/// The manager on the bus.
pub async fn on_bus() -> Manager {
    Manager::builder().transport(Transport::Bus).connect().await.expect("a bus")
}

/// Fails the test instead of hanging it.
pub async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future.into_future()).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Runs the other tests of this file again as an ordinary user, on its user manager. To be called by a test of its own.
pub fn again_as_user() {
    if !is_root() {
        return; // we are that user
    }
    let status = as_user(&["--skip", "as_user"]).status().expect("setpriv runs");
    assert!(status.success(), "as an ordinary user: {status}");
}

/// This test program, as the ordinary user.
pub fn as_user(arguments: &[&str]) -> Command {
    let user = nix::unistd::User::from_name(USER).unwrap().expect("the sandbox has the user");
    // The checkout may lie where the user may not look, so root opens the program and the user executes the descriptor:
    // that follows no path. (A copy would fill the sandbox's /tmp, and while this process had it open for writing, what
    // other tests start would inherit that, and it could not be executed.)
    let runtime = format!("/run/user/{}", user.uid);
    let mut command = Command::new("sh");
    command
        .args(["-c", "program=$1; shift; exec setpriv \"$@\" 9<\"$program\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)])
        .args(["--init-groups", "--"])
        .arg("/proc/self/fd/9")
        .args(arguments)
        .env("HOME", &user.dir)
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={runtime}/bus"))
        .env("XDG_RUNTIME_DIR", runtime)
        .current_dir("/");
    command
}

/// Declares a test whose body has a process to itself, since it looks at what belongs to the whole process.
#[macro_export]
macro_rules! alone {
    ($(#[$attribute:meta])* fn $name:ident() $body:block) => {
        mod $name {
            use super::*;

            $(#[$attribute])*
            #[test]
            fn alone() {
                let status = support::helper(concat!(stringify!($name), "::body")).status().unwrap();
                assert!(status.success(), "{status}");
            }

            #[test]
            #[ignore = "run by `alone`, in a process of its own"]
            fn body() $body
        }
    };
}

/// This test program with one of its ignored tests, to be a process of its own.
pub fn helper(test: &str) -> Command {
    // Not by its path, where the ordinary user may not look, and not as `self`, which may be strace by then.
    let mut command = Command::new(format!("/proc/{}/exe", std::process::id()));
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    // malloc counts as in use what it keeps for the next call; without its caches the figure is the true one.
    command.env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0");
    command
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What the descriptors are, to say in a failure.
pub fn list_descriptors() -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let target = std::fs::read_link(&path).unwrap_or_default();
        format!("{} {}", path.display(), target.display())
    };
    std::fs::read_dir("/proc/self/fd").unwrap().map(name).collect()
}
