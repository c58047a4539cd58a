//! `examples/ci_agent.rs`, as root: only the system's manager makes up users.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::program::{Program, calm, property};
use super::support::{Folder, is_root};

/// A step with a name of its own, and what it leaves behind.
struct Step {
    source: Folder,
    name: String,
}

impl Step {
    fn new(name: &str) -> Self {
        Step { source: Folder::new(), name: format!("{name}-{}", std::process::id()) }
    }

    fn run(&self, options: &[&str], script: &str) -> Program {
        let folder = self.source.path("");
        Program::start("ci_agent", &[options, &[&self.name, &folder, "--", "/bin/bash", "-c", script]].concat())
    }

    fn artefacts(&self) -> PathBuf {
        Path::new("/var/lib/ci").join(&self.name)
    }

    fn unit(&self) -> String {
        format!("ci-{}.service", self.name)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new("/var/lib/private/ci").join(&self.name));
        let _ = std::fs::remove_file(self.artefacts());
    }
}

#[tokio::test]
async fn its_log_is_streamed_and_its_artefacts_stay() {
    if !is_root() {
        return;
    }
    let _calm = calm().await;
    let step = Step::new("artefacts");
    std::fs::write(step.source.path("input"), "from the source\n").unwrap();
    let script = r#"
        echo "begun as $(id -un)"
        until [ -e "$SOURCE/gate" ]; do sleep 0.02; done
        mkdir folder && cat "$SOURCE/input" >folder/made
        touch "$SOURCE/x" /etc/x /var/lib/x || echo "cannot write elsewhere"
        ls "$SOURCE" /home /root
        echo "done"
    "#;
    let mut agent = step.run(&[], script);
    // It still runs, and waits for this to go on.
    agent.line(&format!("begun as ci-{}", step.name)).await;
    std::fs::write(step.source.path("gate"), "").unwrap();
    agent.line("cannot write elsewhere").await;
    agent.line("done").await;
    let (status, said) = agent.end().await;
    assert!(status.success(), "{said:#?}");
    assert!(said.contains(&format!("artefact: {}/folder/made (16 bytes)", step.artefacts().display())), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("systemd: ")), "{said:#?}");
    // The unit and its user are gone.
    let made = step.artefacts().join("folder/made");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "from the source\n");
    assert_ne!(made.metadata().unwrap().uid(), 0);
    assert_eq!(property(&step.unit(), "LoadState"), "not-found");
    assert!(!["x", "/etc/x", "/var/lib/x"].iter().any(|path| Path::new(&step.source.path(path)).exists()));

    // Those of one run are not the next one's.
    let (status, said) = step.run(&[], "true").end().await;
    assert_eq!((status.code(), said.len()), (Some(1), 0), "{said:?}");
}

#[tokio::test]
async fn the_network_cannot_be_reached() {
    if !is_root() {
        return;
    }
    let _calm = calm().await;
    let step = Step::new("network");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/dev/tcp/127.0.0.1/{}", listener.local_addr().unwrap().port());
    let script = format!("if : <{address}; then echo reached; else echo unreachable; fi");
    // From here it can.
    let here = std::process::Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&here.stdout), "reached\n", "{here:?}");
    let (status, said) = step.run(&[], &script).end().await;
    assert!(status.success() && said.contains(&"unreachable".to_owned()), "{said:#?}");
}

#[tokio::test]
async fn its_time_is_up() {
    if !is_root() {
        return;
    }
    let _calm = calm().await;
    let step = Step::new("time");
    let (status, said) = step.run(&["-t", "0.5"], "sleep 1000").end().await;
    assert_eq!(status.code(), Some(124), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("timeout (main process killed, ")), "{said:#?}");
}

#[tokio::test]
async fn its_status_is_the_steps() {
    if !is_root() {
        return;
    }
    let _calm = calm().await;
    let step = Step::new("status");
    let (status, said) = step.run(&[], "echo half >half; exit 5").end().await;
    assert_eq!(status.code(), Some(5), "{said:#?}");
    assert_eq!(std::fs::read_to_string(step.artefacts().join("half")).unwrap(), "half\n");
}

#[tokio::test]
async fn an_interrupt_stops_it() {
    if !is_root() {
        return;
    }
    let _calm = calm().await;
    let step = Step::new("interrupt");
    let mut agent = step.run(&[], "echo begun; sleep 1000");
    agent.line("begun").await;
    agent.signal(Signal::SIGINT);
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(1), "{said:#?}");
    assert_eq!(property(&step.unit(), "LoadState"), "not-found");
}
