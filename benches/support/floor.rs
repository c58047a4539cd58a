//! The least that a correct client can do, in C's own terms: libsystemd called directly, callbacks that look at no more
//! than they must, and a loop that waits on nothing else. What sdrun is measured against.

mod streams;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sdrun_sys::*;

use super::raw::{self, Raw};
use super::{PROGRAM, Result, Way};

const LIMIT: Duration = Duration::from_secs(30);

/// A connection of its own.
pub struct Floor {
    raw: Raw,
    units: u32,
    label: String,
    /// What the callbacks, which have its address, write to. Never freed.
    state: &'static State,
}

// SAFETY: with its callbacks, which run within the calls made here, this value has the only references to the state.
unsafe impl Send for Floor {}

#[derive(Default)]
struct State {
    /// The name of the scope whose start is waited for instead; empty otherwise.
    scope: RefCell<CString>,
    /// What the object paths of its units begin with; then comes their number.
    prefix: Vec<u8>,
    /// The number of the first unit that is waited for.
    first: Cell<u32>,
    /// Whether it has ended, of that one and of those after it.
    over: RefCell<Vec<bool>>,
    ended: Cell<usize>,
    /// From the time that the manager says that the last one ended to when that was read.
    notice: Cell<Duration>,
    refused: RefCell<Option<String>>,
}

impl Floor {
    /// Connects. `label` is part of the units' names, which are letters and digits only: for each dash in a name the
    /// manager looks for another set of drop-in files, which takes it about 1 % longer (systemd 252).
    pub fn open(way: Way, label: &str) -> Result<Self> {
        let raw = Raw::connect(way)?;
        let label = format!("floor{label}p{}n", std::process::id());
        let prefix = format!("/org/freedesktop/systemd1/unit/{label}").into_bytes();
        let state = Box::leak(Box::new(State { prefix, ..State::default() }));
        let floor = Floor { raw, units: 0, label, state };
        // SAFETY: callbacks for a state that lives for ever.
        unsafe { floor.raw.listen(Some(on_properties), Some(on_job_removed), floor.place())? };
        Ok(floor)
    }

    fn place(&self) -> *mut c_void {
        ptr::from_ref(self.state).cast_mut().cast()
    }

    /// Starts one unit, and returns when the manager has reported its end.
    pub fn run(&mut self) -> Result<()> {
        self.run_many(1, 1)
    }

    /// How long after the end of the last unit, by the manager's clock, its callback knew of it.
    pub fn notice(&self) -> Duration {
        self.state.notice.get()
    }

    /// Starts so many units, each as soon as fewer than `in_flight` are outstanding, and returns when the manager has
    /// reported the end of every one.
    pub fn run_many(&mut self, units: usize, in_flight: usize) -> Result<()> {
        self.expect(units);
        let mut started = 0;
        let mut heard = Instant::now();
        while self.state.ended.get() < units {
            while started < units && started - self.state.ended.get() < in_flight {
                let name = self.next_name()?;
                self.start(&name, |_| ())?;
                started += 1;
            }
            if self.turn(heard)? && units > 1 {
                heard = Instant::now();
            }
        }
        Ok(())
    }

    /// The next units, so many, are waited for.
    fn expect(&self, units: usize) {
        self.state.first.set(self.units);
        *self.state.over.borrow_mut() = vec![false; units];
        self.state.ended.set(0);
    }

    fn next_name(&mut self) -> Result<CString> {
        let name = CString::new(format!("{}{}.service", self.label, self.units))?;
        self.units += 1;
        Ok(name)
    }

    /// Waits for the end of one.
    fn until_ended(&self) -> Result<()> {
        let begun = Instant::now();
        while self.state.ended.get() < 1 {
            self.turn(begun)?;
        }
        Ok(())
    }

    /// Reads a message, if there is one, and else waits for one.
    fn turn(&self, heard: Instant) -> Result<bool> {
        let read = self.raw.turn(heard, LIMIT)?;
        match self.state.refused.take() {
            Some(error) => Err(error.into()),
            None => Ok(read),
        }
    }

    /// Starts a service that runs the program, with what `more` appends to its properties.
    fn start(&self, name: &CStr, more: impl FnOnce(*mut sd_bus_message)) -> Result<()> {
        let program = CString::new(PROGRAM)?;
        self.send(name, |message| {
            // SAFETY: an array of properties is open.
            unsafe { raw::append_program(message, &program, None) };
            more(message);
        })
    }

    /// Sends the start of a unit with what `properties` appends.
    fn send(&self, name: &CStr, properties: impl FnOnce(*mut sd_bus_message)) -> Result<()> {
        // SAFETY: a callback for a state that lives for ever.
        unsafe { self.raw.start(name, properties, Some(on_reply), self.place()) }
    }

    /// See [`Raw::settle`].
    pub fn settle(&self) -> Result<()> {
        self.raw.settle()
    }

    /// Reads all that has come.
    pub fn drain(&self) -> Result<()> {
        self.raw.drain()
    }

    /// The manager's version.
    pub fn version(&self) -> Result<String> {
        self.raw.version()
    }
}

impl State {
    /// Which of the units that have not ended yet has this number.
    fn waited_for(&self, number: usize) -> Option<usize> {
        let at = number.checked_sub(self.first.get() as usize)?;
        (!self.over.borrow().get(at)?).then_some(at)
    }

    fn has_ended(&self, at: usize, entered: u64) {
        self.over.borrow_mut()[at] = true;
        self.ended.set(self.ended.get() + 1);
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.notice.set(now.saturating_sub(Duration::from_micros(entered)));
    }
}

/// # Safety
///
/// `place` is one of [`Floor::place`].
unsafe fn state(place: *mut c_void) -> &'static State {
    // SAFETY: as the caller promises; it is never freed, and only ever shared.
    unsafe { &*place.cast_const().cast() }
}

unsafe extern "C" fn on_reply(message: *mut sd_bus_message, place: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: a live message.
    if let Some(refusal) = unsafe { raw::refusal(message) } {
        // SAFETY: the state that this callback was given.
        *unsafe { state(place) }.refused.borrow_mut() = Some(refusal);
    }
    0
}

unsafe extern "C" fn on_properties(message: *mut sd_bus_message, place: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: the state that this callback was given.
    let state = unsafe { state(place) };
    // SAFETY: a live message, a signal.
    let number = unsafe { raw::number_behind(&state.prefix, message) };
    if let Some(at) = number.and_then(|number| state.waited_for(number)) {
        // SAFETY: a live message, of which nothing was read.
        if let Some(entered) = unsafe { raw::over_since(message) } {
            state.has_ended(at, entered);
        }
    }
    0
}

unsafe extern "C" fn on_job_removed(message: *mut sd_bus_message, place: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: the state that this callback was given.
    let state = unsafe { state(place) };
    // SAFETY: a live message, of which nothing was read.
    let unit = unsafe { raw::unit_of_job(message) };
    let scope = state.scope.borrow();
    if !scope.is_empty() && unit == scope.as_c_str() {
        state.ended.set(1);
    }
    0
}
