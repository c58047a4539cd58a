//! The journal as a witness: what it says of each run, against what was told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sdrun::{InvocationId, Outcome, Status};

use crate::support::{DEADLINE, is_root};
use crate::tally::Tally;

/// How a run ended, as it was told.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    id: [u8; 16],
    /// 1 returned, 2 killed, 3 dumped core (`CLD_…`), 0 not known.
    code: u8,
    status: u8,
    success: bool,
}

impl Ended {
    pub fn new(id: &InvocationId, status: Option<Status>, result: &Outcome) -> Self {
        let (code, status) = match status {
            None => (0, 0),
            Some(Status::Exited(code)) => (1, code),
            Some(Status::Killed(signal)) => (2, signal as u8),
            Some(Status::Dumped(signal)) => (3, signal as u8),
        };
        Ended { id: *id.as_bytes(), code, status, success: *result == Outcome::Success }
    }
}

/// What the journal says of a run. Each of it once, or not at all.
#[derive(Debug, Default)]
struct Said {
    starts: u32,
    successes: u32,
    failures: u32,
    /// Those that were no success, each with its code and status.
    exits: Vec<(String, String)>,
}

/// `sd-messages.h`: a start that is done; the end of a unit that failed, and of one that did not; the end of a process.
const STARTED: &str = "39f53479d3a045ac8e11786248231fbf";
const FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
const SUCCEEDED: &str = "7ad2d189f7e94e70a38c781354912448";
const PROCESS: &str = "98e322203f7a4ed290d09fe03c09fe15";

/// journald forgets what comes too fast. Not here, where each message counts.
pub fn without_limits() {
    let folder = "/run/systemd/journald.conf.d";
    std::fs::create_dir_all(folder).unwrap();
    let lines =
        "[Journal]\nRateLimitBurst=0\nRateLimitIntervalSec=0\nSystemMaxUse=2G\nRuntimeMaxUse=2G\nSystemKeepFree=1M\n";
    std::fs::write(format!("{folder}/soak.conf"), lines).unwrap();
    let status = Command::new("systemctl").args(["restart", "systemd-journald"]).status().unwrap();
    assert!(status.success());
}

/// Whatever contradicts what was told is wrong, and what is missing is unlogged.
pub async fn compare(ended: Vec<Ended>, tally: &mut Tally) {
    let begun = Instant::now();
    loop {
        let said = read();
        let missing: Vec<_> = ended.iter().filter(|ended| !is_complete(ended, said.get(&ended.id))).collect();
        // What was written last may still be on its way.
        if !missing.is_empty() && begun.elapsed() < DEADLINE / 4 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        }
        for ended in missing.iter().take(20) {
            println!("soak: UNLOGGED: {}: {ended:?}, {:?}", hex(&ended.id), said.get(&ended.id));
        }
        tally.unlogged = missing.len() as u64;
        for ended in &ended {
            let Some(said) = said.get(&ended.id) else { continue };
            if let Some(contradiction) = contradiction(ended, said) {
                println!("soak: WRONG: {}: {contradiction}: {ended:?}, {said:?}", hex(&ended.id));
                tally.wrong += 1;
            }
            if said.starts > 1 || said.successes + said.failures > 1 || said.exits.len() > 1 {
                println!("soak: DUPLICATED: {}: {said:?}", hex(&ended.id));
                tally.duplicated += 1;
            }
        }
        println!("soak: {} ends compared with the journal's {}", ended.len(), said.len());
        return;
    }
}

/// Whether it says all that it should. Of a success that of the system manager only.
fn is_complete(ended: &Ended, said: Option<&Said>) -> bool {
    let Some(said) = said else { return ended.success && !is_root() };
    match (ended.success, ended.code) {
        (true, _) => said.successes == 1 || !is_root(),
        (false, 0) => said.failures == 1,
        (false, _) => said.failures == 1 && said.exits.len() == 1,
    }
}

fn contradiction(ended: &Ended, said: &Said) -> Option<&'static str> {
    if (ended.success && said.failures > 0) || (!ended.success && said.successes > 0) {
        return Some("it had another result");
    }
    let code = match ended.code {
        0 => return None,
        1 => "exited",
        2 => "killed",
        _ => "dumped",
    };
    let same = |exit: &(String, String)| exit.0 == code && exit.1 == ended.status.to_string();
    (!said.exits.iter().all(same)).then_some("it had another status")
}

/// Everything about units that it has.
fn read() -> HashMap<[u8; 16], Said> {
    let (unit, invocation) = if is_root() { ("UNIT", "INVOCATION_ID") } else { ("USER_UNIT", "USER_INVOCATION_ID") };
    let mut journal = Command::new("journalctl");
    journal.args([
        "--quiet",
        "--output=export",
        &format!("--output-fields=MESSAGE_ID,{unit},{invocation},EXIT_CODE,EXIT_STATUS"),
    ]);
    if is_root() {
        assert!(Command::new("journalctl").arg("--sync").status().unwrap().success());
    }
    journal.args([STARTED, FAILED, SUCCEEDED, PROCESS].map(|id| format!("MESSAGE_ID={id}")));
    let mut child = journal.stdout(Stdio::piped()).spawn().expect("journalctl runs");
    let mut all: HashMap<[u8; 16], Said> = HashMap::new();
    let mut entry: HashMap<String, String> = HashMap::new();
    // None of these fields has odd bytes, so each is a line.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.expect("text");
        if let Some((name, value)) = line.split_once('=') {
            entry.insert(name.into(), value.into());
            continue;
        }
        let is_ours = entry.get(unit).is_some_and(|name| name.starts_with("soak-"));
        if let Some(id) = entry.get(invocation).filter(|_| is_ours).and_then(|id| bytes(id)) {
            let said = all.entry(id).or_default();
            let field = |name: &str| entry.get(name).cloned().unwrap_or_default();
            match field("MESSAGE_ID").as_str() {
                STARTED => said.starts += 1,
                FAILED => said.failures += 1,
                SUCCEEDED => said.successes += 1,
                PROCESS => said.exits.push((field("EXIT_CODE"), field("EXIT_STATUS"))),
                _ => {}
            }
        }
        entry.clear();
    }
    let status = child.wait().unwrap();
    assert!(status.success() || all.is_empty(), "journalctl: {status}");
    all
}

fn bytes(hex: &str) -> Option<[u8; 16]> {
    Some(u128::from_str_radix(hex, 16).ok()?.to_be_bytes())
}

fn hex(id: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*id))
}
