//! The settings of `systemd.resource-control(5)`.

use std::borrow::Cow;

use super::devices::{device_allow, latency, rate, weight};
use super::field::Field;
use super::forms::{boolean, checked, part, seconds, seconds_or_unset, split, structs, text, unsplittable, words};
use super::network::{addresses, netfilter_sets, socket_bind};
use super::split::{PLAIN, QUOTED};
use super::{Property, Table, cpus, numbers};
use crate::bus::Value;
use crate::error::Result;

pub(super) const TABLE: Table = table! {
    boolean: "IOAccounting" "MemoryAccounting" "TasksAccounting" "IPAccounting" "MemoryZSwapWriteback"
        "CoredumpReceive";
    text: "Slice" "DevicePolicy" "DelegateSubgroup" "CPUSetPartition" "BindNetworkInterface" "ManagedOOMSwap"
        "ManagedOOMMemoryPressure" "ManagedOOMPreference" "MemoryPressureWatch" "CPUPressureWatch" "IOPressureWatch";
    words: "DisableControllers" "OOMRules";
    memory_guarantee: "MemoryMin" "MemoryLow";
    memory_limit: "MemoryHigh" "MemoryMax" "MemorySwapMax" "MemoryZSwapMax";
    tasks: "TasksMax";
    cpu_weight: "CPUWeight" "StartupCPUWeight";
    io_weight: "IOWeight" "StartupIOWeight";
    quota: "CPUQuota";
    seconds_or_unset: "CPUQuotaPeriodSec" "ManagedOOMMemoryPressureDurationSec";
    seconds: "MemoryPressureThresholdSec" "CPUPressureThresholdSec" "IOPressureThresholdSec";
    set_of_numbers: "AllowedCPUs" "StartupAllowedCPUs" "AllowedMemoryNodes" "StartupAllowedMemoryNodes";
    share: "ManagedOOMMemoryPressureLimit";
    delegate: "Delegate";
    device_allow: "DeviceAllow";
    weight: "IODeviceWeight";
    rate: "IOReadBandwidthMax" "IOWriteBandwidthMax" "IOReadIOPSMax" "IOWriteIOPSMax";
    latency: "IODeviceLatencyTargetSec";
    addresses: "IPAddressAllow" "IPAddressDeny";
    filter_paths: "IPIngressFilterPath" "IPEgressFilterPath";
    bpf_program: "BPFProgram";
    socket_bind: "SocketBindAllow" "SocketBindDeny";
    netfilter_sets: "NFTSet";
    ignored: "CPUAccounting" "BlockIOAccounting" "CPUShares" "StartupCPUShares" "BlockIOWeight" "StartupBlockIOWeight"
        "BlockIODeviceWeight" "BlockIOReadBandwidth" "BlockIOWriteBandwidth" "MemoryLimit" "DefaultMemoryMin"
        "DefaultMemoryLow";
};

/// The settings that go to old managers only.
const OLD: Table = table! {
    boolean: "CPUAccounting" "BlockIOAccounting";
    cpu_shares: "CPUShares" "StartupCPUShares";
    block_io_weight: "BlockIOWeight" "StartupBlockIOWeight";
    weight: "BlockIODeviceWeight";
    rate: "BlockIOReadBandwidth" "BlockIOWriteBandwidth";
    memory_limit: "MemoryLimit";
    memory_guarantee: "DefaultMemoryMin" "DefaultMemoryLow";
};

fn ignored(field: &Field<'_>) -> Result<Vec<Property>> {
    Ok(vec![Property::Old { name: field.name.to_owned(), text: field.value.to_owned() }])
}

/// What such a setting is for an old manager.
pub(super) fn old<'a>(field: &Field<'_>) -> Result<(Cow<'a, str>, Value)> {
    let convert = super::find(OLD, field.name).expect("those that are ignored are in both tables");
    match convert(field)?.pop() {
        Some(Property::Set(name, value)) => Ok((name, value)),
        _ => unreachable!("the forms of this table give one property"),
    }
}

/// How much memory there may be: nothing said is no limit.
fn memory_limit(field: &Field<'_>) -> Result<Vec<Property>> {
    memory(field, u64::MAX)
}

/// How much memory is safe from others: nothing said is none.
fn memory_guarantee(field: &Field<'_>) -> Result<Vec<Property>> {
    memory(field, 0)
}

