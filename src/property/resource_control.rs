//! The settings of `systemd.resource-control(5)`.

use super::devices::{device_allow, latency, rate, weight};
use super::field::Field;
use super::forms::{boolean, checked, part, seconds, seconds_or_unset, split, structs, text, unsplittable, words};
use super::network::{addresses, interfaces, netfilter_sets, socket_bind};
use super::split::{PLAIN, QUOTED};
use super::{Property, Table, cpus, numbers};
use crate::bus::Value;
use crate::error::Result;

/// This version has no control groups of the first kind any more, and systemd-run takes their settings, but sends nothing.
const WITHOUT_CGROUP_V1: u32 = 258;

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
    interfaces: "RestrictNetworkInterfaces";
    netfilter_sets: "NFTSet";
    old: "CPUAccounting" "BlockIOAccounting" "CPUShares" "StartupCPUShares" "BlockIOWeight" "StartupBlockIOWeight"
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

fn old(field: &Field<'_>) -> Result<Vec<Property>> {
    let convert = super::find(OLD, field.name).expect("both tables have it");
    let before = |property| match property {
        Property::Set(name, value) => Property::Before(WITHOUT_CGROUP_V1, name, value),
        other => other,
    };
    Ok(convert(field)?.into_iter().map(before).collect())
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
