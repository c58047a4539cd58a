//! The floor with many units in flight: what floor.c does on the bus, several times over one connection.

use std::cell::{Cell, Ref, RefCell};
use std::ffi::{CString, c_int, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use sdrun_sys::{sd_bus_error, sd_bus_message};

use super::raw::{self, Raw};
use super::{PROGRAM, Result, Way};

const LIMIT: Duration = Duration::from_secs(120);

/// A connection to the bus of its own.
pub struct Flood(&'static State);

/// What the callbacks, which have its address, work with. Never freed.
struct State {
    /// There as long as the [`Flood`] is.
    raw: RefCell<Option<Raw>>,
    program: CString,
    argument: Option<CString>,
    /// What the names of its units begin with, which are letters and digits only, and what their object paths do.
    name: String,
    path: CString,
    wanted: Cell<usize>,
    in_flight: Cell<usize>,
    started: Cell<usize>,
    ended: Cell<usize>,
    messages: Cell<u64>,
    done: RefCell<Vec<bool>>,
    refused: RefCell<Option<String>>,
}

impl Flood {
    pub fn open(label: &str) -> Result<Self> {
        Self::running(label, PROGRAM, None)
    }

    /// Whose units run another program.
    pub fn running(label: &str, program: &str, argument: Option<&str>) -> Result<Self> {
        let name = format!("flood{label}p{}n", std::process::id());
        let state: &'static State = Box::leak(Box::new(State {
            raw: RefCell::new(Some(Raw::connect(Way::Bus)?)),
            program: CString::new(program)?,
            argument: argument.map(CString::new).transpose()?,
            path: CString::new(format!("/org/freedesktop/systemd1/unit/{name}"))?,
            name,
            wanted: Cell::new(0),
            in_flight: Cell::new(1),
            started: Cell::new(0),
            ended: Cell::new(0),
            messages: Cell::new(0),
            done: RefCell::default(),
            refused: RefCell::default(),
        }));
        let flood = Flood(state);
        // SAFETY: callbacks for a state that lives for ever.
        unsafe { state.raw().listen(Some(on_properties), Some(on_job_removed), state.place())? };
        Ok(flood)
    }

    /// Starts so many units, with so many in flight between start and `JobRemoved`, and returns when the manager has
    /// reported the end of every one. With one in flight the next one starts when the last has ended.
    pub fn run(&mut self, units: usize, in_flight: usize) -> Result<()> {
        let state = self.0;
        let before = state.started.get();
        state.done.borrow_mut().resize(before + units, false);
        state.in_flight.set(in_flight);
        state.wanted.set(before + units);
        (0..in_flight).try_for_each(|_| state.start_next())?;
        let begun = Instant::now();
        while state.ended.get() < state.wanted.get() {
            state.raw().turn(begun, LIMIT)?;
            if let Some(error) = state.refused.take() {
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Starts so many units and does not wait for their ends.
    pub fn start(&mut self, units: usize) -> Result<()> {
        let state = self.0;
        state.done.borrow_mut().resize(state.started.get() + units, false);
        state.wanted.set(state.started.get() + units);
        (0..units).try_for_each(|_| state.start_next())
    }

    /// How many signals its callbacks were given.
    pub fn messages(&self) -> u64 {
        self.0.messages.get()
    }

    /// See [`Raw::settle`].
    pub fn settle(&self) -> Result<()> {
        self.0.raw().settle()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.raw.take();
    }
}

impl State {
    fn raw(&self) -> Ref<'_, Raw> {
        Ref::map(self.raw.borrow(), |raw| raw.as_ref().expect("it is used by the Flood alone"))
    }

    fn place(&'static self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn start_next(&'static self) -> Result<()> {
        let number = self.started.get();
        if number >= self.wanted.get() {
            return Ok(());
        }
        self.started.set(number + 1);
        let name = CString::new(format!("{}{number}.service", self.name))?;
        // SAFETY: an array of properties is open.
        let program = |message| unsafe { raw::append_program(message, &self.program, self.argument.as_deref()) };
        // SAFETY: a callback for a state that lives for ever.
        unsafe { self.raw().start(&name, program, Some(on_reply), self.place()) }
    }

    fn start_next_or_say_why(&'static self) {
        if let Err(error) = self.start_next() {
            *self.refused.borrow_mut() = Some(error.to_string());
        }
    }
}

/// # Safety
///
/// `place` is one of [`State::place`].
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
    state.messages.set(state.messages.get() + 1);
    // SAFETY: a live message, a signal, of which nothing was read.
    let over =
        unsafe { raw::number_behind(state.path.as_bytes(), message).filter(|_| raw::over_since(message).is_some()) };
    let mut done = state.done.borrow_mut();
    if let Some(done) = over.and_then(|number| done.get_mut(number)).filter(|done| !**done) {
        *done = true;
        state.ended.set(state.ended.get() + 1);
        if state.in_flight.get() == 1 {
            state.start_next_or_say_why();
        }
    }
    0
}

unsafe extern "C" fn on_job_removed(message: *mut sd_bus_message, place: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: the state that this callback was given.
    let state = unsafe { state(place) };
    state.messages.set(state.messages.get() + 1);
    // SAFETY: a live message, of which nothing was read.
    let unit = unsafe { raw::unit_of_job(message) };
    if state.in_flight.get() > 1 && unit.to_bytes().starts_with(state.name.as_bytes()) {
        state.start_next_or_say_why();
    }
    0
}
