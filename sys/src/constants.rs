//! The constants of sd-bus that libsystemd-sys does not have. Messages carry the names of errors and
//! types whatever the version of the library, so none of these is gated.

use std::ffi::CStr;

use crate::c_char;

// Types, for the functions that take one character: `sd_bus_message_append_basic(3)`.
/// An unsigned byte.
pub const SD_BUS_TYPE_BYTE: c_char = b'y' as c_char;
/// A boolean, which is a `c_int` in C.
pub const SD_BUS_TYPE_BOOLEAN: c_char = b'b' as c_char;
/// A signed 16-bit number.
pub const SD_BUS_TYPE_INT16: c_char = b'n' as c_char;
/// An unsigned 16-bit number.
pub const SD_BUS_TYPE_UINT16: c_char = b'q' as c_char;
/// A signed 32-bit number.
pub const SD_BUS_TYPE_INT32: c_char = b'i' as c_char;
/// An unsigned 32-bit number.
pub const SD_BUS_TYPE_UINT32: c_char = b'u' as c_char;
/// A signed 64-bit number.
pub const SD_BUS_TYPE_INT64: c_char = b'x' as c_char;
/// An unsigned 64-bit number.
pub const SD_BUS_TYPE_UINT64: c_char = b't' as c_char;
/// A floating-point number.
pub const SD_BUS_TYPE_DOUBLE: c_char = b'd' as c_char;
/// A string.
pub const SD_BUS_TYPE_STRING: c_char = b's' as c_char;
/// An object path.
pub const SD_BUS_TYPE_OBJECT_PATH: c_char = b'o' as c_char;
/// A signature.
pub const SD_BUS_TYPE_SIGNATURE: c_char = b'g' as c_char;
/// A file descriptor.
pub const SD_BUS_TYPE_UNIX_FD: c_char = b'h' as c_char;
/// An array.
pub const SD_BUS_TYPE_ARRAY: c_char = b'a' as c_char;
/// A value with its own signature.
pub const SD_BUS_TYPE_VARIANT: c_char = b'v' as c_char;
/// A structure, as a container type; not used in signatures.
pub const SD_BUS_TYPE_STRUCT: c_char = b'r' as c_char;
/// The beginning of a structure, in signatures.
pub const SD_BUS_TYPE_STRUCT_BEGIN: c_char = b'(' as c_char;
/// The end of a structure, in signatures.
pub const SD_BUS_TYPE_STRUCT_END: c_char = b')' as c_char;
/// A dictionary entry, as a container type; not used in signatures.
pub const SD_BUS_TYPE_DICT_ENTRY: c_char = b'e' as c_char;
/// The beginning of a dictionary entry, in signatures.
pub const SD_BUS_TYPE_DICT_ENTRY_BEGIN: c_char = b'{' as c_char;
/// The end of a dictionary entry, in signatures.
pub const SD_BUS_TYPE_DICT_ENTRY_END: c_char = b'}' as c_char;

// Lengths of names: the D-Bus specification.
/// The most bytes that a signature has.
pub const SD_BUS_MAXIMUM_SIGNATURE_LENGTH: usize = 255;
/// The most bytes that a name of a bus connection, interface, member or error has.
pub const SD_BUS_MAXIMUM_NAME_LENGTH: usize = 255;

// Flags of `sd_bus_request_name(3)`.
/// Takes the name from an owner that allows it.
pub const SD_BUS_NAME_REPLACE_EXISTING: u64 = 1 << 0;
/// Allows others to take the name.
pub const SD_BUS_NAME_ALLOW_REPLACEMENT: u64 = 1 << 1;
/// Waits for a name that somebody has.
pub const SD_BUS_NAME_QUEUE: u64 = 1 << 2;

// Flags of `sd_bus_message_dump(3)`.
/// Writes the header too.
pub const SD_BUS_MESSAGE_DUMP_WITH_HEADER: u64 = 1 << 0;
/// Writes only the container that the reader is in.
pub const SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY: u64 = 1 << 1;

