//! Tests of the bus layer. They need no systemd and no bus daemon: the other end of every connection is here too.

pub(crate) mod alone;
mod connection;
mod driver;
mod ends;
mod flow;
mod handshake;
mod hostile;
mod message;
mod odd;
mod peer;
mod probe;
mod program;
mod reading;
mod value;

use std::future::Future;

use super::raw;
pub(crate) use super::raw::PATIENCE;
pub(crate) use peer::{Peer, connected};

/// What is left in a pipe whose other ends are all closed, which is checked.
fn last_words(reader: std::io::PipeReader) -> String {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    std::io::read_to_string(reader).expect("a descriptor was left open")
}

/// Awaits what must come without further ado.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("what is awaited does not come")
}
