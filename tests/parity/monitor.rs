//! What is on the bus: the properties in the messages that start units or set their properties.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use crate::json::{elements, member};
use crate::support::DEADLINE;

/// One message: the properties of its unit, and of its auxiliary unit. Each is the text `["Name",{"type":…,"data":…}]`.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub main: Vec<String>,
    pub auxiliary: Vec<String>,
}

#[derive(Default)]
struct Seen {
    sent: Mutex<HashMap<String, Sent>>,
    more: Condvar,
}

/// A running `busctl monitor`. Messages are known by the description that they give the unit.
pub struct Monitor {
    busctl: Child,
    seen: Arc<Seen>,
}

impl Monitor {
    /// Starts it. It is ready when a message that is sent again and again has arrived.
    pub fn start(mut send: impl FnMut(&str)) -> Self {
        let mut busctl = Command::new("busctl")
            .args(["monitor", "--system", "--json=short"])
            .args(
                ["StartTransientUnit", "SetUnitProperties"].map(|m| format!("--match=type='method_call',member='{m}'")),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("busctl runs");
        let lines = BufReader::new(busctl.stdout.take().unwrap()).lines();
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((description, sent)) = read(&line) {
                    shared.sent.lock().unwrap().insert(description, sent);
                    shared.more.notify_all();
                }
            }
        });
        let monitor = Monitor { busctl, seen };
        for number in 0.. {
            assert!(number < 600, "busctl monitor shows nothing");
            send(&format!("parity ready {number}"));
            let sent = monitor.seen.sent.lock().unwrap();
            let within = std::time::Duration::from_millis(200);
            if !monitor.seen.more.wait_timeout_while(sent, within, |sent| sent.is_empty()).unwrap().0.is_empty() {
                break;
            }
        }
        monitor
    }

    /// Waits for the message with this description. The bus delivers in order: those that were answered before it was
    /// sent have been seen then.
    pub fn wait_for(&self, description: &str) {
        let sent = self.seen.sent.lock().unwrap();
        let missing = |sent: &mut HashMap<String, Sent>| !sent.contains_key(description);
        let (_sent, timeout) = self.seen.more.wait_timeout_while(sent, DEADLINE, missing).unwrap();
        assert!(!timeout.timed_out(), "busctl monitor did not show {description:?}");
    }

    /// The message with this description, if one was seen.
    pub fn sent(&self, description: &str) -> Option<Sent> {
        self.seen.sent.lock().unwrap().get(description).cloned()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.busctl.kill();
        let _ = self.busctl.wait();
    }
}

/// The name of the property in its text.
pub fn name(property: &str) -> &str {
    elements(property)[0].trim_matches('"')
}

fn read(line: &str) -> Option<(String, Sent)> {
    let payload = member(line, "payload")?;
    let arguments = elements(member(payload, "data")?);
    let list = |text: &str| elements(text).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let main = list(arguments[2]);
    let description = main.iter().find(|property| name(property) == "Description")?;
    let description = member(elements(description)[1], "data")?.trim_matches('"').to_owned();
    let auxiliary = match arguments.get(3).map(|units| elements(units)).as_deref() {
        // A trigger has the service there, which has a description too.
        Some([unit]) => list(elements(unit)[1]),
        _ => Vec::new(),
    };
    Some((description, Sent { main, auxiliary }))
}
