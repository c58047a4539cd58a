//! `examples/pty_shell.rs`, on a scripted terminal.

use std::process::Command;

use super::built;
use super::program::calm;
use super::screen::Screen;

/// A shell on this terminal, with nothing of this machine's own.
fn shell(arguments: &[&str]) -> Screen {
    let mut command = Command::new(built::example("pty_shell"));
    command.args(arguments).env("TERM", "dumb").env("SHELL", "/bin/sh");
    Screen::run(&command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_in_a_sandbox_on_this_terminal() {
    let _calm = calm().await;
    let where_it_is = tokio::task::spawn_blocking(|| {
        let limits = ["-p", "LimitNOFILE=77", "-p", "Environment=PS1=ready>"];
        let mut screen = shell(&[&limits[..], &["--", "/bin/bash", "--norc"]].concat());
        screen.expect("press ^] three times to leave it");
        screen.expect("ready>");
        screen.type_keys("ulimit -n; stty size; echo \"on $TERM\"\r");
        screen.expect("\n77\r\n31 113\r\non dumb\r\n");
        // ^C is for what runs in it.
        screen.type_keys("sh -c 'echo sleeping; exec sleep 1000'\r");
        screen.expect("\nsleeping\r\n");
        screen.type_keys("\x03");
        screen.expect("ready>");
        screen.resize(25, 90);
        screen.type_keys("until [ \"$(stty size)\" = '25 90' ]; do :; done; echo resized\r");
        screen.expect("\nresized\r\n");
        screen.type_keys("cat /proc/self/cgroup; exit 7\r");
        let shown = screen.expect(".service\r\n");
        screen.expect("exit-code (main process exited, status 7)");
        assert_eq!(screen.end().code(), Some(7), "{}", screen.seen);
        assert_eq!(screen.modes(), screen.before);
        shown
    });
    let shown = where_it_is.await.unwrap();
    assert!(shown.contains("/sdrun-"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_left_and_hung_up() {
    let _calm = calm().await;
    let left = tokio::task::spawn_blocking(|| {
        let mut screen = shell(&["-p", "Environment=PS1=ready>"]);
        screen.expect("ready>");
        screen.type_keys("\x1d\x1d\x1d");
        screen.expect(": left");
        assert!(screen.end().success(), "{}", screen.seen);
        assert_eq!(screen.modes(), screen.before);
    });
    left.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_setting_is_refused() {
    let _calm = calm().await;
    let refused = tokio::task::spawn_blocking(|| {
        let mut screen = shell(&["-p", "MemoryMax=2X"]);
        screen.expect("MemoryMax=2X: \"2X\" is not a size");
        assert_eq!(screen.end().code(), Some(2));
    });
    refused.await.unwrap();
}
