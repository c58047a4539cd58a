// A program that was written for tokio::process. It has no `use` line for that: `tokio_port.rs` compiles it twice, with
// tokio's types and with sdrun's.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Does everything, and says what came of it.
pub async fn run(folder: &Path, as_user: Option<(u32, u32)>) -> io::Result<Vec<String>> {
    let mut results = vec![
        greet().await?,
        exit_codes().await?,
        sort(&["pear", "apple", "cherry"]).await?,
        converse().await?,
        pipeline().await?,
        environment().await?,
        places(folder).await?,
        killed_on_drop(folder).await?,
        polled().await?,
        streams_to_files(folder).await?,
        missing().await,
    ];
    if let Some((uid, gid)) = as_user {
        results.push(as_someone_else(uid, gid).await?);
    }
    Ok(results)
}

/// From tokio's documentation: the future is kept and awaited later.
async fn greet() -> io::Result<String> {
    let output = Command::new("echo").arg("hello").arg("world").output();
    let output = output.await?;
    assert!(output.status.success());
    Ok(format!("{:?} {:?}", String::from_utf8_lossy(&output.stdout), output.stderr))
}

async fn exit_codes() -> io::Result<String> {
    let mut codes = Vec::new();
    for code in ["0", "1", "42", "255"] {
        let status = Command::new("sh").args(["-c", "exit $0", code]).stdout(Stdio::null()).status();
        let status = status.await?;
        codes.push((status.success(), status.code()));
    }
    let killed = Command::new("sh").arg("-c").arg("kill -9 $$").output().await?;
    codes.push((killed.status.success(), killed.status.code()));
    Ok(format!("{codes:?}"))
}

async fn sort(lines: &[&str]) -> io::Result<String> {
    let mut cmd = Command::new("sort");
    cmd.stdout(Stdio::piped());
    cmd.stdin(Stdio::piped());
    let mut child = cmd.spawn()?;
    let mut stdin = child.stdin.take().expect("child did not have a handle to stdin");
    stdin.write_all(lines.join("\n").as_bytes()).await?;
    stdin.shutdown().await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    Ok(format!("{} {:?}", output.status.success(), String::from_utf8(output.stdout)))
}

/// Line by line, with the child waited for in a task of its own.
async fn converse() -> io::Result<String> {
    let script = "while read -r line; do echo \"got $line\"; echo \"err $line\" >&2; done; exit 5";
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stderr = child.stderr.take().unwrap();
    let status = tokio::spawn(async move { child.wait().await });
    let mut heard = Vec::new();
    for word in ["one", "two words", "drei äöü"] {
        stdin.write_all(format!("{word}\n").as_bytes()).await?;
        heard.push(lines.next_line().await?);
    }
    drop(stdin);
    heard.push(lines.next_line().await?);
    let mut errors = String::new();
    stderr.read_to_string(&mut errors).await?;
    let status = status.await.unwrap()?;
    Ok(format!("{heard:?} {errors:?} {:?} {}", status.code(), status.success()))
}

/// From tokio's documentation.
async fn pipeline() -> io::Result<String> {
    let mut echo = Command::new("echo").arg("hello world!").stdout(Stdio::piped()).spawn()?;
    let tr_stdin: Stdio = echo.stdout.take().unwrap().try_into()?;
    let tr = Command::new("tr").arg("a-z").arg("A-Z").stdin(tr_stdin).stdout(Stdio::piped()).spawn()?;
    let (echo_result, tr_output) = tokio::join!(echo.wait(), tr.wait_with_output());
    assert!(echo_result?.success());
    let tr_output = tr_output?;
    Ok(format!("{:?} {}", String::from_utf8(tr_output.stdout), tr_output.status.success()))
}

async fn environment() -> io::Result<String> {
    let script = "echo \"$ONE|$TWO|${THREE-unset}|${HOME-unset}|$PATH\"";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("LOST", "1").env_clear().env("ONE", "a b").env("PATH", "/bin");
    command.envs([("TWO", "$ONE"), ("THREE", "3")]).env_remove("THREE");
    let output = command.output().await?;
    Ok(format!("{:?}", String::from_utf8(output.stdout)))
}

async fn places(folder: &Path) -> io::Result<String> {
    let output = Command::new("pwd").current_dir(folder).output().await?;
    let here = String::from_utf8(output.stdout).unwrap();
    Ok(format!("{}", Path::new(here.trim_end()) == folder))
}

/// A child that is dropped goes; one that is dropped without that stays.
async fn killed_on_drop(folder: &Path) -> io::Result<String> {
    let mut found = Vec::new();
    for kill in [true, false] {
        let file = folder.join(format!("stays-{kill}"));
        let script = "echo up; read -r line; echo here >\"$0\"";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(kill)
            .spawn()?;
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).await?;
        drop(child);
        if kill {
            // It is gone when its output is at its end.
            stdout.read_line(&mut line).await?;
        }
        // Nobody may be there to read it.
        let _ = stdin.write_all(b"go on\n").await;
        drop(stdin);
        stdout.read_line(&mut line).await?;
        found.push((line, file.exists()));
    }
    Ok(format!("{found:?}"))
}

async fn polled() -> io::Result<String> {
    let mut child = Command::new("sh").args(["-c", "read -r line; exit 9"]).stdin(Stdio::piped()).spawn()?;
    let before = child.try_wait()?.is_none();
    child.stdin.as_mut().unwrap().write_all(b"\n").await?;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let again = child.wait().await?;
    Ok(format!("{before} {:?} {:?}", status.code(), again.code()))
}

async fn streams_to_files(folder: &Path) -> io::Result<String> {
    let path = folder.join("log");
    let log = std::fs::File::create(&path)?;
    let mut command = Command::new("sh");
    command.args(["-c", "cat; echo err >&2"]).stdin(Stdio::null());
    let status = command.stdout(log.try_clone()?).stderr(Stdio::from(log)).status().await?;
    let input = std::fs::File::open(&path)?;
    let output = Command::new("cat").stdin(input).output().await?;
    Ok(format!("{} {:?}", status.success(), String::from_utf8(output.stdout)))
}

async fn missing() -> String {
    let error = Command::new("no-such-program-anywhere").env("PATH", "/usr/bin:/bin").spawn().expect_err("it does not exist");
    let error: io::Error = error.into();
    format!("{:?}", error.kind())
}

async fn as_someone_else(uid: u32, gid: u32) -> io::Result<String> {
    let output = Command::new("sh").args(["-c", "id -u; id -g"]).uid(uid).gid(gid).output().await?;
    Ok(format!("{:?}", String::from_utf8(output.stdout)))
}
