//! Entries of the journal, written in every mode: as journalctl writes the same ones.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::log::{MODES, Mode, Printer, Record};
use crate::settings::systemd_version;
use crate::support::{DEADLINE, is_root};

/// The names of all modes.
pub const NAMES: [&str; 16] = {
    let mut names = [""; 16];
    let mut number = 0;
    while number < 16 {
        names[number] = MODES[number].0;
        number += 1;
    }
    names
};

/// What can be compared: where the order of the fields is journalctl's own, they are sorted; where 252 is of another
/// mind than later ones, that is left out.
pub fn comparable(mode: &str, text: &str) -> Vec<String> {
    let old = systemd_version() < 258;
    let sorted = |separator: &str, text: &str| {
        let mut fields: Vec<_> = text.split(separator).map(|field| field.trim_matches(['{', '}', ',', '\n'])).collect();
        fields.retain(|field| !(old && field.contains("__SEQNUM")));
        fields.sort_unstable();
        fields.join("\n")
    };
    let entries: Vec<String> = match mode {
        // A field begins where a quote follows a comma, a brace or a tab.
        "json" | "json-sse" | "json-seq" => text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let at = line.find('{').unwrap_or(0);
                line[..at].to_owned() + &sorted(",\"", &line[at..].replacen("{\"", "{,\"", 1))
            })
            .collect(),
        "json-pretty" => {
            text.split("\n}\n").filter(|entry| !entry.is_empty()).map(|entry| sorted("\n\t\"", entry)).collect()
        }
        "export" => {
            text.split("\n\n__CURSOR").filter(|entry| !entry.is_empty()).map(|entry| sorted("\n", entry)).collect()
        }
        // Of an export nobody can tell where this field was.
        "verbose" => text.lines().filter(|line| !line.starts_with("    _BOOT_ID=")).map(str::to_owned).collect(),
        _ => text.lines().map(str::to_owned).collect(),
    };
    if !old {
        return entries;
    }
    // Other offsets, other times since the boot.
    entries
        .into_iter()
        .map(|line| match mode {
            "short-iso" | "short-iso-precise" => without_colons(line.trim_start()),
            "short-monotonic" | "short-delta" => {
                line.split_once("] ").map_or(line.clone(), |(_, rest)| rest.trim_start().into())
            }
            _ => line,
        })
        .collect()
}

/// 252 writes offsets as `+0530`.
fn without_colons(line: &str) -> String {
    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (date, time) = time.split_once('T').unwrap_or(("", time));
    match time.rfind(['+', '-']) {
        Some(at) => format!("{date}T{}{} {rest}", &time[..at], time[at..].replace(':', "")),
        None => line.to_owned(),
    }
}

/// Sends an entry with these fields to the journal.
fn send(fields: &[(&str, &[u8])]) {
    let mut message = Vec::new();
    for (name, value) in fields {
        message.extend_from_slice(name.as_bytes());
        message.push(b'\n');
        message.extend_from_slice(&(value.len() as u64).to_le_bytes());
        message.extend_from_slice(value);
        message.push(b'\n');
    }
    UnixDatagram::unbound().unwrap().send_to(&message, "/run/systemd/journal/socket").unwrap();
}

