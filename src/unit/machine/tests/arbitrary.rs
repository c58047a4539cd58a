//! Events in any order, also such as no manager sends them: the machine never panics, and what it says is borne out
//! by the events so far.

use crate::unit::machine::{ActiveState, Event, JobResult, Machine, SubState, UnitState, Verdict};

/// Our start job, and one of someone else.
const OURS: u32 = 1;
const OTHER: u32 = 2;

fn unit(active: ActiveState, sub: SubState, job: u32, entered: u64) -> Event {
    Event::Unit(UnitState {
        active,
        sub,
        job,
        condition: entered > 0,
        left: entered,
        left_realtime: entered,
        entered,
        entered_realtime: entered,
        invocation_id: None,
    })
}

fn removed(job: u32) -> Event {
    Event::JobRemoved { job, result: JobResult::Done }
}

fn remains(unit: &UnitState) -> bool {
    unit.active == ActiveState::Active && unit.sub == SubState::Exited
}

/// What was told, and what follows from it by the rule of FACTS.md, read off the whole history each time.
struct History {
    restarts: bool,
    events: Vec<Event>,
    /// The last question, and whether no unit signal came since.
    question: Option<(u32, bool)>,
}

impl History {
    fn new(restarts: bool) -> Self {
        History { restarts, events: Vec::new(), question: None }
    }

    fn start_job(&self) -> Option<u32> {
        self.events.iter().find_map(|event| if let Event::Accepted { job } = event { Some(*job) } else { None })
    }

    fn start_job_is_gone(&self) -> bool {
        let start = self.start_job();
        self.events.iter().any(|event| matches!(event, Event::JobRemoved { job, .. } if Some(*job) == start))
    }

    /// The last signal of the unit, unless it is an earlier unit's: one that came before the reply and before the
    /// start job was removed, without naming that.
    fn last_unit(&self) -> Option<&UnitState> {
        let is = |what: &dyn Fn(&Event) -> bool| self.events.iter().position(what);
        let at = self.events.iter().rposition(|event| matches!(event, Event::Unit(_)))?;
        let Event::Unit(unit) = &self.events[at] else { unreachable!() };
        let Some(start) = self.start_job() else { return Some(unit) };
        let accepted = is(&|event| matches!(event, Event::Accepted { .. }));
        let gone = is(&|event| matches!(event, Event::JobRemoved { job, .. } if *job == start));
        let ours = unit.job == start || accepted < Some(at) || gone.is_some_and(|gone| gone < at);
        ours.then_some(unit)
    }

    /// Whether all but the question of a restart says that it is the end.
    fn may_end(&self) -> bool {
        let (Some(unit), true) = (self.last_unit(), self.start_job_is_gone()) else { return false };
        let unheld = unit.job == 0 || Some(unit.job) == self.start_job() && unit.entered > 0;
        unit.active.is_over() && unheld && unit.sub != SubState::AutoRestart
    }

    fn remains(&self) -> bool {
        self.start_job_is_gone() && self.last_unit().is_some_and(remains)
    }

    /// Applies an event to both, and compares.
    fn apply(&mut self, machine: &mut Machine, event: &Event) -> Verdict {
        let verdict = machine.apply(event.clone());
        self.events.push(event.clone());
        if let (Event::Unit(_), Some((_, open))) = (event, &mut self.question) {
            *open = false;
        }
        let context = || format!("restarts: {}, {verdict:?} after {:#?}", self.restarts, self.events);
        let expected = if let Event::Answer { question, sub } = event {
            let open = self.question == Some((*question, true));
            if open {
                self.question = None;
            }
            if open && *sub == SubState::Dead { Verdict::Ended } else { Verdict::Wait }
        } else if self.remains() || self.may_end() && !self.restarts {
            Verdict::Ended
        } else if self.may_end() && !matches!(self.question, Some((_, true))) {
            let Verdict::Ask { question } = verdict else { panic!("no question: {}", context()) };
            self.question = Some((question, true));
            verdict
        } else {
            Verdict::Wait
        };
        assert_eq!(verdict, expected, "{}", context());
        assert_eq!(machine.is_unknown(), self.start_job().is_none(), "{}", context());
        assert_eq!(machine.is_started(), self.start_job_is_gone(), "{}", context());
        let over = |unit: &UnitState| unit.active.is_over() || remains(unit);
        assert_eq!(machine.may_be_over(), self.last_unit().is_some_and(over), "{}", context());
        if verdict == Verdict::Ended {
            let ending = machine.ending().expect("an ending");
            let unit = self.last_unit().unwrap();
            assert_eq!((ending.entered, ending.remains), (unit.entered, !unit.active.is_over()), "{}", context());
        }
        verdict
    }
}

