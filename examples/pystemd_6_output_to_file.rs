//! Example 6 of pystemd.run's manual: standard output and standard error into a file.
//!
//! `pystemd.run([b'/bin/echo', b'omg!'], stdout=fd, stderr=fd)` where `fd` is of an open file. The file may be any that
//! this program can open: the unit gets the descriptor. The Python file must be kept in a variable, lest it is closed
//! too early; here the command owns it.
//!
//! `pystemd_6_output_to_file [PATH]`

use std::fs::File;

use sdrun::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or("/tmp/sdrun_output".into());
    let file = File::create(&path)?;
    let exit = Command::new("/bin/echo").arg("omg!").stdout(file.try_clone()?).stderr(file).status().await?;
    println!("{path}: {exit}");
    Ok(())
}
