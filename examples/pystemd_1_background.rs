//! Example 1 of pystemd.run's manual: `/bin/sleep 42` in the background.
//!
//! `pystemd.run([b'/bin/sleep', b'42'])` returns a `Unit`, and so does [`sdrun::run`]. The unit is no child of this
//! program: it goes on when this one has ended.
//!
//! `pystemd_1_background [SECONDS]`

#[tokio::main(flavor = "current_thread")]
async fn main() -> sdrun::Result<()> {
    let seconds = std::env::args().nth(1).unwrap_or("42".into());

    // An array is the program and its arguments, as they are.
    let unit = sdrun::run(["/bin/sleep", &seconds]).await?;
    println!("{}", unit.name());

    // One string is split into words as a shell does it. No shell is involved: `~`, `*` and `$HOME` stay as they are.
    let unit = sdrun::run(format!("/bin/sleep {seconds}")).await?;
    println!("{}", unit.name());
    Ok(())
}
