//! What a unit has used.

use std::time::Duration;

/// What a unit has used in its last run, as its manager counted it: see [`Command::usage`](crate::Command::usage). Each
/// is `None` where it was not counted: the kernel or the manager cannot, or the controller is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Usage {
    /// CPU time of all its processes (`CPUUsageNSec`).
    pub cpu: Option<Duration>,
    /// The most memory that it had at a time, in bytes (`MemoryPeak`, systemd 256 and later).
    pub memory_peak: Option<u64>,
    /// The most swap space that it had at a time, in bytes (`MemorySwapPeak`, systemd 256 and later).
    pub memory_swap_peak: Option<u64>,
    /// Bytes read from block devices (`IOReadBytes`, systemd 257 and later: others forget it with the unit's end).
    pub io_read: Option<u64>,
    /// Bytes written to block devices (`IOWriteBytes`, systemd 257 and later).
    pub io_written: Option<u64>,
    /// Bytes received over IP (`IPIngressBytes`).
    pub ip_received: Option<u64>,
    /// Bytes sent over IP (`IPEgressBytes`).
    pub ip_sent: Option<u64>,
}
