//! Which service manager to talk to, and how it is reached.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::remote::Remote;
use super::{capsule, remote};
use crate::bus::Target;
use crate::error::{Error, Result};

/// The way to a service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Transport {
    /// The bus; where there is no bus daemon, the private socket.
    #[default]
    Auto,
    /// Over the bus daemon.
    Bus,
    /// The manager's private socket: `/run/systemd/private` for root, `$XDG_RUNTIME_DIR/systemd/private` for a
    /// user. Faster, and needs no bus daemon. But it is systemd's own affair, not a promised interface.
    ///
    /// And it asks for a runtime that keeps running. The manager itself keeps what a process does not read from this
    /// socket, up to its buffer's size. Then, on newer systemd, it waits: with systemd 262, after the start and end of
    /// some 450 units of anyone's, no client on the host gets signals any more until that process reads, or its
    /// connection is closed. A process that is stopped (SIGSTOP, a debugger), a frozen cgroup or a blocked thread of a
    /// `current_thread` runtime is enough, and nothing can be done about it from inside. So: not for programs that block
    /// their runtime or are stopped; and dropping the last [`Manager`](crate::Manager) and [`Unit`](crate::Unit) when
    /// nothing is to be done closes it. On the bus, the bus daemon buffers for such a process (a stock one 127 MiB, some
    /// 30,000 ends of units), and if that is not enough drops that process's connection alone.
    Private,
}

/// Which manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    System,
    User,
    Machine(String),
    UserMachine(String),
    Capsule(String),
    Remote(Remote),
    Address(String),
}

impl Scope {
    /// The system manager for root, the caller's own for everyone else.
    pub fn by_uid() -> Self {
        if nix::unistd::geteuid().is_root() { Scope::System } else { Scope::User }
    }

    pub fn describe(&self) -> String {
        match self {
            Scope::System => "the system manager".into(),
            Scope::User => "the user manager".into(),
            Scope::Machine(name) => format!("the system manager of machine {name:?}"),
            Scope::UserMachine(name) => format!("the user manager {name:?}"),
            Scope::Capsule(name) => format!("the manager of capsule {name:?}"),
            Scope::Remote(remote) => format!("the system manager of host {:?}", remote.host),
            Scope::Address(address) => format!("the service manager at {address:?}"),
        }
    }

    /// Whether the bus is one with the narrow limits of a system bus.
    pub fn is_system_bus(&self) -> bool {
        matches!(self, Scope::System | Scope::Machine(_) | Scope::Remote(_) | Scope::Address(_))
    }

    /// Whether its units see the files of this host. An address may lead anywhere; mostly it does not lead far.
    pub fn is_here(&self) -> bool {
        match self {
            Scope::System | Scope::User | Scope::Capsule(_) | Scope::Address(_) => true,
            Scope::Remote(_) => false,
            Scope::Machine(name) => name == ".host",
            Scope::UserMachine(name) => {
                name.rsplit_once('@').is_some_and(|(_, machine)| matches!(machine, "" | ".host"))
            }
        }
    }

    /// Whose manager it is, where it logs to the journal of this host: a user's, or the system's, as far as that can be
    /// told.
    pub fn owner(&self) -> Option<Option<u32>> {
        match self {
            Scope::System | Scope::User | Scope::Address(_) => {
                Some(self.is_user().then(|| nix::unistd::geteuid().as_raw()))
            }
            Scope::Machine(_) | Scope::UserMachine(_) | Scope::Capsule(_) | Scope::Remote(_) => None,
        }
    }

