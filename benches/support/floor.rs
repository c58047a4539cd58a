//! The least that a correct client can do, in C's own terms: libsystemd called directly, callbacks that look at no more
//! than they must, and a loop that waits on nothing else. What sdrun is measured against.

mod streams;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sdrun_sys::*;

use super::{Error, PROGRAM, Result, Way, on_user_manager, private_socket};

const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
const MANAGER: &CStr = c"org.freedesktop.systemd1.Manager";
const LIMIT: Duration = Duration::from_secs(30);

/// A connection of its own.
pub struct Floor {
    bus: *mut sd_bus,
    destination: *const c_char,
    units: u32,
    label: String,
    /// What the callbacks, which have its address, write to. Never freed.
    state: &'static State,
}

// SAFETY: an sd_bus has no thread affinity. This value has the only reference to it and, with its callbacks, which run
// within the calls made here, the only ones to the state; the destination is a constant.
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
        let mut bus = ptr::null_mut();
        let connected = match way {
            // SAFETY: a place for the new bus.
            Way::Bus if on_user_manager() => unsafe { sd_bus_open_user(&mut bus) },
            // SAFETY: a place for the new bus.
            Way::Bus => unsafe { sd_bus_open_system(&mut bus) },
            Way::Private => {
                let mut address = b"unix:path=".to_vec();
                address.extend_from_slice(private_socket().as_os_str().as_bytes());
                let address = CString::new(address)?;
                // SAFETY: a place for the new bus, then that bus and a string that is copied.
                unsafe {
                    check("sd_bus_new", sd_bus_new(&mut bus))?;
                    check("sd_bus_set_address", sd_bus_set_address(bus, address.as_ptr()))?;
                    sd_bus_start(bus)
                }
            }
        };
        check("connect", connected)?;
        let destination = if way == Way::Bus { c"org.freedesktop.systemd1".as_ptr() } else { ptr::null() };
        let label = format!("floor{label}p{}n", std::process::id());
        let prefix = format!("/org/freedesktop/systemd1/unit/{label}").into_bytes();
        let state = Box::leak(Box::new(State { prefix, ..State::default() }));
        let floor = Floor { bus, destination, units: 0, label, state };
        let rule = match way {
            Way::Private => c"type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
            Way::Bus => {
                c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
                  member='PropertiesChanged'"
            }
        };
        let state = ptr::from_ref(floor.state).cast_mut().cast::<c_void>();
        // SAFETY: a live bus, constant strings, callbacks of the right type. Without a slot the matches live as long as
        // the bus; the state lives for ever.
        unsafe {
            check("match", sd_bus_add_match(bus, ptr::null_mut(), rule.as_ptr(), Some(on_properties), state))?;
            let removed = c"JobRemoved".as_ptr();
            let (path, interface) = (MANAGER_PATH.as_ptr(), MANAGER.as_ptr());
            check(
                "match",
                sd_bus_match_signal(
                    bus,
                    ptr::null_mut(),
                    destination,
                    path,
                    interface,
                    removed,
                    Some(on_job_removed),
                    state,
                ),
            )?;
        }
        floor.call(MANAGER_PATH, MANAGER, c"Subscribe")?;
        Ok(floor)
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
        // SAFETY: a live bus; null stands for "no message wanted".
        let read = check("sd_bus_process", unsafe { sd_bus_process(self.bus, ptr::null_mut()) })? > 0;
        if !read {
            if heard.elapsed() > LIMIT {
                return Err(format!("floor: nothing was reported in {LIMIT:?}").into());
            }
            // SAFETY: a live bus.
            check("sd_bus_wait", unsafe { sd_bus_wait(self.bus, 1_000_000) })?;
        }
        match self.state.refused.take() {
            Some(error) => Err(error.into()),
            None => Ok(read),
        }
    }

    /// Starts a service that runs the program, with what `more` appends to its properties.
    fn start(&self, name: &CStr, more: impl FnOnce(*mut sd_bus_message)) -> Result<()> {
        let program = CString::new(PROGRAM)?;
        self.send(name, |message| {
            // SAFETY: a message of which an array of properties is open. The strings are NUL-terminated and copied; what
            // follows each signature is of its types, a C int for the count of an array and for a boolean.
            unsafe {
                let (exec, kind, path) = (c"ExecStart".as_ptr(), c"a(sasb)".as_ptr(), program.as_ptr());
                let (one, no): (c_int, c_int) = (1, 0);
                sd_bus_message_append(message, c"(sv)".as_ptr(), exec, kind, one, path, one, path, no);
            }
            more(message);
        })
    }

    /// Sends the start of a unit with what `properties` appends.
    fn send(&self, name: &CStr, properties: impl FnOnce(*mut sd_bus_message)) -> Result<()> {
        let mut message = ptr::null_mut();
        // SAFETY: a live bus, a place for the message, constant strings (or null for none).
        check("new method call", unsafe {
            let (path, interface, member) = (MANAGER_PATH.as_ptr(), MANAGER.as_ptr(), c"StartTransientUnit".as_ptr());
            sd_bus_message_new_method_call(self.bus, &mut message, self.destination, path, interface, member)
        })?;
        let state = ptr::from_ref(self.state).cast_mut().cast::<c_void>();
        // SAFETY: the new message, with one reference, given up at the end. All strings are NUL-terminated and copied;
        // what follows each signature is of its types, a C int for the count of an array. The state lives for ever.
        let result = unsafe {
            sd_bus_message_append(message, c"ss".as_ptr(), name.as_ptr(), c"fail".as_ptr());
            sd_bus_message_open_container(message, b'a' as c_char, c"(sv)".as_ptr());
            let (collect, when) = (c"CollectMode".as_ptr(), c"inactive-or-failed".as_ptr());
            sd_bus_message_append(message, c"(sv)".as_ptr(), collect, c"s".as_ptr(), when);
            properties(message);
            sd_bus_message_close_container(message);
            let none: c_int = 0;
            sd_bus_message_append(message, c"a(sa(sv))".as_ptr(), none);
            let result = sd_bus_call_async(self.bus, ptr::null_mut(), message, Some(on_reply), state, u64::MAX);
            sd_bus_message_unref(message);
            result
        };
        check("StartTransientUnit", result)?;
        Ok(())
    }

    /// Has the manager answer, and reads all that has come. It has then done what the last unit left it to do, and sent
    /// what that made it send.
    pub fn settle(&self) -> Result<()> {
        self.call(c"/", c"org.freedesktop.DBus.Peer", c"Ping")?;
        self.drain()
    }

    /// Reads all that has come.
    pub fn drain(&self) -> Result<()> {
        // SAFETY: a live bus; null stands for "no message wanted".
        while check("sd_bus_process", unsafe { sd_bus_process(self.bus, ptr::null_mut()) })? > 0 {}
        Ok(())
    }

    /// The manager's version.
    pub fn version(&self) -> Result<String> {
        let mut text: *mut c_char = ptr::null_mut();
        // SAFETY: a live bus, constant strings, a place for a string that is ours to free.
        check("get Version", unsafe {
            let (path, interface, member) = (MANAGER_PATH.as_ptr(), MANAGER.as_ptr(), c"Version".as_ptr());
            let error = ptr::null_mut();
            sd_bus_get_property_string(self.bus, self.destination, path, interface, member, error, &mut text)
        })?;
        // SAFETY: on success it is a NUL-terminated string.
        let version = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        // SAFETY: it came from malloc, and nothing refers to it any more.
        unsafe { nix::libc::free(text.cast()) };
        Ok(version)
    }

    /// A call without arguments.
    fn call(&self, path: &CStr, interface: &CStr, member: &CStr) -> Result<()> {
        // SAFETY: a live bus and NUL-terminated strings; null for the error, the reply and "no arguments".
        let result = unsafe {
            sd_bus_call_method(
                self.bus,
                self.destination,
                path.as_ptr(),
                interface.as_ptr(),
                member.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            )
        };
        check("call the manager", result)?;
        Ok(())
    }
}

