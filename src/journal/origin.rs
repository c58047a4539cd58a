//! Which entries of the journal are a unit's.
//!
//! What the journal says of an entry's origin it finds out when it comes to the entry, from /proc and the cgroup of the
//! process. Where that has ended by then, the entry has little more than a process ID: of a system unit's standard
//! streams still the unit's name, without the invocation; of a user's unit not even that. Such entries are found by the
//! process IDs that the manager names, and by the streams that others of the unit's entries came over.

use super::entry::Parts;
use crate::unit::InvocationId;

/// Whose manager a unit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    System,
    User(u32),
}

/// A unit, from a time on.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub unit: Box<str>,
    pub owner: Owner,
    /// The boot, as its ID is written.
    pub boot_id: [u8; 16],
    /// In µs of that boot.
    pub since: u64,
}

/// What writes for the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Writer {
    /// A process, by its ID, as it is written.
    Process(Box<[u8]>),
    /// A connection of a standard stream, by the ID that the journal has given it.
    Stream(Box<[u8]>),
}

/// What is known of the unit's runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub runs: Vec<InvocationId>,
    /// Not those of this handle, but of another unit of that name, before or after.
    pub foreign: Vec<InvocationId>,
    /// The last that were learnt.
    writers: Vec<Writer>,
}

/// Whether an entry is the unit's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// That depends on whose run this is.
    Ask(InvocationId),
    /// It is, and tells of a stream of the unit's, over which other entries may have come.
    Learn(Writer),
}

type Sets = Vec<Vec<Vec<u8>>>;

/// What systemd-coredump writes (SD_MESSAGE_COREDUMP, sd-messages.h).
const COREDUMP: &[u8] = b"fc2e22bc6ee647b6b90729ab34a250b1";

/// Writers are forgotten beyond that: those of runs long past.
const MOST_WRITERS: usize = 64;

impl Known {
    pub fn add_run(&mut self, id: InvocationId) {
        if !self.runs.contains(&id) {
            self.runs.push(id);
        }
    }

    pub fn has(&self, writer: &Writer) -> bool {
        self.writers.contains(writer)
    }

    pub fn add_writer(&mut self, writer: Writer) {
        if self.writers.len() == MOST_WRITERS {
            self.writers.remove(0);
        }
        self.writers.push(writer);
    }

    fn judge(&self, id: Option<&[u8]>) -> Verdict {
        match id.filter(|id| !id.is_empty()).map(InvocationId::parse) {
            // Not known to the journal, but the unit is; or the unit has not been run.
            None => Verdict::Yes,
            Some(None) => Verdict::No,
            // The last is the likeliest.
            Some(Some(id)) if self.runs.iter().rev().any(|run| *run == id) => Verdict::Yes,
            Some(Some(id)) if self.foreign.contains(&id) => Verdict::No,
            Some(Some(id)) => Verdict::Ask(id),
        }
    }
}

impl Writer {
    pub fn process(id: u32) -> Self {
        Writer::Process(id.to_string().into_bytes().into())
    }

    fn wrote(&self, entry: &Parts) -> bool {
        match self {
            Writer::Process(id) => entry.get(b"_PID") == Some(id),
            Writer::Stream(id) => entry.get(b"_STREAM_ID") == Some(id),
        }
    }
}

impl Origin {
    /// Which entries to look at.
    pub fn select(&self, known: &Known) -> Sets {
        let unit = self.unit.as_bytes();
        let sets: Vec<Vec<(&str, &[u8])>> = match self.owner {
            Owner::System => vec![
                vec![("_SYSTEMD_UNIT", unit)],
                vec![("UNIT", unit), ("_UID", b"0")],
                vec![("OBJECT_SYSTEMD_UNIT", unit), ("_UID", b"0")],
                vec![("COREDUMP_UNIT", unit), ("MESSAGE_ID", COREDUMP), ("_UID", b"0")],
            ],
            Owner::User(uid) => {
                let uid = uid.to_string();
                let uid = uid.as_bytes();
                let fields: [Vec<(&str, &[u8])>; 4] = [
                    vec![("_SYSTEMD_USER_UNIT", unit), ("_SYSTEMD_OWNER_UID", uid)],
                    vec![("USER_UNIT", unit), ("_UID", uid)],
                    vec![("OBJECT_SYSTEMD_USER_UNIT", unit), ("_UID", b"0")],
                    vec![("COREDUMP_USER_UNIT", unit), ("MESSAGE_ID", COREDUMP), ("_UID", b"0"), ("_UID", uid)],
                ];
                return fields.iter().map(|set| self.set(set)).chain(self.writers(known)).collect();
            }
        };
        sets.iter().map(|set| self.set(set)).chain(self.writers(known)).collect()
    }

