//! The journal's files, open for reading, and when they change.
//!
//! Whoever has the journal open has all its files open, and only few may watch folders at a time. So the streams of a
//! manager share a few readers, each of which is used for one batch at a time and then finds its place anew, and one
//! watch of the folders.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::unistd::read;
use sdrun_sys::reader::{self, Journal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::entry::{Entry, Parts};
use super::origin::{Known, Origin, Owner, Verdict, Writer};
use crate::bus;
use crate::error::{Error, Result};

/// How many read at a time, each on a thread of its own for as long.
const READERS: usize = 4;

/// What is given at a time at most: entries, and about how many bytes.
const BATCH: (usize, usize) = (512, 1 << 20);

/// How many entries are looked at a time at most.
const LOOKS: usize = 8 << 10;

/// The folders that have the journal's folders.
const ROOTS: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// The journal of this machine, as the streams of one manager share it.
#[derive(Debug)]
pub(crate) struct Journals {
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
    changes: watch::Receiver<()>,
    watcher: JoinHandle<()>,
}

/// A journal that is open.
#[derive(Debug)]
struct Reader {
    journal: Journal,
    namespace: Option<CString>,
    /// Whose place it is at.
    place: Option<u64>,
}

/// One way through the journal.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Changes when other entries are to be looked at: a reader with this number is at its place.
    number: u64,
    /// Only the entries of this one that were passed over before.
    pub again: Option<Writer>,
    /// The last entry that was looked at.
    pub position: Option<Position>,
    /// The last one to look at.
    until: Option<Position>,
}

/// The place of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    cursor: CString,
    monotonic: u64,
    /// In its file.
    number: u64,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Batch {
    pub entries: Vec<Entry>,
    pub pass: Pass,
    pub ended: Ended,
}

/// Why no more was read.
#[derive(Debug)]
pub(super) enum Ended {
    /// There is no more.
    AtEnd,
    /// It is enough for once.
    Full,
    /// The next one must be judged first: it may be of this run, at this time.
    Ask(crate::unit::InvocationId, u64),
    /// The next one tells of a writer.
    Learn(Writer),
}

impl Journals {
    pub fn new() -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| Error::system("watch the journal (inotify_init)", errno))?;
        let (told, changes) = watch::channel(());
        let watched = bus::watch(
            inotify.as_fd_owned().map_err(|error| Error::io("watch the journal", &error))?,
            Interest::READABLE,
        )?;
        let watcher = tokio::spawn(watch_folders(inotify, watched, told));
        Ok(Journals { turns: Arc::new(Semaphore::new(READERS)), idle: Mutex::default(), changes, watcher })
    }

    /// To learn of changes with.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// Whether it can be read still: its runtime has not gone.
    pub fn is_alive(&self) -> bool {
        !self.watcher.is_finished()
    }

    /// Reads on.
    pub(super) async fn read(
        self: &Arc<Self>,
        namespace: Option<&str>,
        origin: Arc<Origin>,
        known: Arc<Known>,
        mut pass: Pass,
    ) -> Result<Batch> {
        let namespace = namespace.map(CString::new).transpose().map_err(|_| Error::message("a namespace's name"))?;
        let journals = self.clone();
        let reading = self.block(move || {
            let read = journals.reader(namespace, pass.number).and_then(|mut reader| {
                let read = reader.read(&origin, &known, &mut pass);
                // One that has failed is not used again.
                if read.is_ok() {
                    journals.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
                }
                read
            });
            let (entries, ended) = read.map_err(|error| Error::io("read the journal", &error))?;
            Ok(Batch { entries, pass, ended })
        });
        reading.await?
    }

    /// Runs what may wait for the disk, in its turn, on another thread.
    pub(super) async fn block<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let turn = Arc::new(self.turns.clone().acquire_owned().await.map_err(|_| Error::RuntimeGone)?);
        // It lasts until both are done: after the act the thread is mostly free by then, so that no other is started.
        let its = turn.clone();
        let acting = spawn_blocking(move || {
            let done = act();
            drop(its);
            done
        });
        acting.await.map_err(|_| Error::RuntimeGone)
    }

    /// A reader of this namespace, if possible one that is at this place.
    fn reader(&self, namespace: Option<CString>, place: u64) -> io::Result<Reader> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let there = idle.iter().position(|reader| reader.place == Some(place));
        if let Some(at) = there.or_else(|| idle.iter().position(|reader| reader.namespace == namespace)) {
            return Ok(idle.swap_remove(at));
        }
        // Of another namespace: one open journal for each turn is enough.
        let other = if idle.len() == READERS { idle.pop() } else { None };
        drop(idle);
        drop(other);
        Ok(Reader { journal: Journal::open(namespace.as_deref())?, namespace, place: None })
    }
}

