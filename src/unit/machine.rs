//! The life of a unit from its signals: plain data, no bus.
//!
//! A unit has ended when it is inactive or failed *and* its start job is gone *and* it is not about to be
//! restarted. Each half alone is wrong: before its start it is inactive too, a oneshot is inactive before its
//! job is removed, and `Restart=` passes through `failed` on its way to the next attempt.

use super::exit::{InvocationId, Outcome};
use crate::error::shorten;

/// What happens to a unit, as its manager reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The reply to `StartTransientUnit`: the start job.
    Accepted { job: u32 },
    /// `JobRemoved`, for whatever job of the unit.
    JobRemoved { job: u32, result: JobResult },
    /// `PropertiesChanged` of the unit interface.
    Unit(UnitState),
    /// The state of a unit that someone else has started, when it is first known, and whether it has been active since it
    /// was last inactive. A job that it names counts as its start job.
    Adopted { state: UnitState, activated: bool },
    /// The state of the unit when it was looked up after a time in which signals may have been lost, and whether it has been
    /// active since it was last inactive.
    Found { state: UnitState, activated: bool },
    /// The answer to [`Verdict::Ask`]; `Dead` also where the unit is not loaded any more.
    Answer { question: u32, sub: SubState },
}

impl Event {
    /// The state of the unit that it tells of.
    pub fn state_mut(&mut self) -> Option<&mut UnitState> {
        match self {
            Event::Unit(state) | Event::Adopted { state, .. } | Event::Found { state, .. } => Some(state),
            Event::Accepted { .. } | Event::JobRemoved { .. } | Event::Answer { .. } => None,
        }
    }
}

/// What an event means for those who wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The unit is not at its end.
    Wait,
    /// It looks like the end, or like the first of two signals of a restart: `SubState` must be asked for.
    Ask { question: u32 },
    /// The unit has ended: see [`Machine::ending`].
    Ended,
}

/// The properties of the unit interface that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitState {
    pub active: ActiveState,
    pub sub: SubState,
    /// The job that is queued or running for it, 0 for none.
    pub job: u32,
    /// `ConditionResult`
    pub condition: bool,
    /// `InactiveExitTimestamp(Monotonic)`, in µs.
    pub left: u64,
    pub left_realtime: u64,
    /// `InactiveEnterTimestamp(Monotonic)`, in µs.
    pub entered: u64,
    pub entered_realtime: u64,
    pub invocation_id: Option<InvocationId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActiveState {
    Active,
    Inactive,
    Failed,
    /// On its way between those: activating, deactivating, reloading, maintenance, refreshing.
    Changing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubState {
    /// `dead`, `failed`
    Dead,
    /// `exited`
    Exited,
    /// `auto-restart`, `auto-restart-queued`, and what comes before them since systemd 254.
    AutoRestart,
    Other,
}

/// How a job ended (`JobRemoved`, org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JobResult {
    Done,
    Failed,
    Canceled,
    Timeout,
    Dependency,
    Assert,
    /// There was no job: see [`Event::Adopted`].
    NotStarted,
    Other(Box<str>),
}

/// All that is known of a unit at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub job: JobResult,
    /// Whether the unit was ever reported active.
    pub activated: bool,
    /// Whether the unit is failed, not inactive.
    pub failed: bool,
    /// Whether it remains active although its main process has ended (`RemainAfterExit=`).
    pub remains: bool,
    pub condition: bool,
    pub left: u64,
    pub left_realtime: u64,
    pub entered: u64,
    pub entered_realtime: u64,
    pub invocation_id: Option<InvocationId>,
}

/// The state of one unit between its start and its end.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Whether `Restart=` may follow an end.
    restarts: bool,
    start: StartJob,
    unit: Option<UnitState>,
    activated: bool,
    questions: u32,
    asking: bool,
}

#[derive(Debug)]
enum StartJob {
    /// The reply has not come; these jobs of the unit were removed meanwhile. Signals may overtake the reply,
    /// and they may be of an earlier unit of the same name.
    Unknown {
        removed: Vec<Removed>,
    },
    Running {
        job: u32,
    },
    Gone {
        job: u32,
        result: JobResult,
    },
}

#[derive(Debug)]
struct Removed {
    job: u32,
    result: JobResult,
    /// Whether a signal of the unit came since.
    signalled: bool,
}

/// More removed jobs than that before the reply are not one unit's start.
const MOST_UNKNOWN: usize = 8;

impl Machine {
    pub fn new(restarts: bool) -> Self {
        Machine {
            restarts,
            start: StartJob::Unknown { removed: Vec::new() },
            unit: None,
            activated: false,
            questions: 0,
            asking: false,
        }
    }

