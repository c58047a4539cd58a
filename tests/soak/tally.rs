//! What came of it, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted while it runs.
#[derive(Default)]
pub struct Counters {
    pub units: AtomicU64,
    pub lost: AtomicU64,
    pub wrong: AtomicU64,
    pub duplicated: AtomicU64,
    pub unknown: AtomicU64,
    pub unanswered: AtomicU64,
    pub from_journal: AtomicU64,
    pub given_up: AtomicU64,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Whose end was told, or said to be unknown.
    pub units: u64,
    pub faults: u64,
    /// Not told within minutes, or said to be unknown where that cannot be.
    pub lost: u64,
    /// Told otherwise than it was.
    pub wrong: u64,
    /// Started more than once.
    pub duplicated: u64,
    pub unknown: u64,
    pub unanswered: u64,
    pub from_journal: u64,
    pub given_up: u64,
    pub left: u64,
    pub unlogged: u64,
    pub fd_growth: i64,
    pub rss_growth_kb: i64,
}

impl Tally {
    pub fn of(counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tally {
            units: read(&counters.units),
            lost: read(&counters.lost),
            wrong: read(&counters.wrong),
            duplicated: read(&counters.duplicated),
            unknown: read(&counters.unknown),
            unanswered: read(&counters.unanswered),
            from_journal: read(&counters.from_journal),
            given_up: read(&counters.given_up),
            ..Tally::default()
        }
    }

    /// Its numbers, with their names.
    fn numbers(&mut self) -> [(&'static str, Number<'_>); 13] {
        use Number::{Count, Growth};
        [
            ("units", Count(&mut self.units)),
            ("faults", Count(&mut self.faults)),
            ("lost", Count(&mut self.lost)),
            ("wrong", Count(&mut self.wrong)),
            ("duplicated", Count(&mut self.duplicated)),
            ("unknown", Count(&mut self.unknown)),
            ("unanswered", Count(&mut self.unanswered)),
            ("from_journal", Count(&mut self.from_journal)),
            ("given_up", Count(&mut self.given_up)),
            ("left", Count(&mut self.left)),
            ("unlogged", Count(&mut self.unlogged)),
            ("fd_growth", Growth(&mut self.fd_growth)),
            ("rss_growth_kb", Growth(&mut self.rss_growth_kb)),
        ]
    }

    /// All of it in a line, of one manager.
    pub fn line(&mut self, manager: &str) -> String {
        let mut line = format!("soak of the {manager} manager:");
        for (name, number) in self.numbers() {
            match number {
                Number::Count(count) => line += &format!(" {name} {count}"),
                Number::Growth(growth) => line += &format!(" {name} {growth}"),
            }
        }
        line
    }

    /// What such a line says.
    pub fn of_line(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("soak of the ")?.split_once(':')?.1;
        let words: Vec<_> = rest.split_whitespace().collect();
        let mut tally = Tally::default();
        for ((name, number), words) in tally.numbers().into_iter().zip(words.chunks(2)) {
            assert_eq!(name, words[0]);
            match number {
                Number::Count(count) => *count = words[1].parse().ok()?,
                Number::Growth(growth) => *growth = words[1].parse().ok()?,
            }
        }
        Some(tally)
    }

    pub fn add(&mut self, other: &Tally) {
        for ((_, number), (_, more)) in self.numbers().into_iter().zip(other.clone().numbers()) {
            match (number, more) {
                (Number::Count(count), Number::Count(more)) => *count += *more,
                (Number::Growth(growth), Number::Growth(more)) => *growth += *more,
                _ => unreachable!("the same numbers"),
            }
        }
    }

    pub fn summary(&self) -> String {
        let Tally { units, faults, lost, wrong, duplicated, fd_growth, rss_growth_kb, .. } = self;
        format!(
            "soak: units {units} faults {faults} lost {lost} wrong {wrong} duplicated {duplicated} fd_growth {fd_growth} \
             rss_growth_kb {rss_growth_kb}"
        )
    }

    pub fn is_well(&self) -> bool {
        let Tally { lost, wrong, duplicated, left, unlogged, fd_growth, .. } = self;
        [lost, wrong, duplicated, left, unlogged] == [&0; 5] && *fd_growth <= 0
    }
}

enum Number<'a> {
    Count(&'a mut u64),
    Growth(&'a mut i64),
}
