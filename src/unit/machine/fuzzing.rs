//! Events as no manager sends them, chosen by the bytes of an input: the machine never panics, ends a unit only where it
//! was told all that an end takes, and finds the end when that comes.

use super::{ActiveState, Event, JobResult, Machine, SubState, UnitState, Verdict};
use crate::fuzzing::Source;
use crate::unit::Exit;
use crate::unit::exit::{InvocationId, ServiceState};

/// Fuzz target: a life of a unit.
pub fn machine(data: &[u8]) {
    let source = &mut Source::new(data);
    let restarts = source.flag();
    let mut told = Told { machine: Machine::new(restarts), known: Known { may_restart: restarts, ..Known::default() } };
    while !source.is_empty() {
        // A new kind of event has to be added here, and in `Known::note`.
        let event = match source.below(13) {
            0 => Event::Accepted { job: job(source) },
            1 => Event::JobRemoved { job: job(source), result: result(source) },
            2 => Event::Adopted { state: state(source), activated: source.flag() },
            3 => Event::Answer { question: source.number() as u32, sub: sub(source) },
            // The answer to the last question, which a manager would give.
            4 => Event::Answer { question: told.known.question, sub: sub(source) },
            5 => {
                told.learn_restarts(source.flag());
                continue;
            }
            6 => {
                told.supersede();
                continue;
            }
            7 => {
                told.exit(source);
                continue;
            }
            8 => Event::Found { state: state(source), activated: source.flag() },
            _ => Event::Unit(state(source)),
        };
        told.apply(event);
    }
    told.end();
}

fn job(source: &mut Source<'_>) -> u32 {
    source.number() as u32
}

fn result(source: &mut Source<'_>) -> JobResult {
    JobResult::parse(source.one_of(&["done", "failed", "canceled", "timeout", "dependency", "assert", "new", ""]))
}

fn sub(source: &mut Source<'_>) -> SubState {
    source.one_of(&[SubState::Dead, SubState::AutoRestart, SubState::Exited, SubState::Other])
}

fn state(source: &mut Source<'_>) -> UnitState {
    use ActiveState::{Active, Changing, Failed, Inactive};
    UnitState {
        active: source.one_of(&[Inactive, Failed, Active, Changing]),
        sub: sub(source),
        job: job(source),
        condition: source.flag(),
        left: source.number(),
        left_realtime: source.number(),
        entered: source.number(),
        entered_realtime: source.number(),
        invocation_id: InvocationId::from_bytes(&[source.byte(); 16]).filter(|_| source.flag()),
    }
}

/// The machine, and what it was told.
struct Told {
    machine: Machine,
    known: Known,
}

/// What was told so far, without any rule but what each word of it means.
#[derive(Debug, Default)]
struct Known {
    may_restart: bool,
    /// The start job, once that is known; 0 where a unit was adopted that has none any more.
    start: Option<u32>,
    /// It counts as gone whatever was told of it.
    presumed_gone: bool,
    removed: Vec<u32>,
    /// The last state, if that may be of this unit.
    last: Option<UnitState>,
    /// Whether a state was active, or the unit is known to have been.
    active: bool,
    /// The last question, and whether it is still open.
    question: u32,
    open: bool,
}

impl Known {
    fn note(&mut self, event: &Event) {
        match event {
            Event::Accepted { job } => drop(self.start.get_or_insert(*job)),
            Event::JobRemoved { job, .. } => self.removed.push(*job),
            Event::Unit(state) => self.state(state),
            Event::Found { state, activated } if self.start.is_some() => {
                self.state(state);
                self.active |= activated;
                self.presumed_gone |= self.start != Some(state.job);
            }
            Event::Adopted { state, activated } | Event::Found { state, activated } if self.start.is_none() => {
                self.state(state);
                self.active |= activated;
                let runs = *activated || state.active == ActiveState::Active;
                self.presumed_gone = runs || state.job == 0;
                self.start = Some(if self.presumed_gone { 0 } else { state.job });
            }
            Event::Adopted { .. } | Event::Found { .. } | Event::Answer { .. } => {}
        }
    }

    fn state(&mut self, state: &UnitState) {
        self.active |= state.active == ActiveState::Active;
        self.last = Some(state.clone());
        self.open = false;
    }

