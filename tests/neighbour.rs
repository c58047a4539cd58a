//! A process of ours that does not read its connection, with very many units outstanding that end meanwhile: it holds up
//! nobody else, and has all of its own exits when it goes on.

mod support;

use std::io::Write;
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sdrun::{Manager, Status, Transport};
use support::other::Other;
use support::{Folder, on_bus, shell, soon};

/// Everything in this file again as an ordinary user, on the user bus.
#[test]
fn again_as_user() {
    support::again_as_user();
}

/// The process that does not read: this program again.
struct Neighbour {
    other: Other,
    folder: Folder,
}

impl Neighbour {
    /// With its units outstanding, stopped or blocked.
    fn still(how: &str, transport: &str, units: usize) -> Self {
        let folder = Folder::new();
        let mut command = support::helper("not_reading");
        command
            .env("SDRUN_TEST_HOW", how)
            .env("SDRUN_TEST_TRANSPORT", transport)
            .env("SDRUN_TEST_UNITS", units.to_string())
            .env("SDRUN_TEST_GATE", folder.fifo("gate"));
        let mut neighbour = Neighbour { other: Other::start(command), folder };
        neighbour.other.says("outstanding");
        if how == "stopped" {
            kill(neighbour.pid(), Signal::SIGSTOP).unwrap();
            while !neighbour.is_stopped() {
                std::thread::yield_now();
            }
        }
        neighbour
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.other.child.id() as i32)
    }

    fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.other.child.id())).unwrap();
        status.lines().any(|line| line.starts_with("State:\tT"))
    }

    /// Lets its units end. As long as this is held those go through that have not come to it.
    fn open_gate(&self) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).open(self.folder.path("gate")).unwrap()
    }

    fn go_on(&mut self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
        self.other.go_on();
    }

    /// What the bus daemon keeps for it, in bytes, and what it has kept at most.
    fn kept(&self) -> (u64, u64) {
        let busctl = |arguments: &[&str]| {
            let output = std::process::Command::new("busctl").arg(support::scope()).args(arguments).output();
            String::from_utf8(output.expect("busctl runs").stdout).unwrap()
        };
        let list = busctl(&["list", "--no-legend", "--unique"]);
        let pid = self.other.child.id().to_string();
        let row = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row[1] == pid);
        let name = row.expect("it is on the bus still")[0];
        let daemon = ["call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Debug.Stats"];
        let stats = busctl(&[&daemon[..], &["GetConnectionStats", "s", name]].concat());
        let value = |key: &str| {
            let mut words = stats.split_whitespace().skip_while(|word| *word != format!("{key:?}")).skip(2);
            words.next().unwrap_or_else(|| panic!("no {key} in {stats}")).parse().unwrap()
        };
        (value("OutgoingBytes"), value("PeakOutgoingBytes"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // One that is stopped would stay after a test that failed.
        if std::thread::panicking() {
            let _ = self.other.child.kill();
        }
    }
}

/// What the process does.
#[test]
#[ignore = "run by `Neighbour`, in a process of its own"]
fn not_reading() {
    let [how, transport, units, gate] =
        ["HOW", "TRANSPORT", "UNITS", "GATE"].map(|key| std::env::var(format!("SDRUN_TEST_{key}")).unwrap());
    let transport = if transport == "private" { Transport::Private } else { Transport::Bus };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let manager = &Manager::builder().transport(transport).connect().await.unwrap();
        let start = |number: usize| {
            let mut command = shell(&format!(": <{gate}; exit {}", number as u8));
            async move { command.start(manager).await.unwrap() }
        };
        let units = join_all((0..units.parse().unwrap()).map(start)).await;
        println!("\noutstanding");
        std::io::stdout().flush().unwrap();
        let wait = || assert!(std::io::stdin().read_line(&mut String::new()).unwrap() > 0);
        match how.as_str() {
            "blocked" => wait(), // the only thread of the runtime
            _ => tokio::task::spawn_blocking(wait).await.unwrap(),
        }
        let exits = soon("all exits", join_all(units.iter().map(|unit| unit.wait()))).await;
        for (number, exit) in exits.into_iter().enumerate() {
            assert_eq!(exit.unwrap().status, Some(Status::Exited(number as u8)));
        }
        println!("\nall exits");
    });
}

/// Ends of units of ours come while the other does not read, before, while and after all of its own end.
async fn others_are_not_held_up(neighbour: &Neighbour) {
    let manager = &on_bus().await;
    let run = async |code: u8| {
        let unit = soon("a start", shell(&format!("exit {code}")).start(manager)).await.unwrap();
        assert_eq!(soon("an exit", unit.wait()).await.unwrap().status, Some(Status::Exited(code)));
    };
    let _open = neighbour.open_gate();
    for code in 0..100 {
        run(code).await;
    }
    // Its own have ended when as many processes less wait at the gate.
    let gate = neighbour.folder.path("gate");
    let ended = async {
        while waiting_at(&gate) > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await; // it costs the machine a look at every process
        }
    };
    soon("the ends of its units", ended).await;
    for code in 0..100 {
        run(code).await;
    }
}

/// How many shells there are that have this in their script.
fn waiting_at(gate: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let command_lines = processes.filter_map(|name| std::fs::read(format!("/proc/{name}/cmdline")).ok());
    command_lines.filter(|line| String::from_utf8_lossy(line).contains(gate)).count()
}

fn good_neighbour(how: &str, units: usize) {
    let mut neighbour = Neighbour::still(how, "bus", units);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(others_are_not_held_up(&neighbour));
    if support::is_root() {
        // A stock bus daemon keeps 127 MiB for a connection, and then drops it.
        let (kept, most) = neighbour.kept();
        eprintln!("{how}: the bus daemon keeps {kept} bytes for {units} units, {most} at most");
    }
    neighbour.go_on();
    neighbour.other.says("all exits");
    assert!(neighbour.other.child.wait().unwrap().success());
}

#[test]
fn one_that_is_stopped() {
    good_neighbour("stopped", 2000);
}

#[test]
fn one_that_is_blocked() {
    good_neighbour("blocked", 500);
}

/// What holding the private socket without reading it does to others on systemd 262: the figure that
/// `Transport::Private` warns of.
#[test]
#[ignore = "a measurement: shows what is systemd's own, and takes minutes"]
fn one_on_the_private_socket() {
    let mut neighbour = Neighbour::still("stopped", "private", 10);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let manager = &on_bus().await;
        for number in 0..3000 {
            let run = async { shell("exit 0").start(manager).await.unwrap().await.unwrap() };
            if tokio::time::timeout(Duration::from_secs(5), run).await.is_err() {
                eprintln!("no exit after {number} units");
                return;
            }
        }
        eprintln!("not held up by 3,000 units");
    });
    let _open = neighbour.open_gate();
    neighbour.go_on();
    neighbour.other.says("all exits");
    assert!(neighbour.other.child.wait().unwrap().success());
}
