//! A receiver that tells what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;

use super::{Peer, connected, soon};
use crate::bus::{After, Bus, Context, Link, Message, Receiver, Refusal};
use crate::error::{Error, Result};

/// What a receiver was told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// A reply with its text, or an error with its name and text.
    Reply(u32, Result<String, (String, String)>),
    Signal(String),
    /// The error, as it is displayed.
    Lost(String, Vec<u32>),
    Timer,
}

/// Runs what it was given.
#[derive(Default)]
pub(super) struct Acts {
    pub acts: Vec<Box<dyn FnOnce() + Send>>,
    urgent: bool,
}

impl After for Acts {
    fn is_urgent(&self) -> bool {
        self.urgent
    }

    fn run(&mut self) {
        self.urgent = false;
        std::mem::take(&mut self.acts).into_iter().for_each(|act| act());
    }
}

/// Done along with what is told.
type Also = Arc<dyn Fn(&Told) + Send + Sync>;

pub(super) struct Probe {
    tell: mpsc::UnboundedSender<Told>,
    pub deadline: Option<Instant>,
    pub obliged: bool,
    /// When it is time, it makes a call.
    pub calls_on_time: bool,
    /// A signal obliges it.
    pub obliged_by_signal: bool,
    pub also: Option<Also>,
    /// Signals are only counted.
    pub quiet: bool,
    /// What it tells is to be told before more is read.
    pub urgent: bool,
    pub counts: Arc<Counts>,
}

#[derive(Default)]
pub(super) struct Counts {
    pub signals: AtomicUsize,
    /// How often the driver looked what to do next.
    pub looks: AtomicUsize,
}

impl Counts {
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    pub fn signals(&self) -> usize {
        self.signals.load(Ordering::Relaxed)
    }
}

/// What a probe has told, in order.
pub(super) struct Tales(mpsc::UnboundedReceiver<Told>);

impl Tales {
    pub async fn next(&mut self) -> Told {
        soon(self.0.recv()).await.expect("the probe is gone")
    }

    /// What has been told and not been taken yet.
    pub fn rest(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }

    /// The probe is gone, and has told nothing more.
    pub async fn end(&mut self) {
        assert_eq!(soon(self.0.recv()).await, None);
    }
}

impl Probe {
    pub fn new() -> (Self, Tales) {
        let (tell, told) = mpsc::unbounded_channel();
        let probe = Probe {
            tell,
            deadline: None,
            obliged: false,
            calls_on_time: false,
            obliged_by_signal: false,
            also: None,
            quiet: false,
            urgent: false,
            counts: Arc::default(),
        };
        (probe, Tales(told))
    }

    fn tell(&self, told: Told, after: &mut Acts) {
        let (tell, also) = (self.tell.clone(), self.also.clone());
        after.urgent = self.urgent;
        after.acts.push(Box::new(move || {
            if let Some(also) = also {
                also(&told);
            }
            // A test need not listen.
            let _ = tell.send(told);
        }));
    }
}

impl Receiver for Probe {
    type Ticket = u32;
    type After = Acts;

    fn reply(&mut self, ticket: u32, reply: Result<&Message<'_>, Refusal<'_>>, cx: &mut Context<'_, Self>) {
        let reply = match reply {
            Ok(message) => Ok(message.read_str().unwrap_or("no text").to_owned()),
            Err(refusal) => Err((refusal.name.to_owned(), refusal.text.to_owned())),
        };
        self.obliged = false;
        self.tell(Told::Reply(ticket, reply), cx.after);
    }

    fn signal(&mut self, message: Message<'_>, cx: &mut Context<'_, Self>) {
        self.counts.signals.fetch_add(1, Ordering::Relaxed);
        self.obliged |= self.obliged_by_signal;
        if !self.quiet {
            self.tell(Told::Signal(message.member().unwrap_or_default().to_owned()), cx.after);
        }
    }

    fn lost(&mut self, error: &Error, mut outstanding: Vec<u32>, after: &mut Acts) {
        outstanding.sort_unstable();
        self.tell(Told::Lost(error.to_string(), outstanding), after);
    }

    fn is_obliged(&self) -> bool {
        self.obliged
    }

    fn deadline(&self) -> Option<Instant> {
        self.counts.looks.fetch_add(1, Ordering::Relaxed);
        self.deadline
    }

    fn timer(&mut self, now: Instant, cx: &mut Context<'_, Self>) {
        assert!(self.deadline.is_some_and(|deadline| deadline <= now), "too early");
        self.deadline = None;
        if self.calls_on_time {
            // It may fail.
            let call = cx.bus.method_call(None, c"/a/path", c"an.Interface", c"Method");
            let _ = call.and_then(|call| cx.call(call, 99));
        }
        self.tell(Told::Timer, cx.after);
    }
}

/// A driven connection with a probe at this end.
pub(super) async fn linked() -> (Link<Probe>, Tales, Peer) {
    let (bus, peer) = connected();
    let (link, tales) = over(bus).await;
    (link, tales, peer)
}

pub(super) async fn over(bus: Bus) -> (Link<Probe>, Tales) {
    let (probe, tales) = Probe::new();
    (soon(Link::over(bus, probe)).await.unwrap(), tales)
}

/// Calls a method of the peer.
pub(super) fn call(link: &Link<Probe>, ticket: u32) -> Result<()> {
    link.with(|_, cx| {
        let mut message = cx.bus.method_call(None, c"/a/path", c"an.Interface", c"Method")?;
        message.append(ticket)?;
        cx.call(message, ticket)
    })?
}

/// Answers a call with a text.
pub(super) fn answer(peer: &Peer, call: &Message<'_>, text: &str) {
    peer.reply(call, |reply| reply.append_str(text));
}

pub(super) fn tick(peer: &Peer) {
    peer.signal(c"/a/path", c"an.Interface", c"Tick", |_| Ok(()));
}

pub(super) fn told_reply(ticket: u32, text: &str) -> Told {
    Told::Reply(ticket, Ok(text.to_owned()))
}