    pub fn apply(&mut self, event: Event) -> Verdict {
        match event {
            Event::Accepted { job } => {
                if let StartJob::Unknown { removed } = &mut self.start {
                    let gone = removed.iter().position(|gone| gone.job == job).map(|at| removed.swap_remove(at));
                    // Until the job is removed every signal of the unit names it: what came before that and does
                    // not is of an earlier unit.
                    let signalled = gone.as_ref().is_some_and(|gone| gone.signalled);
                    self.unit.take_if(|unit| unit.job != job && !signalled);
                    self.start = match gone {
                        Some(gone) => StartJob::Gone { job, result: gone.result },
                        None => StartJob::Running { job },
                    };
                    self.activated |= self.unit.as_ref().is_some_and(|unit| unit.active == ActiveState::Active);
                }
            }
            Event::JobRemoved { job, result } => match &mut self.start {
                StartJob::Unknown { removed } => {
                    if removed.len() == MOST_UNKNOWN {
                        removed.remove(0);
                    }
                    removed.push(Removed { job, result, signalled: false });
                }
                StartJob::Running { job: start } if *start == job => {
                    self.start = StartJob::Gone { job, result };
                }
                StartJob::Running { .. } | StartJob::Gone { .. } => {
                    // Another job, of someone who stopped or restarted the unit. Where it is the one that the
                    // last signal named, the next one will say that it is gone.
                }
            },
            Event::Unit(state) => {
                self.asking = false;
                if let StartJob::Unknown { removed } = &mut self.start {
                    removed.iter_mut().for_each(|gone| gone.signalled = true);
                }
                // Before the reply it may be an earlier unit of the same name that is active.
                self.activated |= state.active == ActiveState::Active && !self.is_unknown();
                self.unit = Some(state);
            }
            Event::Adopted { state, activated } => {
                let StartJob::Unknown { removed } = &mut self.start else { return Verdict::Wait };
                let gone = removed.iter().position(|gone| gone.job == state.job).map(|at| removed.swap_remove(at));
                self.activated = activated || state.active == ActiveState::Active;
                self.start = match (state.job, gone) {
                    (job, None) if job > 0 && !self.activated => StartJob::Running { job },
                    (job, Some(gone)) if job > 0 => StartJob::Gone { job, result: gone.result },
                    _ => StartJob::Gone { job: 0, result: self.presumed(&state) },
                };
                self.unit = Some(state);
            }
            Event::Found { state, activated } if self.is_unknown() => {
                return self.apply(Event::Adopted { state, activated });
            }
            Event::Found { state, activated } => {
                self.asking = false;
                self.activated |= activated || state.active == ActiveState::Active;
                match &mut self.start {
                    StartJob::Running { job } if *job == state.job => {}
                    StartJob::Running { job } => {
                        let job = *job;
                        self.start = StartJob::Gone { job, result: self.presumed(&state) };
                    }
                    StartJob::Unknown { .. } | StartJob::Gone { .. } => {}
                }
                self.unit = Some(state);
            }
            Event::Answer { question, sub } => {
                if !self.asking || question != self.questions {
                    return Verdict::Wait;
                }
                self.asking = false;
                return if sub == SubState::Dead { Verdict::Ended } else { Verdict::Wait };
            }
        }
        self.judge()
    }

    /// What the start job of a unit that was started before must have come to.
    fn presumed(&self, state: &UnitState) -> JobResult {
        match state {
            _ if self.activated => JobResult::Done,
            UnitState { left: 0, condition: false, .. } => JobResult::Done,
            UnitState { left: 0, .. } => JobResult::NotStarted,
            // A oneshot that has run is no different, but for its result.
            _ => JobResult::Failed,
        }
    }

    /// Sets whether `Restart=` may follow an end. Until it is known it is taken to.
    pub fn learn_restarts(&mut self, restarts: bool) {
        if !self.may_be_over() {
            self.restarts = restarts;
        }
    }

    /// The unit is not loaded any more, and no signal of its end was lost: what the last one has said is the end, if it has
    /// said that.
    pub fn vanish(&mut self) -> Verdict {
        match &self.unit {
            Some(unit) if unit.active.is_over() && unit.job == 0 && unit.entered > 0 => {
                let unit = unit.clone();
                self.restarts = false;
                self.apply(Event::Found { state: unit, activated: false })
            }
            _ => Verdict::Wait,
        }
    }

    /// Whether systemd may start it again after its end.
    pub fn restarts(&self) -> bool {
        self.restarts
    }

    /// When it left the inactive state, as far as signals have told (`InactiveExitTimestamp(Monotonic)`, in µs).
    pub fn left(&self) -> Option<(u64, u64)> {
        self.unit.as_ref().filter(|unit| unit.left > 0).map(|unit| (unit.left, unit.left_realtime))
    }

