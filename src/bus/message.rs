//! One D-Bus message: typed building and reading.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use nix::errno::Errno;
use sdrun_sys as sys;

use super::room::{self, Room, alignment};
use super::{Bus, check};
use crate::error::{Error, Result};

/// A message of a [`Bus`], owned. It borrows the bus, so it is built, read and dropped on the thread
/// that holds the bus just then: sd-bus's reference counts are not atomic.
///
/// Appending takes `&mut self` and reading `&self`: sd-bus lets a message be read only after it was sealed
/// and appended to only before, so text that was read stays where it is as long as the message lives.
#[derive(Debug)]
pub(crate) struct Message<'b> {
    raw: NonNull<sys::sd_bus_message>,
    bus: PhantomData<&'b Bus>,
    /// How many containers are open for appending.
    depth: usize,
    room: Room,
}

/// How deep containers may be nested in a message. sd-bus would send more, but a bus daemon closes the connection
/// of whoever does, with all that is outstanding on it.
const DEEPEST: usize = 64;

/// What a message is, by the header's type field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MethodCall,
    MethodReturn,
    MethodError,
    Signal,
}

/// The containers of D-Bus, by the code that sd-bus uses for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    Array = b'a' as isize,
    Variant = b'v' as isize,
    Struct = b'r' as isize,
    DictEntry = b'e' as isize,
}

/// What a reader of properties did with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Took {
    /// Read its value.
    Value,
    /// Left its value alone.
    Nothing,
    /// Needs no more of them.
    Enough,
}

/// A fixed-size basic type.
///
/// # Safety
///
/// `CODE` is a D-Bus type for which `sd_bus_message_append_basic` reads, and `…_read_basic` writes, exactly
/// one `Wire`.
pub(crate) unsafe trait Scalar: Copy {
    const CODE: u8;
    type Wire: Copy + Default;
    fn to_wire(self) -> Self::Wire;
    fn from_wire(wire: Self::Wire) -> Self;
}

macro_rules! scalar {
    ($($type:ty = $code:literal),*) => {$(
        // SAFETY: sd_bus_message_append_basic(3) has this C type for this code.
        unsafe impl Scalar for $type {
            const CODE: u8 = $code;
            type Wire = $type;
            fn to_wire(self) -> $type { self }
            fn from_wire(wire: $type) -> $type { wire }
        }
    )*};
}
scalar!(u8 = b'y', i16 = b'n', u16 = b'q', i32 = b'i', u32 = b'u', i64 = b'x', u64 = b't', f64 = b'd');

// SAFETY: sd_bus_message_append_basic(3): a boolean is passed as a C int.
unsafe impl Scalar for bool {
    const CODE: u8 = b'b';
    type Wire = c_int;
    fn to_wire(self) -> c_int {
        self.into()
    }
    fn from_wire(wire: c_int) -> bool {
        wire != 0
    }
}

impl<'b> Message<'b> {
    /// # Safety
    ///
    /// `raw` is a message of the bus that `'b` borrows, and the caller hands over one reference to it.
    pub(super) unsafe fn from_raw(raw: NonNull<sys::sd_bus_message>) -> Self {
        Message { raw, bus: PhantomData, depth: 0, room: Room::new(room::ANYWHERE) }
    }

    /// The same, to be filled up to this size.
    pub(super) fn of_at_most(mut self, largest: usize) -> Self {
        self.room = Room::new(largest);
        self
    }

