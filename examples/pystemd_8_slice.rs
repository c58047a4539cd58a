//! The last example of pystemd.run's manual: a unit in a cgroup of one's own choice.
//!
//! `pystemd.run([b'/bin/yes'], slice_="my_amazing.slice")`. The slice need not be made before: systemd does, and it
//! removes it when nothing is left in it.
//!
//! `pystemd_8_slice [SLICE]`

use sdrun::{Command, Stdio};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let slice = std::env::args().nth(1).unwrap_or("my_amazing.slice".into());
    // Not into the journal, which takes each line.
    let unit = sdrun::run(Command::new("/bin/yes").slice(slice).stdout(Stdio::null())).await?;
    unit.activated().await?;
    println!("{}: {:?}", unit.name(), unit.get("ControlGroup").await?);
    Ok(())
}