impl State {
    /// Which of the units that have not ended yet this is the object path of.
    fn waited_for(&self, path: &CStr) -> Option<usize> {
        let rest = path.to_bytes().strip_prefix(self.prefix.as_slice())?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'));
        let at = number.checked_sub(self.first.get())? as usize;
        (!self.over.borrow().get(at)?).then_some(at)
    }

    fn has_ended(&self, at: usize, entered: u64) {
        self.over.borrow_mut()[at] = true;
        self.ended.set(self.ended.get() + 1);
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.notice.set(now.saturating_sub(Duration::from_micros(entered)));
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // SAFETY: the only reference.
        unsafe { sd_bus_flush_close_unref(self.bus) };
    }
}

unsafe extern "C" fn on_reply(message: *mut sd_bus_message, state: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: a live message; null stands for any error.
    if unsafe { sd_bus_message_is_method_error(message, ptr::null()) } > 0 {
        // SAFETY: `state` is the one of the Floor whose bus calls this; an error message has an error, whose text
        // is NUL-terminated or null.
        unsafe {
            let text = (*sd_bus_message_get_error(message)).message;
            let text = if text.is_null() { "refused".into() } else { CStr::from_ptr(text).to_string_lossy() };
            *(*state.cast_const().cast::<State>()).refused.borrow_mut() = Some(text.into_owned());
        }
    }
    0
}

unsafe extern "C" fn on_properties(message: *mut sd_bus_message, state: *mut c_void, _: *mut sd_bus_error) -> c_int {
    // SAFETY: `state` is the one of the Floor whose bus calls this.
    let state = unsafe { &*state.cast_const().cast::<State>() };
    // SAFETY: a live message, and a signal has a path. What is read from it are the types that its signature has, each
    // into a place for it; strings are NUL-terminated and live as long as the message. Where it is not what it
    // should be, the places keep what they had.
    unsafe {
        let Some(at) = state.waited_for(CStr::from_ptr(sd_bus_message_get_path(message))) else { return 0 };
        let mut text = c"".as_ptr();
        sd_bus_message_read(message, c"s".as_ptr(), &mut text);
        if CStr::from_ptr(text) != c"org.freedesktop.systemd1.Unit" {
            return 0;
        }
        let (mut over, mut entered) = (false, 0u64);
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
        if over && entered > 0 {
            state.has_ended(at, entered);
        }
    }
    0
}

unsafe extern "C" fn on_job_removed(message: *mut sd_bus_message, state: *mut c_void, _: *mut sd_bus_error) -> c_int {
    let mut id = 0u32;
    let (mut job, mut unit, mut result) = (ptr::null::<c_char>(), ptr::null::<c_char>(), ptr::null::<c_char>());
    // SAFETY: a live message, and a place for each of the types.
    if unsafe { sd_bus_message_read(message, c"uoss".as_ptr(), &mut id, &mut job, &mut unit, &mut result) } >= 0 {
        // SAFETY: `state` is the one of the Floor whose bus calls this.
        let state = unsafe { &*state.cast_const().cast::<State>() };
        let scope = state.scope.borrow();
        // SAFETY: strings that were read are NUL-terminated and live as long as the message.
        if !scope.is_empty() && unsafe { CStr::from_ptr(unit) } == scope.as_c_str() {
            state.ended.set(1);
        }
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