    fn judge(&mut self) -> Verdict {
        let (StartJob::Gone { job: start, .. }, Some(unit)) = (&self.start, &self.unit) else {
            return Verdict::Wait;
        };
        match unit.active {
            ActiveState::Active if unit.remains() => Verdict::Ended,
            ActiveState::Active | ActiveState::Changing => Verdict::Wait,
            ActiveState::Inactive | ActiveState::Failed => {
                // The last signal may name the start job because it was sent just before that was removed. If
                // it also says that the unit ran, that is the end. If not, what it says may be from before the
                // start: another one follows, since losing its job is a change of the unit.
                let free = unit.job == 0 || (unit.job == *start && unit.entered > 0);
                if !free || unit.sub == SubState::AutoRestart {
                    Verdict::Wait
                } else if !self.restarts {
                    Verdict::Ended
                } else if self.asking {
                    Verdict::Wait
                } else {
                    self.asking = true;
                    self.questions += 1;
                    Verdict::Ask { question: self.questions }
                }
            }
        }
    }

    /// Another start has begun, so that the last state counts as the end, whatever there was to be asked or to be heard.
    pub fn supersede(&mut self) {
        self.restarts = false;
        self.asking = false;
        if let StartJob::Running { job } = self.start {
            self.start = StartJob::Gone { job, result: JobResult::Done };
        }
    }

    /// Whether systemd has yet to say that it accepts the start.
    pub fn is_unknown(&self) -> bool {
        matches!(self.start, StartJob::Unknown { .. })
    }

    /// Whether the start job is over, so that it counts no more.
    pub fn is_started(&self) -> bool {
        matches!(self.start, StartJob::Gone { .. })
    }

    /// Whether the start job is over and the unit has been active.
    pub fn is_activated(&self) -> bool {
        self.activated && self.is_started()
    }

    /// Whether the last signal may turn out to be that of the end.
    pub fn may_be_over(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| unit.active.is_over() || unit.remains())
    }

    /// What is known at the end; `None` as long as there is none.
    pub fn ending(&self) -> Option<Ending> {
        let (StartJob::Gone { result, .. }, Some(unit)) = (&self.start, &self.unit) else { return None };
        Some(Ending {
            job: result.clone(),
            activated: self.activated,
            failed: unit.active == ActiveState::Failed,
            remains: unit.remains(),
            condition: unit.condition,
            left: unit.left,
            left_realtime: unit.left_realtime,
            entered: unit.entered,
            entered_realtime: unit.entered_realtime,
            invocation_id: unit.invocation_id,
        })
    }
}

impl Ending {
    /// Whether the start came to what it should: the unit was active, or, as a oneshot and what ended before its manager
    /// said so, it ran.
    pub fn was_activated(&self, outcome: &Outcome) -> bool {
        match &self.job {
            _ if self.activated => true,
            // `Condition` too is an outcome of a job that is done.
            JobResult::Done => !matches!(outcome, Outcome::Condition | Outcome::ExecCondition),
            // The job is that of an earlier attempt, and a later one has succeeded (`Restart=`).
            _ => *outcome == Outcome::Success,
        }
    }
}

impl UnitState {
    /// Whether nothing has ever happened to it, as to one that was loaded only to be looked at.
    pub fn is_pristine(&self) -> bool {
        self.active == ActiveState::Inactive && self.job == 0 && self.left == 0 && self.entered == 0
    }

    /// Whether it stays active after its main process has ended (`RemainAfterExit=`).
    pub fn remains(&self) -> bool {
        self.active == ActiveState::Active && self.sub == SubState::Exited
    }
}

impl ActiveState {
    pub fn parse(text: &str) -> Self {
        match text {
            "active" => ActiveState::Active,
            "inactive" => ActiveState::Inactive,
            "failed" => ActiveState::Failed,
            _ => ActiveState::Changing,
        }
    }

    /// Whether a unit in this state may be at its end.
    pub fn is_over(self) -> bool {
        matches!(self, ActiveState::Inactive | ActiveState::Failed)
    }
}

impl SubState {
    pub fn parse(text: &str) -> Self {
        match text {
            "dead" | "failed" => SubState::Dead,
            "exited" => SubState::Exited,
            "auto-restart" | "auto-restart-queued" | "dead-before-auto-restart" | "failed-before-auto-restart" => {
                SubState::AutoRestart
            }
            _ => SubState::Other,
        }
    }
}

impl JobResult {
    pub fn parse(text: &str) -> Self {
        match text {
            "done" => JobResult::Done,
            "failed" => JobResult::Failed,
            "canceled" => JobResult::Canceled,
            "timeout" => JobResult::Timeout,
            "dependency" => JobResult::Dependency,
            "assert" => JobResult::Assert,
            other => JobResult::Other(shorten(other)),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            JobResult::Done => "done",
            JobResult::Failed => "failed",
            JobResult::Canceled => "canceled",
            JobResult::Timeout => "timeout",
            JobResult::Dependency => "dependency",
            JobResult::Assert => "assert",
            JobResult::NotStarted => "not-started",
            JobResult::Other(text) => text,
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
pub(crate) mod recording;
#[cfg(test)]
mod tests;
