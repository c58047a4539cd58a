//! What the options are called.

use sdrun::JobMode;

use crate::getopt;

/// An option.
#[derive(Clone, Copy, PartialEq)]
pub enum Flag {
    Capsule,
    Collect,
    Description,
    ExpandEnvironment,
    Gid,
    Help,
    Host,
    IgnoreFailure,
    JobMode,
    Json,
    Machine,
    Nice,
    NoAskPassword,
    NoBlock,
    NoPager,
    /// A setting of a timer.
    On(&'static str),
    Output,
    PathProperty,
    Pipe,
    Private,
    Property,
    Pty,
    PtyLate,
    Quiet,
    RemainAfterExit,
    RootDirectory,
    SameDir,
    SameRootDir,
    Scope,
    SendSighup,
    ServiceType,
    Setenv,
    Shell,
    Slice,
    SliceInherit,
    SocketProperty,
    System,
    TimerProperty,
    Uid,
    Unit,
    User,
    Verbose,
    Version,
    Wait,
    WorkingDirectory,
}

impl Flag {
    pub fn takes_value(self) -> bool {
        FLAGS.iter().any(|(.., takes_value, flag)| *flag == self && *takes_value)
    }
}

/// Each with its long name, its letter if it has one, and whether it takes a value; in the order of the help.
pub const FLAGS: [getopt::Flag<Flag>; 52] = [
    ("help", Some('h'), false, Flag::Help),
    ("version", None, false, Flag::Version),
    ("no-ask-password", None, false, Flag::NoAskPassword),
    ("user", None, false, Flag::User),
    ("system", None, false, Flag::System),
    ("host", Some('H'), true, Flag::Host),
    ("machine", Some('M'), true, Flag::Machine),
    ("capsule", Some('C'), true, Flag::Capsule),
    ("private", None, false, Flag::Private),
    ("scope", None, false, Flag::Scope),
    ("unit", Some('u'), true, Flag::Unit),
    ("property", Some('p'), true, Flag::Property),
    ("description", None, true, Flag::Description),
    ("slice", None, true, Flag::Slice),
    ("slice-inherit", None, false, Flag::SliceInherit),
    ("expand-environment", None, true, Flag::ExpandEnvironment),
    ("no-block", None, false, Flag::NoBlock),
    ("remain-after-exit", Some('r'), false, Flag::RemainAfterExit),
    ("wait", None, false, Flag::Wait),
    ("send-sighup", None, false, Flag::SendSighup),
    ("service-type", None, true, Flag::ServiceType),
    ("uid", None, true, Flag::Uid),
    ("gid", None, true, Flag::Gid),
    ("nice", None, true, Flag::Nice),
    ("working-directory", None, true, Flag::WorkingDirectory),
    ("same-dir", Some('d'), false, Flag::SameDir),
    ("root-directory", None, true, Flag::RootDirectory),
    ("same-root-dir", Some('R'), false, Flag::SameRootDir),
    ("setenv", Some('E'), true, Flag::Setenv),
    ("pty", Some('t'), false, Flag::Pty),
    ("pty-late", Some('T'), false, Flag::PtyLate),
    ("pipe", Some('P'), false, Flag::Pipe),
    ("quiet", Some('q'), false, Flag::Quiet),
    ("verbose", Some('v'), false, Flag::Verbose),
    ("output", None, true, Flag::Output),
    ("json", None, true, Flag::Json),
    ("collect", Some('G'), false, Flag::Collect),
    ("shell", Some('S'), false, Flag::Shell),
    ("job-mode", None, true, Flag::JobMode),
    ("ignore-failure", None, false, Flag::IgnoreFailure),
    ("no-pager", None, false, Flag::NoPager),
    ("path-property", None, true, Flag::PathProperty),
    ("socket-property", None, true, Flag::SocketProperty),
    ("on-active", None, true, Flag::On("OnActiveSec")),
    ("on-boot", None, true, Flag::On("OnBootSec")),
    ("on-startup", None, true, Flag::On("OnStartupSec")),
    ("on-unit-active", None, true, Flag::On("OnUnitActiveSec")),
    ("on-unit-inactive", None, true, Flag::On("OnUnitInactiveSec")),
    ("on-calendar", None, true, Flag::On("OnCalendar")),
    ("on-timezone-change", None, false, Flag::On("OnTimezoneChange")),
    ("on-clock-change", None, false, Flag::On("OnClockChange")),
    ("timer-property", None, true, Flag::TimerProperty),
];

/// The modes of `--job-mode`, in the order in which systemd-run lists them. Some are systemctl's own.
pub const JOB_MODES: [(&str, Option<JobMode>); 10] = [
    ("fail", Some(JobMode::Fail)),
    ("lenient", Some(JobMode::Lenient)),
    ("replace", Some(JobMode::Replace)),
    ("replace-irreversibly", Some(JobMode::ReplaceIrreversibly)),
    ("isolate", Some(JobMode::Isolate)),
    ("flush", Some(JobMode::Flush)),
    ("ignore-dependencies", Some(JobMode::IgnoreDependencies)),
    ("ignore-requirements", Some(JobMode::IgnoreRequirements)),
    ("triggering", None),
    ("restart-dependencies", Some(JobMode::RestartDependencies)),
];

pub fn job_mode(name: &str) -> Result<JobMode, String> {
    match JOB_MODES.into_iter().find(|(other, _)| *other == name) {
        Some((_, Some(mode))) => Ok(mode),
        Some((_, None)) => Err(format!("--job-mode={name} is not one for a start")),
        None => Err(format!("Invalid job mode: {name}")),
    }
}
