//! How a unit ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::machine::{Ending, JobResult};
use super::usage::Usage;
use crate::error::{Error, Result};
use crate::journal::Remembered;

/// How a unit ended: what [`Unit::wait`](crate::Unit::wait) resolves to.
///
/// Two verdicts are in it. [`result`](Exit::result) is systemd's, about the unit as a whole; [`status`](Exit::status)
/// is about its main process alone. They may differ: a process that ended with SIGTERM is a success to systemd,
/// but for a oneshot (`systemd.service(5)`, `SuccessExitStatus=`), and a failing `ExecStopPost=` makes a failure of a unit whose main
/// process returned 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The unit's name.
    pub unit: Box<str>,
    /// Why the unit ended: the `Result` property, or why it was never started.
    pub result: Outcome,
    /// How the main process ended (`ExecMainCode`, `ExecMainStatus`); `None` when there was none, as
    /// after a start that was skipped. A program that could not be executed counts as one that returned systemd's
    /// own code, 203 for instance.
    pub status: Option<Status>,
    /// When the unit left the inactive state (`InactiveExitTimestamp`); `None` when it never did.
    pub started: Option<SystemTime>,
    /// When the unit became inactive again (`InactiveEnterTimestamp`), or, where it remains after the exit, when its
    /// main process ended (`ExecMainExitTimestamp`).
    pub ended: Option<SystemTime>,
    /// How long it took from the one to the other, on the monotonic clock.
    pub runtime: Option<Duration>,
    /// The ID of this run of the unit, which its processes see as `$INVOCATION_ID` and the journal files its log
    /// under; `None` when it was never started.
    pub invocation_id: Option<InvocationId>,
    /// What it has used, where [`Command::usage`](crate::Command::usage) asked for that and it could be read.
    pub usage: Option<Usage>,
    /// Whether this is what the journal says. The connection to the manager was lost when the unit ended, and when it was
    /// there again the unit was not. A failure is told in full then; of a success [`status`](Exit::status) may be `None`
    /// though there was a main process, since nobody logs it. [`Command::durable`](crate::Command::durable) keeps units from
    /// being forgotten so.
    pub from_journal: bool,
}

/// Why a unit ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It did what it should (`success`).
    Success,
    /// A process returned a code that is no success (`exit-code`). 200 to 243 are systemd's own, for a program that
    /// could not be executed: `systemd.exec(5)`, "Process Exit Codes".
    ExitCode,
    /// A process was ended by a signal that is no success (`signal`).
    Signal,
    /// A process was ended by a signal and dumped core (`core-dump`).
    CoreDump,
    /// A time limit ran out (`timeout`).
    Timeout,
    /// The watchdog was not fed in time (`watchdog`).
    Watchdog,
    /// It was restarted too often (`start-limit-hit`).
    StartLimitHit,
    /// It ran out of memory (`oom-kill`).
    OomKill,
    /// It did not follow the protocol of its service type (`protocol`).
    Protocol,
    /// systemd lacked the resources to start it (`resources`).
    Resources,
    /// Skipped: an `ExecCondition=` said no (`exec-condition`).
    ExecCondition,
    /// Skipped: a `Condition…=` of the unit was not met. systemd-run calls this a success.
    Condition,
    /// Never started: an `Assert…=` of the unit was not met (job result `assert`).
    Assert,
    /// Never started, or stopped while it was starting: its start job was cancelled (job result `canceled`).
    Canceled,
    /// Never started: a unit that it requires failed (job result `dependency`).
    Dependency,
    /// Of a unit that someone else may have started: systemd knows of no run of it.
    NotStarted,
    /// Something that this version of sdrun does not know; the text is systemd's.
    Other(Box<str>),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It returned this code.
    Exited(u8),
    /// It was ended by this signal.
    Killed(i32),
    /// It was ended by this signal and dumped core.
    Dumped(i32),
}

/// The ID of one run of a unit, 128 bits (`InvocationID`, `systemd.exec(5)`). Displayed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InvocationId([u8; 16]);

impl Exit {
    /// Whether systemd calls it a success: [`Outcome::Success`]. A start that was skipped is none.
    pub fn success(&self) -> bool {
        self.result == Outcome::Success
    }

    /// An error unless the unit did its work: systemd calls it a success and no signal ended its main process.
    ///
    /// [`success`](Exit::success) is systemd's verdict alone, to which a service that SIGTERM, SIGHUP, SIGINT or SIGPIPE
    /// ended is a success too (`SuccessExitStatus=`, `systemd.service(5)`): it was told to stop, and did. To whoever
    /// waits for its work it has not been done. A code that `SuccessExitStatus=` adds is good to both.
    ///
    /// ```no_run
    /// # async fn example() -> sdrun::Result<()> {
    /// sdrun::run(["/usr/bin/make", "-C", "/src"]).await?.await?.check()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Failed`], which holds the exit.
    pub fn check(&self) -> Result<()> {
        if self.success() && self.signal().is_none() {
            Ok(())
        } else {
            Err(Error::Failed { exit: Box::new(self.clone()) })
        }
    }

