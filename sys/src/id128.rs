//! sd-id128.

use crate::{c_char, c_int};

pub use libsystemd_sys::id128::SD_ID128_STRING_MAX;

/// The size of the buffer that `sd_id128_to_uuid_string` fills, its final zero included. Since 251;
/// `sd_id128_to_string(3)`.
#[cfg(libsystemd_251)]
pub const SD_ID128_UUID_STRING_MAX: usize = 37;

/// A 128-bit identifier, aligned as the header's union of bytes and 64-bit words is, which
/// libsystemd-sys's structure is not: C may read and write it as words, and on some machines
/// (32-bit Arm) alignment decides in which registers it is passed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct sd_id128_t {
    /// Nothing; it brings the alignment of the words.
    pub qwords: [u64; 0],
    /// The identifier, its first digits first.
    pub bytes: [u8; 16],
}

impl From<[u8; 16]> for sd_id128_t {
    fn from(bytes: [u8; 16]) -> Self {
        Self { qwords: [], bytes }
    }
}

impl From<u128> for sd_id128_t {
    /// The identifier whose 32 hexadecimal digits are those of `number`.
    fn from(number: u128) -> Self {
        number.to_be_bytes().into()
    }
}

// The ones that libsystemd-sys has are here for its sd_id128_t, which is aligned otherwise.
unsafe extern "C" {
    /// Writes an identifier as 32 hexadecimal digits. Since 209; `sd_id128_to_string(3)`.
    pub fn sd_id128_to_string(id: sd_id128_t, s: *mut c_char) -> *mut c_char;
    /// Writes an identifier as a UUID, with dashes. Since 251; `sd_id128_to_string(3)`.
    #[cfg(libsystemd_251)]
    pub fn sd_id128_to_uuid_string(id: sd_id128_t, s: *mut c_char) -> *mut c_char;
    /// Reads an identifier, with or without dashes. Since 209; `sd_id128_to_string(3)`.
    pub fn sd_id128_from_string(s: *const c_char, ret: *mut sd_id128_t) -> c_int;
    /// Whether a string is this identifier. Since 252; `sd-id128(3)`.
    #[cfg(libsystemd_252)]
    pub fn sd_id128_string_equal(s: *const c_char, id: sd_id128_t) -> c_int;

    /// Makes an identifier by chance. Since 209; `sd_id128_randomize(3)`.
    pub fn sd_id128_randomize(ret: *mut sd_id128_t) -> c_int;
    /// Gets the machine's identifier. Since 209; `sd_id128_get_machine(3)`.
    pub fn sd_id128_get_machine(ret: *mut sd_id128_t) -> c_int;
    /// Gets the identifier of this boot. Since 209; `sd_id128_get_machine(3)`.
    pub fn sd_id128_get_boot(ret: *mut sd_id128_t) -> c_int;
    /// Gets the invocation identifier of the unit that this process runs in. Since 232;
    /// `sd_id128_get_machine(3)`.
    pub fn sd_id128_get_invocation(ret: *mut sd_id128_t) -> c_int;
    /// Derives an application's own identifier from another. Since 255; `sd_id128_get_machine(3)`.
    #[cfg(libsystemd_255)]
    pub fn sd_id128_get_app_specific(base: sd_id128_t, app_id: sd_id128_t, ret: *mut sd_id128_t) -> c_int;
    /// Derives an application's own identifier from the machine's. Since 233;
    /// `sd_id128_get_machine(3)`.
    pub fn sd_id128_get_machine_app_specific(app_id: sd_id128_t, ret: *mut sd_id128_t) -> c_int;
    /// Derives an application's own identifier from the boot's. Since 240;
    /// `sd_id128_get_machine(3)`.
    pub fn sd_id128_get_boot_app_specific(app_id: sd_id128_t, ret: *mut sd_id128_t) -> c_int;
    /// Derives an application's own identifier from the unit's invocation. Since 256;
    /// `sd_id128_get_machine(3)`.
    #[cfg(libsystemd_256)]
    pub fn sd_id128_get_invocation_app_specific(app_id: sd_id128_t, ret: *mut sd_id128_t) -> c_int;
}
