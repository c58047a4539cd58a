//! The examples that are programs, run, and what they do.
//!
//! Cargo builds examples for `cargo test`, but not for `cargo test --test programs`: there `cargo build --examples`
//! goes first.

#[path = "programs/batch.rs"]
mod batch;
#[path = "systemd_run/built.rs"]
mod built;
#[path = "programs/ci_agent.rs"]
mod ci_agent;
#[path = "programs/program.rs"]
mod program;
#[path = "programs/pty_shell.rs"]
mod pty_shell;
#[path = "systemd_run/screen.rs"]
mod screen;
#[path = "programs/socket.rs"]
mod socket;
#[path = "programs/supervisor.rs"]
mod supervisor;
mod support;
#[path = "programs/timer.rs"]
mod timer;

#[test]
fn again_as_user() {
    support::again_as_user();
}
