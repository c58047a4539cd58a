//! Conditions and asserts (`systemd.unit(5)`, "Conditions and Asserts").

use super::field::Field;
use super::forms::structs;
use super::{Property, Table};
use crate::error::Result;

/// Every kind, as a condition and as an assert.
pub(super) const TABLE: Table = &{
    macro_rules! kinds {
        ($($kind:literal)*) => {
            [$((concat!("Condition", $kind), condition as super::Convert), (concat!("Assert", $kind), assert as super::Convert),)*]
        };
    }
    kinds! {
        "ACPower" "Architecture" "CPUFeature" "CPUPressure" "CPUs" "Capability" "ControlGroupController" "Credential"
        "DirectoryNotEmpty" "Environment" "FileIsExecutable" "FileNotEmpty" "Firmware" "FirstBoot" "Fraction" "Group"
        "Host" "IOPressure" "KernelCommandLine" "KernelModuleLoaded" "KernelVersion" "MachineTag" "Memory"
        "MemoryPressure" "NeedsUpdate" "OSRelease" "PathExists" "PathExistsGlob" "PathIsDirectory" "PathIsEncrypted"
        "PathIsMountPoint" "PathIsReadWrite" "PathIsSocket" "PathIsSymbolicLink" "Security" "User" "Version"
        "Virtualization"
    }
};

fn condition(field: &Field<'_>) -> Result<Vec<Property>> {
    read(field, "Conditions")
}

fn assert(field: &Field<'_>) -> Result<Vec<Property>> {
    read(field, "Asserts")
}

/// `|` for one of which any may hold, `!` for one that may not hold, and the parameter, which only the manager
/// understands. An empty value empties the list of all kinds.
fn read(field: &Field<'_>, property: &'static str) -> Result<Vec<Property>> {
    let (is_trigger, rest) = flag(field.value, '|');
    let (is_negated, parameter) = flag(rest, '!');
    let one = vec![field.name.into(), is_trigger.into(), is_negated.into(), parameter.into()];
    let all = if field.value.is_empty() { Vec::new() } else { vec![one] };
    field.set_as(property, structs("sbbs", all))
}

fn flag(text: &str, flag: char) -> (bool, &str) {
    text.strip_prefix(flag).map_or((false, text), |rest| (true, rest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sent;

    #[test]
    fn conditions_and_asserts() {
        for (value, is_trigger, is_negated, parameter) in [
            ("/a", false, false, "/a"),
            ("!/a", false, true, "/a"),
            ("|/a", true, false, "/a"),
            ("|!/a", true, true, "/a"),
            ("!|/a", false, true, "|/a"),
            ("!!/a", false, true, "!/a"),
            ("| ! /a ", true, false, " ! /a "),
            ("|", true, false, ""),
        ] {
            let expected = format!("(\"ConditionPathExists\",{is_trigger},{is_negated},{parameter:?})");
            let answer = format!("Conditions a(sbbs) [{expected}]");
            assert_eq!(sent("service", &format!("ConditionPathExists={value}")), [answer]);
        }
        assert_eq!(sent("timer", "AssertVersion="), ["Asserts a(sbbs) []"]);
    }
}
