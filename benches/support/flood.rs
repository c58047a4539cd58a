//! The floor with many units in flight: what floor.c does on the bus, several times over one connection.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use sdrun_sys::*;

use super::{Error, PROGRAM, Result, on_user_manager};

const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
const MANAGER: &CStr = c"org.freedesktop.systemd1.Manager";
const DESTINATION: &CStr = c"org.freedesktop.systemd1";
const LIMIT: Duration = Duration::from_secs(120);

/// A connection to the bus of its own.
pub struct Flood(&'static State);

/// What the callbacks, which have its address, work with. Never freed.
struct State {
    bus: *mut sd_bus,
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
        let mut bus = ptr::null_mut();
        // SAFETY: a place for the new bus.
        let opened =
            unsafe { if on_user_manager() { sd_bus_open_user(&mut bus) } else { sd_bus_open_system(&mut bus) } };
        check("connect", opened)?;
        let name = format!("flood{label}p{}n", std::process::id());
        let state: &'static State = Box::leak(Box::new(State {
            bus,
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
        let rule = c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
                     member='PropertiesChanged'";
        let (to, path, interface) = (DESTINATION.as_ptr(), MANAGER_PATH.as_ptr(), MANAGER.as_ptr());
        let (removed, none) = (c"JobRemoved".as_ptr(), ptr::null_mut());
        // SAFETY: a live bus, constant strings, callbacks of the right type. Without a slot the matches live as long as
        // the bus; the state lives for ever.
        unsafe {
            check("match", sd_bus_add_match(bus, none, rule.as_ptr(), Some(on_properties), state.place()))?;
            let job_removed = Some(on_job_removed as unsafe extern "C" fn(_, _, _) -> _);
            check("match", sd_bus_match_signal(bus, none, to, path, interface, removed, job_removed, state.place()))?;
        }
        let flood = Flood(state);
        flood.call(MANAGER_PATH, MANAGER, c"Subscribe")?;
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
            // SAFETY: a live bus; null stands for "no message wanted".
            if check("sd_bus_process", unsafe { sd_bus_process(state.bus, ptr::null_mut()) })? == 0 {
                if begun.elapsed() > LIMIT {
                    return Err(format!("floor: {} of {units} ends in {LIMIT:?}", state.ended.get() - before).into());
                }
                // SAFETY: a live bus.
                check("sd_bus_wait", unsafe { sd_bus_wait(state.bus, 1_000_000) })?;
            }
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

    /// Has the manager answer, and reads all that has come. It has then done what the last unit left it to do, and sent
    /// what that made it send.
    pub fn settle(&self) -> Result<()> {
        self.call(c"/", c"org.freedesktop.DBus.Peer", c"Ping")?;
        // SAFETY: a live bus; null stands for "no message wanted".
        while check("sd_bus_process", unsafe { sd_bus_process(self.0.bus, ptr::null_mut()) })? > 0 {}
        Ok(())
    }

    /// A call without arguments.
    fn call(&self, path: &CStr, interface: &CStr, member: &CStr) -> Result<()> {
        let (to, path, interface) = (DESTINATION.as_ptr(), path.as_ptr(), interface.as_ptr());
        let none = ptr::null_mut();
        // SAFETY: a live bus and NUL-terminated strings; null for the error, the reply and "no arguments".
        let called = unsafe {
            let reply = ptr::null_mut();
            sd_bus_call_method(self.0.bus, to, path, interface, member.as_ptr(), none, reply, ptr::null())
        };
        check("call the manager", called).map(drop)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // SAFETY: the only reference.
        unsafe { sd_bus_flush_close_unref(self.0.bus) };
    }
}

impl State {
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
        let mut message = ptr::null_mut();
        // SAFETY: a live bus, a place for the message, constant strings.
        check("new method call", unsafe {
            let (path, interface, member) = (MANAGER_PATH.as_ptr(), MANAGER.as_ptr(), c"StartTransientUnit".as_ptr());
            sd_bus_message_new_method_call(self.bus, &mut message, DESTINATION.as_ptr(), path, interface, member)
        })?;
        // SAFETY: the new message, with one reference, given up at the end. All strings are NUL-terminated and copied;
        // what follows each signature is of its types, a C int for the count of an array and for a boolean. The state
        // lives for ever.
        let sent = unsafe {
            sd_bus_message_append(message, c"ss".as_ptr(), name.as_ptr(), c"fail".as_ptr());
            sd_bus_message_open_container(message, b'a' as c_char, c"(sv)".as_ptr());
            let (collect, when) = (c"CollectMode".as_ptr(), c"inactive-or-failed".as_ptr());
            sd_bus_message_append(message, c"(sv)".as_ptr(), collect, c"s".as_ptr(), when);
            let (exec, kind, path) = (c"ExecStart".as_ptr(), c"a(sasb)".as_ptr(), self.program.as_ptr());
            let (no, one, two): (c_int, c_int, c_int) = (0, 1, 2);
            match &self.argument {
                None => sd_bus_message_append(message, c"(sv)".as_ptr(), exec, kind, one, path, one, path, no),
                Some(argument) => {
                    let argument = argument.as_ptr();
                    sd_bus_message_append(message, c"(sv)".as_ptr(), exec, kind, one, path, two, path, argument, no)
                }
            };
            sd_bus_message_close_container(message);
            sd_bus_message_append(message, c"a(sa(sv))".as_ptr(), no);
            let sent = sd_bus_call_async(self.bus, ptr::null_mut(), message, Some(on_reply), self.place(), u64::MAX);
            sd_bus_message_unref(message);
            sent
        };
        check("StartTransientUnit", sent).map(drop)
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
    // SAFETY: a live message; null stands for any error.
    if unsafe { sd_bus_message_is_method_error(message, ptr::null()) } > 0 {
        // SAFETY: the state that this callback was given; an error message has an error, whose text is NUL-terminated
        // or null.
        unsafe {
            let text = (*sd_bus_message_get_error(message)).message;
            let text = if text.is_null() { "refused".into() } else { CStr::from_ptr(text).to_string_lossy() };
            *state(place).refused.borrow_mut() = Some(text.into_owned());
        }
    }
    0
}

unsafe extern "C" fn on_properties(message: *mut sd_bus_message, place: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: the state that this callback was given.
    let state = unsafe { state(place) };
    state.messages.set(state.messages.get() + 1);
    let (mut over, mut entered) = (false, 0u64);
    // SAFETY: a live message, and a signal has a path. What is read from it are the types that its signature has, each
    // into a place for it; strings are NUL-terminated and live as long as the message. Where it is not what it
    // should be, the places keep what they had.
    let number = unsafe {
        let path = CStr::from_ptr(sd_bus_message_get_path(message)).to_bytes();
        let Some(rest) = path.strip_prefix(state.path.to_bytes()) else { return 0 };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        let mut text = c"".as_ptr();
        sd_bus_message_read(message, c"s".as_ptr(), &mut text);
        if CStr::from_ptr(text) != c"org.freedesktop.systemd1.Unit" {
            return 0;
        }
        sd_bus_message_enter_container(message, b'a' as c_char, c"{sv}".as_ptr());
        while sd_bus_message_enter_container(message, b'e' as c_char, c"sv".as_ptr()) > 0 {
            sd_bus_message_read(message, c"s".as_ptr(), &mut text);
            let key = CStr::from_ptr(text);
            if key == c"ActiveState" {
                sd_bus_message_read(message, c"v".as_ptr(), c"s".as_ptr(), &mut text);
                let active = CStr::from_ptr(text);
                over = active == c"inactive" || active == c"failed";
            } else if key == c"InactiveEnterTimestampMonotonic" {
                sd_bus_message_read(message, c"v".as_ptr(), c"t".as_ptr(), &mut entered);
            } else {
                sd_bus_message_skip(message, c"v".as_ptr());
            }
            sd_bus_message_exit_container(message);
        }
        number
    };
    let mut done = state.done.borrow_mut();
    if over && entered > 0 && done.get(number) == Some(&false) {
        done[number] = true;
        drop(done);
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
    let mut id = 0u32;
    let (mut job, mut unit, mut result) = (c"".as_ptr(), c"".as_ptr(), c"".as_ptr());
    // SAFETY: a live message, and a place for each of the types; strings are NUL-terminated.
    let unit = unsafe {
        sd_bus_message_read(message, c"uoss".as_ptr(), &mut id, &mut job, &mut unit, &mut result);
        CStr::from_ptr(unit).to_bytes()
    };
    if state.in_flight.get() > 1 && unit.starts_with(state.name.as_bytes()) {
        state.start_next_or_say_why();
    }
    0
}

fn check(what: &str, result: c_int) -> Result<c_int> {
    if result < 0 {
        let errno = std::io::Error::from_raw_os_error(-result);
        return Err(Error::from(format!("floor: {what}: {errno}")));
    }
    Ok(result)
}
