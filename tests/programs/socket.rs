//! `examples/socket.rs`.

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::program::{Program, calm, property};
use super::support::{Folder, soon};

/// A client of the server.
struct Client(BufReader<UnixStream>);

impl Client {
    async fn new(path: &str) -> Self {
        Client(BufReader::new(UnixStream::connect(path).await.unwrap()))
    }

    /// Says something, and returns the process that has answered.
    async fn ask(&mut self, what: &str) -> u32 {
        self.0.get_mut().write_all(format!("{what}\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("an answer", self.0.read_line(&mut answer)).await.unwrap();
        let process = answer.trim_end().strip_prefix(&format!("{what}, says ")).unwrap_or_else(|| panic!("{answer:?}"));
        process.parse().unwrap()
    }
}

#[tokio::test]
async fn connections_start_the_server_again_and_again() {
    let _calm = calm().await;
    let folder = Folder::new();
    let path = folder.path("socket");
    let mut program = Program::start("socket", &["--idle", "0.1", &path]);
    let listens = program.line("sdrun-").await;
    let socket = listens.split(' ').next().unwrap();
    assert_eq!(listens, format!("{socket} listens at {path}"));
    let service = socket.replace(".socket", ".service");
    assert_eq!([property(socket, "ActiveState"), property(&service, "ActiveState")], ["active", "inactive"]);

    let mut servers = Vec::new();
    for _ in 0..3 {
        // Whoever is connected keeps it running, and it answers others too.
        let mut clients = [Client::new(&path).await, Client::new(&path).await];
        let server = clients[0].ask("hello").await;
        assert_eq!(clients[1].ask("and hello").await, server);
        assert_eq!(clients[0].ask("hello again").await, server);
        program.line(&format!("{service} started")).await;
        assert_eq!(property(&service, "MainPID"), server.to_string());
        servers.push(server);
        drop(clients);
        program.line(&format!("{service} ended: success (main process exited, status 0)")).await;
    }
    servers.dedup();
    assert_eq!(servers.len(), 3, "{servers:?}");

    program.signal(Signal::SIGINT);
    let (status, said) = program.end().await;
    assert!(status.success(), "{said:?}");
    assert_eq!(property(socket, "LoadState"), "not-found");
    assert!(!std::path::Path::new(&path).exists());
}
