//! peer-crate --system|--user PROGRAM: for each line on stdin runs PROGRAM in a transient unit by the crate `systemd-run`,
//! waits for its end and prints how many nanoseconds that took.

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use systemd_run::{RunSystem, RunUser};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (user, program) = (arguments[1] == "--user", &arguments[2]);
    for _ in stdin().lock().lines() {
        let begun = Instant::now();
        let finished = zbus::block_on(async {
            let started = if user {
                RunUser::new(program).collect_on_fail().start().await
            } else {
                RunSystem::new(program).collect_on_fail().start().await
            };
            started.expect("started").wait().await.expect("waited for")
        });
        let took = begun.elapsed();
        assert!(!finished.is_failed(), "{finished:?}");
        println!("{}", took.as_nanos());
        stdout().flush().expect("a pipe");
    }
}
