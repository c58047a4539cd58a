//! The local time, which only the C library knows (`$TZ`, `/etc/localtime`), in a safe function.

use std::ffi::CStr;
use std::mem::MaybeUninit;

/// A time as the clocks here show it. localtime_r(3)
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LocalTime {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    pub day: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// How many seconds it is ahead of UTC.
    pub offset: i64,
    /// The zone's short name: `CET`.
    pub zone: String,
}

/// The local time of a number of seconds since 1970 (UTC); `None` where its year cannot be said.
pub fn local_time(seconds: i64) -> Option<LocalTime> {
    let seconds = libc::time_t::try_from(seconds).ok()?;
    let mut broken = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: tzset takes nothing; localtime_r reads the number and writes the answer. The environment is read as
    // getenv(3) does it: Rust's `set_var` is unsafe for just that.
    let filled = unsafe {
        tzset();
        !libc::localtime_r(&raw const seconds, broken.as_mut_ptr()).is_null()
    };
    if !filled {
        return None;
    }
    // SAFETY: it was filled.
    let broken = unsafe { broken.assume_init() };
    let zone = if broken.tm_zone.is_null() {
        String::new()
    } else {
        // SAFETY: a string of the C library's: glibc keeps every name of a zone that it ever had, whatever other threads set,
        // and musl's are in the file that it has mapped for good.
        unsafe { CStr::from_ptr(broken.tm_zone) }.to_string_lossy().into_owned()
    };
    let small = |number: libc::c_int| u8::try_from(number).unwrap_or(0);
    Some(LocalTime {
        year: i64::from(broken.tm_year) + 1900,
        month: small(broken.tm_mon) + 1,
        day: small(broken.tm_mday),
        weekday: small(broken.tm_wday),
        hour: small(broken.tm_hour),
        minute: small(broken.tm_min),
        second: small(broken.tm_sec),
        // A C long: of 32 bits elsewhere.
        #[allow(clippy::useless_conversion)]
        offset: i64::from(broken.tm_gmtoff),
        zone,
    })
}

unsafe extern "C" {
    /// tzset(3)
    fn tzset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_and_the_offset_are_the_seconds() {
        let time = local_time(1_795_388_934).unwrap();
        // Whatever the zone here is.
        let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second);
        assert_eq!((of_day - time.offset).rem_euclid(86_400), 1_795_388_934 % 86_400);
        assert_eq!((time.year, time.month), (2026, 11));
        assert!(!time.zone.is_empty());
        assert_eq!(local_time(i64::MAX), None);
    }
}