    fn writers(&self, known: &Known) -> impl Iterator<Item = Vec<Vec<u8>>> {
        known.writers.iter().map(|writer| self.select_writer(writer))
    }

    /// Those of one writer.
    pub fn select_writer(&self, writer: &Writer) -> Vec<Vec<u8>> {
        match (writer, self.owner) {
            (Writer::Process(id), Owner::System) => self.set(&[("_PID", id)]),
            (Writer::Process(id), Owner::User(uid)) => self.set(&[("_PID", id), ("_UID", uid.to_string().as_bytes())]),
            (Writer::Stream(id), _) => self.set(&[("_STREAM_ID", id)]),
        }
    }

    /// These, in this boot: files of other boots are passed over at once.
    fn set(&self, fields: &[(&str, &[u8])]) -> Vec<Vec<u8>> {
        let boot = u128::from_be_bytes(self.boot_id);
        let field = |(name, value): &(&str, &[u8])| [name.as_bytes(), b"=", *value].concat();
        std::iter::once(format!("_BOOT_ID={boot:032x}").into_bytes()).chain(fields.iter().map(field)).collect()
    }

    /// Whether an entry is the unit's. Names that begin with an underscore are the journal's word; all others are anyone's,
    /// and count only from whom they may come.
    pub fn judge(&self, entry: &Parts, known: &Known) -> Verdict {
        let unit = Some(self.unit.as_bytes());
        if self.is_inside(entry) {
            return match known.judge(entry.get(b"_SYSTEMD_INVOCATION_ID")) {
                Verdict::Yes => self.learn_from(entry, known),
                other => other,
            };
        }
        if is_nowhere(entry) && known.writers.iter().any(|writer| writer.wrote(entry)) {
            return self.learn_from(entry, known);
        }
        let is_of_root = entry.get(b"_UID") == Some(b"0");
        let is_dump = entry.get(b"MESSAGE_ID") == Some(COREDUMP);
        match self.owner {
            Owner::System if !is_of_root => Verdict::No,
            // The manager, or what is about to become a process of the unit. Other processes have no say.
            Owner::System if entry.get(b"UNIT") == unit => {
                let is_manager = entry.get(b"_PID") == Some(b"1") || entry.get(b"_SYSTEMD_UNIT") == Some(b"init.scope");
                if is_manager { known.judge(entry.get(b"INVOCATION_ID")) } else { Verdict::No }
            }
            Owner::System if entry.get(b"OBJECT_SYSTEMD_UNIT") == unit => {
                known.judge(entry.get(b"OBJECT_SYSTEMD_INVOCATION_ID"))
            }
            Owner::System if is_dump && entry.get(b"COREDUMP_UNIT") == unit => Verdict::Yes,
            Owner::System => Verdict::No,
            Owner::User(uid) => {
                let uid = uid.to_string();
                let is_of_user = entry.get(b"_UID") == Some(uid.as_bytes());
                // The manager is in a scope of its own; other processes of the user have no say.
                let is_manager = is_of_user
                    && entry.get(b"_SYSTEMD_USER_UNIT") == Some(b"init.scope")
                    && entry.get(b"_SYSTEMD_OWNER_UID") == Some(uid.as_bytes());
                if is_manager && entry.get(b"USER_UNIT") == unit {
                    return known.judge(entry.get(b"USER_INVOCATION_ID"));
                }
                if is_of_root
                    && entry.get(b"OBJECT_SYSTEMD_USER_UNIT") == unit
                    && entry.get(b"OBJECT_SYSTEMD_OWNER_UID") == Some(uid.as_bytes())
                {
                    return known.judge(entry.get(b"OBJECT_SYSTEMD_INVOCATION_ID"));
                }
                let dumped = is_dump && entry.get(b"COREDUMP_USER_UNIT") == unit && (is_of_root || is_of_user);
                if dumped { Verdict::Yes } else { Verdict::No }
            }
        }
    }

