//! The other end of a connection, scripted by hand or from a thread of its own.

use std::cell::Cell;
use std::ffi::CStr;
use std::time::Instant;

use sdrun_sys as sys;

use super::super::check;
use super::super::connection::{Interest, Step};
use super::PATIENCE;
use crate::bus::{Bus, Message};
use crate::error::Result;

/// The two ends of a connection, their handshake behind them.
pub(crate) fn connected() -> (Bus, Peer) {
    let (ours, theirs) = Bus::pair().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !(ours.is_ready().unwrap() && theirs.is_ready().unwrap()) {
        assert!(ours.process().is_ok_and(|step| !matches!(step, Step::Message(_))));
        assert!(theirs.process().is_ok_and(|step| !matches!(step, Step::Message(_))));
        assert!(Instant::now() < deadline, "the handshake hangs");
    }
    (ours, Peer::new(theirs))
}

/// The end that a test scripts. All of its calls block, and panic when what they wait for does not come.
pub(crate) struct Peer {
    pub bus: Bus,
    /// Whom its messages say that they are from, as a bus daemon would.
    pub sender: Cell<Option<&'static CStr>>,
}

impl Peer {
    pub fn new(bus: Bus) -> Self {
        Peer { bus, sender: Cell::new(None) }
    }

    /// The next message, if it has arrived.
    pub fn poll(&self) -> Option<Message<'_>> {
        loop {
            match self.bus.process().expect("the other end has closed the connection") {
                Step::Message(message) => return Some(message),
                Step::Progress => {}
                Step::Idle => return None,
            }
        }
    }

    /// The next message.
    pub fn next(&self) -> Message<'_> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.poll() {
                return message;
            }
            self.wait(deadline);
        }
    }

    /// The next message, which is a call of this method.
    pub fn expect(&self, member: &str) -> Message<'_> {
        let message = self.next();
        assert_eq!(message.member(), Some(member));
        message
    }

    /// Sees the other end close the connection. What came before that, by its members.
    pub fn until_closed(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            match self.bus.process() {
                Ok(Step::Message(message)) => seen.push(message.member().unwrap_or("reply").to_owned()),
                Ok(Step::Progress) => {}
                Ok(Step::Idle) => self.wait(deadline),
                Err(_) => break,
            }
        }
        // What sd-bus itself says when the connection ends.
        assert_eq!(seen.pop().as_deref(), Some("Disconnected"));
        seen
    }

    fn wait(&self, deadline: Instant) {
        let left = deadline.checked_duration_since(Instant::now()).expect("what is awaited does not come");
        // SAFETY: a live bus.
        let waited = unsafe { sys::sd_bus_wait(self.bus.as_raw(), left.as_micros() as u64) };
        // A signal of the process interrupts it (the profiler's, for instance).
        assert!(waited >= 0 || waited == -nix::libc::EINTR, "sd_bus_wait: {waited}");
    }

    /// Sends a message as the peer that it plays.
    pub fn send(&self, mut message: Message<'_>) {
        if let Some(sender) = self.sender.get() {
            message.set_sender(sender).unwrap();
        }
        self.bus.send_only(message).unwrap();
    }

    /// Blocks until everything is in the socket. Nothing may come meanwhile.
    pub fn flush(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.bus.interest().unwrap().contains(Interest::WRITABLE) {
            assert!(self.poll().is_none(), "a message came unasked");
            if self.bus.interest().unwrap().contains(Interest::WRITABLE) {
                self.wait(deadline);
            }
        }
    }

    pub fn reply(&self, call: &Message<'_>, fill: impl FnOnce(&mut Message<'_>) -> Result<()>) {
        let mut reply = call.reply().unwrap();
        fill(&mut reply).unwrap();
        self.send(reply);
    }

    pub fn refuse(&self, call: &Message<'_>, name: &CStr, text: &CStr) {
        self.send(call.error_reply(name, text).unwrap());
    }

    pub fn signal(
        &self,
        path: &CStr,
        interface: &CStr,
        member: &CStr,
        fill: impl FnOnce(&mut Message<'_>) -> Result<()>,
    ) {
        let mut signal = self.bus.signal(path, interface, member).unwrap();
        fill(&mut signal).unwrap();
        self.send(signal);
    }
}

/// What only the scripted end needs of a message.
impl Message<'_> {
    fn set_sender(&mut self, sender: &CStr) -> Result<()> {
        // SAFETY: a live message and a NUL-terminated string, which is copied.
        check("sd_bus_message_set_sender", unsafe { sys::sd_bus_message_set_sender(self.as_raw(), sender.as_ptr()) })?;
        Ok(())
    }

    /// Whom the message is for.
    pub fn destination(&self) -> Option<&str> {
        // SAFETY: a live message; what is returned belongs to it, and nothing appends to it meanwhile.
        let destination = unsafe { sys::sd_bus_message_get_destination(self.as_raw()) };
        if destination.is_null() {
            return None;
        }
        // SAFETY: not null, so NUL-terminated.
        unsafe { CStr::from_ptr(destination) }.to_str().ok()
    }

    /// Whether its sender waits for a reply.
    pub fn wants_reply(&self) -> bool {
        // SAFETY: a live message.
        unsafe { sys::sd_bus_message_get_expect_reply(self.as_raw()) > 0 }
    }

    /// Whether its sender lets somebody be asked for a password.
    pub fn lets_ask(&self) -> bool {
        // SAFETY: a live message.
        unsafe { sys::sd_bus_message_get_allow_interactive_authorization(self.as_raw()) > 0 }
    }
}