fn memory(field: &Field<'_>, unset: u64) -> Result<Vec<Property>> {
    let expected = "is not a size (expected a number with K, M, G, T, P or E, a percentage, or \"infinity\")";
    amount(field, unset, numbers::size, expected)
}

fn tasks(field: &Field<'_>) -> Result<Vec<Property>> {
    amount(
        field,
        u64::MAX,
        numbers::unsigned,
        "is not a number of tasks (expected a number, a percentage, or \"infinity\")",
    )
}

/// A number of type `t`, or a share of what the machine has, which is the property `…Scale` of type `u`.
fn amount(field: &Field<'_>, unset: u64, read: fn(&str) -> Option<u64>, expected: &str) -> Result<Vec<Property>> {
    match field.value {
        "" => field.set(unset),
        "infinity" => field.set(u64::MAX),
        value => match numbers::scale(value) {
            Some(scale) => field.set_as(format!("{}Scale", field.name), scale),
            None => checked(field, read, expected),
        },
    }
}

/// A share of the machine, type `u`.
fn share(field: &Field<'_>) -> Result<Vec<Property>> {
    checked(field, numbers::scale, "is not a share (expected a percentage from 0% to 100%)")
}

fn cpu_weight(field: &Field<'_>) -> Result<Vec<Property>> {
    if field.value == "idle" {
        return field.set(0u64);
    }
    weight_from(field, 1, 10_000, "is not a weight (expected a number from 1 to 10000, or \"idle\")")
}

fn io_weight(field: &Field<'_>) -> Result<Vec<Property>> {
    weight_from(field, 1, 10_000, "is not a weight (expected a number from 1 to 10000)")
}

fn cpu_shares(field: &Field<'_>) -> Result<Vec<Property>> {
    weight_from(field, 2, 262_144, "is not a number of shares (expected a number from 2 to 262144)")
}

fn block_io_weight(field: &Field<'_>) -> Result<Vec<Property>> {
    weight_from(field, 10, 1_000, "is not a weight (expected a number from 10 to 1000)")
}

/// A number from `least` to `most`, type `t`. An empty value takes back what was set.
fn weight_from(field: &Field<'_>, least: u64, most: u64, expected: &str) -> Result<Vec<Property>> {
    if field.value.is_empty() {
        return field.set(u64::MAX);
    }
    let read = |text: &str| numbers::unsigned(text).filter(|weight| (least..=most).contains(weight));
    checked(field, read, expected)
}

/// A share of the time of one CPU, as µs in a second.
fn quota(field: &Field<'_>) -> Result<Vec<Property>> {
    const NAME: &str = "CPUQuotaPerSecUSec";
    if field.value.is_empty() {
        return field.set_as(NAME, u64::MAX);
    }
    let read = |text: &str| numbers::permyriad(text).filter(|permyriad| *permyriad > 0);
    let expected = "is not a share of a CPU's time (expected a percentage of more than 0%, as 50% or 250%)";
    field.set_as(NAME, u64::from(part(field, field.value, read, expected)?) * 100)
}

fn set_of_numbers(field: &Field<'_>) -> Result<Vec<Property>> {
    field.set(Value::Bytes(cpus::set(field)?))
}

/// All controllers or none, or the names of some.
fn delegate(field: &Field<'_>) -> Result<Vec<Property>> {
    match numbers::boolean(field.value) {
        Some(all) => field.set(all),
        None => field.set_as("DelegateControllers", split(field, QUOTED)?),
    }
}

/// A program in the BPF file system, type `as`: the whole value is one path.
fn filter_paths(field: &Field<'_>) -> Result<Vec<Property>> {
    let paths = if field.value.is_empty() { Vec::new() } else { vec![field.value.to_owned()] };
    field.set(paths)
}

