//! Example 2 of pystemd.run's manual: a unit that stays when its process has ended.
//!
//! `pystemd.run([b'/bin/sleep', b'42'], remain_after_exit=True)`; what is `unit.Service.MainPID` there is
//! [`Unit::main_pid`](sdrun::Unit::main_pid) here, and each property without a call of its own
//! [`Unit::get`](sdrun::Unit::get).
//!
//! `pystemd_2_remain_after_exit [SECONDS]`

use sdrun::{Command, Manager};

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let seconds = std::env::args().nth(1).unwrap_or("42".into());
    let manager = Manager::shared().await?;
    let unit = Command::new("/bin/sleep").arg(seconds).remain_after_exit(true).start(&manager).await?;
    println!("{}", unit.name());

    unit.activated().await?;
    println!("MainPID {}", unit.main_pid().await?.unwrap_or(0));

    // The handle resolves when the process has ended; the unit is still there.
    let exit = unit.wait().await?;
    println!("{exit}");
    println!("MainPID {}", unit.main_pid().await?.unwrap_or(0));
    println!("{:?}", unit.get("ActiveState").await?);

    // Until somebody stops it.
    unit.stop().await
}