    /// An entry that is the unit's, and what it tells.
    fn learn_from(&self, entry: &Parts, known: &Known) -> Verdict {
        match (entry.get(b"_STREAM_ID"), self.owner) {
            // A system unit's streams bear its name.
            (None, _) | (_, Owner::System) => Verdict::Yes,
            (Some(stream), _) => {
                let writer = Writer::Stream(stream.into());
                if known.has(&writer) { Verdict::Yes } else { Verdict::Learn(writer) }
            }
        }
    }

    /// Whether an entry that was passed over is the unit's, now that this writer is known to be too.
    pub fn judge_again(&self, entry: &Parts, writer: &Writer, known: &Known) -> bool {
        // What another has written that was known before was given before.
        let mut before = known.writers.iter().take_while(|other| *other != writer);
        !self.is_inside(entry) && is_nowhere(entry) && writer.wrote(entry) && !before.any(|other| other.wrote(entry))
    }

    /// Whether the journal says that it came from within the unit.
    fn is_inside(&self, entry: &Parts) -> bool {
        let unit = Some(self.unit.as_bytes());
        match self.owner {
            Owner::System => entry.get(b"_SYSTEMD_UNIT") == unit,
            Owner::User(uid) => {
                entry.get(b"_SYSTEMD_USER_UNIT") == unit
                    && entry.get(b"_SYSTEMD_OWNER_UID") == Some(uid.to_string().as_bytes())
            }
        }
    }
}