    /// The code that the main process returned; `None` when it was ended by a signal or never ran.
    pub fn code(&self) -> Option<i32> {
        match self.status {
            Some(Status::Exited(code)) => Some(code.into()),
            _ => None,
        }
    }

    /// The signal that ended the main process.
    pub fn signal(&self) -> Option<i32> {
        match self.status {
            Some(Status::Killed(signal) | Status::Dumped(signal)) => Some(signal),
            _ => None,
        }
    }

    /// Whether the main process dumped core.
    pub fn core_dumped(&self) -> bool {
        matches!(self.status, Some(Status::Dumped(_)))
    }

    /// What the unit's last signals say.
    pub(crate) fn new(unit: &str, ending: &Ending, service: Option<&ServiceState>) -> Self {
        let result = outcome(unit, ending, service);
        let status = service.and_then(|service| status(service.code, service.status));
        let entered = (ending.entered_realtime, ending.entered);
        let main_exited = service.map_or((0, 0), |service| (service.exited_realtime, service.exited));
        // Where the unit is still active, what `entered` says is of an earlier run, if anything.
        let (ended_realtime, ended) = if ending.remains { main_exited } else { entered };
        Exit {
            unit: unit.into(),
            result,
            status,
            started: time(ending.left_realtime),
            ended: time(ended_realtime),
            runtime: (ending.left > 0 && ended > ending.left).then(|| Duration::from_micros(ended - ending.left)),
            invocation_id: ending.invocation_id,
            usage: None,
            from_journal: false,
        }
    }

    /// What the journal says, of a run that left the inactive state at this time (monotonic and real-time, in µs), where
    /// that is known. `None` where it does not say how the run ended.
    pub(crate) fn remembered(unit: &str, found: &Remembered, left: Option<(u64, u64)>) -> Option<Self> {
        let status = found.status.as_ref().and_then(|(code, number)| match &**code {
            "exited" => Some(Status::Exited(u8::try_from(*number).ok()?)),
            "killed" => Some(Status::Killed(*number)),
            "dumped" => Some(Status::Dumped(*number)),
            _ => None,
        });
        let (ended_realtime, ended) = found.ended;
        let runtime = left.filter(|(left, _)| ended > *left).map(|(left, _)| Duration::from_micros(ended - left));
        Some(Exit {
            unit: unit.into(),
            result: match found.result.as_deref()? {
                "condition" => Outcome::Condition,
                result => Outcome::from_result(result),
            },
            status,
            started: left.and_then(|(_, realtime)| time(realtime)),
            ended: time(ended_realtime),
            runtime,
            invocation_id: found.run,
            usage: None,
            from_journal: true,
        })
    }
}

/// What a `PropertiesChanged` of the service interface says that matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServiceState {
    pub result: Box<str>,
    /// `ExecMainCode`: a `CLD_…` constant, 0 as long as it runs.
    pub code: i32,
    pub status: i32,
    pub exited: u64,
    pub exited_realtime: u64,
    /// `ExecMainPID` and `ControlPID`.
    pub processes: [u32; 2],
}

impl ServiceState {
    /// Leaves what is said of the last of several runs.
    pub fn forget_before(&mut self, last: &Ending) {
        let started = last.left > 0;
        match &*self.result {
            _ if started => {}
            _ if last.job != JobResult::Failed => self.result = "success".into(),
            // What a start can fail of before there is a process. systemd 252 does not say that it was a start limit.
            "resources" | "start-limit-hit" => {}
            _ => self.result = "failed".into(),
        }
        if !started || self.exited < last.left {
            *self = ServiceState { result: std::mem::take(&mut self.result), ..ServiceState::default() };
        }
    }
}

fn outcome(unit: &str, ending: &Ending, service: Option<&ServiceState>) -> Outcome {
    let result = match service {
        Some(service) => &service.result,
        None if unit.ends_with(".service") => "",
        // Of other types of units no more is known than this.
        None if ending.failed => "failed",
        // The manager did not even begin: a timer without its service, for instance.
        None if !ending.activated && ending.job == JobResult::Failed => "failed",
        None => "success",
    };
    if result != "success" {
        return Outcome::from_result(result);
    }
    // systemd's `Result` stays `success` where nothing went wrong with the unit itself; whether it was started
    // at all is for its start job to say.
    match &ending.job {
        _ if ending.activated => Outcome::Success,
        JobResult::Done if ending.entered == 0 && !ending.condition => Outcome::Condition,
        JobResult::Done => Outcome::Success,
        // A failed start is in `Result` too, unless systemd has started the unit anew since (`Restart=`): then the
        // job is that of an earlier attempt.
        JobResult::Failed => Outcome::Success,
        JobResult::Assert => Outcome::Assert,
        JobResult::Canceled => Outcome::Canceled,
        JobResult::Dependency => Outcome::Dependency,
        JobResult::Timeout => Outcome::Timeout,
        JobResult::NotStarted => Outcome::NotStarted,
        other => Outcome::Other(other.as_str().into()),
    }
}

