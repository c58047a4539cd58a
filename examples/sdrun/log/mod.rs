//! Entries of the journal, written as `journalctl --output=MODE` writes them, without its colours.

pub mod json;
mod short;
mod text;
mod time;
mod verbose;

/// An entry of the journal, as it is to be written.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What identifies it; it also holds its number.
    pub cursor: String,
    /// When the journal received it, in µs since 1970.
    pub realtime: u64,
    /// The same in µs since the boot.
    pub monotonic: u64,
    /// In the order of the journal.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// The value of a field, of the first of that name.
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// When it happened: what its sender says, where that is earlier, or else when the journal received it.
    fn time(&self) -> u64 {
        let said =
            self.get("_SOURCE_REALTIME_TIMESTAMP").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        said.filter(|time| (1..=self.realtime).contains(time)).unwrap_or(self.realtime)
    }

    /// The same since the boot.
    fn since_boot(&self) -> u64 {
        self.monotonic.saturating_sub(self.realtime - self.time())
    }

    /// What the journal says of the entry, beside its fields: names and values.
    fn header(&self) -> Vec<(&'static str, String)> {
        let part = |name: &str| self.cursor.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let mut header = vec![
            ("__CURSOR", self.cursor.clone()),
            ("__REALTIME_TIMESTAMP", self.realtime.to_string()),
            ("__MONOTONIC_TIMESTAMP", self.monotonic.to_string()),
        ];
        header.extend(part("i").and_then(|n| u64::from_str_radix(n, 16).ok()).map(|n| ("__SEQNUM", n.to_string())));
        header.extend(part("s").map(|id| ("__SEQNUM_ID", id.to_owned())));
        header.extend(part("b").map(|id| ("_BOOT_ID", id.to_owned())));
        header
    }
}

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Short,
    ShortFull,
    ShortIso,
    ShortIsoPrecise,
    ShortPrecise,
    ShortMonotonic,
    ShortDelta,
    ShortUnix,
    Verbose,
    Export,
    Json,
    JsonPretty,
    JsonSse,
    JsonSeq,
    Cat,
    WithUnit,
}

/// All of them, by the names that journalctl has for them.
pub const MODES: [(&str, Mode); 16] = [
    ("short", Mode::Short),
    ("short-full", Mode::ShortFull),
    ("short-iso", Mode::ShortIso),
    ("short-iso-precise", Mode::ShortIsoPrecise),
    ("short-precise", Mode::ShortPrecise),
    ("short-monotonic", Mode::ShortMonotonic),
    ("short-delta", Mode::ShortDelta),
    ("short-unix", Mode::ShortUnix),
    ("verbose", Mode::Verbose),
    ("export", Mode::Export),
    ("json", Mode::Json),
    ("json-pretty", Mode::JsonPretty),
    ("json-sse", Mode::JsonSse),
    ("json-seq", Mode::JsonSeq),
    ("cat", Mode::Cat),
    ("with-unit", Mode::WithUnit),
];

impl Mode {
    pub fn by_name(name: &str) -> Option<Self> {
        MODES.into_iter().find(|(other, _)| *other == name).map(|(_, mode)| mode)
    }
}

/// Writes entries, one after another.
#[derive(Debug, Default)]
pub struct Printer {
    mode: Mode,
    /// When the entry before was, since the boot.
    before: Option<u64>,
}

impl Printer {
    pub fn new(mode: Mode) -> Self {
        Printer { mode, before: None }
    }

    /// The text of the next entry, with its line breaks.
    pub fn print(&mut self, record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        match self.mode {
            Mode::Verbose => verbose::verbose(record, &mut out),
            Mode::Export => verbose::export(record, &mut out),
            Mode::Cat => verbose::cat(record, &mut out),
            Mode::Json => {
                json::compact(record, &mut out);
                out.push(b'\n');
            }
            Mode::JsonPretty => json::pretty(record, &mut out),
            Mode::JsonSse => {
                out.extend_from_slice(b"data: ");
                json::compact(record, &mut out);
                out.extend_from_slice(b"\n\n");
            }
            Mode::JsonSeq => {
                out.push(0x1e);
                json::compact(record, &mut out);
                out.push(b'\n');
            }
            _ => short::short(record, self.mode, &mut self.before, &mut out),
        }
        out
    }
}
