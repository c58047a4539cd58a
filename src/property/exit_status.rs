//! Exit statuses, with the names that systemd has for them (`systemd.exec(5)`, "Process Exit Codes").

use super::field::Field;
use super::forms::split;
use super::split::QUOTED;
use super::{Property, numbers, signals};
use crate::bus::{Signature, Value};
use crate::error::Result;

const NAMES: [(&str, u8); 69] = [
    ("SUCCESS", 0),
    ("FAILURE", 1),
    ("INVALIDARGUMENT", 2),
    ("NOTIMPLEMENTED", 3),
    ("NOPERMISSION", 4),
    ("NOTINSTALLED", 5),
    ("NOTCONFIGURED", 6),
    ("NOTRUNNING", 7),
    ("USAGE", 64),
    ("DATAERR", 65),
    ("NOINPUT", 66),
    ("NOUSER", 67),
    ("NOHOST", 68),
    ("UNAVAILABLE", 69),
    ("SOFTWARE", 70),
    ("OSERR", 71),
    ("OSFILE", 72),
    ("CANTCREAT", 73),
    ("IOERR", 74),
    ("TEMPFAIL", 75),
    ("PROTOCOL", 76),
    ("NOPERM", 77),
    ("CONFIG", 78),
    ("CHDIR", 200),
    ("NICE", 201),
    ("FDS", 202),
    ("EXEC", 203),
    ("MEMORY", 204),
    ("LIMITS", 205),
    ("OOM_ADJUST", 206),
    ("SIGNAL_MASK", 207),
    ("STDIN", 208),
    ("STDOUT", 209),
    ("CHROOT", 210),
    ("IOPRIO", 211),
    ("TIMERSLACK", 212),
    ("SECUREBITS", 213),
    ("SETSCHEDULER", 214),
    ("CPUAFFINITY", 215),
    ("GROUP", 216),
    ("USER", 217),
    ("CAPABILITIES", 218),
    ("CGROUP", 219),
    ("SETSID", 220),
    ("CONFIRM", 221),
    ("STDERR", 222),
    ("PAM", 224),
    ("NETWORK", 225),
    ("NAMESPACE", 226),
    ("NO_NEW_PRIVILEGES", 227),
    ("SECCOMP", 228),
    ("SELINUX_CONTEXT", 229),
    ("PERSONALITY", 230),
    ("APPARMOR", 231),
    ("ADDRESS_FAMILIES", 232),
    ("RUNTIME_DIRECTORY", 233),
    ("CHOWN", 235),
    ("SMACK_PROCESS_LABEL", 236),
    ("KEYRING", 237),
    ("STATE_DIRECTORY", 238),
    ("CACHE_DIRECTORY", 239),
    ("LOGS_DIRECTORY", 240),
    ("CONFIGURATION_DIRECTORY", 241),
    ("NUMA_POLICY", 242),
    ("CREDENTIALS", 243),
    ("BPF", 244),
    ("KSM", 245),
    ("MEMORY_THP", 246),
    ("EXCEPTION", 255),
];

/// Exit statuses and signals: type `(aiai)`.
pub(super) fn exit_statuses(field: &Field<'_>) -> Result<Vec<Property>> {
    let expected = "is neither an exit status (expected a number from 0 to 255, or a name of systemd.exec(5), as DATAERR) \
                    nor a signal (as SIGTERM)";
    let (mut statuses, mut signals) = (Vec::new(), Vec::new());
    for word in split(field, QUOTED)? {
        match (status(&word), signals::signal(&word)) {
            (Some(status), _) => statuses.push(Value::I32(status.into())),
            (None, Some(signal)) => signals.push(Value::I32(signal)),
            (None, None) => return Err(field.refuse_part(&word, expected)),
        }
    }
    let integer = Signature::new("i").expect("a valid type");
    let array = |values| Value::Array(integer.clone(), values);
    field.set(Value::Struct(vec![array(statuses), array(signals)]))
}

/// An exit status by its name or number.
fn status(text: &str) -> Option<u8> {
    let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, status)| *status);
    named.or_else(|| numbers::unsigned8(text))
}

/// The status with which the system or a container ends: type `i`, -1 for none.
pub(super) fn action_status(field: &Field<'_>) -> Result<Vec<Property>> {
    if field.value.is_empty() {
        return field.set(-1);
    }
    let read = |text: &str| numbers::unsigned8(text).map(i32::from);
    super::forms::checked(field, read, "is not an exit status (expected a number from 0 to 255)")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn statuses_and_signals() {
        for (value, answer) in [
            ("1 0x10 'TEMPFAIL' SIGTERM RTMIN+1 6", "([1,16,75,6],[15,35])"),
            ("", "([],[])"),
            (" ", "([],[])"),
            ("MEMORY_THP 255", "([246,255],[])"),
        ] {
            let expected = format!("SuccessExitStatus (aiai) {answer}");
            assert_eq!(sent("service", &format!("SuccessExitStatus={value}")), [expected]);
        }
        for bad in ["256", "-1", "1,2", "dataerr", "EX_DATAERR", "\"\"", "1 \"2", "1\\", "SIG9", "\"1 \""] {
            refused("service", &format!("RestartPreventExitStatus={bad}"));
        }
        assert_eq!(sent("timer", "SuccessActionExitStatus=0x7"), ["SuccessActionExitStatus i 7"]);
        assert_eq!(sent("timer", "FailureActionExitStatus="), ["FailureActionExitStatus i -1"]);
        for bad in ["256", "-1", "DATAERR", " "] {
            refused("service", &format!("SuccessActionExitStatus={bad}"));
        }
    }
}