/// A BPF program for a hook: `TYPE:PATH`, type `a(ss)`.
fn bpf_program(field: &Field<'_>) -> Result<Vec<Property>> {
    let mut programs: Vec<Vec<Value>> = Vec::new();
    if !field.value.is_empty() {
        let mut rest = Some(field.value);
        let hook = PLAIN.separators(":").next(&mut rest).map_err(|unsplit| unsplittable(field, unsplit))?;
        programs.push(vec![hook.unwrap_or_default().into(), rest.unwrap_or_default().into()]);
    }
    field.set(structs("ss", programs))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};
    use super::*;

    #[test]
    fn amounts() {
        for (assignment, answer) in [
            ("MemoryMax=1.5G", "MemoryMax t 1610612736"),
            ("MemoryMax=", "MemoryMax t 18446744073709551615"),
            ("MemoryLow=", "MemoryLow t 0"),
            ("MemoryMin=infinity", "MemoryMin t 18446744073709551615"),
            ("MemoryHigh=50.5%", "MemoryHighScale u 2168958484"),
            ("MemorySwapMax=1000‰", "MemorySwapMaxScale u 4294967295"),
            ("TasksMax=0x10", "TasksMax t 16"),
            ("TasksMax=0.01%", "TasksMaxScale u 429497"),
            ("ManagedOOMMemoryPressureLimit=12.34%", "ManagedOOMMemoryPressureLimit u 529998964"),
            ("CPUWeight=idle", "CPUWeight t 0"),
            ("StartupIOWeight=", "StartupIOWeight t 18446744073709551615"),
            ("CPUQuota=250%", "CPUQuotaPerSecUSec t 2500000"),
            ("CPUQuota=", "CPUQuotaPerSecUSec t 18446744073709551615"),
            ("CPUQuotaPeriodSec=", "CPUQuotaPeriodUSec t 18446744073709551615"),
            ("MemoryPressureThresholdSec=200ms", "MemoryPressureThresholdUSec t 200000"),
            ("AllowedCPUs=0-3", "AllowedCPUs ay [15,0,0,0,0,0,0,0]"),
        ] {
            assert_eq!(sent("slice", assignment), [answer]);
        }
        for bad in [
            "MemoryMax=infinity ",
            "MemoryMax=101%",
            "MemoryMax=-1",
            "TasksMax=1K",
            "TasksMax=-1",
            "CPUWeight=0",
            "IOWeight=idle",
            "IOWeight=10001",
            "CPUQuota=0%",
            "CPUQuota=5",
            "CPUQuotaPeriodSec=x",
            "ManagedOOMMemoryPressureLimit=",
            "MemoryPressureThresholdSec=",
        ] {
            refused("scope", bad);
        }
        assert_eq!(
            refused("service", "MemoryMax=2X"),
            "MemoryMax=2X: \"2X\" is not a size (expected a number with K, M, G, T, P or E, a percentage, or \"infinity\")"
        );
    }

    #[test]
    fn delegation_and_programs() {
        for (assignment, answer) in [
            ("Delegate=yes", "Delegate b true"),
            ("Delegate=cpu 'io'", r#"DelegateControllers as ["cpu","io"]"#),
            ("Delegate=", "DelegateControllers as []"),
            ("IPIngressFilterPath=/a /b", r#"IPIngressFilterPath as ["/a /b"]"#),
            ("IPEgressFilterPath=", "IPEgressFilterPath as []"),
            ("BPFProgram=egress:/a:b", r#"BPFProgram a(ss) [("egress","/a:b")]"#),
            ("BPFProgram=::a\\:b::c", r#"BPFProgram a(ss) [("a:b","c")]"#),
            ("BPFProgram=:", r#"BPFProgram a(ss) [("","")]"#),
            ("BPFProgram=", "BPFProgram a(ss) []"),
        ] {
            assert_eq!(sent("service", assignment), [answer]);
        }
        refused("service", "Delegate=\"cpu");
        refused("service", "BPFProgram=a\\");
    }

    #[test]
    fn settings_that_old_managers_have() {
        let old = |name, value| old(&Field::new(name, value)).map(|(name, value)| (name.into_owned(), value)).ok();
        assert_eq!(old("CPUShares", "1024"), Some(("CPUShares".into(), 1024u64.into())));
        assert_eq!(old("MemoryLimit", "50%"), Some(("MemoryLimitScale".into(), 0x8000_0000u32.into())));
        assert_eq!(old("CPUAccounting", "maybe"), None);
        for (name, _) in OLD {
            assert_eq!(sent("slice", &format!("{name}=maybe")), [""; 0]);
        }
        let is_old = |name: &&str| {
            let read = super::super::read(super::super::UnitType::Slice, &format!("{name}=0"));
            matches!(read.as_deref(), Ok([Property::Old { .. }]))
        };
        assert_eq!(TABLE.iter().map(|(name, _)| *name).filter(|name| is_old(name)).count(), OLD.len());
    }
}
