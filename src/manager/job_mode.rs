//! How a start gets along with jobs that are queued already.

/// What becomes of queued jobs that a start conflicts with, for [`Command::job_mode`](crate::Command::job_mode)
/// (`systemctl(1)`, `--job-mode=`; the mode of `StartTransientUnit`, org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum JobMode {
    /// The start is refused where it would reverse a job. What sdrun and `systemd-run` take by themselves.
    #[default]
    Fail,
    /// They are replaced.
    Replace,
    /// As `Replace`, and the new jobs cannot be replaced in turn.
    ReplaceIrreversibly,
    /// All other units are stopped. systemd refuses it for units without `AllowIsolate=`.
    Isolate,
    /// All other queued jobs are cancelled.
    Flush,
    /// Neither required units nor the order of units count.
    IgnoreDependencies,
    /// Required units do not count, but the order of units does.
    IgnoreRequirements,
    /// As `Replace`, and where it is restarted, so is what depends on it. systemd 257 and later; 252 refuses it.
    RestartDependencies,
    /// The start is refused where it would stop another unit. systemd 262 and later; 257 refuses it.
    Lenient,
}

impl JobMode {
    /// systemd's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            JobMode::Fail => "fail",
            JobMode::Replace => "replace",
            JobMode::ReplaceIrreversibly => "replace-irreversibly",
            JobMode::Isolate => "isolate",
            JobMode::Flush => "flush",
            JobMode::IgnoreDependencies => "ignore-dependencies",
            JobMode::IgnoreRequirements => "ignore-requirements",
            JobMode::RestartDependencies => "restart-dependencies",
            JobMode::Lenient => "lenient",
        }
    }
}
