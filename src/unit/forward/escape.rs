//! The keys that disconnect.

use std::time::{Duration, Instant};

/// `^]`
const KEY: u8 = 0x1d;
const TIMES: u32 = 3;
const WITHIN: Duration = Duration::from_secs(1);

/// How often the key was pressed, and nothing else in between.
#[derive(Debug, Default)]
pub(super) struct Escape {
    /// The first time.
    since: Option<Instant>,
    times: u32,
}

impl Escape {
    /// Whether with these bytes the key was pressed for the third time within a second.
    pub fn is_in(&mut self, bytes: &[u8], now: Instant) -> bool {
        for byte in bytes {
            if *byte != KEY {
                *self = Escape::default();
                continue;
            }
            if self.since.is_none_or(|since| now.duration_since(since) > WITHIN) {
                *self = Escape { since: Some(now), times: 0 };
            }
            self.times += 1;
            if self.times == TIMES {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_within_a_second() {
        let start = Instant::now();
        let at = |escape: &mut Escape, bytes: &[u8], millis| escape.is_in(bytes, start + Duration::from_millis(millis));
        assert!(at(&mut Escape::default(), b"x\x1d\x1d\x1dy", 0));
        assert!(!at(&mut Escape::default(), b"\x1d\x1dx\x1d", 0));
        let mut escape = Escape::default();
        assert!(!at(&mut escape, b"\x1d", 0));
        assert!(!at(&mut escape, b"\x1d", 500));
        assert!(at(&mut escape, b"\x1d", 1000));
        // Too slow: the second that counts begins anew with the one that came too late.
        let mut escape = Escape::default();
        assert!(!at(&mut escape, b"\x1d\x1d", 0));
        assert!(!at(&mut escape, b"\x1d", 1001));
        assert!(!at(&mut escape, b"\x1d", 1500));
        assert!(at(&mut escape, b"\x1d", 2001));
    }
}