    /// Whether it is certain which manager that is: an address may lead anywhere.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Scope::Address(_))
    }

    /// Whether it is a user's manager, as far as that can be told.
    pub fn is_user(&self) -> bool {
        match self {
            Scope::User | Scope::UserMachine(_) | Scope::Capsule(_) => true,
            Scope::System | Scope::Machine(_) | Scope::Remote(_) => false,
            Scope::Address(_) => !nix::unistd::geteuid().is_root(),
        }
    }

    /// Where to connect to, in the order of trying.
    pub fn targets(&self, transport: Transport) -> Result<Vec<Target>> {
        let text = |what, value: &str| CString::new(value).map_err(|_| Error::invalid(what, value, "holds a NUL byte"));
        let only_bus = |target: Target| match transport {
            Transport::Auto | Transport::Bus => Ok(vec![target]),
            Transport::Private => Err(Error::invalid(
                "transport",
                "Private",
                format!("reaches only managers of this host, not {}", self.describe()),
            )),
        };
        let (bus, private) = match self {
            Scope::System => (Target::System, Some(PathBuf::from("/run/systemd/private"))),
            Scope::User => {
                let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
                (Target::User, runtime.map(|dir| Path::new(&dir).join("systemd/private")))
            }
            Scope::Machine(name) => return only_bus(Target::Machine(text("machine name", name)?)),
            Scope::UserMachine(name) => return only_bus(Target::UserMachine(text("machine name", name)?)),
            Scope::Remote(remote) => return only_bus(Target::Program(remote.program()?)),
            Scope::Capsule(name) => return capsule::targets(name, transport),
            Scope::Address(address) => {
                let address = text("D-Bus address", address)?;
                return Ok(vec![match transport {
                    Transport::Auto | Transport::Bus => Target::Bus(address),
                    Transport::Private => Target::Peer(address),
                }]);
            }
        };
        let private = private.map(|path| Target::Peer(address_of(&path)));
        match (transport, private) {
            (Transport::Bus, _) | (Transport::Auto, None) => Ok(vec![bus]),
            (Transport::Auto, Some(private)) => Ok(vec![bus, private]),
            (Transport::Private, Some(private)) => Ok(vec![private]),
            (Transport::Private, None) => Err(self.unreachable(NO_RUNTIME_DIR)),
        }
    }

    /// Whether it is worth trying the next target: nobody is listening at this one.
    pub fn nobody_there(error: &Error) -> bool {
        matches!(error, Error::System { errno: Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOMEDIUM, .. })
    }

    pub fn unreachable(&self, reason: impl Into<Box<str>>) -> Error {
        Error::Unavailable { manager: self.describe().into(), reason: reason.into() }
    }

    /// Says why connecting failed, and what to do.
    pub fn explain(&self, error: Error) -> Error {
        if let (Scope::Remote(remote), Error::Disconnected { reason }) = (self, &error) {
            return self.unreachable(remote.explain(reason));
        }
        let Error::System { errno, .. } = &error else { return error };
        let text = errno.desc();
        let booted = Path::new("/run/systemd/system").exists();
        let reason = match (self, errno) {
            (Scope::Address(address), Errno::EINVAL | Errno::ECONNREFUSED) if !has_transport(address) => {
                "that is not a D-Bus address (as unix:path=/run/dbus/system_bus_socket is one)".into()
            }
            (Scope::Address(address), _) => explain_address(address, *errno),
            (Scope::System | Scope::User, Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOMEDIUM) if !booted => {
                "systemd does not run this machine (there is no /run/systemd/system)".into()
            }
            (Scope::User, Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOMEDIUM) => NO_RUNTIME_DIR.into(),
            (Scope::System, Errno::ENOENT | Errno::ECONNREFUSED) => format!(
                "{text}: neither the system bus nor /run/systemd/private can be opened; is dbus installed and running?"
            ),
            (Scope::System, Errno::EACCES | Errno::EPERM) => {
                format!("{text}: the private socket is for root; use the bus, or the user manager (Manager::user())")
            }
            (Scope::User, Errno::EACCES | Errno::EPERM | Errno::ECONNRESET) => format!(
                "{text}: a user manager is reached by its own user only; is XDG_RUNTIME_DIR that of another one?"
            ),
            (Scope::Remote(_), _) => remote::explain_program(*errno),
            (Scope::Capsule(_), Errno::EACCES | Errno::EPERM | Errno::ECONNRESET)
                if !nix::unistd::geteuid().is_root() =>
            {
                format!("{text}: a capsule is reached by root only")
            }
            (Scope::Machine(_) | Scope::UserMachine(_), Errno::ENOENT | Errno::ENXIO | Errno::EHOSTDOWN) => {
                format!("{text}: is it running? (machinectl list)")
            }
            _ => text.to_owned(),
        };
        self.unreachable(reason)
    }
}

const NO_RUNTIME_DIR: &str = "there is no socket of it; log in, or have root run `loginctl enable-linger USER`, and see \
     that XDG_RUNTIME_DIR is set (/run/user/UID)";

/// Why there was no connection to an address of the caller's.
fn explain_address(address: &str, errno: Errno) -> String {
    let text = errno.desc();
    match errno {
        Errno::EINVAL => format!("{text}: there is a mistake in the address (sd_bus_set_address(3) has the forms)"),
        Errno::E2BIG => format!("{text}: a socket's path has 107 bytes at most"),
        Errno::EBADR => {
            format!("{text}: what listens there is no bus daemon; a manager's own socket is for Transport::Private")
        }
        Errno::EPERM if address.contains("guid=") => format!("{text}: perhaps it is another bus than its guid= says"),
        Errno::ECONNRESET | Errno::EPIPE if address.contains("unixexec:") => {
            format!("{text}: the program of the address ended; run it by hand to see why")
        }
        Errno::EHOSTDOWN | Errno::ENXIO if address.contains("x-machine-unix:") => {
            format!("{text}: is the machine running? (machinectl list)")
        }
        _ => text.to_owned(),
    }
}

/// Whether one of the addresses in the list has a form that libsystemd knows.
fn has_transport(address: &str) -> bool {
    const KNOWN: [&str; 5] = ["unix:", "tcp:", "unixexec:", "x-machine-unix:", "vsock:"];
    address.split(';').any(|one| KNOWN.iter().any(|transport| one.starts_with(transport)))
}

/// The D-Bus address of a socket. What may not stand in one is written `%xx`.
fn address_of(path: &Path) -> CString {
    use std::os::unix::ffi::OsStrExt;

    let mut address = String::from("unix:path=");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'/' | b'.' | b'\\' | b'*' => {
                address.push((*byte).into());
            }
            _ => address.push_str(&format!("%{byte:02x}")),
        }
    }
    CString::new(address).expect("what is not plain was escaped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_escaped_into_addresses() {
        let address = |path: &str| address_of(Path::new(path)).into_string().unwrap();
        assert_eq!(address("/run/user/1000/systemd/private"), "unix:path=/run/user/1000/systemd/private");
        assert_eq!(address("/a b,c;d=e%"), "unix:path=/a%20b%2cc%3bd%3de%25");
    }

    #[test]
    fn what_cannot_be_reached_privately_is_refused() {
        let error = Scope::Machine("web".into()).targets(Transport::Private).unwrap_err();
        assert!(error.to_string().contains("machine \"web\""), "{error}");
        assert!(Scope::Machine("a\0b".into()).targets(Transport::Auto).is_err());
    }
}