fn journalctl(mode: &str, matched: &str) -> Vec<u8> {
    let mut command = Command::new("journalctl");
    let output = command.args(["-q", "--no-pager", "-o", mode, matched]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The entries of `journalctl -o export`.
fn records(mut export: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut record = Record::default();
    while !export.is_empty() {
        let end = export.iter().position(|byte| *byte == b'\n').unwrap();
        let line = &export[..end];
        export = &export[end + 1..];
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            None if line.is_empty() => {
                records.push(std::mem::take(&mut record));
                continue;
            }
            None => {
                let length = u64::from_le_bytes(export[..8].try_into().unwrap()) as usize;
                let value = export[8..8 + length].to_vec();
                export = &export[8 + length + 1..];
                (line, value)
            }
            Some(at) => (&line[..at], line[at + 1..].to_vec()),
        };
        let name = String::from_utf8(name.to_vec()).unwrap();
        let text = || String::from_utf8(value.clone()).unwrap();
        match name.as_str() {
            "__CURSOR" => record.cursor = text(),
            "__REALTIME_TIMESTAMP" => record.realtime = text().parse().unwrap(),
            "__MONOTONIC_TIMESTAMP" => record.monotonic = text().parse().unwrap(),
            _ if name.starts_with("__") => {}
            _ => record.fields.push((name, value)),
        }
    }
    records
}

#[test]
fn odd_entries_are_written_as_journalctl_does() {
    if !is_root() {
        return; // the journal is root's to read
    }
    let mark = format!("{}", std::process::id());
    let long = vec![b'l'; 5000];
    let (just, over) = (vec![b'j'; 4095 - "MESSAGE=".len()], vec![b'j'; 4096 - "MESSAGE=".len()]);
    let messages: [&[u8]; 30] = [
        b"plain",
        b"multi\nline one\n  two",
        b"",
        b"\n",
        b"trailing\n\n",
        b"\nleading",
        b"a\n\nb",
        b"bin\x01\xff\x80ary",
        b"esc\x1b[31mred\x1b[0m tab\there",
        b"\x1b[1;31;4mm\x1b[0m",
        b"\x1b[38:5:185mm\x1b[m",
        b"cut \x1b[31",
        b"cut \x1b",
        b"\x1b[2J cleared",
        b"\x1b]0;title\x07 and",
        b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
        b"\x1b]0;cut",
        b"cr\r",
        b"cr\r\r",
        b"a\rb",
        b"cr\r\nlf\r\n",
        b"\ttab",
        b"nul\0",
        b"del\x7f",
        "c1 \u{85} control".as_bytes(),
        "ünï\"quote\\back/slash 日本 🦀".as_bytes(),
        b"  blanks  ",
        &long,
        &just,
        &over,
    ];
    let tag: (&str, &[u8]) = ("SDRUN_TEST", mark.as_bytes());
    // Older ones take only semicolons between the numbers of a colour, and know of no links.
    let colons = |message: &[u8]| systemd_version() < 262 && message.contains(&b':') && message.starts_with(b"\x1b");
    let messages: Vec<_> = messages.into_iter().filter(|message| !colons(message)).collect();
    for message in &messages {
        send(&[("MESSAGE", message), tag, ("SYSLOG_IDENTIFIER", b"odd")]);
    }
    send(&[("MESSAGE", b"no identifier"), tag]);
    send(&[("MESSAGE", b"bad identifier"), tag, ("SYSLOG_IDENTIFIER", b"t\xffg")]);
    send(&[("MESSAGE", b"pid"), tag, ("SYSLOG_PID", b"77"), ("PRIORITY", b"3")]);
    send(&[tag, ("SYSLOG_IDENTIFIER", b"no message")]);
    send(&[
        ("MESSAGE", b"fields"),
        tag,
        ("A", b"1"),
        ("A", b"2\n3"),
        ("A", b"\xff"),
        ("EMPTY", b""),
        ("B", b"\x01\x02"),
    ]);
    send(&[("MESSAGE", b"last"), tag]);

    let matched = format!("SDRUN_TEST={mark}");
    let since = std::time::Instant::now();
    while !journalctl("cat", &matched).ends_with(b"last\n") {
        assert!(since.elapsed() < DEADLINE, "the entries do not come");
    }
    let records = records(&journalctl("export", &matched));
    assert_eq!(records.len(), messages.len() + 6);

    for (name, mode) in MODES {
        let mut printer = Printer::new(mode);
        let ours: Vec<u8> = records.iter().flat_map(|record| printer.print(record)).collect();
        let theirs = journalctl(name, &matched);
        let [ours, theirs] = [ours, theirs].map(|text| comparable(name, &String::from_utf8_lossy(&text)));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(ours.len(), theirs.len(), "{name}");
    }
    assert_eq!(Mode::by_name("bogus"), None);
}
