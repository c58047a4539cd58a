//! The settings of `systemd.unit(5)`, but for conditions and asserts.

use super::Table;
use super::exit_status::action_status;
use super::forms::{boolean, seconds, text, unsigned32, words};

pub(super) const TABLE: Table = table! {
    text: "Description" "SourcePath" "CollectMode" "OnFailureJobMode" "JobTimeoutAction" "JobTimeoutRebootArgument"
        "StartLimitAction" "FailureAction" "SuccessAction" "RebootArgument";
    words: "Documentation" "Requires" "Requisite" "Wants" "BindsTo" "PartOf" "Upholds" "Conflicts" "Before" "After"
        "OnFailure" "OnSuccess" "PropagatesReloadTo" "ReloadPropagatedFrom" "PropagatesStopTo" "StopPropagatedFrom"
        "JoinsNamespaceOf" "RequiresMountsFor" "WantsMountsFor" "Markers"
        // Such as only the other side has in a unit file, but which are sent as well.
        "RequiredBy" "RequisiteOf" "WantedBy" "BoundBy" "UpheldBy" "ConsistsOf" "ConflictedBy" "OnFailureOf"
        "OnSuccessOf" "Triggers" "TriggeredBy" "References" "ReferencedBy" "InSlice" "SliceOf";
    boolean: "StopWhenUnneeded" "RefuseManualStart" "RefuseManualStop" "AllowIsolate" "DefaultDependencies"
        "IgnoreOnIsolate" "SurviveFinalKillSignal";
    seconds: "JobTimeoutSec" "JobRunningTimeoutSec" "StartLimitIntervalSec";
    unsigned32: "StartLimitBurst";
    action_status: "SuccessActionExitStatus" "FailureActionExitStatus";
};

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn settings_of_every_unit() {
        for (assignment, answer) in [
            ("Description= a é ", "Description s \" a é \""),
            ("Wants=a.service 'b c' d\\x", r#"Wants as ["a.service","b c","dx"]"#),
            ("After=", "After as []"),
            ("JobTimeoutSec=0", "JobTimeoutUSec t 0"),
            ("StartLimitBurst=0x10", "StartLimitBurst u 16"),
            ("StopWhenUnneeded=y", "StopWhenUnneeded b true"),
        ] {
            for unit in ["service", "scope", "slice", "timer", "path", "socket"] {
                assert_eq!(sent(unit, assignment), [answer]);
            }
        }
        for bad in ["Wants=\"a", "Wants=a\\", "JobTimeoutSec=", "StartLimitBurst=-1", "StopWhenUnneeded="] {
            refused("timer", bad);
        }
    }
}
