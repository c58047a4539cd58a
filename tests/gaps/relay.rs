//! A socket between us and the one of the manager or of its bus, which can be cut, and made deaf on one side.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sdrun::{Manager, ManagerBuilder, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::support::{Folder, is_root};

pub struct Relay {
    folder: Folder,
    to: PathBuf,
    transport: Transport,
    swallows: Arc<Swallows>,
    /// Its task has all connections; without it nobody listens.
    listening: Option<JoinSet<()>>,
}

/// What is read and thrown away.
#[derive(Default)]
struct Swallows {
    calls: AtomicBool,
    answers: AtomicBool,
}

impl Relay {
    /// To the manager of this process: over its bus, or to its own socket.
    pub fn new(transport: Transport) -> Self {
        let runtime = || PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR").expect("a user has one"));
        let to = match (transport, is_root()) {
            (Transport::Private, true) => "/run/systemd/private".into(),
            (Transport::Private, false) => runtime().join("systemd/private"),
            (_, true) => "/run/dbus/system_bus_socket".into(),
            (_, false) => runtime().join("bus"),
        };
        let mut relay = Relay { folder: Folder::new(), to, transport, swallows: Arc::default(), listening: None };
        relay.mend();
        relay
    }

    fn path(&self) -> String {
        self.folder.path("socket")
    }

    pub fn builder(&self) -> ManagerBuilder {
        crate::roomy().address(format!("unix:path={}", self.path())).transport(self.transport)
    }

    pub async fn manager(&self) -> Manager {
        self.builder().connect().await.expect("a connection through the relay")
    }

    /// Closes all connections, and lets none come.
    pub async fn cut(&mut self) {
        std::fs::remove_file(self.path()).unwrap();
        self.listening.take().expect("not cut yet").shutdown().await;
    }

    /// Lets them come again, and everything through.
    pub fn mend(&mut self) {
        self.swallow_calls(false);
        self.swallow_answers(false);
        let listener = UnixListener::bind(self.path()).unwrap();
        let (to, swallows) = (self.to.clone(), self.swallows.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                // Where nobody listens on the other side, that is for the client to see.
                if let Ok(far) = UnixStream::connect(&to).await {
                    connections.spawn(connect(near, far, swallows.clone()));
                }
            }
        });
        self.listening = Some(tasks);
    }

    /// What we send does not arrive.
    pub fn swallow_calls(&self, swallow: bool) {
        self.swallows.calls.store(swallow, Ordering::SeqCst);
    }

    /// What is sent to us does not arrive.
    pub fn swallow_answers(&self, swallow: bool) {
        self.swallows.answers.store(swallow, Ordering::SeqCst);
    }
}

async fn connect(near: UnixStream, far: UnixStream, swallows: Arc<Swallows>) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        _ = copy(near_read, far_write, &swallows.calls) => {}
        _ = copy(far_read, near_write, &swallows.answers) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallow: &AtomicBool) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        if !swallow.load(Ordering::SeqCst) {
            to.write_all(&buffer[..length]).await?;
        }
    }
}

/// A relay to each of the manager's sockets, by the name of the transport.
pub fn relays() -> [(&'static str, Relay); 2] {
    [("bus", Relay::new(Transport::Bus)), ("private", Relay::new(Transport::Private))]
}
