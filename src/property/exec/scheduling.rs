//! Scheduling of CPU time, memory nodes and I/O.

use super::super::field::Field;
use super::super::forms::Properties;
use super::super::{cpus, numbers};
use super::names::{in_order, number};
use crate::bus::Value;

/// From -20, the highest priority, to 19.
pub(super) fn nice(field: &Field<'_>) -> Properties {
    let level = numbers::signed32(field.value).filter(|level| (-20..=19).contains(level));
    field.set(level.ok_or_else(|| field.refuse_part(field.value, "is not a nice level (expected -20 to 19)"))?)
}

pub(super) fn cpu_policy(field: &Field<'_>) -> Properties {
    let policies = [("other", 0), ("fifo", 1), ("rr", 2), ("batch", 3), ("idle", 5), ("ext", 7)];
    field.set(number(field, &policies, Some(0..=i32::MAX))?)
}

pub(super) fn io_class(field: &Field<'_>) -> Properties {
    let classes = in_order(["none", "realtime", "best-effort", "idle"]);
    field.set(number(field, &classes, Some(0..=7))?)
}

pub(super) fn io_priority(field: &Field<'_>) -> Properties {
    let priority = numbers::signed32(field.value).filter(|priority| (0..=7).contains(priority));
    field.set(priority.ok_or_else(|| field.refuse_part(field.value, "is not an I/O priority (expected 0 to 7)"))?)
}

/// A set of CPUs, or `numa` for those of `NUMAMask=`.
pub(super) fn cpu_affinity(field: &Field<'_>) -> Properties {
    match field.value {
        "numa" => field.set_as("CPUAffinityFromNUMA", true),
        _ => field.set(Value::Bytes(cpus::set(field)?)),
    }
}

pub(super) fn numa_policy(field: &Field<'_>) -> Properties {
    let policies =
        in_order(["default", "preferred", "bind", "interleave", "local", "preferred-many", "weighted-interleave"]);
    field.set(number(field, &policies, None)?)
}

/// A set of NUMA nodes. `all` are those of this host, wherever the manager is: that is how systemd-run has it.
pub(super) fn numa_mask(field: &Field<'_>) -> Properties {
    let mut nodes = Vec::new();
    match field.value {
        "all" => cpus::insert(&mut nodes, 0, highest_node()),
        _ => nodes = cpus::set(field)?,
    }
    field.set(Value::Bytes(nodes))
}

/// The highest number of a NUMA node. Reads a small folder of sysfs, which does not wait for a disk.
fn highest_node() -> u32 {
    let entries = std::fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let nodes = entries.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok());
    nodes.filter(|node| *node <= cpus::HIGHEST).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};
    use super::*;

    #[test]
    fn priorities_and_policies() {
        assert_eq!(sent("Nice=-20"), "Nice=i-20");
        assert_eq!(sent("CPUSchedulingPolicy=rr"), "CPUSchedulingPolicy=i2");
        assert_eq!(sent("CPUSchedulingPolicy=ext"), "CPUSchedulingPolicy=i7");
        assert_eq!(sent("IOSchedulingClass=idle"), "IOSchedulingClass=i3");
        assert_eq!(sent("IOSchedulingPriority=7"), "IOSchedulingPriority=i7");
        assert_eq!(sent("OOMScoreAdjust=-1001"), "OOMScoreAdjust=i-1001");
        assert_eq!(sent("NUMAPolicy=weighted-interleave"), "NUMAPolicy=i6");
        assert_eq!(refused("Nice=20"), r#"Nice=20: "20" is not a nice level (expected -20 to 19)"#);
        for bad in ["CPUSchedulingPolicy=deadline", "IOSchedulingClass=8", "NUMAPolicy=3", "IOSchedulingPriority=8"] {
            refused(bad);
        }
    }

    #[test]
    fn sets() {
        assert_eq!(sent("CPUAffinity=0-3,8"), "CPUAffinity=[15, 1, 0, 0, 0, 0, 0, 0]");
        assert_eq!(sent("CPUAffinity="), "CPUAffinity=[]");
        assert_eq!(sent("CPUAffinity=numa"), "CPUAffinityFromNUMA=true");
        let mut nodes = Vec::new();
        cpus::insert(&mut nodes, 0, highest_node());
        assert_eq!(sent("NUMAMask=all"), format!("NUMAMask={nodes:?}"));
        assert!(refused("CPUAffinity=all").contains("is not a range of numbers"));
        assert!(refused("NUMAMask=numa").contains("is not a range of numbers"));
    }
}
