//! Example 7 of pystemd.run's manual: a command that stops the unit (`ExecStop=`), by waiting for its main process.
//!
//! `pystemd.run("/bin/sleep 5", stop_cmd=["/bin/bash", "-c", …], stdout=1).Unit.Stop(b"replace")`. Nothing has to be
//! done about the `$` in the script: here they reach the shell as they are.
//!
//! `pystemd_7_stop_command [SECONDS]`

use sdrun::{Command, Stdio};

/// Stops nothing, but waits until what runs has ended. What is left afterwards systemd ends.
const WAIT: &str = r#"
if [ -n "$MAINPID" ]; then
    /bin/tail -f --pid "$MAINPID" /dev/null
    echo "we are done with $MAINPID"
else
    echo "process not running"
fi
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let seconds = std::env::args().nth(1).unwrap_or("5".into());
    let mut command = Command::from(format!("/bin/sleep {seconds}"));
    let unit = sdrun::run(command.stop(["/bin/bash", "-c", WAIT]).stdout(Stdio::inherit())).await?;
    // Stopped before it was started, it would never run.
    unit.activated().await?;
    println!("{} runs as {}", unit.name(), unit.main_pid().await?.unwrap_or(0));
    unit.stop().await?;
    println!("{}", unit.wait().await?);
    Ok(())
}
