//! `socket`: a server that runs only while somebody talks to it (socket activation).
//!
//! ```sh
//! cargo build --release --example socket
//! target/release/examples/socket /run/echo.sock &
//! echo hello | nc -U -N /run/echo.sock
//! ```
//!
//! systemd listens at the path. The first connection starts the server, which answers each line with that line and its
//! own process ID, and ends when it has had nothing to do for a second (or `--idle SECONDS`). The next connection starts
//! it anew; who connects notices nothing. Each start and each end of the server is told. ^C removes the socket.
//!
//! The server is this same program: systemd runs it as `socket serve`, with the listening socket as its standard input
//! (`StandardInput=socket`). One that takes its sockets from descriptor 3 on (`sd_listen_fds(3)`) needs no such line.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt;
use sdrun::{Command, Manager, SocketUnit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

const USAGE: &str = "usage: socket [--idle SECONDS] PATH";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", idle] => serve(idle).await,
        [path] if !path.starts_with('-') => listen(path, "1").await,
        ["--idle", idle, path] => listen(path, idle).await,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socket: {error}");
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

/// Has systemd listen, and tells of the server's runs.
async fn listen(path: &str, idle: &str) -> Done {
    let manager = Manager::shared().await?;
    let mut server = Command::new(std::env::current_exe()?);
    server.args(["serve", idle]).collect(true).property("StandardInput=socket")?.property("StandardOutput=journal")?;
    // systemd gives a socket up whose service it has to start more than twenty times in two seconds. Clients decide here.
    let mut socket = SocketUnit::new();
    socket.listen_stream(path).property("RemoveOnStop=yes")?.property("TriggerLimitIntervalSec=0")?;
    let trigger = socket.start(&manager, server.start_limit(1, Duration::ZERO)).await?;
    // From here on connections succeed.
    trigger.unit().activated().await?;
    println!("{} listens at {path}", trigger.unit().name());
    let told = async {
        let mut runs = trigger.activations();
        while let Some(run) = runs.next().await {
            let run = run?;
            println!("{} started", run.name());
            println!("{} ended: {}", trigger.service_name(), run.await?);
        }
        Ok::<_, sdrun::Error>(())
    };
    tokio::select! {
        told = told => told?,
        _ = tokio::signal::ctrl_c() => trigger.unit().stop().await?,
    }
    Ok(())
}

/// Is the server: answers until nobody has come for so long.
async fn serve(idle: &str) -> Done {
    let idle = Duration::try_from_secs_f64(idle.parse()?)?;
    // The socket that systemd listens on, and goes on listening on when this has ended.
    let listener = UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(clients.spawn(answer(accepted?.0))),
            // One that goes away in the middle is no failure of the server's.
            Some(_) = clients.join_next() => {}
            () = tokio::time::sleep(idle), if clients.is_empty() => return Ok(()),
        }
    }
}

async fn answer(mut client: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = client.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        writer.write_all(format!("{line}, says {}\n", std::process::id()).as_bytes()).await?;
    }
    Ok(())
}
