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
