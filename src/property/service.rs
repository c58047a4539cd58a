//! The settings of `systemd.service(5)`.

use super::exec_line::exec_line;
use super::exit_status::exit_statuses;
use super::field::Field;
use super::forms::{boolean, part, seconds, structs, text, unsigned32, unsplittable, words};
use super::open_file::open_file;
use super::signals::signal_number;
use super::split::PLAIN;
use super::{Property, Table, time};
use crate::error::Result;

pub(super) const TABLE: Table = table! {
    text: "Type" "ExitType" "Restart" "RestartMode" "NotifyAccess" "PIDFile" "BusName" "OOMPolicy"
        "TimeoutStartFailureMode" "TimeoutStopFailureMode" "FileDescriptorStorePreserve" "USBFunctionDescriptors"
        "USBFunctionStrings";
    boolean: "RemainAfterExit" "GuessMainPID" "RootDirectoryStartOnly" "PermissionsStartOnly";
    exec_line: "ExecStart" "ExecStartEx" "ExecStartPre" "ExecStartPreEx" "ExecStartPost" "ExecStartPostEx"
        "ExecCondition" "ExecConditionEx" "ExecReload" "ExecReloadEx" "ExecReloadPost" "ExecReloadPostEx" "ExecStop"
        "ExecStopEx" "ExecStopPost" "ExecStopPostEx";
    seconds: "RestartSec" "RestartMaxDelaySec" "RestartRandomizedDelaySec" "TimeoutStartSec" "TimeoutStopSec"
        "TimeoutAbortSec" "RuntimeMaxSec" "RuntimeRandomizedExtraSec" "WatchdogSec";
    timeout: "TimeoutSec";
    unsigned32: "RestartSteps" "FileDescriptorStoreMax";
    exit_statuses: "SuccessExitStatus" "RestartPreventExitStatus" "RestartForceExitStatus";
    signal_number: "ReloadSignal";
    open_file: "OpenFile";
    refresh: "RefreshOnReload";
    words: "LUOSession";
};

/// The time limit for starting and for stopping.
fn timeout(field: &Field<'_>) -> Result<Vec<Property>> {
    let limit = part(field, field.value, time::span, time::SPAN)?;
    Ok(["TimeoutStartUSec", "TimeoutStopUSec"].map(|name| Property::Set(name.into(), limit.into())).into())
}

/// What is renewed at a reload, or after `~` what is not: type `a(bs)`.
fn refresh(field: &Field<'_>) -> Result<Vec<Property>> {
    let rest = field.value.strip_prefix('~');
    let words = PLAIN.words(rest.unwrap_or(field.value)).map_err(|unsplit| unsplittable(field, unsplit))?;
    field.set(structs("bs", words.into_iter().map(|word| vec![rest.is_some().into(), word.into()]).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn settings_of_services() {
        for (assignment, answer) in [
            ("Type=notify", "Type s \"notify\""),
            ("RemainAfterExit=on", "RemainAfterExit b true"),
            ("RestartSec=1min 30s", "RestartUSec t 90000000"),
            ("RuntimeMaxSec=infinity", "RuntimeMaxUSec t 18446744073709551615"),
            ("RestartSteps=5", "RestartSteps u 5"),
            ("ReloadSignal=RTMIN+1", "ReloadSignal i 35"),
            ("RefreshOnReload=~a  b", r#"RefreshOnReload a(bs) [(true,"a"),(true,"b")]"#),
            ("RefreshOnReload=a\\ b", r#"RefreshOnReload a(bs) [(false,"a b")]"#),
            ("RefreshOnReload=", "RefreshOnReload a(bs) []"),
        ] {
            assert_eq!(sent("service", assignment), [answer]);
        }
        assert_eq!(sent("service", "TimeoutSec=5"), ["TimeoutStartUSec t 5000000", "TimeoutStopUSec t 5000000"]);
        for bad in ["TimeoutSec=", "RestartSec=1x", "RestartSteps=-1", "RemainAfterExit=", "ReloadSignal=0"] {
            refused("service", bad);
        }
    }
}