/// `ExecMainCode` and `ExecMainStatus`, as in `siginfo_t`.
fn status(code: i32, status: i32) -> Option<Status> {
    const CLD_EXITED: i32 = nix::libc::CLD_EXITED;
    const CLD_KILLED: i32 = nix::libc::CLD_KILLED;
    const CLD_DUMPED: i32 = nix::libc::CLD_DUMPED;
    match code {
        CLD_EXITED => Some(Status::Exited(status as u8)),
        CLD_KILLED => Some(Status::Killed(status)),
        CLD_DUMPED => Some(Status::Dumped(status)),
        _ => None,
    }
}

/// A time of `CLOCK_REALTIME` in µs, as systemd has it: 0 for never.
pub(crate) fn time(microseconds: u64) -> Option<SystemTime> {
    (microseconds > 0).then(|| UNIX_EPOCH.checked_add(Duration::from_micros(microseconds))).flatten()
}

impl Outcome {
    fn from_result(result: &str) -> Self {
        match result {
            "success" => Outcome::Success,
            "exit-code" => Outcome::ExitCode,
            "signal" => Outcome::Signal,
            "core-dump" => Outcome::CoreDump,
            "timeout" => Outcome::Timeout,
            "watchdog" => Outcome::Watchdog,
            "start-limit-hit" => Outcome::StartLimitHit,
            "oom-kill" => Outcome::OomKill,
            "protocol" => Outcome::Protocol,
            "resources" => Outcome::Resources,
            "exec-condition" => Outcome::ExecCondition,
            other => Outcome::Other(other.into()),
        }
    }

    /// systemd's word for it: the `Result` property, else the job's result.
    pub fn as_str(&self) -> &str {
        match self {
            Outcome::Success => "success",
            Outcome::ExitCode => "exit-code",
            Outcome::Signal => "signal",
            Outcome::CoreDump => "core-dump",
            Outcome::Timeout => "timeout",
            Outcome::Watchdog => "watchdog",
            Outcome::StartLimitHit => "start-limit-hit",
            Outcome::OomKill => "oom-kill",
            Outcome::Protocol => "protocol",
            Outcome::Resources => "resources",
            Outcome::ExecCondition => "exec-condition",
            Outcome::Condition => "condition",
            Outcome::Assert => "assert",
            Outcome::Canceled => "canceled",
            Outcome::Dependency => "dependency",
            Outcome::NotStarted => "not-started",
            Outcome::Other(text) => text,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Status {
    /// As systemd writes it: `exited, status 3`, `killed, signal 9 (SIGKILL)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, signal) = match self {
            Status::Exited(code) => return write!(f, "exited, status {code}"),
            Status::Killed(signal) => ("killed", signal),
            Status::Dumped(signal) => ("dumped", signal),
        };
        match Signal::try_from(*signal) {
            Ok(name) => write!(f, "{word}, signal {signal} ({name})"),
            Err(_) => write!(f, "{word}, signal {signal}"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.result)?;
        match self.status {
            Some(status) => write!(f, " (main process {status})"),
            None => Ok(()),
        }
    }
}

/// The process's status as `std` has it.
impl From<Status> for std::process::ExitStatus {
    fn from(status: Status) -> Self {
        const CORE: i32 = 0x80;
        std::process::ExitStatus::from_raw(match status {
            Status::Exited(code) => i32::from(code) << 8,
            Status::Killed(signal) => signal & 0x7f,
            Status::Dumped(signal) => (signal & 0x7f) | CORE,
        })
    }
}

impl InvocationId {
    /// From the bytes of the `InvocationID` property; empty for a unit that was never started.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(InvocationId)
    }

    /// From 32 hexadecimal digits.
    pub(crate) fn parse(digits: &[u8]) -> Option<Self> {
        let digits =
            std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 32 && !digits.starts_with('+'))?;
        u128::from_str_radix(digits, 16).ok().map(|number| InvocationId(number.to_be_bytes()))
    }

    /// The 16 bytes, in the order in which the digits are written.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_convert_to_std() {
        use std::process::ExitStatus;
        assert_eq!(ExitStatus::from(Status::Exited(3)).code(), Some(3));
        assert!(ExitStatus::from(Status::Exited(0)).success());
        let killed = ExitStatus::from(Status::Killed(9));
        assert_eq!((killed.signal(), killed.core_dumped()), (Some(9), false));
        let dumped = ExitStatus::from(Status::Dumped(6));
        assert_eq!((dumped.signal(), dumped.core_dumped()), (Some(6), true));
    }

    #[test]
    fn statuses_read_as_systemd_writes_them() {
        assert_eq!(Status::Exited(203).to_string(), "exited, status 203");
        assert_eq!(Status::Killed(9).to_string(), "killed, signal 9 (SIGKILL)");
        assert_eq!(Status::Killed(34).to_string(), "killed, signal 34");
    }
}
