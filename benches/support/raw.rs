//! What every client of libsystemd's has to do, in C's own terms.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::{Duration, Instant};

use sdrun_sys::*;

use super::{Error, Result, Way, on_user_manager, private_socket};

const MANAGER_PATH: &CStr = c"/org/freedesktop/systemd1";
const MANAGER: &CStr = c"org.freedesktop.systemd1.Manager";

/// A connection.
pub struct Raw {
    bus: *mut sd_bus,
    /// Whom the calls are for, where there is a bus daemon to pass them on.
    destination: *const c_char,
}

// SAFETY: an sd_bus has no thread affinity, and this value has the only reference to it; the destination is a constant.
unsafe impl Send for Raw {}

impl Raw {
    pub fn connect(way: Way) -> Result<Self> {
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
        Ok(Raw { bus, destination })
    }

    /// Has the manager send the signals of units, and these called with them.
    ///
    /// # Safety
    ///
    /// The callbacks may be called with `state` as long as this lives.
    pub unsafe fn listen(
        &self,
        on_properties: sd_bus_message_handler_t,
        on_job_removed: sd_bus_message_handler_t,
        state: *mut c_void,
    ) -> Result<()> {
        let rule = if self.destination.is_null() {
            c"type='signal',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
        } else {
            c"type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',\
              member='PropertiesChanged'"
        };
        let (bus, to, path, interface) = (self.bus, self.destination, MANAGER_PATH.as_ptr(), MANAGER.as_ptr());
        let (removed, none) = (c"JobRemoved".as_ptr(), ptr::null_mut());
        // SAFETY: a live bus, constant strings (or null for none); the rest is as the caller promises. Without a slot the
        // matches live as long as the bus.
        unsafe {
            check("match", sd_bus_add_match(bus, none, rule.as_ptr(), on_properties, state))?;
            check("match", sd_bus_match_signal(bus, none, to, path, interface, removed, on_job_removed, state))?;
        }
        self.call(MANAGER_PATH, MANAGER, c"Subscribe")
    }

    /// A call without arguments.
    pub fn call(&self, path: &CStr, interface: &CStr, member: &CStr) -> Result<()> {
        let (path, interface) = (path.as_ptr(), interface.as_ptr());
        let none = ptr::null_mut();
        // SAFETY: a live bus and NUL-terminated strings; null for the error, the reply and "no arguments".
        let called = unsafe {
            let reply = ptr::null_mut();
            sd_bus_call_method(self.bus, self.destination, path, interface, member.as_ptr(), none, reply, ptr::null())
        };
        check("call the manager", called).map(drop)
    }

    /// Has the manager answer, and reads all that has come. It has then done what the last unit left it to do, and sent
    /// what that made it send.
    pub fn settle(&self) -> Result<()> {
        self.call(c"/", c"org.freedesktop.DBus.Peer", c"Ping")?;
        self.drain()
    }

    /// Reads all that has come.
    pub fn drain(&self) -> Result<()> {
        while self.process()? {}
        Ok(())
    }

    /// Reads a message, if there is one: whether there was.
    fn process(&self) -> Result<bool> {
        // SAFETY: a live bus; null stands for "no message wanted".
        check("sd_bus_process", unsafe { sd_bus_process(self.bus, ptr::null_mut()) }).map(|read| read > 0)
    }

    /// Reads a message, or waits for one: whether there was one. Too long after `heard` it is an error that there is none.
    pub fn turn(&self, heard: Instant, limit: Duration) -> Result<bool> {
        let read = self.process()?;
        if !read {
            if heard.elapsed() > limit {
                return Err(format!("floor: nothing was reported in {limit:?}").into());
            }
            // SAFETY: a live bus.
            check("sd_bus_wait", unsafe { sd_bus_wait(self.bus, 1_000_000) })?;
        }
        Ok(read)
    }

