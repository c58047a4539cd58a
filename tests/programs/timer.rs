//! `examples/timer.rs`.

use nix::sys::signal::Signal;

use super::program::{Program, Stopped, calm, property};

/// Which `$INVOCATION_ID` each run has printed.
fn ids(said: &[String]) -> Vec<String> {
    said.iter().filter_map(|line| line.split_once(": id ").map(|(run, id)| format!("{run} {id}"))).collect()
}

#[tokio::test]
async fn each_run_is_told_of_with_its_log() {
    let _calm = calm().await;
    let script = "echo id $INVOCATION_ID";
    let mut program = Program::start("timer", &["-n", "3", "0.05", "/bin/sh", "-c", script]);
    let name = program.line("sdrun-").await;
    let (status, said) = program.end().await;
    assert!(status.success(), "{said:#?}");
    let mut ids = ids(&said);
    ids.iter().zip(1..).for_each(|(id, number)| assert!(id.starts_with(&format!("run {number} ")), "{said:#?}"));
    ids.iter_mut().for_each(|id| drop(id.drain(..id.rfind(' ').unwrap())));
    ids.dedup();
    assert_eq!(ids.len(), 3, "{said:#?}");
    for number in 1..=3 {
        let end = format!("run {number}: success (main process exited, status 0), after ");
        assert_eq!(said.iter().filter(|line| line.starts_with(&end)).count(), 1, "{said:#?}");
    }
    assert_eq!(property(&name, "LoadState"), "not-found");
}

#[tokio::test]
async fn runs_that_fail_show_in_its_status() {
    let _calm = calm().await;
    let (status, said) = Program::start("timer", &["-n", "2", "0", "/bin/sh", "-c", "exit 3"]).end().await;
    assert_eq!(status.code(), Some(1), "{said:#?}");
    for number in 1..=2 {
        let end = format!("run {number}: exit-code (main process exited, status 3), after ");
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
