//! Example 3 of pystemd.run's manual: `/bin/sleep 42` as another user.
//!
//! `pystemd.run([b'/bin/sleep', b'42'], remain_after_exit=True, user=b'aleivag')`. Only root may do that; a user that
//! does not exist is not an error of the start, but an exit with systemd's code 217.
//!
//! `pystemd_3_other_user USER [SECONDS]`

use sdrun::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let user = arguments.next().ok_or("which user?")?;
    let seconds = arguments.next().unwrap_or("42".into());

    let unit = sdrun::run(Command::from(["/bin/sleep", &seconds]).remain_after_exit(true).user(user)).await?;
    println!("{}", unit.name());
    println!("{}", unit.wait().await?);
    unit.stop().await?;
    Ok(())
}
