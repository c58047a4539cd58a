//! Example 5 of pystemd.run's manual: bash on a proper terminal.
//!
//! `pystemd.run([b'/bin/bash'], wait=True, stdout=sys.stdout, stdin=sys.stdin, pty=True)`. The shell is a service, with
//! a pseudo-terminal of its own, and what is typed here goes there: completion, `^C`, `^Z`, the window's size. Pressing
//! `^]` three times leaves it.

use sdrun::{Command, Forwarded, Manager};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let manager = Manager::shared().await?;
    let mut unit = Command::new("/bin/bash").pty().start(&manager).await?;
    // This terminal is in raw mode meanwhile; afterwards it is as it was, however this ends.
    match unit.forward_terminal(std::io::stdin(), std::io::stdout()).await? {
        Forwarded::Ended => println!("{}", unit.await?),
        // With its terminal dropped, bash gets SIGHUP.
        Forwarded::Disconnected(_) => println!("disconnected from {}", unit.name()),
    }
    Ok(())
}
