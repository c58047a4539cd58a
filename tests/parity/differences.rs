//! Where sdrun and systemd-run differ, and why.

use std::ops::RangeInclusive;

use sdrun::UnitType;

/// The versions, the types of unit (none: all), how the assignment begins (or with "$" at the end: what it is), the reason.
type Difference = (RangeInclusive<u32>, &'static [UnitType], &'static str, &'static str);

const DIFFERENCES: &[Difference] = &[];

/// The differences of one version of systemd.
pub struct Known {
    version: u32,
    count: usize,
}

impl Known {
    pub fn new(version: u32) -> Self {
        Known { version, count: 0 }
    }

    /// Why the two differ here, if they are known to.
    pub fn reason(&mut self, unit_type: UnitType, assignment: &str) -> Option<&'static str> {
        let applies = |(versions, types, begins, _): &&Difference| {
            versions.contains(&self.version)
                && (types.is_empty() || types.contains(&unit_type))
                && match begins.strip_suffix('$') {
                    Some(whole) => assignment == whole,
                    None => assignment.starts_with(begins),
                }
        };
        let (_, _, _, reason) = DIFFERENCES.iter().find(applies)?;
        self.count += 1;
        Some(reason)
    }

    /// How many assignments there was a reason for.
    pub fn count(&self) -> usize {
        self.count
    }
}
