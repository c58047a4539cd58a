//! Reading the journal: what sd-journal(3) offers for that, in safe functions.

use std::ffi::{CStr, CString};
use std::io;
use std::ptr::{self, NonNull};
use std::slice;

use libc::c_int;

use crate::{
    SD_JOURNAL_LOCAL_ONLY, sd_id128_get_boot, sd_id128_get_machine, sd_id128_t, sd_journal, sd_journal_add_disjunction,
    sd_journal_add_match, sd_journal_close, sd_journal_enumerate_available_data, sd_journal_flush_matches,
    sd_journal_get_cursor, sd_journal_get_data, sd_journal_get_fd, sd_journal_get_monotonic_usec,
    sd_journal_get_realtime_usec, sd_journal_has_persistent_files, sd_journal_has_runtime_files, sd_journal_next,
    sd_journal_open, sd_journal_open_namespace, sd_journal_process, sd_journal_restart_data, sd_journal_seek_cursor,
    sd_journal_seek_monotonic_usec, sd_journal_set_data_threshold, sd_journal_test_cursor,
};

/// Turns a negative error code into the error that it means.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

/// This machine's identifier. `sd_id128_get_machine(3)`.
pub fn machine() -> io::Result<[u8; 16]> {
    let mut id = sd_id128_t::from([0; 16]);
    // SAFETY: a place for the answer.
    check(unsafe { sd_id128_get_machine(&raw mut id) })?;
    Ok(id.bytes)
}

/// This boot's identifier. `sd_id128_get_machine(3)`.
pub fn boot() -> io::Result<[u8; 16]> {
    let mut id = sd_id128_t::from([0; 16]);
    // SAFETY: a place for the answer.
    check(unsafe { sd_id128_get_boot(&raw mut id) })?;
    Ok(id.bytes)
}

/// The journal of this machine, open for reading. Every call may wait for the disk.
///
/// It belongs to the process that has opened it: after a fork every call in the child fails with ECHILD.
#[derive(Debug)]
pub struct Journal(NonNull<sd_journal>);

// SAFETY: sd-journal keeps nothing that belongs to a thread; one at a time may use the object, whichever it is
// (`sd-journal(3)`), and `Journal` is not `Sync` and not `Clone`.
unsafe impl Send for Journal {}

impl Journal {
    /// Opens the journal files of this machine that the caller may read, of the namespace or, without one, of the
    /// default one. None is no error. Nothing of a field is cut off. `sd_journal_open(3)`,
    /// `sd_journal_set_data_threshold(3)`.
    pub fn open(namespace: Option<&CStr>) -> io::Result<Self> {
        let mut journal = ptr::null_mut();
        check(match namespace {
            // SAFETY: a place for the object.
            None => unsafe { sd_journal_open(&raw mut journal, SD_JOURNAL_LOCAL_ONLY) },
            // SAFETY: the same, and a string that lives through the call.
            Some(namespace) => unsafe {
                sd_journal_open_namespace(&raw mut journal, namespace.as_ptr(), SD_JOURNAL_LOCAL_ONLY)
            },
        })?;
        let journal = Journal(NonNull::new(journal).ok_or(io::ErrorKind::Other)?);
        // SAFETY: the object is open.
        check(unsafe { sd_journal_set_data_threshold(journal.0.as_ptr(), 0) })?;
        // Only an object that has a descriptor learns of new files. `sd_journal_get_fd(3)`.
        // SAFETY: the object is open; the descriptor stays its own.
        check(unsafe { sd_journal_get_fd(journal.0.as_ptr()) })?;
        Ok(journal)
    }

    /// Takes note of files that have come or gone. `sd_journal_process(3)`.
    pub fn process(&mut self) -> io::Result<()> {
        // SAFETY: the object is open.
        while check(unsafe { sd_journal_process(self.0.as_ptr()) })? > 0 {}
        Ok(())
    }

    /// Whether any file is open. `sd_journal_has_runtime_files(3)`.
    pub fn has_files(&mut self) -> io::Result<bool> {
        // SAFETY: the object is open.
        let runtime = check(unsafe { sd_journal_has_runtime_files(self.0.as_ptr()) })?;
        // SAFETY: the same.
        Ok(runtime > 0 || check(unsafe { sd_journal_has_persistent_files(self.0.as_ptr()) })? > 0)
    }

    /// Only entries count from now on in which all fields of one of these sets are. (Of fields with one name, one of them
    /// must be.) `sd_journal_add_match(3)`.
    pub fn select(&mut self, sets: &[Vec<Vec<u8>>]) -> io::Result<()> {
        // SAFETY: the object is open.
        unsafe { sd_journal_flush_matches(self.0.as_ptr()) };
        for set in sets {
            for field in set {
                // A length of 0 would mean a C string.
                if field.is_empty() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                // SAFETY: the object is open; the field is copied, and as long as it is said to be.
                check(unsafe { sd_journal_add_match(self.0.as_ptr(), field.as_ptr().cast(), field.len()) })?;
            }
            // SAFETY: the object is open.
            check(unsafe { sd_journal_add_disjunction(self.0.as_ptr()) })?;
        }
        Ok(())
    }

