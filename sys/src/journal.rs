//! sd-journal.

use crate::{c_char, c_int, c_uint, c_void, sd_id128_t, size_t};

pub use libsystemd_sys::journal::*;

// Writing
unsafe extern "C" {
    /// Opens a stream whose lines go to the journal. Since 209; `sd_journal_stream_fd(3)`.
    pub fn sd_journal_stream_fd(identifier: *const c_char, priority: c_int, level_prefix: c_int) -> c_int;
    /// Opens a stream whose lines go to the journal of a namespace. Since 256;
    /// `sd_journal_stream_fd(3)`.
    #[cfg(libsystemd_256)]
    pub fn sd_journal_stream_fd_with_namespace(
        name_space: *const c_char,
        identifier: *const c_char,
        priority: c_int,
        level_prefix: c_int,
    ) -> c_int;
}

// Opening
unsafe extern "C" {
    /// Opens the journal files of a folder that is open. Since 230; `sd_journal_open(3)`.
    pub fn sd_journal_open_directory_fd(ret: *mut *mut sd_journal, fd: c_int, flags: c_int) -> c_int;
    /// Opens the journal files with the given paths, of which the last is a null pointer.
    /// libsystemd-sys has that array constant. Since 209; `sd_journal_open(3)`.
    pub fn sd_journal_open_files(ret: *mut *mut sd_journal, paths: *mut *const c_char, flags: c_int) -> c_int;
    /// Opens journal files that are open already. Since 230; `sd_journal_open(3)`.
    pub fn sd_journal_open_files_fd(ret: *mut *mut sd_journal, fds: *mut c_int, n_fds: c_uint, flags: c_int) -> c_int;
}

// Where the reader is
unsafe extern "C" {
    /// Moves to the next entry, or to the entry that was sought when none was read since;
    /// `advanced` is for what follows a seek to either end. Since 254; `sd_journal_next(3)`.
    #[cfg(libsystemd_254)]
    pub fn sd_journal_step_one(j: *mut sd_journal, advanced: c_int) -> c_int;
    /// Gets the entry's sequence number, and the identifier of what numbers it. Since 254;
    /// `sd_journal_get_seqnum(3)`.
    #[cfg(libsystemd_254)]
    pub fn sd_journal_get_seqnum(j: *mut sd_journal, ret_seqnum: *mut u64, ret_seqnum_id: *mut sd_id128_t) -> c_int;
    /// Gets the entry's monotonic time and the boot that it belongs to. Since 209;
    /// `sd_journal_get_realtime_usec(3)`.
    pub fn sd_journal_get_monotonic_usec(j: *mut sd_journal, ret: *mut u64, ret_boot_id: *mut sd_id128_t) -> c_int;
    /// Seeks a monotonic time of a boot. Since 209; `sd_journal_seek_head(3)`.
    pub fn sd_journal_seek_monotonic_usec(j: *mut sd_journal, boot_id: sd_id128_t, usec: u64) -> c_int;
    /// Gets the times of a boot's first and last entry. Since 209;
    /// `sd_journal_get_cutoff_realtime_usec(3)`.
    pub fn sd_journal_get_cutoff_monotonic_usec(
        j: *mut sd_journal,
        boot_id: sd_id128_t,
        from: *mut u64,
        to: *mut u64,
    ) -> c_int;
    /// Gets the entry's cursor, for the caller to free. libsystemd-sys has the string constant.
    /// Since 209; `sd_journal_get_cursor(3)`.
    pub fn sd_journal_get_cursor(j: *mut sd_journal, cursor: *mut *mut c_char) -> c_int;
}

// What an entry says
unsafe extern "C" {
    /// Gets a field of the entry, as `NAME=VALUE`. libsystemd-sys has the data mutable. Since 209;
    /// `sd_journal_get_data(3)`.
    pub fn sd_journal_get_data(
        j: *mut sd_journal,
        field: *const c_char,
        data: *mut *const c_void,
        l: *mut size_t,
    ) -> c_int;
    /// Gets the entry's next field, as `NAME=VALUE`. libsystemd-sys has the data as `u8`. Since
    /// 209; `sd_journal_get_data(3)`.
    pub fn sd_journal_enumerate_data(j: *mut sd_journal, data: *mut *const c_void, l: *mut size_t) -> c_int;
    /// `sd_journal_enumerate_data`, passing over what cannot be read. Since 246;
    /// `sd_journal_get_data(3)`.
    pub fn sd_journal_enumerate_available_data(j: *mut sd_journal, data: *mut *const c_void, l: *mut size_t) -> c_int;
    /// Gets the next value of the field asked for, as `NAME=VALUE`, passing over what cannot be
    /// read. Since 246; `sd_journal_query_unique(3)`.
    pub fn sd_journal_enumerate_available_unique(j: *mut sd_journal, data: *mut *const c_void, l: *mut size_t)
    -> c_int;
    /// Gets the journal's next field name. Since 229; `sd_journal_enumerate_fields(3)`.
    pub fn sd_journal_enumerate_fields(j: *mut sd_journal, field: *mut *const c_char) -> c_int;
    /// Begins again with the first field name. Since 229; `sd_journal_enumerate_fields(3)`.
    pub fn sd_journal_restart_fields(j: *mut sd_journal);
    /// Gets the catalog's text for the entry, for the caller to free. libsystemd-sys has the string
    /// constant. Since 209; `sd_journal_get_catalog(3)`.
    pub fn sd_journal_get_catalog(j: *mut sd_journal, text: *mut *mut c_char) -> c_int;
    /// Gets the catalog's text for a message identifier, for the caller to free. libsystemd-sys has
    /// the string constant. Since 209; `sd_journal_get_catalog(3)`.
    pub fn sd_journal_get_catalog_for_message_id(id: sd_id128_t, text: *mut *mut c_char) -> c_int;
}