/// Whether the journal could not tell where it came from, because the process had ended.
fn is_nowhere(entry: &Parts) -> bool {
    entry.get(b"_SYSTEMD_CGROUP").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: u32 = 1000;

    fn origin(owner: Owner) -> Origin {
        Origin { unit: "a.service".into(), owner, boot_id: [0xab; 16], since: 0 }
    }

    fn run(byte: u8) -> InvocationId {
        InvocationId::from_bytes(&[byte; 16]).unwrap()
    }

    fn known() -> Known {
        let mut known = Known { runs: vec![run(1)], foreign: vec![run(2)], ..Known::default() };
        known.add_writer(Writer::process(7));
        known
    }

    fn judge(owner: Owner, fields: &[&str]) -> Verdict {
        let mut parts = Parts::default();
        fields.iter().for_each(|field| parts.add(field.as_bytes()));
        origin(owner).judge(&parts, &known())
    }

    fn id(name: &str, byte: u8) -> String {
        format!("{name}={}", run(byte))
    }

    #[test]
    fn the_runs_of_a_system_unit() {
        let judge = |fields: &[&str]| judge(Owner::System, fields);
        let inside = "_SYSTEMD_UNIT=a.service";
        assert_eq!(judge(&[inside, &id("_SYSTEMD_INVOCATION_ID", 1)]), Verdict::Yes);
        assert_eq!(judge(&[inside, &id("_SYSTEMD_INVOCATION_ID", 2)]), Verdict::No);
        assert_eq!(judge(&[inside, &id("_SYSTEMD_INVOCATION_ID", 3)]), Verdict::Ask(run(3)));
        assert_eq!(judge(&[inside]), Verdict::Yes);
        assert_eq!(judge(&["_SYSTEMD_UNIT=b.service", &id("_SYSTEMD_INVOCATION_ID", 1)]), Verdict::No);
        assert_eq!(judge(&[inside, "_SYSTEMD_INVOCATION_ID=1"]), Verdict::No);
    }

    #[test]
    fn what_others_say_of_a_system_unit() {
        let judge = |fields: &[&str]| judge(Owner::System, fields);
        let ours = id("INVOCATION_ID", 1);
        assert_eq!(judge(&["_UID=0", "_PID=1", "UNIT=a.service", &ours]), Verdict::Yes);
        assert_eq!(judge(&["_UID=0", "_PID=1", "UNIT=a.service"]), Verdict::Yes);
        assert_eq!(judge(&["_UID=0", "_PID=1", "UNIT=a.service", "INVOCATION_ID="]), Verdict::Yes);
        assert_eq!(judge(&["_UID=0", "_PID=9", "UNIT=a.service", "_SYSTEMD_UNIT=init.scope", &ours]), Verdict::Yes);
        assert_eq!(judge(&["_UID=0", "_PID=9", "UNIT=a.service", "_SYSTEMD_UNIT=b.service", &ours]), Verdict::No);
        assert_eq!(judge(&["_UID=0", "_PID=9", "UNIT=a.service", &ours]), Verdict::No);
        // Forged.
        assert_eq!(judge(&["_UID=1000", "_PID=9", "UNIT=a.service", &ours]), Verdict::No);
        assert_eq!(judge(&["_UID=1000", "OBJECT_SYSTEMD_UNIT=a.service"]), Verdict::No);
        assert_eq!(judge(&["_UID=1000", "COREDUMP_UNIT=a.service"]), Verdict::No);
        assert_eq!(judge(&["_UID=0", "OBJECT_SYSTEMD_UNIT=a.service"]), Verdict::Yes);
        assert_eq!(judge(&["_UID=0", "COREDUMP_UNIT=a.service"]), Verdict::No);
        let dump = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";
        assert_eq!(judge(&["_UID=0", "COREDUMP_UNIT=a.service", dump]), Verdict::Yes);
    }

    #[test]
    fn a_users_unit() {
        let judge = |fields: &[&str]| judge(Owner::User(UID), fields);
        let inside = ["_SYSTEMD_USER_UNIT=a.service", "_SYSTEMD_OWNER_UID=1000", &id("_SYSTEMD_INVOCATION_ID", 1)];
        assert_eq!(judge(&inside), Verdict::Yes);
        assert_eq!(judge(&["_SYSTEMD_USER_UNIT=a.service", "_SYSTEMD_OWNER_UID=1001"]), Verdict::No);
        let about = ["USER_UNIT=a.service", &id("USER_INVOCATION_ID", 1), "_UID=1000", "_SYSTEMD_OWNER_UID=1000"];
        assert_eq!(judge(&[&about[..], &["_SYSTEMD_USER_UNIT=init.scope"]].concat()), Verdict::Yes);
        assert_eq!(judge(&[&about[..], &["_SYSTEMD_USER_UNIT=b.service"]].concat()), Verdict::No);
        assert_eq!(judge(&about), Verdict::No);
        let object = ["_UID=0", "OBJECT_SYSTEMD_USER_UNIT=a.service"];
        assert_eq!(judge(&[&object[..], &["OBJECT_SYSTEMD_OWNER_UID=1000"]].concat()), Verdict::Yes);
        assert_eq!(judge(&[&object[..], &["OBJECT_SYSTEMD_OWNER_UID=1001"]].concat()), Verdict::No);
    }

    #[test]
    fn writers_stand_in_for_what_the_journal_could_not_tell() {
        let owner = Owner::User(UID);
        let stream = Writer::Stream((*b"s").into());
        assert_eq!(judge(owner, &["_PID=7", "_UID=1000"]), Verdict::Yes);
        assert_eq!(judge(owner, &["_PID=7", "_UID=1000", "_STREAM_ID=s"]), Verdict::Learn(stream.clone()));
        assert_eq!(judge(Owner::System, &["_PID=7", "_UID=1000", "_STREAM_ID=s"]), Verdict::Yes);
        assert_eq!(judge(owner, &["_PID=7", "_UID=1000", "_SYSTEMD_CGROUP=/x"]), Verdict::No);
        assert_eq!(judge(owner, &["_PID=8", "_UID=1000", "_STREAM_ID=s"]), Verdict::No);
        let inside = ["_SYSTEMD_USER_UNIT=a.service", "_SYSTEMD_OWNER_UID=1000", "_SYSTEMD_CGROUP=/x", "_STREAM_ID=s"];
        assert_eq!(judge(owner, &inside), Verdict::Learn(stream.clone()));
        let again = |fields: &[&str]| {
            let mut parts = Parts::default();
            fields.iter().for_each(|field| parts.add(field.as_bytes()));
            let mut known = known();
            known.add_writer(stream.clone());
            origin(owner).judge_again(&parts, &stream, &known)
        };
        assert!(again(&["_PID=8", "_STREAM_ID=s"]));
        assert!(!again(&["_PID=7", "_STREAM_ID=s"]), "given before");
        assert!(!again(&inside), "given before");
        assert!(!again(&["_PID=8", "_STREAM_ID=t"]));
    }

    #[test]
    fn writers_are_bounded() {
        let mut known = Known::default();
        (0..1000).for_each(|number| known.add_writer(Writer::process(number)));
        assert_eq!(known.writers.len(), MOST_WRITERS);
        assert!(known.has(&Writer::process(999)));
        let sets = origin(Owner::User(UID)).select(&known);
        assert_eq!(sets.len(), MOST_WRITERS + 4);
        assert!(sets.iter().all(|set| set[0] == b"_BOOT_ID=abababababababababababababababab"));
    }
}