// What credentials hold: `sd_bus_creds_get_pid(3)`, `sd_bus_negotiate_creds(3)`.
/// The process.
pub const SD_BUS_CREDS_PID: u64 = 1 << 0;
/// The thread.
pub const SD_BUS_CREDS_TID: u64 = 1 << 1;
/// The parent process.
pub const SD_BUS_CREDS_PPID: u64 = 1 << 2;
/// The real user.
pub const SD_BUS_CREDS_UID: u64 = 1 << 3;
/// The effective user.
pub const SD_BUS_CREDS_EUID: u64 = 1 << 4;
/// The saved user.
pub const SD_BUS_CREDS_SUID: u64 = 1 << 5;
/// The user for files.
pub const SD_BUS_CREDS_FSUID: u64 = 1 << 6;
/// The real group.
pub const SD_BUS_CREDS_GID: u64 = 1 << 7;
/// The effective group.
pub const SD_BUS_CREDS_EGID: u64 = 1 << 8;
/// The saved group.
pub const SD_BUS_CREDS_SGID: u64 = 1 << 9;
/// The group for files.
pub const SD_BUS_CREDS_FSGID: u64 = 1 << 10;
/// The supplementary groups.
pub const SD_BUS_CREDS_SUPPLEMENTARY_GIDS: u64 = 1 << 11;
/// The process's name.
pub const SD_BUS_CREDS_COMM: u64 = 1 << 12;
/// The thread's name.
pub const SD_BUS_CREDS_TID_COMM: u64 = 1 << 13;
/// The path of the program.
pub const SD_BUS_CREDS_EXE: u64 = 1 << 14;
/// The arguments.
pub const SD_BUS_CREDS_CMDLINE: u64 = 1 << 15;
/// The control group.
pub const SD_BUS_CREDS_CGROUP: u64 = 1 << 16;
/// The system unit.
pub const SD_BUS_CREDS_UNIT: u64 = 1 << 17;
/// The slice.
pub const SD_BUS_CREDS_SLICE: u64 = 1 << 18;
/// The user manager's unit.
pub const SD_BUS_CREDS_USER_UNIT: u64 = 1 << 19;
/// The user manager's slice.
pub const SD_BUS_CREDS_USER_SLICE: u64 = 1 << 20;
/// The login session.
pub const SD_BUS_CREDS_SESSION: u64 = 1 << 21;
/// The user of the session or user manager.
pub const SD_BUS_CREDS_OWNER_UID: u64 = 1 << 22;
/// The effective capabilities.
pub const SD_BUS_CREDS_EFFECTIVE_CAPS: u64 = 1 << 23;
/// The permitted capabilities.
pub const SD_BUS_CREDS_PERMITTED_CAPS: u64 = 1 << 24;
/// The inheritable capabilities.
pub const SD_BUS_CREDS_INHERITABLE_CAPS: u64 = 1 << 25;
/// The bounding capabilities.
pub const SD_BUS_CREDS_BOUNDING_CAPS: u64 = 1 << 26;
/// The SELinux context.
pub const SD_BUS_CREDS_SELINUX_CONTEXT: u64 = 1 << 27;
/// The audit session.
pub const SD_BUS_CREDS_AUDIT_SESSION_ID: u64 = 1 << 28;
/// The audit user.
pub const SD_BUS_CREDS_AUDIT_LOGIN_UID: u64 = 1 << 29;
/// The controlling terminal.
pub const SD_BUS_CREDS_TTY: u64 = 1 << 30;
/// The unique bus name.
pub const SD_BUS_CREDS_UNIQUE_NAME: u64 = 1 << 31;
/// The well-known bus names.
pub const SD_BUS_CREDS_WELL_KNOWN_NAMES: u64 = 1 << 32;
/// The connection's description.
pub const SD_BUS_CREDS_DESCRIPTION: u64 = 1 << 33;
/// A descriptor that refers to the process. In the headers of 256.
pub const SD_BUS_CREDS_PIDFD: u64 = 1 << 34;
/// Whether to read from /proc, where processes may have changed, what the bus does not tell.
pub const SD_BUS_CREDS_AUGMENT: u64 = 1 << 63;

