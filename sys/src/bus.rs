//! sd-bus.

use crate::{FILE, c_char, c_int, c_void, gid_t, sd_id128_t};

pub use libsystemd_sys::bus::*;

// Names
unsafe extern "C" {
    /// Whether `p` is a valid name of an interface. Since 246; `sd_bus_interface_name_is_valid(3)`.
    pub fn sd_bus_interface_name_is_valid(p: *const c_char) -> c_int;
    /// Whether `p` is a valid name of a bus connection, unique or well-known. Since 246;
    /// `sd_bus_interface_name_is_valid(3)`.
    pub fn sd_bus_service_name_is_valid(p: *const c_char) -> c_int;
    /// Whether `p` is a valid name of a method, signal or property. Since 246;
    /// `sd_bus_interface_name_is_valid(3)`.
    pub fn sd_bus_member_name_is_valid(p: *const c_char) -> c_int;
    /// Whether `p` is a valid object path. Since 246; `sd_bus_interface_name_is_valid(3)`.
    pub fn sd_bus_object_path_is_valid(p: *const c_char) -> c_int;
}

// Connections
unsafe extern "C" {
    /// Opens the bus that `sd_bus_open` does, with a description. Since 239; `sd_bus_default(3)`.
    pub fn sd_bus_open_with_description(ret: *mut *mut sd_bus, description: *const c_char) -> c_int;
    /// Opens the user's bus, with a description. Since 239; `sd_bus_default(3)`.
    pub fn sd_bus_open_user_with_description(ret: *mut *mut sd_bus, description: *const c_char) -> c_int;
    /// Opens the system bus, with a description. Since 239; `sd_bus_default(3)`.
    pub fn sd_bus_open_system_with_description(ret: *mut *mut sd_bus, description: *const c_char) -> c_int;
    /// Opens the bus of a user in a local container, or on this host. Since 248;
    /// `sd_bus_default(3)`.
    #[cfg(libsystemd_248)]
    pub fn sd_bus_open_user_machine(ret: *mut *mut sd_bus, machine: *const c_char) -> c_int;

    /// Makes the connection a server's, or not, with the identifier that it gives itself. Since
    /// 221; `sd_bus_set_server(3)`.
    pub fn sd_bus_set_server(bus: *mut sd_bus, b: c_int, bus_id: sd_id128_t) -> c_int;
    /// Gets the identifier of the server at the other end. Since 221; `sd_bus_set_server(3)`.
    pub fn sd_bus_get_bus_id(bus: *mut sd_bus, id: *mut sd_id128_t) -> c_int;
    /// Gets the identifier of the machine that the owner of a name runs on. Since 221;
    /// `sd_bus_get_name_machine_id(3)`.
    pub fn sd_bus_get_name_machine_id(bus: *mut sd_bus, name: *const c_char, machine: *mut sd_id128_t) -> c_int;

    /// Queues a message as if it had just arrived. Since 245; `sd_bus_enqueue_for_read(3)`.
    pub fn sd_bus_enqueue_for_read(bus: *mut sd_bus, m: *mut sd_bus_message) -> c_int;
    /// How many calls made with `sd_bus_call_async` have neither a reply nor timed out. Since 257;
    /// `sd_bus_pending_method_calls(3)`.
    #[cfg(libsystemd_257)]
    pub fn sd_bus_pending_method_calls(bus: *mut sd_bus) -> c_int;
}

// Matches
unsafe extern "C" {
    /// Adds a match rule without waiting until the bus has it. Since 237; `sd_bus_add_match(3)`.
    pub fn sd_bus_add_match_async(
        bus: *mut sd_bus,
        slot: *mut *mut sd_bus_slot,
        match_: *const c_char,
        callback: sd_bus_message_handler_t,
        install_callback: sd_bus_message_handler_t,
        userdata: *mut c_void,
    ) -> c_int;
    /// Adds a match rule for signals, made of the strings that are not null. Since 237;
    /// `sd_bus_add_match(3)`.
    pub fn sd_bus_match_signal(
        bus: *mut sd_bus,
        ret: *mut *mut sd_bus_slot,
        sender: *const c_char,
        path: *const c_char,
        interface: *const c_char,
        member: *const c_char,
        callback: sd_bus_message_handler_t,
        userdata: *mut c_void,
    ) -> c_int;
    /// `sd_bus_match_signal` without waiting until the bus has the rule. Since 237;
    /// `sd_bus_add_match(3)`.
    pub fn sd_bus_match_signal_async(
        bus: *mut sd_bus,
        ret: *mut *mut sd_bus_slot,
        sender: *const c_char,
        path: *const c_char,
        interface: *const c_char,
        member: *const c_char,
        match_callback: sd_bus_message_handler_t,
        add_callback: sd_bus_message_handler_t,
        userdata: *mut c_void,
    ) -> c_int;
}