    fn start_is_gone(&self) -> bool {
        self.presumed_gone || self.start.is_some_and(|start| self.removed.contains(&start))
    }
}

impl Told {
    fn apply(&mut self, event: Event) -> Verdict {
        self.known.note(&event);
        let verdict = self.machine.apply(event.clone());
        let Known { start, last, question, open, .. } = &mut self.known;
        let (was_open, before) = (*open, *question);
        if let Event::Answer { question: answered, .. } = &event {
            *open &= answered != question;
        }
        if let Verdict::Ask { question: next } = verdict {
            assert!(!was_open && next > before, "a question while one is open: {verdict:?} on {event:?}");
            (*question, *open) = (next, true);
        }
        assert_eq!(self.machine.is_unknown(), start.is_none());
        let (start, last) = (*start, last.clone());
        if self.machine.is_started() {
            assert!(self.known.start_is_gone(), "the start job is not gone: {event:?}");
        }
        if verdict == Verdict::Wait {
            return verdict;
        }
        // It has ended, or is asked about.
        let last = last.expect("no end without a word of the unit");
        let remains = last.active == ActiveState::Active && last.sub == SubState::Exited;
        assert!(start.is_some() && self.known.start_is_gone(), "an end before its start: {event:?}");
        assert!(remains || last.active.is_over(), "an end while it is up: {last:?}");
        assert!(remains || last.sub != SubState::AutoRestart, "an end before a restart: {last:?}");
        let its_own = Some(last.job) == start || self.known.removed.contains(&last.job);
        assert!(remains || last.job == 0 || its_own && last.entered > 0, "another job waits: {last:?}");
        if verdict == Verdict::Ended {
            let answered = matches!(&event, Event::Answer { question, sub: SubState::Dead } if *question == before);
            assert!(remains || !self.known.may_restart || answered && was_open, "an end that may be a restart");
            let ending = self.machine.ending().expect("what is known of the end");
            assert_eq!((ending.entered, ending.left, ending.remains), (last.entered, last.left, remains));
            assert_eq!(ending.invocation_id, last.invocation_id);
            assert!(!ending.activated || self.known.active, "it was never active");
        }
        verdict
    }

    fn learn_restarts(&mut self, restarts: bool) {
        let counts = !self.machine.may_be_over();
        self.machine.learn_restarts(restarts);
        if counts {
            self.known.may_restart = restarts;
        }
    }

    fn supersede(&mut self) {
        self.machine.supersede();
        self.known.may_restart = false;
        self.known.open = false;
        self.known.presumed_gone |= self.known.start.is_some();
    }

    /// Whatever is known makes an exit, which can be shown.
    fn exit(&self, source: &mut Source<'_>) {
        let Some(ending) = self.machine.ending() else { return };
        let results =
            ["success", "exit-code", "signal", "core-dump", "resources", "protocol", "exec-condition", "", "x"];
        let mut service = ServiceState {
            result: source.one_of(&results).into(),
            code: source.number() as i32,
            status: source.number() as i32,
            exited: source.number(),
            exited_realtime: source.number(),
            processes: [source.number() as u32, source.number() as u32],
        };
        if source.flag() {
            service.forget_before(&ending);
        }
        let exit = Exit::new("a.service", &ending, source.flag().then_some(&service));
        let shown = format!("{exit} {exit:?} {:?}", exit.check());
        assert!(!shown.is_empty() && exit.success() == exit.result.as_str().eq("success"));
        let _ = ending.was_activated(&exit.result);
    }

    /// From wherever it was brought, the end is found when that comes.
    fn end(mut self) {
        if self.known.start.is_none() {
            self.apply(Event::Accepted { job: 7777 });
        }
        let job = self.known.start.expect("it was accepted");
        self.apply(Event::JobRemoved { job, result: JobResult::Done });
        let end = UnitState {
            active: ActiveState::Failed,
            sub: SubState::Dead,
            job: 0,
            condition: true,
            left: 5,
            left_realtime: 5,
            entered: 9,
            entered_realtime: 9,
            invocation_id: None,
        };
        let mut verdict = self.apply(Event::Unit(end));
        if let Verdict::Ask { question } = verdict {
            verdict = self.apply(Event::Answer { question, sub: SubState::Dead });
        }
        assert_eq!(verdict, Verdict::Ended, "{:?}", self.known);
    }
}
