//! Names that stand for a number.

use std::ops::RangeInclusive;

use nix::errno::Errno;

use super::super::field::Field;
use super::super::forms::Properties;
use super::super::numbers;
use crate::error::Result;

/// The number that a name stands for, or that is written out and in the range.
pub(super) fn number(field: &Field<'_>, names: &[(&str, i32)], numbers: Option<RangeInclusive<i32>>) -> Result<i32> {
    let by_name = names.iter().find(|(name, _)| *name == field.value).map(|(_, number)| *number);
    let in_range = |range: &RangeInclusive<i32>| numbers::signed32(field.value).filter(|number| range.contains(number));
    by_name.or_else(|| numbers.as_ref().and_then(in_range)).ok_or_else(|| {
        let names = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let range = numbers.map(|range| format!(", or a number from {} to {}", range.start(), range.end()));
        field.refuse_part(field.value, &format!("is not one of {names}{}", range.unwrap_or_default()))
    })
}

pub(super) fn log_level(field: &Field<'_>) -> Properties {
    let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    field.set(number(field, &in_order(levels), Some(0..=7))?)
}

pub(super) fn log_facility(field: &Field<'_>) -> Properties {
    const FACILITIES: [(&str, i32); 20] = [
        ("kern", 0),
        ("user", 1),
        ("mail", 2),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("lpr", 6),
        ("news", 7),
        ("uucp", 8),
        ("cron", 9),
        ("authpriv", 10),
        ("ftp", 11),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];
    field.set(number(field, &FACILITIES, Some(0..=127))?)
}

/// Names that stand for 0, 1, 2, ….
pub(super) fn in_order<const N: usize>(names: [&str; N]) -> [(&str, i32); N] {
    let mut next = 0..;
    names.map(|name| (name, next.next().unwrap_or_default()))
}

/// An error number or its name, or `kill`, which is no error but a number beyond.
pub(super) fn error_number(field: &Field<'_>) -> Properties {
    const HIGHEST: i32 = 4095;
    const KILL: i32 = i32::MAX - 1;
    // What has two names has one in nix.
    const ALIASES: [(&str, Errno); 3] =
        [("ENOTSUP", Errno::EOPNOTSUPP), ("EWOULDBLOCK", Errno::EAGAIN), ("EDEADLOCK", Errno::EDEADLK)];
    let aliases = ALIASES.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.value)).map(|(_, errno)| *errno);
    let by_name = || {
        let all = (1..=HIGHEST).map(Errno::from_raw).filter(|errno| *errno != Errno::UnknownErrno);
        aliases.or_else(|| all.into_iter().find(|errno| format!("{errno:?}").eq_ignore_ascii_case(field.value)))
    };
    let number = match field.value {
        "kill" => Some(KILL),
        text => numbers::signed32(text)
            .filter(|number| (0..=HIGHEST).contains(number))
            .or_else(|| by_name().map(|errno| errno as i32)),
    };
    let expected = "is not an error (expected a name as EPERM, a number from 0 to 4095, or \"kill\")";
    field.set(number.ok_or_else(|| field.refuse_part(field.value, expected))?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};

    #[test]
    fn levels_and_facilities() {
        assert_eq!(sent("LogLevelMax=debug"), "LogLevelMax=i7");
        assert_eq!(sent("SyslogLevel=07"), "SyslogLevel=i7");
        assert_eq!(sent("SyslogFacility=local7"), "SyslogFacility=i23");
        assert_eq!(sent("SyslogFacility=127"), "SyslogFacility=i127");
        for bad in ["LogLevelMax=8", "LogLevelMax=Info", "LogLevelMax=", "SyslogFacility=128", "SyslogFacility=local8"]
        {
            assert!(refused(bad).contains("is not one of "), "{bad}");
        }
        assert_eq!(
            refused("LogLevelMax=warn"),
            "LogLevelMax=warn: \"warn\" is not one of emerg, alert, crit, err, warning, notice, info, debug, or a number \
             from 0 to 7"
        );
    }

    #[test]
    fn errors() {
        let cases = [("EPERM", 1), ("eperm", 1), ("ENOTSUP", 95), ("EWOULDBLOCK", 11), ("EDEADLOCK", 35), ("0x10", 16)];
        for (name, number) in
            cases.into_iter().chain([("EHWPOISON", 133), ("kill", i32::MAX - 1), ("0", 0), ("4095", 4095)])
        {
            assert_eq!(sent(&format!("SystemCallErrorNumber={name}")), format!("SystemCallErrorNumber=i{number}"));
        }
        for bad in ["", "KILL", "4096", "-1", "UnknownErrno", "EFOO", "2147483646"] {
            assert!(refused(&format!("SystemCallErrorNumber={bad}")).contains("is not an error"), "{bad}");
        }
    }
}
