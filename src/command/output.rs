//! A command's whole output.

use futures::future::try_join3;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Command, Stdio};
use crate::error::{Error, Result};
use crate::unit::{Exit, Unit};

/// What [`Command::output`] and [`Unit::wait_with_output`] give.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How the unit ended.
    pub status: Exit,
    /// What it wrote to its standard output, if that was a pipe.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, if that was a pipe.
    pub stderr: Vec<u8>,
}

impl Command {
    /// Runs the command through the default manager ([`Manager::shared`](crate::Manager::shared)), and collects what it writes to its standard output
    /// and standard error, unless other places were given for them.
    ///
    /// It resolves when the unit has ended and both are at their end: see [`Unit::wait_with_output`]. When the future is dropped
    /// the program goes on, as with [`status`](Command::status), but what it writes then fails.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// let output = sdrun::Command::new("/bin/uname").arg("-r").output().await?;
    /// println!("{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Command::start), [`Manager::system`](crate::Manager::system) and [`Unit::wait_with_output`].
    pub fn output(&mut self) -> impl Future<Output = Result<Output>> + Send + use<> {
        let mut command = self.clone();
        for stream in &mut command.stdio[1..] {
            stream.get_or_insert_with(Stdio::piped);
        }
        async move {
            let unit = command.start_shared().await?;
            // A descriptor that was given for a stream is not to be held open by the copy.
            drop(command);
            unit.wait_with_output().await
        }
    }
}

impl Unit {
    /// Closes the standard input, if it is a pipe that was not taken out of the handle, then reads what is left of standard output
    /// and standard error and waits for the unit's end, all at once. What is written to the terminal of
    /// [`Command::pty`], where that is still in the handle, is thrown away meanwhile.
    ///
    /// The end of file may come later than the unit's end, where processes outlive it (`KillMode=process`): it is waited for, so
    /// that nothing is lost. See [`ChildStdout`](crate::ChildStdout).
    ///
    /// Cancel-safety: when the future is dropped what was read is lost.
    ///
    /// # Errors
    ///
    /// As [`wait`](Unit::wait), and [`Error::System`] when a pipe cannot be read.
    pub async fn wait_with_output(mut self) -> Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let pty = self.pty.take();
        let all = try_join3(read_all(stdout), read_all(stderr), self.wait());
        let (stdout, stderr, status) = match pty {
            None => all.await,
            Some(pty) => pty.discard_until(all).await,
        }?;
        Ok(Output { status, stdout, stderr })
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await.map_err(|error| Error::io("read a pipe", &error))?;
    }
    Ok(bytes)
}