    /// How large its body is, as counted while it was filled.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.room.size()
    }

    /// What one of sd-bus's functions that make a message gave. The bus that it is made on is the one that
    /// `'b` borrows: all callers are in this folder and see to that.
    pub(super) fn made(
        operation: &'static str,
        make: impl FnOnce(*mut *mut sys::sd_bus_message) -> c_int,
    ) -> Result<Self> {
        let mut raw = ptr::null_mut();
        check(operation, make(&mut raw))?;
        let raw = NonNull::new(raw).ok_or(Error::system(operation, Errno::EINVAL))?;
        // SAFETY: a new message with one reference, which is ours now.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// An error reply to this method call.
    pub fn error_reply(&self, name: &CStr, text: &CStr) -> Result<Message<'b>> {
        let error = sys::sd_bus_error { name: name.as_ptr(), message: text.as_ptr(), need_free: 0 };
        Message::made("new method error", |raw| {
            // SAFETY: a live message, a place for the new one (on the same bus), and an error whose strings
            // outlive the call. What is not a method call is refused by sd-bus.
            unsafe { sys::sd_bus_message_new_method_error(self.as_raw(), raw, &error) }
        })
    }

    /// A successful reply to this method call.
    #[cfg(test)]
    pub fn reply(&self) -> Result<Message<'b>> {
        Message::made("new method return", |raw| {
            // SAFETY: a live message and a place for the new one, on the same bus.
            unsafe { sys::sd_bus_message_new_method_return(self.as_raw(), raw) }
        })
    }

    pub(super) fn as_raw(&self) -> *mut sys::sd_bus_message {
        self.raw.as_ptr()
    }

    /// The same message, read on from where it is by either.
    pub fn share(&self) -> Message<'b> {
        // SAFETY: a live message, of which that makes one more reference; the count is changed on the thread that holds
        // the bus, which `'b` borrows.
        let raw = unsafe { sys::sd_bus_message_ref(self.as_raw()) };
        let raw = NonNull::new(raw).expect("the message");
        // SAFETY: the reference that was just made, of a message of this bus.
        unsafe { Self::from_raw(raw) }
    }

    pub(super) fn into_raw(self) -> NonNull<sys::sd_bus_message> {
        std::mem::ManuallyDrop::new(self).raw
    }

    // Building

    pub fn append<T: Scalar>(&mut self, value: T) -> Result<()> {
        let wire = value.to_wire();
        let align = alignment(T::CODE);
        self.room.take(align, align)?;
        self.room.write_number_down()?;
        // SAFETY: by Scalar's contract one `Wire` is read from the pointer.
        check("sd_bus_message_append_basic", unsafe {
            sys::sd_bus_message_append_basic(self.as_raw(), T::CODE as c_char, ptr::from_ref(&wire).cast::<c_void>())
        })?;
        Ok(())
    }

    /// Appends a string (`s`). One with a NUL byte is refused, and one that the other end would not read.
    pub fn append_str(&mut self, text: &str) -> Result<()> {
        refuse_nul(text)?;
        refuse_noncharacters(text)?;
        self.room.take(4, text.len().saturating_add(5))?;
        self.room.write_down(text)?;
        let mut space: *mut c_char = ptr::null_mut();
        // SAFETY: a live message; on success `space` points at `len` bytes of its body, followed by a NUL
        // that sd-bus has written.
        check("sd_bus_message_append_string_space", unsafe {
            sys::sd_bus_message_append_string_space(self.as_raw(), text.len(), &mut space)
        })?;
        // SAFETY: as above; the body is sd-bus's own memory, so it does not overlap `text`. What is written
        // is UTF-8 without NUL, as the D-Bus specification wants it.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), space.cast::<u8>(), text.len()) };
        Ok(())
    }

    /// Appends an object path (`o`); sd-bus refuses what is not one.
    pub fn append_path(&mut self, path: &str) -> Result<()> {
        self.append_checked_text(b'o', path)
    }

    /// Appends a signature (`g`); sd-bus refuses what is not one.
    pub fn append_signature(&mut self, signature: &str) -> Result<()> {
        self.append_checked_text(b'g', signature)
    }

    fn append_checked_text(&mut self, code: u8, text: &str) -> Result<()> {
        refuse_nul(text)?;
        let length = alignment(code);
        self.room.take(length, text.len().saturating_add(length + 1))?;
        self.room.write_down(text)?;
        let text = CString::new(text).expect("no NUL byte, as was checked");
        // SAFETY: for 's', 'o' and 'g' the pointer is a NUL-terminated string, which is copied.
        check("sd_bus_message_append_basic", unsafe {
            sys::sd_bus_message_append_basic(self.as_raw(), code as c_char, text.as_ptr().cast::<c_void>())
        })?;
        Ok(())
    }

    /// Appends a file descriptor (`h`), which sd-bus duplicates.
    pub fn append_fd(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        let raw: c_int = fd.as_raw_fd();
        self.room.take(4, 4)?;
        // SAFETY: for 'h' the pointer is a C int; sd-bus asks the kernel for the duplicate, which refuses a number that is
        // not open.
        let appended = check("sd_bus_message_append_basic", unsafe {
            sys::sd_bus_message_append_basic(self.as_raw(), b'h' as c_char, ptr::from_ref(&raw).cast::<c_void>())
        });
        match appended {
            Ok(_) => Ok(()),
            Err(Error::System { errno: Errno::EBADF, .. }) => {
                let reason = "is not open: something has closed it that does not own it";
                Err(Error::invalid("descriptor", raw.to_string(), reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Appends an array of bytes (`ay`).
    pub fn append_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let array = self.room.open(Container::Array, c"y")?;
        self.room.take(1, bytes.len())?;
        self.room.close(array);
        // SAFETY: the pointer is good for the given number of bytes, which are copied.
        check("sd_bus_message_append_array", unsafe {
            sys::sd_bus_message_append_array(
                self.as_raw(),
                b'y' as c_char,
                bytes.as_ptr().cast::<c_void>(),
                bytes.len(),
            )
        })?;
        Ok(())
    }

    /// Appends a container; `fill` appends what is in it.
    pub fn container(
        &mut self,
        container: Container,
        contents: &CStr,
        fill: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if self.depth == DEEPEST {
            return Err(Error::invalid("value", "", format!("is nested more than {DEEPEST} deep")));
        }
        let array = self.room.open(container, contents)?;
        // SAFETY: a live message and a NUL-terminated signature, which sd-bus checks.
        check("sd_bus_message_open_container", unsafe {
            sys::sd_bus_message_open_container(self.as_raw(), container as isize as c_char, contents.as_ptr())
        })?;
        self.depth += 1;
        fill(self)?;
        self.depth -= 1;
        self.room.close(array);
        // SAFETY: a live message; a container that is incomplete is refused by sd-bus.
        check("sd_bus_message_close_container", unsafe { sys::sd_bus_message_close_container(self.as_raw()) })?;
        Ok(())
    }

    /// Appends a property of a unit, a `(sv)`; `fill` appends the variant. An error about the property has its name.
    pub fn property(&mut self, name: &str, fill: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let filled = self.container(Container::Struct, c"sv", |m| {
            m.room.begin_setting();
            m.append_str(name)?;
            fill(m)
        });
        self.room.end_setting();
        filled.map_err(|error| match error {
            Error::Invalid { what: "property", value, reason } if value.is_empty() => {
                Error::invalid("property", name, reason)
            }
            error => error,
        })
    }

    /// Appends an array of strings (`as`).
    pub fn append_strs<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) -> Result<()> {
        self.container(Container::Array, c"s", |m| texts.into_iter().try_for_each(|text| m.append_str(text.as_ref())))
    }

    /// Makes a message readable without sending it.
    #[cfg(any(test, fuzzing))]
    pub fn seal(&mut self) -> Result<()> {
        // SAFETY: a live message; sealing twice is refused by sd-bus.
        check("sd_bus_message_seal", unsafe { sys::sd_bus_message_seal(self.as_raw(), 1, 0) })?;
        Ok(())
    }

    // The header

    pub fn kind(&self) -> Option<Kind> {
        let mut kind = 0u8;
        // SAFETY: a live message and a place for one byte.
        unsafe { sys::sd_bus_message_get_type(self.as_raw(), &mut kind) };
        match kind {
            1 => Some(Kind::MethodCall),
            2 => Some(Kind::MethodReturn),
            3 => Some(Kind::MethodError),
            4 => Some(Kind::Signal),
            _ => None,
        }
    }

    /// The cookie (serial) of the call that this message answers.
    pub fn reply_cookie(&self) -> Option<u64> {
        let mut cookie = 0;
        // SAFETY: a live message and a place for the cookie.
        let found = unsafe { sys::sd_bus_message_get_reply_cookie(self.as_raw(), &mut cookie) };
        (found >= 0).then_some(cookie)
    }

    pub fn path(&self) -> Option<&str> {
        // SAFETY: a live message.
        self.header(unsafe { sys::sd_bus_message_get_path(self.as_raw()) })
    }

    #[cfg(any(test, fuzzing))]
    pub fn interface(&self) -> Option<&str> {
        // SAFETY: a live message.
        self.header(unsafe { sys::sd_bus_message_get_interface(self.as_raw()) })
    }

    #[cfg(any(test, fuzzing))]
    pub fn member(&self) -> Option<&str> {
        // SAFETY: a live message.
        self.header(unsafe { sys::sd_bus_message_get_member(self.as_raw()) })
    }

    /// Its interface and member, of a signal or a method call.
    pub fn what(&self) -> Option<(&[u8], &[u8])> {
        // SAFETY: a live message, twice.
        let (interface, member) = unsafe {
            (sys::sd_bus_message_get_interface(self.as_raw()), sys::sd_bus_message_get_member(self.as_raw()))
        };
        Some((self.header_text(interface)?.to_bytes(), self.header_text(member)?.to_bytes()))
    }

    /// Whether this is who has sent it.
    pub fn is_from(&self, sender: &str) -> bool {
        // SAFETY: a live message.
        let from = self.header_text(unsafe { sys::sd_bus_message_get_sender(self.as_raw()) });
        from.is_some_and(|from| from.to_bytes() == sender.as_bytes())
    }

    /// Who sent it, as the bus daemon says; `None` where there is no bus daemon.
    pub fn sender(&self) -> Option<&str> {
        // SAFETY: a live message.
        self.header(unsafe { sys::sd_bus_message_get_sender(self.as_raw()) })
    }

    /// The name and text of an error reply.
    pub fn error(&self) -> Option<(&str, &str)> {
        // SAFETY: a live message; what is returned belongs to it and is null for anything but an error.
        let error = unsafe { sys::sd_bus_message_get_error(self.as_raw()).as_ref() }?;
        Some((self.header(error.name)?, self.header(error.message).unwrap_or_default()))
    }

    /// A header field, or a part of one, as text.
    fn header(&self, text: *const c_char) -> Option<&str> {
        self.header_text(text)?.to_str().ok()
    }

    fn header_text(&self, text: *const c_char) -> Option<&CStr> {
        if text.is_null() {
            return None;
        }
        // SAFETY: not null, and sd-bus's header fields are NUL-terminated strings that live as long as the
        // message, which `self` borrows; nothing that appends (`&mut self`) can run meanwhile.
        Some(unsafe { CStr::from_ptr(text) })
    }

    /// The signature of the whole body.
    pub fn signature(&self) -> &str {
        // SAFETY: a live message.
        self.header(unsafe { sys::sd_bus_message_get_signature(self.as_raw(), 1) }).unwrap_or_default()
    }

    // Reading the body

    pub fn read<T: Scalar>(&self) -> Result<T> {
        let mut wire = T::Wire::default();
        // SAFETY: by Scalar's contract one `Wire` is written.
        let read = unsafe { self.read_basic(T::CODE, ptr::from_mut(&mut wire).cast::<c_void>()) }?;
        if read { Ok(T::from_wire(wire)) } else { Err(self.at_end_of(T::CODE)) }
    }

    /// Reads a string (`s`).
    pub fn read_str(&self) -> Result<&str> {
        self.read_text(b's')?.ok_or_else(|| self.at_end_of(b's'))
    }

    /// Reads an object path (`o`).
    pub fn read_path(&self) -> Result<&str> {
        self.read_text(b'o')?.ok_or_else(|| self.at_end_of(b'o'))
    }

    /// Reads a signature (`g`).
    pub fn read_signature(&self) -> Result<&str> {
        self.read_text(b'g')?.ok_or_else(|| self.at_end_of(b'g'))
    }

    fn read_text(&self, code: u8) -> Result<Option<&str>> {
        let text = self.read_c_str(code)?;
        text.map(|text| text.to_str().map_err(|_| Error::message("text in UTF-8"))).transpose()
    }

    /// The same, be it UTF-8 or not.
    fn read_c_str(&self, code: u8) -> Result<Option<&CStr>> {
        let mut text: *const c_char = ptr::null();
        // SAFETY: for 's', 'o' and 'g' a pointer to a string is written.
        if !unsafe { self.read_basic(code, ptr::from_mut(&mut text).cast::<c_void>()) }? {
            return Ok(None);
        }
        // SAFETY: sd-bus gave a NUL-terminated string inside the message's body, which is sealed (or reading
        // would have failed) and so stays unchanged as long as `self` is borrowed.
        Ok(Some(unsafe { CStr::from_ptr(text) }))
    }

    /// Reads a file descriptor (`h`), duplicated: the message keeps its own.
    pub fn read_fd(&self) -> Result<OwnedFd> {
        let mut raw: c_int = -1;
        // SAFETY: for 'h' a C int is written.
        if !unsafe { self.read_basic(b'h', ptr::from_mut(&mut raw).cast::<c_void>()) }? {
            return Err(self.at_end_of(b'h'));
        }
        // SAFETY: the descriptor belongs to the message, which `self` borrows, so it is open.
        let fd = unsafe { BorrowedFd::borrow_raw(raw) };
        fd.try_clone_to_owned().map_err(|error| Error::io("duplicate a received descriptor", &error))
    }

    /// Reads an array of bytes (`ay`).
    pub fn read_bytes(&self) -> Result<Cow<'_, [u8]>> {
        let (mut start, mut len) = (ptr::null(), 0);
        // SAFETY: a live message; the two places are written on success only.
        let read = unsafe { sys::sd_bus_message_read_array(self.as_raw(), b'y' as c_char, &mut start, &mut len) };
        if read == -(Errno::EOPNOTSUPP as c_int) {
            return self.read_foreign_bytes().map(Cow::Owned);
        }
        if !self.typed(read, || "ay".into())? {
            return Err(self.at_end_of(b'a'));
        }
        if len == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        // SAFETY: sd-bus gave `len` bytes inside the body, which stays unchanged while `self` is borrowed.
        Ok(Cow::Borrowed(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) }))
    }

    /// The same from a host of the other byte order, whose arrays sd-bus gives element by element only.
    fn read_foreign_bytes(&self) -> Result<Vec<u8>> {
        if !self.enter(Container::Array, Some(c"y"))? {
            return Err(self.at_end_of(b'a'));
        }
        let mut bytes = Vec::new();
        while self.peek()?.is_some() {
            bytes.push(self.read()?);
        }
        self.exit()?;
        Ok(bytes)
    }

    /// # Safety
    ///
    /// `place` is good for what `sd_bus_message_read_basic` writes for `code`.
    unsafe fn read_basic(&self, code: u8, place: *mut c_void) -> Result<bool> {
        // SAFETY: a live message; the place is the caller's promise.
        let read = unsafe { sys::sd_bus_message_read_basic(self.as_raw(), code as c_char, place) };
        self.typed(read, || char::from(code).to_string())
    }

    /// Enters a container, whose contents must have the signature given. `false` at the end of an array, where
    /// without a signature it is an error.
    pub fn enter(&self, container: Container, contents: Option<&CStr>) -> Result<bool> {
        // SAFETY: a live message; the signature is NUL-terminated or null, which stands for any.
        let entered = unsafe {
            sys::sd_bus_message_enter_container(
                self.as_raw(),
                container as isize as c_char,
                contents.map_or(ptr::null(), CStr::as_ptr),
            )
        };
        self.typed(entered, || {
            let contents = contents.map_or_else(Default::default, CStr::to_string_lossy);
            match container {
                Container::Array => format!("a{contents}"),
                Container::Variant => format!("a variant of {contents}"),
                Container::Struct => format!("({contents})"),
                Container::DictEntry => format!("{{{contents}}}"),
            }
        })
    }

    /// Leaves the container, whatever of it was not read yet being passed over only where it is complete.
    pub fn exit(&self) -> Result<()> {
        // SAFETY: a live message; outside of a container or before its end sd-bus refuses.
        let left = unsafe { sys::sd_bus_message_exit_container(self.as_raw()) };
        self.typed(left, || "the end of a container".into())?;
        Ok(())
    }

    /// Passes over one complete type.
    pub fn skip(&self, types: &CStr) -> Result<()> {
        // SAFETY: a live message and a NUL-terminated signature.
        let skipped = unsafe { sys::sd_bus_message_skip(self.as_raw(), types.as_ptr()) };
        self.typed(skipped, || types.to_string_lossy().into_owned())?;
        Ok(())
    }

    /// The type that comes next, with its contents where it is a container; `None` at the end of the
    /// container that is being read.
    pub fn peek(&self) -> Result<Option<(u8, CString)>> {
        let (mut code, mut contents): (c_char, *const c_char) = (0, ptr::null());
        // SAFETY: a live message and two places to write to.
        let found = unsafe { sys::sd_bus_message_peek_type(self.as_raw(), &mut code, &mut contents) };
        if !self.typed(found, || "a type".into())? {
            return Ok(None);
        }
        let contents = if contents.is_null() {
            CString::default()
        } else {
            // SAFETY: NUL-terminated, and the message's, which frees it with the next peek or with the container:
            // it is copied at once.
            unsafe { CStr::from_ptr(contents) }.to_owned()
        };
        Ok(Some((code as u8, contents)))
    }

    /// Starts reading from the first field again.
    pub fn rewind(&self) -> Result<()> {
        // SAFETY: a live message; one that is not sealed is refused.
        check("sd_bus_message_rewind", unsafe { sys::sd_bus_message_rewind(self.as_raw(), 1) })?;
        Ok(())
    }

    /// Reads a variant that must hold the scalar asked for.
    pub fn read_variant<T: Scalar>(&self) -> Result<T> {
        let code = [T::CODE, 0];
        let contents = CStr::from_bytes_with_nul(&code).expect("one code and its NUL");
        self.in_variant(contents, || self.read())
    }

    /// Reads a variant whose contents have the signature given.
    pub fn in_variant<T>(&self, contents: &CStr, read: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.enter(Container::Variant, Some(contents))? {
            return Err(self.at_end_of(b'v'));
        }
        let value = read()?;
        self.exit()?;
        Ok(value)
    }

    /// Reads a struct whose fields have the signature given.
    pub fn in_struct<T>(&self, fields: &CStr, read: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.enter(Container::Struct, Some(fields))? {
            return Err(self.at_end_of(b'('));
        }
        let value = read()?;
        self.exit()?;
        Ok(value)
    }

    /// Passes over a variant that most likely holds this scalar, which takes less than not to know what it holds.
    pub fn pass<T: Scalar>(&self) -> Result<Took> {
        self.pass_over(T::CODE, || self.read::<T>().map(drop))
    }

    /// The same for a string.
    pub fn pass_str(&self) -> Result<Took> {
        self.pass_over(b's', || self.read_c_str(b's').map(drop))
    }

    fn pass_over(&self, code: u8, read: impl FnOnce() -> Result<()>) -> Result<Took> {
        let contents = [code as c_char, 0];
        // SAFETY: a live message and a NUL-terminated signature. What is in the variant may be something else, and then
        // sd-bus has entered nothing.
        let entered = unsafe {
            sys::sd_bus_message_enter_container(self.as_raw(), Container::Variant as isize as c_char, contents.as_ptr())
        };
        if entered <= 0 {
            return Ok(Took::Nothing);
        }
        read()?;
        self.exit()?;
        Ok(Took::Value)
    }

    /// Reads a dictionary of properties (`a{sv}`). `take` is given each name; it reads the variant, or leaves
    /// it alone, or ends the reading, with the message left wherever that was.
    pub fn read_properties(&self, mut take: impl FnMut(&[u8]) -> Result<Took>) -> Result<()> {
        if !self.enter(Container::Array, Some(c"{sv}"))? {
            return Err(self.at_end_of(b'a'));
        }
        while self.enter(Container::DictEntry, Some(c"sv"))? {
            let name = self.read_c_str(b's')?.ok_or_else(|| self.at_end_of(b's'))?;
            match take(name.to_bytes())? {
                Took::Value => {}
                Took::Nothing => self.skip(c"v")?,
                Took::Enough => return Ok(()),
            }
            self.exit()?;
        }
        self.exit()
    }

    /// The error for a message that ends where `code` should come.
    fn at_end_of(&self, code: u8) -> Error {
        Error::message(format!("\"{}\" in a message of signature {:?}", char::from(code), self.signature()))
    }

    /// sd-bus's answer to a read: -ENXIO and -EBADMSG say that the message is not what it should be.
    fn typed(&self, result: c_int, expected: impl FnOnce() -> String) -> Result<bool> {
        if result >= 0 {
            return Ok(result > 0);
        }
        match Errno::from_raw(-result) {
            Errno::ENXIO | Errno::EBADMSG | Errno::EBUSY | Errno::EINVAL => {
                Err(Error::message(format!("{} in a message of signature {:?}", expected(), self.signature())))
            }
            errno => Err(Error::system("read a message", errno)),
        }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: the reference that this value owns; the bus that it counts on too is borrowed by it, so
        // no other thread touches either now.
        unsafe { sys::sd_bus_message_unref(self.as_raw()) };
    }
}

/// systemd takes a text with a noncharacter of Unicode for malformed, though D-Bus allows it.
pub(super) fn refuse_noncharacters(text: &str) -> Result<()> {
    if text.is_ascii() {
        return Ok(());
    }
    let found = text.chars().find(|c| matches!(*c, '\u{fdd0}'..='\u{fdef}') || *c as u32 & 0xfffe == 0xfffe);
    match found {
        None => Ok(()),
        Some(c) => {
            let reason = format!("holds U+{:04X}, a noncharacter, which systemd does not read", c as u32);
            // Without the text, which may be a secret.
            Err(Error::invalid("text", "", reason))
        }
    }
}

pub(super) fn refuse_nul(text: &str) -> Result<()> {
    match text.find('\0') {
        None => Ok(()),
        // Without the text, which may be a secret.
        Some(_) => Err(Error::invalid("text", "", "holds a NUL byte, which D-Bus cannot carry")),
    }
}