impl Drop for Journals {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

trait Duplicate {
    fn as_fd_owned(&self) -> io::Result<OwnedFd>;
}

impl Duplicate for Inotify {
    fn as_fd_owned(&self) -> io::Result<OwnedFd> {
        std::os::fd::AsFd::as_fd(self).try_clone_to_owned()
    }
}

/// Tells of each change of a folder that has journal files, and of new such folders.
async fn watch_folders(inotify: Inotify, watched: AsyncFd<OwnedFd>, told: watch::Sender<()>) {
    let mut buffer = vec![0; 16 << 10];
    add_watches(&inotify);
    loop {
        told.send_replace(());
        let Ok(mut ready) = watched.readable().await else { return };
        let mut folders = false;
        loop {
            match read(watched.get_ref(), &mut buffer) {
                Ok(length) => folders |= has_folder(&buffer[..length]),
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        ready.clear_ready();
        if folders {
            add_watches(&inotify);
        }
    }
}

/// Watches the folders that are there: those that are watched already are no more so than before.
fn add_watches(inotify: &Inotify) {
    let flags = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_ONLYDIR;
    for root in ROOTS {
        let above = Path::new(root).parent().into_iter().map(Path::to_owned);
        let inside = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in above.chain([root.into()]).chain(inside) {
            // What is not there, or is a file, is not watched. (Of what is above, only new folders matter.)
            let only_new = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
            let is_above = !folder.starts_with(root);
            let _ = inotify.add_watch(&folder, if is_above { only_new } else { flags });
        }
    }
}

/// Whether an event is of a folder, or events were lost (inotify(7)).
fn has_folder(mut events: &[u8]) -> bool {
    const HEADER: usize = 16;
    let interesting = AddWatchFlags::IN_ISDIR | AddWatchFlags::IN_Q_OVERFLOW | AddWatchFlags::IN_IGNORED;
    while let Some(header) = events.get(..HEADER) {
        let number = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
        if number(4) & interesting.bits() != 0 {
            return true;
        }
        events = events.get(HEADER + number(12) as usize..).unwrap_or_default();
    }
    false
}

impl Pass {
    fn number() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Through all.
    pub fn new() -> Self {
        Pass { number: Self::number(), again: None, position: None, until: None }
    }

    /// Once more through what was looked at, for the entries of this one.
    pub fn again(&self, writer: &Writer) -> Option<Self> {
        let until = self.position.clone()?;
        Some(Pass { number: Self::number(), again: Some(writer.clone()), position: None, until: Some(until) })
    }

    /// Other entries are looked at from now on.
    pub fn renew(&mut self) {
        self.number = Self::number();
    }
}

impl Position {
    fn of(journal: &mut Journal) -> io::Result<Self> {
        let cursor = journal.cursor()?;
        let (monotonic, _) = journal.monotonic()?;
        let number = cursor.to_str().ok().and_then(number).unwrap_or(0);
        Ok(Position { cursor, monotonic, number })
    }

    /// Whether this entry was written after another one. Those that were read together have the same time, and came from
    /// one sender, so that they are in the same file.
    fn is_after(&self, other: &Position) -> bool {
        (self.monotonic, self.number) > (other.monotonic, other.number)
    }
}

/// The entry's number in a cursor.
fn number(cursor: &str) -> Option<u64> {
    let number = cursor.split(';').find_map(|part| part.strip_prefix("i="))?;
    u64::from_str_radix(number, 16).ok()
}

impl Reader {
    /// Goes to the place of a pass: after the last entry that was looked at.
    fn seek(&mut self, origin: &Origin, known: &Known, pass: &Pass) -> io::Result<()> {
        self.journal.select(&match &pass.again {
            None => origin.select(known),
            Some(writer) => vec![origin.select_writer(writer)],
        })?;
        match &pass.position {
            None => self.journal.seek_monotonic(origin.boot_id, origin.since),
            Some(position) => self.journal.seek_cursor(&position.cursor),
        }
    }

    fn read(&mut self, origin: &Origin, known: &Known, pass: &mut Pass) -> io::Result<(Vec<Entry>, Ended)> {
        self.journal.process()?;
        if !self.journal.has_files()? {
            // libsystemd 252 does not see that a namespace's folder has come.
            self.journal = Journal::open(self.namespace.as_deref())?;
            self.place = None;
        }
        let mut skip = None;
        if self.place.take() != Some(pass.number) {
            self.seek(origin, known, pass)?;
            skip = pass.position.as_ref().map(|position| position.cursor.clone());
        }
        let (most, most_bytes) = BATCH;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        // Whether entries were passed over since the pass's position.
        let mut passed = false;
        let mut parts = Parts::default();
        let mut stopped = Ended::Full;
        for _ in 0..LOOKS {
            if entries.len() >= most || bytes >= most_bytes {
                break;
            }
            if !self.journal.advance()? {
                stopped = Ended::AtEnd;
                break;
            }
            if let Some(cursor) = skip.take() {
                if self.journal.is_at(&cursor)? {
                    continue;
                }
            }
            let (monotonic, boot) = self.journal.monotonic()?;
            let position = match &pass.until {
                Some(until) => {
                    let position = Position::of(&mut self.journal)?;
                    if position.is_after(until) {
                        stopped = Ended::AtEnd;
                        break;
                    }
                    Some(position)
                }
                None => None,
            };
            // Files that know nothing of this boot, or of this time, are read from their beginning.
            let is_wanted = boot == origin.boot_id && monotonic >= origin.since;
            parts.clear();
            let verdict = if is_wanted {
                self.journal.fields(|field| parts.add(field))?;
                match &pass.again {
                    None => origin.judge(&parts, known),
                    Some(writer) if origin.judge_again(&parts, writer, known) => Verdict::Yes,
                    Some(_) => Verdict::No,
                }
            } else {
                Verdict::No
            };
            match verdict {
                Verdict::Yes => {
                    let position = position.map_or_else(|| Position::of(&mut self.journal), Ok)?;
                    let cursor = position.cursor.to_string_lossy().into();
                    let entry = parts.take(cursor, self.journal.realtime()?, monotonic);
                    bytes += entry.size();
                    entries.push(entry);
                    (pass.position, passed) = (Some(position), false);
                }
                Verdict::No => passed = true,
                // The next reading begins with this one, so not where the reader is.
                Verdict::Ask(id) => return Ok((entries, Ended::Ask(id, self.journal.realtime()?))),
                Verdict::Learn(writer) => return Ok((entries, Ended::Learn(writer))),
            }
        }
        if passed {
            // At the end the present entry is the last one still.
            pass.position = Some(Position::of(&mut self.journal)?);
        }
        self.place = Some(pass.number);
        Ok((entries, stopped))
    }
}

/// Whether the caller may read the journal that has such a unit's entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    Yes,
    /// There is nothing that the caller may read, but there may be later.
    NotYet,
}

/// Looks whether the caller may read the journal. May wait for the disk.
pub(super) fn access(owner: Owner, namespace: Option<&str>) -> Result<Access> {
    let machine = reader::machine().map_err(|error| Error::io("read /etc/machine-id", &error))?;
    let machine = format!("{:032x}", u128::from_be_bytes(machine));
    let folder = namespace.map_or_else(|| machine.clone(), |name| format!("{machine}.{name}"));
    let (mut denied, mut persistent, mut exists) = (false, false, false);
    for root in ROOTS {
        let folder = Path::new(root).join(&folder);
        let users = match owner {
            Owner::System => None,
            Owner::User(uid) => Some(format!("user-{uid}.journal")),
        };
        for name in std::iter::once("system.journal").chain(users.as_deref()) {
            match std::fs::File::open(folder.join(name)) {
                Ok(_) => return Ok(Access::Yes),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = true,
                Err(_) => {}
            }
        }
        let is_here = folder.is_dir();
        exists |= is_here;
        persistent |= is_here && root == ROOTS[0];
    }
    match owner {
        // A user's own file is made with the first entry.
        Owner::User(uid) if persistent && has_own_file(uid) => Ok(Access::NotYet),
        _ if denied => Err(no_permission(owner)),
        // A namespace's journal is made with the first entry; and while a file is replaced there is none for a moment.
        _ if exists || namespace.is_some() => Ok(Access::NotYet),
        _ => Err(unavailable(format!(
            "it has no files in {} or {}; does systemd-journald run, and does journald.conf not say Storage=none?",
            Path::new(ROOTS[0]).join(&folder).display(),
            Path::new(ROOTS[1]).join(&folder).display()
        ))),
    }
}

/// The namespaces that have a journal, or are about to have one. May wait for the disk.
pub(super) fn namespaces() -> Vec<String> {
    let Ok(machine) = reader::machine() else { return Vec::new() };
    let machine = format!("{:032x}.", u128::from_be_bytes(machine));
    let journals = ROOTS.map(|root| (root, &*machine));
    // Where their daemons listen.
    let places = journals.into_iter().chain([("/run/systemd", "journal.")]);
    let mut names: Vec<_> = places.flat_map(|(folder, before)| names_after(folder, before)).collect();
    names.sort();
    names.dedup();
    names
}

/// What the names in a folder say that begin like this.
fn names_after(folder: &str, before: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(before)?.to_owned())).collect()
}