// Messages
unsafe extern "C" {
    /// Makes a signal for one recipient. Since 253; `sd_bus_message_new_signal(3)`.
    #[cfg(libsystemd_253)]
    pub fn sd_bus_message_new_signal_to(
        bus: *mut sd_bus,
        m: *mut *mut sd_bus_message,
        destination: *const c_char,
        path: *const c_char,
        interface: *const c_char,
        member: *const c_char,
    ) -> c_int;
    /// Makes and sends a signal for one recipient. Since 253; `sd_bus_emit_signal(3)`.
    #[cfg(libsystemd_253)]
    pub fn sd_bus_emit_signal_to(
        bus: *mut sd_bus,
        destination: *const c_char,
        path: *const c_char,
        interface: *const c_char,
        member: *const c_char,
        types: *const c_char,
        ...
    ) -> c_int;
    /// Sends a message over the bus that it was made for. Since 248; `sd_bus_send(3)`.
    #[cfg(libsystemd_248)]
    pub fn sd_bus_message_send(m: *mut sd_bus_message) -> c_int;
    /// Reads an array of strings and appends it to one that is there. Since 252;
    /// `sd_bus_message_read_strv(3)`.
    #[cfg(libsystemd_252)]
    pub fn sd_bus_message_read_strv_extend(m: *mut sd_bus_message, l: *mut *mut *mut c_char) -> c_int;
    /// Has the message's memory overwritten when it is freed. Since 245;
    /// `sd_bus_message_sensitive(3)`.
    pub fn sd_bus_message_sensitive(m: *mut sd_bus_message) -> c_int;
    /// Writes the message as text, and rewinds it. Since 245; `sd_bus_message_dump(3)`.
    pub fn sd_bus_message_dump(m: *mut sd_bus_message, f: *mut FILE, flags: u64) -> c_int;
}

// Credentials, errors, peers
unsafe extern "C" {
    /// Reads the credentials of a process that a descriptor refers to. Since 256;
    /// `sd_bus_creds_new_from_pid(3)`.
    #[cfg(libsystemd_256)]
    pub fn sd_bus_creds_new_from_pidfd(ret: *mut *mut sd_bus_creds, pidfd: c_int, creds_mask: u64) -> c_int;
    /// Duplicates the descriptor that refers to the process. Since 256; `sd_bus_creds_get_pid(3)`.
    #[cfg(libsystemd_256)]
    pub fn sd_bus_creds_get_pidfd_dup(c: *mut sd_bus_creds, ret_fd: *mut c_int) -> c_int;
    /// Gets the supplementary groups. libsystemd-sys takes the result by a pointer to a constant.
    /// Since 221; `sd_bus_creds_get_pid(3)`.
    pub fn sd_bus_creds_get_supplementary_gids(c: *mut sd_bus_creds, gids: *mut *const gid_t) -> c_int;

    /// Moves an error, and leaves an empty one behind. Since 240; `sd_bus_error(3)`.
    pub fn sd_bus_error_move(dest: *mut sd_bus_error, e: *mut sd_bus_error) -> c_int;
    /// Whether the error has one of the names that follow, of which the last is a null pointer.
    /// Since 247; `sd_bus_error(3)`.
    #[cfg(libsystemd_247)]
    pub fn sd_bus_error_has_names_sentinel(e: *const sd_bus_error, ...) -> c_int;

    /// Whether a peer counts as often as it was added. Since 232; `sd_bus_track_new(3)`.
    pub fn sd_bus_track_get_recursive(track: *mut sd_bus_track) -> c_int;
}
