//! Limits and weights for devices (`systemd.resource-control(5)`).

use super::field::Field;
use super::forms::{WHOLE, in_microseconds, part, structs};
use super::{Property, numbers, time};
use crate::bus::Value;
use crate::error::Result;

/// Which devices may be used, and how: type `a(ss)`.
pub(super) fn device_allow(field: &Field<'_>) -> Result<Vec<Property>> {
    let (device, access) = field.value.split_once(' ').unwrap_or((field.value, ""));
    field.set(list(field, "ss", || Ok(vec![device.into(), access.into()]))?)
}

/// Bytes or operations in a second: type `a(st)`.
pub(super) fn rate(field: &Field<'_>) -> Result<Vec<Property>> {
    let expected =
        "is not a rate (expected a number with K, M, G, T, P or E, which are powers of 1000, or \"infinity\")";
    let read = |text: &str| if text == "infinity" { Some(u64::MAX) } else { numbers::size_si(text) };
    field.set(per_device(field, read, expected)?)
}

/// A weight: type `a(st)`.
pub(super) fn weight(field: &Field<'_>) -> Result<Vec<Property>> {
    field.set(per_device(field, numbers::unsigned, WHOLE)?)
}

/// A time span: type `a(st)`.
pub(super) fn latency(field: &Field<'_>) -> Result<Vec<Property>> {
    field.set_as(in_microseconds(field.name), per_device(field, time::span, time::SPAN)?)
}

fn per_device(field: &Field<'_>, read: impl FnOnce(&str) -> Option<u64>, expected: &str) -> Result<Value> {
    list(field, "st", || {
        let unpaired =
            || field.refuse("is no device with a value (expected \"DEVICE VALUE\", with a blank between them)");
        let (device, value) = field.value.split_once(' ').ok_or_else(unpaired)?;
        Ok(vec![device.into(), part(field, value, read, expected)?.into()])
    })
}

/// A list with one entry, or without, for an empty value.
fn list(field: &Field<'_>, types: &str, entry: impl FnOnce() -> Result<Vec<Value>>) -> Result<Value> {
    let entries = if field.value.is_empty() { Vec::new() } else { vec![entry()?] };
    Ok(structs(types, entries))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn devices() {
        for (assignment, answer) in [
            ("DeviceAllow=/dev/null rw", r#"DeviceAllow a(ss) [("/dev/null","rw")]"#),
            ("DeviceAllow=char-pts", r#"DeviceAllow a(ss) [("char-pts","")]"#),
            ("DeviceAllow=/a  r ", r#"DeviceAllow a(ss) [("/a"," r ")]"#),
            ("DeviceAllow=", "DeviceAllow a(ss) []"),
            ("IOReadBandwidthMax=/dev/sda 1.5M", r#"IOReadBandwidthMax a(st) [("/dev/sda",1500000)]"#),
            ("IOWriteIOPSMax=a infinity", r#"IOWriteIOPSMax a(st) [("a",18446744073709551615)]"#),
            ("IODeviceWeight=/dev/sda  0x10", r#"IODeviceWeight a(st) [("/dev/sda",16)]"#),
            ("IODeviceLatencyTargetSec=/a 5ms", r#"IODeviceLatencyTargetUSec a(st) [("/a",5000)]"#),
            ("IODeviceLatencyTargetSec=", "IODeviceLatencyTargetUSec a(st) []"),
        ] {
            assert_eq!(sent("service", assignment), [answer]);
        }
        assert_eq!(
            refused("slice", "IOReadBandwidthMax=/dev/sda 5X"),
            "IOReadBandwidthMax=/dev/sda 5X: \"5X\" is not a rate (expected a number with K, M, G, T, P or E, which are \
             powers of 1000, or \"infinity\")"
        );
        for bad in
            ["IODeviceWeight=/dev/sda", "IODeviceWeight=a\t5", "IODeviceWeight=a b 5", "IOReadBandwidthMax=a  infinity"]
        {
            refused("service", bad);
        }
    }
}
