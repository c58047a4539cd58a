//! How much a message may hold. Whoever sends more is thrown out, with all that is outstanding on the connection, so it is
//! counted while the message is filled: sd-bus has no call that tells a message's size, and checks none itself.

use std::ffi::CStr;

use super::Container;
use crate::error::{Error, Result};

const MIB: usize = 1 << 20;

/// What a stock system bus takes (`max_message_size` of dbus-daemon(1); 252's dbus-daemon 1.14 and 262's 1.16): it closes
/// the connection over one byte more.
pub(super) const ON_SYSTEM_BUS: usize = 32 * MIB;

/// What D-Bus allows, and so what a user's bus and a manager's own socket take. Seen with both, on 252 and 262: 126 MiB
/// pass, at 128 MiB the connection is closed.
pub(super) const ANYWHERE: usize = 128 * MIB;

/// What D-Bus allows in one array. Seen: a user's bus closes the connection over more; a manager's own socket answers with
/// an error. All properties of a unit are one array.
const IN_ARRAY: usize = 64 * MIB;

/// How long the text of one setting may be. systemd writes each property of a unit that it is sent into the unit's file, from
/// buffers on its stack: when they are larger than 4 MiB it fails an assertion (`ALLOCA_MAX`), and for a unit that exists,
/// where there are two of them, it overruns its stack before. The manager itself breaks down then, and with the system's the
/// host. Seen on 252 and 262, with anything that a property holds as text; what Linux passes on as arguments and variables
/// has 2 MiB.
const IN_SETTING: usize = 3 * MIB;

/// Left for the setting's name, and what else stands on its line.
const NAME: usize = 1024;

/// Left for the header, of which the longest part is the path of a unit (800 bytes), and for what a bus adds to it.
const HEADER: usize = 4096;

/// Counts the body of a message that is being filled, by the rules of the D-Bus specification ("Marshaling").
#[derive(Debug)]
pub(super) struct Room {
    size: usize,
    most: usize,
    /// Where the contents of the outermost array begin that is open: those within are smaller.
    array: Option<usize>,
    /// How long the text of the setting can get that is being filled, if one is.
    text: Option<usize>,
}

impl Room {
    /// For a message that may be this large.
    pub fn new(most: usize) -> Self {
        Room { size: 0, most, array: None, text: None }
    }

    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes room for a value of so many bytes, which begins at a multiple of `align`.
    pub fn take(&mut self, align: usize, bytes: usize) -> Result<()> {
        self.size = self.size.next_multiple_of(align).saturating_add(bytes);
        if self.size > self.most - HEADER {
            return refuse("message", self.most);
        }
        match self.array {
            Some(start) if self.size.saturating_sub(start) > IN_ARRAY => refuse("array in a message", IN_ARRAY),
            _ => Ok(()),
        }
    }

    /// A setting of a unit begins.
    pub fn begin_setting(&mut self) {
        self.text = Some(NAME);
    }

    /// It is complete.
    pub fn end_setting(&mut self) {
        self.text = None;
    }

    /// A text is in the setting. In quotes and with escapes, systemd writes down what is counted here, or less.
    pub fn write_down(&mut self, text: &str) -> Result<()> {
        let escaped = |byte: u8| match byte {
            b'%' | b'"' | b'\'' | b'\\' | b'$' | b';' | b'\n' | b'\t' => 2,
            0..b' ' | 127 => 4,
            _ => 1,
        };
        self.add_text(text.bytes().map(escaped).sum::<usize>() + 4)
    }

    /// A number is in the setting.
    pub fn write_number_down(&mut self) -> Result<()> {
        self.add_text(24)
    }

    fn add_text(&mut self, length: usize) -> Result<()> {
        self.text = self.text.map(|text| text.saturating_add(length));
        if self.text.is_none_or(|text| text < IN_SETTING) {
            return Ok(());
        }
        let reason = format!(
            "could be longer than {} MiB as systemd writes it down, and its manager breaks down over such a one: hand large \
             data over in a file or through a pipe",
            IN_SETTING / MIB
        );
        Err(Error::invalid("property", "", reason))
    }

    /// A container begins. What is returned is for [`close`](Room::close).
    pub fn open(&mut self, container: Container, contents: &CStr) -> Result<bool> {
        match container {
            Container::Array => {
                self.take(4, 4)?;
                self.take(contents.to_bytes().first().map_or(1, |code| alignment(*code)), 0)?;
                let outermost = self.array.is_none();
                self.array.get_or_insert(self.size);
                Ok(outermost)
            }
            // The signature, with its length and a NUL byte.
            Container::Variant => self.take(1, contents.count_bytes() + 2).map(|()| false),
            Container::Struct | Container::DictEntry => self.take(8, 0).map(|()| false),
        }
    }

    /// The container ends for which `open` returned this.
    pub fn close(&mut self, outermost_array: bool) {
        if outermost_array {
            self.array = None;
        }
    }
}

/// Of what a value of the type with this code is at a multiple.
pub(super) fn alignment(code: u8) -> usize {
    match code {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b'h' | b'a' | b's' | b'o' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

fn refuse(what: &'static str, most: usize) -> Result<()> {
    let reason = format!(
        "would be larger than {} MiB, all that the connection carries: hand large data over in a file or through a pipe",
        most / MIB
    );
    Err(Error::invalid(what, "", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setting is counted as systemd could write it down at most, and only while it is filled.
    #[test]
    fn settings_are_counted_as_they_are_written_down() {
        let most = IN_SETTING - NAME - 4 - 1;
        for (text, escaped) in [("x", 1), ("%", 2), ("\"", 2), ("\\", 2), ("\n", 2), ("\u{1}", 4), ("é", 2)] {
            let length = most / escaped;
            let mut room = Room::new(ANYWHERE);
            room.begin_setting();
            room.write_down(&text.repeat(length)).unwrap();
            let error = room.write_down(&text.repeat(2)).unwrap_err().to_string();
            assert!(error.contains("3 MiB"), "{text:?}: {error}");
            room.end_setting();
            room.write_down(&text.repeat(IN_SETTING)).unwrap();
            room.begin_setting();
            room.write_down(text).unwrap();
        }
    }
}