    /// The next entry will be the first at or after this time of this boot, in µs. In files that know nothing of the boot
    /// it is their first one. `sd_journal_seek_head(3)`.
    pub fn seek_monotonic(&mut self, boot: [u8; 16], time: u64) -> io::Result<()> {
        // SAFETY: the object is open.
        check(unsafe { sd_journal_seek_monotonic_usec(self.0.as_ptr(), boot.into(), time) }).map(drop)
    }

    /// The next entry will be this one or, where that is gone, one that came after it. `sd_journal_seek_head(3)`.
    pub fn seek_cursor(&mut self, cursor: &CStr) -> io::Result<()> {
        // SAFETY: the object is open, and the string lives through the call.
        check(unsafe { sd_journal_seek_cursor(self.0.as_ptr(), cursor.as_ptr()) }).map(drop)
    }

    /// Whether this is the present entry. `sd_journal_get_cursor(3)`.
    pub fn is_at(&mut self, cursor: &CStr) -> io::Result<bool> {
        // SAFETY: the object is open, and the string lives through the call.
        Ok(check(unsafe { sd_journal_test_cursor(self.0.as_ptr(), cursor.as_ptr()) })? > 0)
    }

    /// Goes to the next entry: whether there is one. `sd_journal_next(3)`.
    pub fn advance(&mut self) -> io::Result<bool> {
        // SAFETY: the object is open.
        Ok(check(unsafe { sd_journal_next(self.0.as_ptr()) })? > 0)
    }

    /// What to come back to the present entry with. `sd_journal_get_cursor(3)`.
    pub fn cursor(&mut self) -> io::Result<CString> {
        let mut cursor = ptr::null_mut();
        // SAFETY: the object is open; a place for the answer.
        check(unsafe { sd_journal_get_cursor(self.0.as_ptr(), &raw mut cursor) })?;
        // SAFETY: the answer is a C string that is ours.
        let text = unsafe { CStr::from_ptr(cursor) }.to_owned();
        // SAFETY: it was allocated for us to free, and is not used after this.
        unsafe { libc::free(cursor.cast()) };
        Ok(text)
    }

    /// When the journal received the present entry, in µs since 1970. `sd_journal_get_realtime_usec(3)`.
    pub fn realtime(&mut self) -> io::Result<u64> {
        let mut time = 0;
        // SAFETY: the object is open; a place for the answer.
        check(unsafe { sd_journal_get_realtime_usec(self.0.as_ptr(), &raw mut time) })?;
        Ok(time)
    }

    /// The same in µs of a boot, and which one. `sd_journal_get_realtime_usec(3)`.
    pub fn monotonic(&mut self) -> io::Result<(u64, [u8; 16])> {
        let (mut time, mut boot) = (0, sd_id128_t::from([0; 16]));
        // SAFETY: the object is open; places for the answers.
        check(unsafe { sd_journal_get_monotonic_usec(self.0.as_ptr(), &raw mut time, &raw mut boot) })?;
        Ok((time, boot.bytes))
    }

    /// The value of a field of the present entry, which may have more of that name. `sd_journal_get_data(3)`.
    pub fn field(&mut self, name: &CStr) -> io::Result<Option<&[u8]>> {
        let (mut data, mut length) = (ptr::null(), 0);
        // SAFETY: the object is open, the string lives through the call; places for the answer.
        match unsafe { sd_journal_get_data(self.0.as_ptr(), name.as_ptr(), &raw mut data, &raw mut length) } {
            // What cannot be read, because the file was cut off or is compressed in a way that this library does not
            // know, is passed over when all fields are read.
            result if matches!(-result, libc::ENOENT | libc::EBADMSG | libc::EPROTONOSUPPORT | libc::E2BIG) => Ok(None),
            result => {
                check(result)?;
                // SAFETY: the bytes are there until the next call, which the borrow keeps from being made.
                let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), length) };
                Ok(data.get(name.to_bytes().len() + 1..))
            }
        }
    }

    /// Shows all fields of the present entry, as `NAME=VALUE`. `sd_journal_get_data(3)`.
    pub fn fields(&mut self, mut show: impl FnMut(&[u8])) -> io::Result<()> {
        // SAFETY: the object is open.
        unsafe { sd_journal_restart_data(self.0.as_ptr()) };
        loop {
            let (mut data, mut length) = (ptr::null(), 0);
            // SAFETY: the object is open; places for the answer.
            let result =
                unsafe { sd_journal_enumerate_available_data(self.0.as_ptr(), &raw mut data, &raw mut length) };
            if check(result)? == 0 {
                return Ok(());
            }
            // SAFETY: the bytes are there until the next call, which comes after this one use.
            show(unsafe { slice::from_raw_parts(data.cast::<u8>(), length) });
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // SAFETY: the object is open and nobody else has it.
        unsafe { sd_journal_close(self.0.as_ptr()) };
    }
}
