//! `examples/timer.rs`.

use std::process::ExitStatus;

use nix::sys::signal::Signal;

use super::program::{Program, Stopped, calm, property};
use super::support::Folder;

/// Two runs or three, each of which ends when its log was seen.
async fn runs(number: usize, code: u8) -> (ExitStatus, Vec<String>) {
    let folder = Folder::new();
    let script = format!(
        "echo id $INVOCATION_ID; until [ -e {}$INVOCATION_ID ]; do sleep 0.02; done; echo the rest; exit {code}",
        folder.path("")
    );
    let mut program = Program::start("timer", &["-n", &number.to_string(), "0.05", "/bin/sh", "-c", &script]);
    let name = program.line("sdrun-").await;
    // The timer may start one more, before it is stopped, and that waits.
    let _stopped = Stopped(vec![name.replace(".timer", ".service")]);
    let mut ids = Vec::new();
    for run in 1..=number {
        let line = program.line(&format!("run {run}: id ")).await;
        let id = line.rsplit(' ').next().unwrap().to_owned();
        std::fs::write(folder.path(&id), "").unwrap();
        ids.push(id);
    }
    let (status, said) = program.end().await;
    ids.dedup();
    assert_eq!(ids.len(), number, "{said:#?}");
    for run in 1..=number {
        assert!(said.contains(&format!("run {run}: the rest")), "{said:#?}");
    }
    assert_eq!(property(&name, "LoadState"), "not-found");
    (status, said)
}

#[tokio::test]
async fn each_run_is_told_of_with_its_log() {
    let _calm = calm().await;
    let (status, said) = runs(3, 0).await;
    assert!(status.success(), "{said:#?}");
    for run in 1..=3 {
        let end = format!("run {run}: success (main process exited, status 0), after ");
        assert_eq!(said.iter().filter(|line| line.starts_with(&end)).count(), 1, "{said:#?}");
    }
}

#[tokio::test]
async fn runs_that_fail_show_in_its_status() {
    let _calm = calm().await;
    let (status, said) = runs(2, 3).await;
    assert_eq!(status.code(), Some(1), "{said:#?}");
    for run in 1..=2 {
        let end = format!("run {run}: exit-code (main process exited, status 3), after ");
        assert!(said.iter().any(|line| line.starts_with(&end)), "{said:#?}");
    }
}

#[tokio::test]
async fn a_calendar_event_goes_on_when_it_is_kept() {
    let _calm = calm().await;
    let mut program = Program::start("timer", &["-n", "1", "--keep", "*:*:*", "/bin/true"]);
    let name = program.line("sdrun-").await;
    let _stopped = Stopped(vec![name.clone()]);
    let (status, said) = program.end().await;
    assert!(status.success(), "{said:#?}");
    assert_eq!(property(&name, "ActiveState"), "active");
    assert!(property(&name, "TimersCalendar").contains("*-*-* *:*:*"));
}

#[tokio::test]
async fn an_interrupt_stops_the_timer() {
    let _calm = calm().await;
    let mut program = Program::start("timer", &["1000", "/bin/true"]);
    let name = program.line("sdrun-").await;
    program.line("run 1: success").await;
    program.signal(Signal::SIGINT);
    let (status, said) = program.end().await;
    assert!(status.success(), "{said:#?}");
    assert_eq!(property(&name, "LoadState"), "not-found");
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    let (status, said) = Program::start("timer", &["*-13-*", "/bin/true"]).end().await;
    assert_eq!((status.code(), said.len()), (Some(2), 0), "{said:?}");
}
