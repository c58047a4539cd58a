//! An entry of the journal.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An entry of the journal: see [`Unit::logs`](crate::Unit::logs).
///
/// It is a set of fields, each a name and a value: `MESSAGE` and `PRIORITY`, those that the program has added, and those
/// that the journal itself knows, which begin with an underscore and which no program can forge (`_PID`, `_UID`,
/// `_TRANSPORT`, …). `systemd.journal-fields(7)` lists them.
///
/// ```no_run
/// # fn example(entry: sdrun::Entry) {
/// println!("{entry}"); // the message
/// if let Some(process) = entry.get("_PID") {
///     println!("from process {}", String::from_utf8_lossy(process));
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    cursor: Box<str>,
    /// In µs since 1970.
    realtime: u64,
    /// In µs since the boot.
    monotonic: u64,
    /// All fields, `NAME=VALUE`, one after the other.
    bytes: Box<[u8]>,
    fields: Box<[Field]>,
}

/// Where a field is among the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    start: usize,
    /// How long the name is; after it comes `=`.
    name: u32,
    end: usize,
}

/// How urgent an entry is (the field `PRIORITY`, syslog(3)), the most urgent first: `Error < Debug`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Priority {
    /// `emerg`: the system is unusable.
    Emergency,
    /// `alert`: something must be done at once.
    Alert,
    /// `crit`
    Critical,
    /// `err`
    Error,
    /// `warning`
    Warning,
    /// `notice`: normal, but of note.
    Notice,
    /// `info`: what a program writes to its standard streams has this one, unless it begins with another as `<3>`
    /// (`SyslogLevel=`, `SyslogLevelPrefix=`, systemd.exec(5)).
    Info,
    /// `debug`
    Debug,
}

impl Priority {
    const ALL: [Priority; 8] = [
        Priority::Emergency,
        Priority::Alert,
        Priority::Critical,
        Priority::Error,
        Priority::Warning,
        Priority::Notice,
        Priority::Info,
        Priority::Debug,
    ];

    /// systemd's word for it, as `journalctl -p` takes it: `err`.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Emergency => "emerg",
            Priority::Alert => "alert",
            Priority::Critical => "crit",
            Priority::Error => "err",
            Priority::Warning => "warning",
            Priority::Notice => "notice",
            Priority::Info => "info",
            Priority::Debug => "debug",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an entry is made of.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

impl Parts {
    /// Adds a field, `NAME=VALUE`. What has no name is left out.
    pub fn add(&mut self, field: &[u8]) {
        let Some(name) = field.iter().position(|byte| *byte == b'=').and_then(|name| u32::try_from(name).ok()) else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(field);
        self.fields.push(Field { start, name, end: self.bytes.len() });
    }

    /// The value of a field, of the first of that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self.fields.iter().map(|field| &self.bytes[field.start..field.end]);
        field.into_iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="))
    }

    /// The entry is left out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
    }

    /// An entry of these fields, and none of the next.
    pub fn take(&mut self, cursor: Box<str>, realtime: u64, monotonic: u64) -> Entry {
        let entry = Entry {
            cursor,
            realtime,
            monotonic,
            bytes: self.bytes.as_slice().into(),
            fields: self.fields.as_slice().into(),
        };
        self.clear();
        entry
    }
}

impl Entry {
    /// The message (`MESSAGE`), which may have several lines. Bytes that are no UTF-8 are shown as `U+FFFD`;
    /// [`get`](Entry::get) has them as they are. Empty where there is none.
    pub fn message(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.get("MESSAGE").unwrap_or_default())
    }

    /// How urgent it is (`PRIORITY`); `None` where nobody has said so.
    pub fn priority(&self) -> Option<Priority> {
        match self.get("PRIORITY")? {
            [digit] => Priority::ALL.get(usize::from(digit.checked_sub(b'0')?)).copied(),
            _ => None,
        }
    }

    /// When the journal received it. Entries come in the order in which it did, whatever the system's clock does
    /// meanwhile.
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_micros(self.realtime)).unwrap_or(UNIX_EPOCH)
    }

    /// The same on the clock that is never set (`CLOCK_MONOTONIC`), which the systemd properties whose names end in
    /// `Monotonic` are in too.
    pub fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic)
    }

    /// The value of a field, of the first where there are several of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.raw().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// All values of the fields of a name: an entry may have several.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.raw().filter(move |(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// All fields, in no particular order.
    pub fn fields(&self) -> impl Iterator<Item = (Cow<'_, str>, &[u8])> + '_ {
        self.raw().map(|(name, value)| (String::from_utf8_lossy(name), value))
    }

    /// What identifies the entry in the journal, as `journalctl --after-cursor` takes it.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        self.fields.iter().map(|Field { start, name, end }| {
            let (name, value) = self.bytes[*start..*end].split_at(*name as usize);
            (name, &value[1..])
        })
    }

    /// About how much memory it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.cursor.len() + self.bytes.len() + size_of_val(&*self.fields)
    }
}

impl fmt::Display for Entry {
    /// The message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message())
    }
}

impl fmt::Debug for Entry {
    /// All fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_map();
        for (name, value) in self.fields() {
            fields.entry(&name, &String::from_utf8_lossy(value));
        }
        fields.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[&[u8]]) -> Entry {
        let mut parts = Parts::default();
        fields.iter().for_each(|field| parts.add(field));
        parts.take("s=1".into(), 1_500_000, 500_000)
    }

    #[test]
    fn fields_are_what_was_written() {
        let entry = entry(&[b"MESSAGE=a=b\nc\xff", b"A=1", b"A=", b"nothing", b"A=\x00=\x00", b"PRIORITY=3"]);
        assert_eq!(entry.message(), "a=b\nc\u{fffd}");
        assert_eq!(entry.to_string(), "a=b\nc\u{fffd}");
        assert_eq!(entry.get("MESSAGE"), Some(&b"a=b\nc\xff"[..]));
        assert_eq!(entry.get_all("A").collect::<Vec<_>>(), [&b"1"[..], b"", b"\x00=\x00"]);
        assert_eq!(entry.get("B"), None);
        assert_eq!(entry.fields().count(), 5);
        assert_eq!(entry.priority(), Some(Priority::Error));
        assert_eq!(entry.time(), UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(entry.monotonic(), Duration::from_millis(500));
        assert_eq!(entry.cursor(), "s=1");
        assert!(format!("{entry:?}").contains("\"PRIORITY\": \"3\""));
    }

    #[test]
    fn a_taken_entry_leaves_nothing_to_the_next() {
        let mut parts = Parts::default();
        parts.add(b"A=1");
        parts.take("".into(), 0, 0);
        parts.add(b"B=2");
        let next = parts.take("".into(), u64::MAX, 0);
        assert_eq!(next.fields().count(), 1);
        assert_eq!((next.get("A"), next.get("B")), (None, Some(&b"2"[..])));
        // Whatever the journal says, no panic.
        assert!(next.time() >= UNIX_EPOCH);
        assert_eq!(next.message(), "");
    }

    #[test]
    fn priorities_are_digits_from_0_to_7() {
        let priority = |text: &str| entry(&[format!("PRIORITY={text}").as_bytes()]).priority();
        for (number, priority_of) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority(&number.to_string()), Some(priority_of));
        }
        for odd in ["", "8", "-1", "10", "x", "/"] {
            assert_eq!(priority(odd), None, "{odd:?}");
        }
        assert!(Priority::Error < Priority::Debug);
        assert_eq!(Priority::Critical.to_string(), "crit");
    }
}