/// Every sequence of up to five events of those that matter to the verdict.
#[test]
fn all_short_sequences() {
    let events = [
        Event::Accepted { job: OURS },
        removed(OURS),
        removed(OTHER),
        unit(ActiveState::Inactive, SubState::Dead, OURS, 0),
        unit(ActiveState::Inactive, SubState::Dead, OTHER, 5),
        unit(ActiveState::Failed, SubState::Dead, OURS, 5),
        unit(ActiveState::Failed, SubState::Dead, 0, 0),
        unit(ActiveState::Failed, SubState::AutoRestart, 0, 5),
        unit(ActiveState::Active, SubState::Exited, 0, 0),
        unit(ActiveState::Changing, SubState::Other, 0, 5),
        Event::Answer { question: 1, sub: SubState::Dead },
        Event::Answer { question: 2, sub: SubState::Dead },
        Event::Answer { question: 1, sub: SubState::AutoRestart },
    ];
    const LONGEST: usize = 5;
    let mut ends = [0, 0];
    for restarts in [false, true] {
        let mut sequence = [0; LONGEST];
        'all: loop {
            let (mut machine, mut history) = (Machine::new(restarts), History::new(restarts));
            let ended = sequence.iter().position(|at| history.apply(&mut machine, &events[*at]) == Verdict::Ended);
            ends[usize::from(restarts)] += usize::from(ended.is_some());
            // The next sequence that is not the same up to the end.
            let mut last = ended.unwrap_or(LONGEST - 1);
            while sequence[last] + 1 == events.len() {
                if last == 0 {
                    break 'all;
                }
                last -= 1;
            }
            sequence[last] += 1;
            sequence[last + 1..].fill(0);
        }
    }
    assert!(ends.iter().all(|ends| *ends > 1000), "{ends:?}");
}

/// Marsaglia's xorshift: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn event(&mut self) -> Event {
        use ActiveState::{Active, Changing, Failed, Inactive};
        let job = self.one_of(&[0, OURS, OTHER, 3, u32::MAX]);
        match self.below(8) {
            0 => Event::Accepted { job },
            1 => {
                let result = self.one_of(&["done", "failed", "canceled", "timeout", "dependency", "assert", "", "new"]);
                Event::JobRemoved { job, result: JobResult::parse(result) }
            }
            2 => {
                let sub = self.one_of(&[SubState::Dead, SubState::AutoRestart, SubState::Exited, SubState::Other]);
                Event::Answer { question: self.one_of(&[0, 1, 2, 3, 4, u32::MAX]), sub }
            }
            _ => {
                let subs = [SubState::Dead, SubState::AutoRestart, SubState::Exited, SubState::Other];
                let (active, sub) = (self.one_of(&[Active, Inactive, Failed, Changing]), self.one_of(&subs));
                unit(active, sub, job, self.one_of(&[0, 1, 5, u64::MAX]))
            }
        }
    }
}

/// Long sequences, which go on after an end too.
#[test]
fn random_sequences() {
    let mut random = Random(0x5eed);
    let mut ends = 0;
    for number in 0..5_000 {
        let restarts = number % 2 == 0;
        let (mut machine, mut history) = (Machine::new(restarts), History::new(restarts));
        for _ in 0..random.below(60) {
            // At most eight jobs are remembered before the reply.
            let forgets = history.start_job().is_none() && history.events.len() > 6;
            let event = if forgets { Event::Accepted { job: random.one_of(&[OURS, OTHER]) } } else { random.event() };
            ends += u32::from(history.apply(&mut machine, &event) == Verdict::Ended);
        }
    }
    assert!(ends > 1000, "{ends}");
}

/// From wherever it was brought, it finds the end when that comes: the reply, the job's removal, the last signal and,
/// where it is asked for, the answer.
#[test]
fn the_end_is_always_found() {
    let mut random = Random(0xe0d);
    for number in 0..20_000 {
        let restarts = number % 2 == 0;
        let (mut machine, mut history) = (Machine::new(restarts), History::new(restarts));
        for _ in 0..random.below(7) {
            history.apply(&mut machine, &random.event());
        }
        if history.start_job().is_none() {
            history.apply(&mut machine, &Event::Accepted { job: OURS });
        }
        let job = history.start_job().unwrap();
        history.apply(&mut machine, &removed(job));
        let last = unit(ActiveState::Failed, SubState::Dead, 0, 9);
        let mut verdict = history.apply(&mut machine, &last);
        if let Verdict::Ask { question } = verdict {
            verdict = history.apply(&mut machine, &Event::Answer { question, sub: SubState::Dead });
        }
        assert_eq!(verdict, Verdict::Ended, "{:#?}", history.events);
    }
}

/// Jobs of the same name that go before the reply are remembered, but not without limit.
#[test]
fn jobs_before_the_reply_are_remembered_within_limits() {
    for before in [0, 3, 7] {
        let mut machine = Machine::new(false);
        machine.apply(removed(OURS));
        (0..before).for_each(|job| assert_eq!(machine.apply(removed(100 + job)), Verdict::Wait));
        machine.apply(unit(ActiveState::Inactive, SubState::Dead, 0, 5));
        assert_eq!(machine.apply(Event::Accepted { job: OURS }), Verdict::Ended, "{before} others");
    }
    let mut machine = Machine::new(false);
    (0..100_000).for_each(|job| assert_eq!(machine.apply(removed(job)), Verdict::Wait));
    assert_eq!(machine.apply(Event::Accepted { job: 99_999 }), Verdict::Wait);
    assert!(machine.is_started());
}
