//! Samples, what they cost, and the order in which they are taken.

use std::time::{Duration, Instant};

use nix::libc;
use nix::time::{ClockId, clock_gettime};

use super::allocations;

/// Latencies.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, more: Samples) {
        self.0.extend(more.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A quantile, `0.5` for the median. Zero without samples.
    pub fn quantile(&self, q: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * q) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// In milliseconds, for a plot.
    pub fn millis(&self) -> Vec<f64> {
        self.0.iter().map(|sample| sample.as_secs_f64() * 1e3).collect()
    }

    /// The ratio of two quantiles.
    pub fn over(&self, other: &Samples, q: f64) -> f64 {
        self.quantile(q).as_secs_f64() / other.quantile(q).as_secs_f64()
    }
}

/// One of those that are compared: how long each unit took it, and what all of them cost this process.
#[derive(Debug, Default)]
pub struct Contender {
    pub latency: Samples,
    /// From the unit's end, by the manager's clock, to when it was known here.
    pub notice: Samples,
    cost: Cost,
}

impl Contender {
    pub fn add(&mut self, took: Duration, cost: Cost) {
        self.latency.push(took);
        self.cost.cpu += cost.cpu;
        self.cost.sleeps += cost.sleeps;
        self.cost.allocations += cost.allocations;
    }

    /// CPU time in µs, sleeps and allocations, each per unit.
    pub fn cost_per_unit(&self) -> [f64; 3] {
        let units = self.latency.len().max(1) as f64;
        let Cost { cpu, sleeps, allocations } = self.cost;
        [cpu.as_secs_f64() * 1e6 / units, sleeps as f64 / units, allocations as f64 / units]
    }
}

/// What something cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    cpu: Duration,
    /// Voluntary context switches: how often it went to sleep and was woken.
    sleeps: i64,
    allocations: u64,
}

/// Whose cost is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Thread,
    Process,
}

/// Measures one unit.
pub struct Meter {
    scope: Scope,
    before: Cost,
    begun: Instant,
}

impl Meter {
    pub fn start(scope: Scope) -> Self {
        let before = Cost::so_far(scope);
        Meter { scope, before, begun: Instant::now() }
    }

    pub fn stop(self) -> (Duration, Cost) {
        let took = self.begun.elapsed();
        let Cost { cpu, sleeps, allocations } = Cost::so_far(self.scope);
        let cost = Cost {
            cpu: cpu - self.before.cpu,
            sleeps: sleeps - self.before.sleeps,
            allocations: allocations - self.before.allocations,
        };
        (took, cost)
    }
}

impl Cost {
    fn so_far(scope: Scope) -> Self {
        let (clock, who) = match scope {
            Scope::Thread => (ClockId::CLOCK_THREAD_CPUTIME_ID, libc::RUSAGE_THREAD),
            Scope::Process => (ClockId::CLOCK_PROCESS_CPUTIME_ID, libc::RUSAGE_SELF),
        };
        // SAFETY: rusage is plain numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: a place for a rusage.
        unsafe { libc::getrusage(who, &mut usage) };
        Cost {
            cpu: clock_gettime(clock).map_or(Duration::ZERO, Duration::from),
            sleeps: usage.ru_nvcsw as i64,
            allocations: allocations::count(),
        }
    }
}

/// The order in which contenders take their turns: shuffled, then the same reversed, and so on, so that neither a
/// drift nor who came before favours one of them.
pub struct Order {
    turns: Vec<usize>,
    reverse: bool,
    random: u64,
}

impl Order {
    pub fn of(contenders: usize) -> Self {
        Order { turns: (0..contenders).collect(), reverse: false, random: 0x9e37_79b9_7f4a_7c15 }
    }

    pub fn next_round(&mut self) -> Vec<usize> {
        if self.reverse {
            self.turns.reverse();
        } else {
            for at in (1..self.turns.len()).rev() {
                // xorshift64
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                self.turns.swap(at, (self.random % (at as u64 + 1)) as usize);
            }
        }
        self.reverse = !self.reverse;
        self.turns.clone()
    }
}
