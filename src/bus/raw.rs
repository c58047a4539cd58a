//! Bytes on the socket, as a peer might send them that does not use sd-bus.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Bus;
use super::connection::Step;

/// What a server answers to the handshake of sd-bus, which a client sends in one piece without waiting.
pub(crate) const WELCOME: &[u8] = b"DATA\r\nOK 07070707070707070707070707070707\r\nAGREE_UNIX_FD\r\n";

/// How long anything may take here before it counts as hung. Under valgrind all is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client, and the socket that it is connected to.
pub(crate) fn pair() -> (Bus, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    theirs.set_write_timeout(Some(PATIENCE)).unwrap();
    (Bus::over(ours.into(), false).unwrap(), theirs)
}

/// The same with the handshake behind them.
pub(crate) fn connected() -> (Bus, UnixStream) {
    let (bus, mut stream) = pair();
    stream.write_all(WELCOME).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !bus.is_ready().unwrap() {
        assert!(bus.process().is_ok_and(|step| !matches!(step, Step::Message(_))));
        assert!(Instant::now() < deadline, "the handshake hangs");
    }
    read_handshake(&mut stream);
    (bus, stream)
}

/// Reads what a client says before its first message.
pub(crate) fn read_handshake(stream: &mut UnixStream) {
    let mut said = Vec::new();
    while !said.ends_with(b"BEGIN\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
}

/// A part of a message in the D-Bus wire format.
#[derive(Default)]
pub(crate) struct Wire {
    pub big: bool,
    pub bytes: Vec<u8>,
}

impl Wire {
    pub fn pad(&mut self, alignment: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self
    }

    pub fn byte(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.pad(4);
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.pad(8);
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    /// A string or an object path.
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        self.u32(text.len() as u32).bytes.extend(text);
        self.byte(0)
    }

    /// An array whose elements are aligned to that many bytes.
    pub fn array(&mut self, alignment: usize, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.u32(0);
        let size_at = self.bytes.len() - 4;
        self.pad(alignment);
        let start = self.bytes.len();
        fill(self);
        let size = (self.bytes.len() - start) as u32;
        self.bytes[size_at..][..4].copy_from_slice(&if self.big { size.to_be_bytes() } else { size.to_le_bytes() });
        self
    }

    pub fn signature(&mut self, text: &str) -> &mut Self {
        self.byte(text.len() as u8).bytes.extend(text.bytes());
        self.byte(0)
    }
}

/// A message to be written as bytes.
pub(crate) struct Raw<'a> {
    pub kind: u8,
    pub reply_to: Option<u32>,
    pub error: Option<&'a str>,
    pub member: Option<&'a str>,
    /// Path and interface, sent where there is a member.
    pub object: (&'a str, &'a str),
    pub sender: Option<&'a str>,
    pub destination: Option<&'a str>,
    pub descriptors: u32,
    pub signature: &'a str,
    pub body: Wire,
}

impl<'a> Raw<'a> {
    pub fn signal(signature: &'a str, body: Wire) -> Self {
        let member = Some("Odd");
        Raw {
            kind: 4,
            reply_to: None,
            error: None,
            member,
            object: ("/odd", "odd.Interface"),
            sender: None,
            destination: None,
            descriptors: 0,
            signature,
            body,
        }
    }

    pub fn reply(reply_to: u32, signature: &'a str, body: Wire) -> Self {
        Raw { kind: 2, reply_to: Some(reply_to), member: None, ..Raw::signal(signature, body) }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut wire = Wire { big: self.body.big, bytes: Vec::new() };
        wire.byte(if wire.big { b'B' } else { b'l' }).byte(self.kind).byte(0).byte(1);
        wire.u32(self.body.bytes.len() as u32).u32(1).u32(0);
        let field = |wire: &mut Wire, code: u8, text: &str| {
            wire.pad(8).byte(code).signature(if code == 1 { "o" } else { "s" }).text(text);
        };
        if self.member.is_some() {
            field(&mut wire, 1, self.object.0);
            field(&mut wire, 2, self.object.1);
        }
        let texts = [(3, self.member), (4, self.error), (6, self.destination), (7, self.sender)];
        for (code, text) in texts {
            if let Some(text) = text {
                field(&mut wire, code, text);
            }
        }
        if let Some(cookie) = self.reply_to {
            wire.pad(8).byte(5).signature("u").u32(cookie);
        }
        if self.descriptors > 0 {
            wire.pad(8).byte(9).signature("u").u32(self.descriptors);
        }
        if !self.signature.is_empty() {
            wire.pad(8).byte(8).signature("g").signature(self.signature);
        }
        let fields = wire.bytes.len() as u32 - 16;
        wire.bytes[12..16].copy_from_slice(&if wire.big { fields.to_be_bytes() } else { fields.to_le_bytes() });
        wire.pad(8).bytes.extend(&self.body.bytes);
        wire.bytes
    }
}