    /// Sends the start of a unit with what `properties` appends.
    ///
    /// # Safety
    ///
    /// `on_reply` may be called with `state` as long as this lives.
    pub unsafe fn start(
        &self,
        name: &CStr,
        properties: impl FnOnce(*mut sd_bus_message),
        on_reply: sd_bus_message_handler_t,
        state: *mut c_void,
    ) -> Result<()> {
        let mut message = ptr::null_mut();
        // SAFETY: a live bus, a place for the message, constant strings (or null for none).
        check("new method call", unsafe {
            let (path, interface, member) = (MANAGER_PATH.as_ptr(), MANAGER.as_ptr(), c"StartTransientUnit".as_ptr());
            sd_bus_message_new_method_call(self.bus, &mut message, self.destination, path, interface, member)
        })?;
        // SAFETY: the new message, with one reference, given up at the end. All strings are NUL-terminated and copied; what
        // follows each signature is of its types, a C int for the count of an array. The rest is as the caller promises.
        let sent = unsafe {
            sd_bus_message_append(message, c"ss".as_ptr(), name.as_ptr(), c"fail".as_ptr());
            sd_bus_message_open_container(message, b'a' as c_char, c"(sv)".as_ptr());
            let (collect, when) = (c"CollectMode".as_ptr(), c"inactive-or-failed".as_ptr());
            sd_bus_message_append(message, c"(sv)".as_ptr(), collect, c"s".as_ptr(), when);
            properties(message);
            sd_bus_message_close_container(message);
            let none: c_int = 0;
            sd_bus_message_append(message, c"a(sa(sv))".as_ptr(), none);
            let sent = sd_bus_call_async(self.bus, ptr::null_mut(), message, on_reply, state, u64::MAX);
            sd_bus_message_unref(message);
            sent
        };
        check("StartTransientUnit", sent).map(drop)
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
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the only reference.
        unsafe { sd_bus_flush_close_unref(self.bus) };
    }
}

/// Appends the property that has a service run this program, with this argument.
///
/// # Safety
///
/// An array of properties is open in the message.
pub unsafe fn append_program(message: *mut sd_bus_message, program: &CStr, argument: Option<&CStr>) {
    let (exec, kind, path) = (c"ExecStart".as_ptr(), c"a(sasb)".as_ptr(), program.as_ptr());
    let (no, one, two): (c_int, c_int, c_int) = (0, 1, 2);
    // SAFETY: as the caller promises. The strings are NUL-terminated and copied; what follows each signature is of its types, a
    // C int for the count of an array and for a boolean.
    unsafe {
        match argument.map(CStr::as_ptr) {
            None => sd_bus_message_append(message, c"(sv)".as_ptr(), exec, kind, one, path, one, path, no),
            Some(more) => sd_bus_message_append(message, c"(sv)".as_ptr(), exec, kind, one, path, two, path, more, no),
        };
    }
}

/// Why a call was refused, if it was.
///
/// # Safety
///
/// The message is alive.
pub unsafe fn refusal(message: *mut sd_bus_message) -> Option<String> {
    // SAFETY: as the caller promises; null stands for any error. An error message has an error, whose text is NUL-terminated
    // or null.
    unsafe {
        if sd_bus_message_is_method_error(message, ptr::null()) <= 0 {
            return None;
        }
        let text = (*sd_bus_message_get_error(message)).message;
        let text = if text.is_null() { "refused".into() } else { CStr::from_ptr(text).to_string_lossy() };
        Some(text.into_owned())
    }
}

/// Since when the unit is over by the manager's clock, where this signal of its properties says so.
///
/// # Safety
///
/// The message is alive, and nothing of it was read.
pub unsafe fn over_since(message: *mut sd_bus_message) -> Option<u64> {
    let (mut over, mut entered) = (false, 0u64);
    // SAFETY: as the caller promises. What is read are the types that the signal's signature has, each into a place for it;
    // strings are NUL-terminated and live as long as the message. Where it is not what it should be, the places keep what they
    // had.
    unsafe {
        let mut text = c"".as_ptr();
        sd_bus_message_read(message, c"s".as_ptr(), &mut text);
        if CStr::from_ptr(text) != c"org.freedesktop.systemd1.Unit" {
            return None;
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
    }
    (over && entered > 0).then_some(entered)
}

/// The number behind this in the object path of a signal.
///
/// # Safety
///
/// The message is alive, and a signal.
pub unsafe fn number_behind(prefix: &[u8], message: *mut sd_bus_message) -> Option<usize> {
    // SAFETY: as the caller promises: a signal has a path, which is NUL-terminated and lives as long as the message.
    let path = unsafe { CStr::from_ptr(sd_bus_message_get_path(message)) };
    let digits = path.to_bytes().strip_prefix(prefix)?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// The unit of a `JobRemoved`; empty where it is malformed.
///
/// # Safety
///
/// The message is alive, and outlives what this gives; nothing of it was read.
pub unsafe fn unit_of_job<'m>(message: *mut sd_bus_message) -> &'m CStr {
    let mut id = 0u32;
    let (mut job, mut unit, mut result) = (c"".as_ptr(), c"".as_ptr(), c"".as_ptr());
    // SAFETY: as the caller promises, and a place for each of the types; strings are NUL-terminated.
    unsafe {
        sd_bus_message_read(message, c"uoss".as_ptr(), &mut id, &mut job, &mut unit, &mut result);
        CStr::from_ptr(unit)
    }
}

fn check(what: &str, result: c_int) -> Result<c_int> {
    if result < 0 {
        let errno = std::io::Error::from_raw_os_error(-result);
        return Err(Error::from(format!("floor: {what}: {errno}")));
    }
    Ok(result)
}