/// This boot's ID.
pub(super) fn boot_id() -> Result<[u8; 16]> {
    reader::boot().map_err(|error| Error::io("read the boot ID", &error))
}

/// Whether the journal has a file for each such user (`SplitMode=`, journald.conf(5)).
fn has_own_file(uid: u32) -> bool {
    const NOBODY: u32 = 65534;
    const DYNAMIC: std::ops::RangeInclusive<u32> = 61184..=65519;
    uid >= 1000 && uid != NOBODY && !DYNAMIC.contains(&uid)
}

pub(super) fn no_permission(owner: Owner) -> Error {
    unavailable(match owner {
        Owner::System => "permission denied: run as root, or have root add you to the group systemd-journal \
             (`usermod -a -G systemd-journal USER`)"
            .to_owned(),
        Owner::User(_) => {
            "permission denied: what your units log is among the system's log here; have root add you to \
             the group systemd-journal (`usermod -a -G systemd-journal USER`), or have journald keep a file for each \
             user (Storage=persistent and SplitMode=uid in journald.conf(5))"
                .to_owned()
        }
    })
}

pub(super) fn unavailable(reason: impl Into<Box<str>>) -> Error {
    Error::Unavailable { manager: "the journal".into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_in_the_order_of_writing() {
        let position = |monotonic, number| Position { cursor: CString::default(), monotonic, number };
        assert!(position(2, 1).is_after(&position(1, 9)));
        assert!(position(1, 2).is_after(&position(1, 1)));
        assert!(!position(1, 1).is_after(&position(1, 1)));
        assert_eq!(number("s=00ab;i=3d;b=ff;m=1;t=2;x=3"), Some(0x3d));
        assert_eq!(number("s=00ab"), None);
    }

    /// sd-journal by itself, whether this machine keeps a journal or not.
    #[test]
    fn a_journal_is_opened_and_read() {
        let Ok(mut journal) = Journal::open(None) else { return };
        let boot = reader::boot().unwrap();
        journal.process().unwrap();
        journal.select(&[vec![b"_PID=1".to_vec(), b"A=\0\n".to_vec()], vec![b"_PID=2".to_vec()]]).unwrap();
        assert!(journal.select(&[vec![Vec::new()]]).is_err(), "a field that is empty");
        journal.select(&[vec![b"SDRUN_NEVER_USED=1".to_vec()]]).unwrap();
        journal.seek_monotonic(boot, 0).unwrap();
        assert!(!journal.advance().unwrap());
        assert!(journal.seek_cursor(c"no cursor").is_err());
        journal.select(&[]).unwrap();
        journal.seek_monotonic(boot, 0).unwrap();
        for _ in 0..100 {
            if !journal.advance().unwrap() {
                break;
            }
            let position = Position::of(&mut journal).unwrap();
            assert!(journal.is_at(&position.cursor).unwrap());
            let mut parts = Parts::default();
            journal.fields(|field| parts.add(field)).unwrap();
            assert_eq!(journal.field(c"MESSAGE").unwrap(), parts.get(b"MESSAGE"));
            assert!(parts.get(b"_BOOT_ID").is_some());
        }
    }

    #[test]
    fn folders_are_told_from_files() {
        let event = |mask: AddWatchFlags, name: &[u8]| {
            let mut event = [1u32, mask.bits(), 0, name.len() as u32].map(u32::to_ne_bytes).concat();
            event.extend_from_slice(name);
            event
        };
        let file = event(AddWatchFlags::IN_MODIFY, b"a.journal\0\0\0\0\0\0\0");
        assert!(!has_folder(&file));
        assert!(has_folder(&[file.clone(), event(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ISDIR, b"")].concat()));
        assert!(!has_folder(&file[..20]));
        assert!(!has_folder(&[]));
    }
}