// Names of errors: `sd-bus-errors(3)`.
/// Something failed, with no name of its own.
pub const SD_BUS_ERROR_FAILED: &CStr = c"org.freedesktop.DBus.Error.Failed";
/// Memory ran out.
pub const SD_BUS_ERROR_NO_MEMORY: &CStr = c"org.freedesktop.DBus.Error.NoMemory";
/// No such bus name, and nothing to start that would have it.
pub const SD_BUS_ERROR_SERVICE_UNKNOWN: &CStr = c"org.freedesktop.DBus.Error.ServiceUnknown";
/// Nobody has the bus name.
pub const SD_BUS_ERROR_NAME_HAS_NO_OWNER: &CStr = c"org.freedesktop.DBus.Error.NameHasNoOwner";
/// The reply did not come, or its sender is gone.
pub const SD_BUS_ERROR_NO_REPLY: &CStr = c"org.freedesktop.DBus.Error.NoReply";
/// Reading or writing failed.
pub const SD_BUS_ERROR_IO_ERROR: &CStr = c"org.freedesktop.DBus.Error.IOError";
/// A malformed bus address.
pub const SD_BUS_ERROR_BAD_ADDRESS: &CStr = c"org.freedesktop.DBus.Error.BadAddress";
/// What was asked for is not supported.
pub const SD_BUS_ERROR_NOT_SUPPORTED: &CStr = c"org.freedesktop.DBus.Error.NotSupported";
/// A limit of the bus or of the service was reached.
pub const SD_BUS_ERROR_LIMITS_EXCEEDED: &CStr = c"org.freedesktop.DBus.Error.LimitsExceeded";
/// Permission was denied.
pub const SD_BUS_ERROR_ACCESS_DENIED: &CStr = c"org.freedesktop.DBus.Error.AccessDenied";
/// Authentication failed.
pub const SD_BUS_ERROR_AUTH_FAILED: &CStr = c"org.freedesktop.DBus.Error.AuthFailed";
/// Nothing answers at the address.
pub const SD_BUS_ERROR_NO_SERVER: &CStr = c"org.freedesktop.DBus.Error.NoServer";
/// Time ran out.
pub const SD_BUS_ERROR_TIMEOUT: &CStr = c"org.freedesktop.DBus.Error.Timeout";
/// There is no network.
pub const SD_BUS_ERROR_NO_NETWORK: &CStr = c"org.freedesktop.DBus.Error.NoNetwork";
/// The address is taken.
pub const SD_BUS_ERROR_ADDRESS_IN_USE: &CStr = c"org.freedesktop.DBus.Error.AddressInUse";
/// The connection is gone.
pub const SD_BUS_ERROR_DISCONNECTED: &CStr = c"org.freedesktop.DBus.Error.Disconnected";
/// Arguments do not fit.
pub const SD_BUS_ERROR_INVALID_ARGS: &CStr = c"org.freedesktop.DBus.Error.InvalidArgs";
/// No such file.
pub const SD_BUS_ERROR_FILE_NOT_FOUND: &CStr = c"org.freedesktop.DBus.Error.FileNotFound";
/// The file is there already.
pub const SD_BUS_ERROR_FILE_EXISTS: &CStr = c"org.freedesktop.DBus.Error.FileExists";
/// No such method.
pub const SD_BUS_ERROR_UNKNOWN_METHOD: &CStr = c"org.freedesktop.DBus.Error.UnknownMethod";
/// No such object.
pub const SD_BUS_ERROR_UNKNOWN_OBJECT: &CStr = c"org.freedesktop.DBus.Error.UnknownObject";
/// The object has no such interface.
pub const SD_BUS_ERROR_UNKNOWN_INTERFACE: &CStr = c"org.freedesktop.DBus.Error.UnknownInterface";
/// The interface has no such property.
pub const SD_BUS_ERROR_UNKNOWN_PROPERTY: &CStr = c"org.freedesktop.DBus.Error.UnknownProperty";
/// The property cannot be set.
pub const SD_BUS_ERROR_PROPERTY_READ_ONLY: &CStr = c"org.freedesktop.DBus.Error.PropertyReadOnly";
/// The process of a connection is not known.
pub const SD_BUS_ERROR_UNIX_PROCESS_ID_UNKNOWN: &CStr = c"org.freedesktop.DBus.Error.UnixProcessIdUnknown";
/// A malformed signature.
pub const SD_BUS_ERROR_INVALID_SIGNATURE: &CStr = c"org.freedesktop.DBus.Error.InvalidSignature";
/// A malformed message.
pub const SD_BUS_ERROR_INCONSISTENT_MESSAGE: &CStr = c"org.freedesktop.DBus.Error.InconsistentMessage";
/// Time ran out; the younger of two names. In the headers of 254.
pub const SD_BUS_ERROR_TIMED_OUT: &CStr = c"org.freedesktop.DBus.Error.TimedOut";
/// No such match rule to remove.
pub const SD_BUS_ERROR_MATCH_RULE_NOT_FOUND: &CStr = c"org.freedesktop.DBus.Error.MatchRuleNotFound";
/// A malformed match rule.
pub const SD_BUS_ERROR_MATCH_RULE_INVALID: &CStr = c"org.freedesktop.DBus.Error.MatchRuleInvalid";
/// It would be permitted after asking the user.
pub const SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED: &CStr =
    c"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
/// A malformed file. In the headers of 254.
pub const SD_BUS_ERROR_INVALID_FILE_CONTENT: &CStr = c"org.freedesktop.DBus.Error.InvalidFileContent";
/// The SELinux context of a connection is not known. In the headers of 254.
pub const SD_BUS_ERROR_SELINUX_SECURITY_CONTEXT_UNKNOWN: &CStr =
    c"org.freedesktop.DBus.Error.SELinuxSecurityContextUnknown";
/// The object path is taken. In the headers of 254.
pub const SD_BUS_ERROR_OBJECT_PATH_IN_USE: &CStr = c"org.freedesktop.DBus.Error.ObjectPathInUse";
