//! What the integration tests share: managers on every transport, and the same tests again as an ordinary user.
#![allow(dead_code)] // each test file uses its part

pub mod container;
pub mod other;
pub mod sshd;

use std::path::PathBuf;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sdrun::{Exec, Manager, Signature, Transport, Value};

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

/// A service of a shell that runs this, which systemd forgets when it has ended.
pub fn shell(script: &str) -> sdrun::Command {
    let mut command = sdrun::Command::from(["/bin/sh", "-c", script]);
    command.collect(true);
    command
}

/// A service that runs until it is stopped.
pub fn sleeping() -> sdrun::Command {
    let mut command = sdrun::Command::from("/bin/sleep 1000");
    command.collect(true).kill_on_drop(true);
    command
}

/// A further command line of a service, of a shell that runs this.
pub fn shell_line(script: &str) -> Exec {
    Exec::from(["/bin/sh", "-c", script])
}

/// `ExecStartPre=` and the like: `a(sasb)`.
pub fn exec_line(words: &[&str]) -> Value {
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    let one = Value::Struct(vec![words[0].as_str().into(), words.clone().into(), false.into()]);
    Value::Array(Signature::new("(sasb)").unwrap(), vec![one])
}

/// Fails the test instead of hanging it.
pub async fn soon<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future.into_future()).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Polls a future up to `most` times, each time when it was woken. `None` when it was dropped after that: at once, or
/// when it is `late`, when what it waited for has come.
pub async fn poll_at_most<T>(most: usize, late: bool, future: impl Future<Output = T>) -> Option<T> {
    struct Woken(AtomicBool, Waker);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            self.1.wake_by_ref();
        }
    }
    let mut future = pin!(future);
    let mut polls = 0;
    let outer = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let woken = Arc::new(Woken(AtomicBool::new(true), outer));
    let waker = Waker::from(woken.clone());
    std::future::poll_fn(|_| {
        while (!late && polls == most) || woken.0.swap(false, Ordering::SeqCst) {
            if polls == most {
                return Poll::Ready(None);
            }
            polls += 1;
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(Some(value));
            }
        }
        Poll::Pending
    })
    .await
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
                let module = module_path!().split_once("::").expect("a module of a crate").1;
                let status = support::helper(&format!("{module}::body")).status().unwrap();
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

/// Words that something on the way to a program may take for more than they are.
pub const ODD_WORDS: [&str; 66] = [
    "",
    " ",
    "  ",
    " a ",
    "a b",
    "\t",
    "a\tb",
    "\n",
    "a\nb",
    "\n\n",
    "a\\\nb",
    "\r",
    "a\rb",
    "\u{1}",
    "\u{1b}[0m",
    "\u{7f}",
    "\u{85}",
    "'",
    "\"",
    "`",
    "'a'",
    "\"a\"",
    "`a`",
    "it's",
    "\\",
    "\\\\",
    "\\n",
    "\\x41",
    "\\\"",
    "\\ ",
    "a\\",
    "\\$",
    "\\;",
    "$",
    "$$",
    "$HOME",
    "$$HOME",
    "${HOME}",
    "$${HOME}",
    "a${HOME}b",
    "a$HOME",
    "$(id)",
    "${",
    "${}",
    "$X;%",
    ";",
    "a;b",
    ";;",
    "%",
    "%n",
    "%%",
    "%%n",
    "a%",
    "-x",
    "@x",
    ":x",
    "+x",
    "!x",
    "|x",
    "~x",
    "~",
    "#x",
    "*",
    "{a,b}",
    "é\u{301}日本\u{1F600}",
    "\u{feff}",
];

/// systemctl for the manager that [`managers`] are connections to; panics when it fails.
pub fn systemctl(arguments: &[&str]) -> String {
    let scope = if is_root() { "--system" } else { "--user" };
    let output = Command::new("systemctl").arg(scope).args(arguments).output().expect("systemctl runs");
    assert!(output.status.success(), "systemctl {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The version of the systemd here.
pub fn systemd_version() -> u32 {
    let line = systemctl(&["--version"]);
    line.split_whitespace().nth(1).and_then(|word| word.split('.').next()?.parse().ok()).expect("a version")
}

/// A folder that is this test's own, which units may write to, removed with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sdrun-folder-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        Folder(path)
    }

    /// The path of this file in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    /// A FIFO in it, that anyone may open.
    pub fn fifo(&self, name: &str) -> String {
        let path = self.path(name);
        let status = Command::new("mkfifo").args(["-m", "666", &path]).status().unwrap();
        assert!(status.success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Looks again and again: for what is not told.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(what, look).await;
}

/// Opens a FIFO for writing as soon as another process reads it, which goes on when this is dropped.
pub async fn reader_of(fifo: &str) -> std::fs::File {
    let path = fifo.to_owned();
    let open = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(path).unwrap());
    soon("a reader of the FIFO", open).await.unwrap()
}
