//! Managers of other hosts, which ssh leads to.

use std::ffi::OsString;
use std::net::Ipv6Addr;

use nix::errno::Errno;

use crate::bus::{NO_DBUS, Program, SILENT, TIMED_OUT};
use crate::error::{Error, Result};

/// What is run on the host: it passes messages between its standard input and output and a bus.
const BRIDGE: &str = "systemd-stdio-bridge";

/// Names another program than ssh, as for systemd's own tools since 257.
const SSH: &str = "SYSTEMD_SSH";

/// A host, and perhaps a container there, as the caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub host: String,
    /// Options for ssh.
    pub options: Vec<String>,
}

/// The parts of the name.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    /// The host, and the user where one is given.
    destination: String,
    port: Option<u16>,
    machine: Option<String>,
}

impl Remote {
    /// The program that leads there.
    pub fn program(&self) -> Result<Program> {
        let Parts { destination, port, machine } = parse(&self.host)?;
        let mut arguments = vec!["-xT".to_owned()];
        for option in &self.options {
            arguments.extend(["-o".to_owned(), checked(option)?.to_owned()]);
        }
        if let Some(port) = port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["--".to_owned(), destination, BRIDGE.to_owned()]);
        arguments.extend(machine.map(|machine| format!("--machine={machine}")));
        let path = std::env::var_os(SSH).filter(|path| !path.is_empty()).unwrap_or_else(|| "ssh".into());
        let arguments = arguments.into_iter().map(OsString::from).collect();
        Ok(Program { path, arguments, destination: self.host.as_str().into() })
    }

    /// Why ssh did not get there, and what to do where that does not say so itself.
    pub fn explain(&self, reason: &str) -> String {
        if reason.contains(BRIDGE) && reason.contains("not found") {
            return format!("{reason}; is systemd installed there?");
        }
        if reason.starts_with(NO_DBUS) {
            return format!("{reason} (does a startup file of the shell there print something?)");
        }
        if reason.contains(TIMED_OUT) {
            return format!("{reason}; did it wait for the host, or for an answer to a question (BatchMode=yes)?");
        }
        // The bridge of some versions talks to its journal alone.
        if !reason.ends_with(SILENT) {
            return reason.to_owned();
        }
        let machine = match parse(&self.host) {
            Ok(Parts { machine: Some(machine), .. }) => {
                format!(" does machine {machine:?} run there (machinectl list)?")
            }
            _ => " does the system bus run there?".to_owned(),
        };
        format!("{reason};{machine} Its journal may say more (journalctl --identifier={BRIDGE})")
    }

    /// The error for what cannot be passed there.
    pub fn refuse(&self, what: &'static str) -> Error {
        let reason = format!(
            "cannot be passed to host {:?}: they do not cross ssh. A unit there can have null, the journal, or a file of \
             that host as its standard streams (Stdio::null, Stdio::journal, Stdio::file)",
            self.host
        );
        Error::invalid(what, "", reason)
    }
}

fn checked(option: &str) -> Result<&str> {
    let invalid = |reason: &str| Error::invalid("ssh option", option, reason);
    if option.chars().any(char::is_control) {
        return Err(invalid("has a control character in it"));
    }
    if !option.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(invalid("is not one of ssh_config(5) (BatchMode=yes is one)"));
    }
    Ok(option)
}

/// Takes the name apart, as libsystemd does, and refuses what ssh or the shell that it calls could take for something
/// else than a name.
fn parse(text: &str) -> Result<Parts> {
    let invalid = |reason: &str| Error::invalid("host", text, reason);
    if text.is_empty() {
        return Err(invalid("is empty"));
    }
    if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(invalid("has white space or a control character in it"));
    }
    let (user, rest) = match text.split_once('/').map_or(text, |(before, _)| before).split_once('@') {
        Some((user, _)) => (Some(user), &text[user.len() + 1..]),
        None => (None, text),
    };
    let (name, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or_else(|| invalid("has a \"[\" without a \"]\""))?;
            let number = address.split_once('%').map_or(address, |(number, _)| number);
            if number.parse::<Ipv6Addr>().is_err() {
                return Err(invalid("has something else than an IPv6 address in brackets"));
            }
            if !(rest.is_empty() || rest.starts_with([':', '/'])) {
                return Err(invalid("goes on after the \"]\" with neither \":\" nor \"/\""));
            }
            (address, rest)
        }
        None => rest.split_at(rest.find([':', '/']).unwrap_or(rest.len())),
    };
    if name.contains('@') {
        return Err(invalid("has more than one \"@\" in it"));
    }
    for (part, what) in [(user, "a user's name"), (Some(name), "a host's name")] {
        let Some(part) = part else { continue };
        if part.is_empty() {
            return Err(invalid(&format!("lacks {what}")));
        }
        if part.starts_with('-') {
            return Err(invalid(&format!("has {what} that begins with \"-\", which ssh would take for an option")));
        }
        // A colon ends a host's name, unless it is part of an address.
        let odd = |character: &char| ODD.contains(*character) || (*character == ':' && user == Some(part));
        if let Some(odd) = part.chars().find(odd) {
            return Err(invalid(&format!("has {what} with {odd:?} in it")));
        }
    }
    let (port, machine) = match rest.strip_prefix(':') {
        None => (None, rest.strip_prefix('/')),
        Some(rest) => match rest.split_once('/') {
            Some((port, machine)) => (Some(port), Some(machine)),
            // What is no number is a machine.
            None if rest.contains(':') => {
                return Err(invalid("has more than one \":\" in it (an IPv6 address stands in brackets: [::1])"));
            }
            None if rest.bytes().all(|byte| byte.is_ascii_digit()) => (Some(rest), None),
            None => (None, Some(rest)),
        },
    };
    let port = match port {
        None => None,
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|number| digits && *number > 0);
            Some(number.ok_or_else(|| invalid("has a port that is not a number from 1 to 65535"))?)
        }
    };
    let machine = match machine {
        // The host itself.
        None | Some(".host") => None,
        Some(machine) if machine.contains('@') => {
            return Err(invalid("names a user's manager, which cannot be reached over ssh"));
        }
        Some(machine) if !is_machine(machine) => {
            return Err(invalid(&format!("has {machine:?} for a machine's name, which is none")));
        }
        Some(machine) => Some(machine.to_owned()),
    };
    let destination = user.map_or_else(|| name.to_owned(), |user| format!("{user}@{name}"));
    Ok(Parts { destination, port, machine })
}

/// What a shell makes more of than a character of a name: ssh hands names to one for `ProxyCommand`.
const ODD: &str = "'\"`$\\;&<>|(){}*?!#~^=,[]";

/// Whether it is a name that a machine may have, which is that of a host.
fn is_machine(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 64 && name.split('.').all(label)
}

/// Why there was no connection at all.
pub(super) fn explain_program(errno: Errno) -> String {
    let (text, program) = (errno.desc(), std::env::var_os(SSH).filter(|path| !path.is_empty()));
    match program {
        Some(program) => format!("cannot run {program:?} ($SYSTEMD_SSH): {text}"),
        None => format!("cannot run ssh: {text}; is it installed? (Debian: openssh-client)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(host: &str, options: &[&str]) -> Result<Vec<String>> {
        let remote = Remote { host: host.into(), options: options.iter().map(|option| (*option).to_owned()).collect() };
        let program = remote.program()?;
        Ok(program.arguments.into_iter().map(|argument| argument.into_string().unwrap()).collect())
    }

    /// What `systemd-run -H` of 252, 257 and 262 was seen to run.
    #[test]
    fn ssh_is_run_as_libsystemd_runs_it() {
        for (host, runs) in [
            ("root@host", "-xT -- root@host systemd-stdio-bridge"),
            ("host", "-xT -- host systemd-stdio-bridge"),
            ("host:22", "-xT -p 22 -- host systemd-stdio-bridge"),
            ("host:22/m", "-xT -p 22 -- host systemd-stdio-bridge --machine=m"),
            ("host/m", "-xT -- host systemd-stdio-bridge --machine=m"),
            ("host:m", "-xT -- host systemd-stdio-bridge --machine=m"),
            ("host:m.n", "-xT -- host systemd-stdio-bridge --machine=m.n"),
            ("host/m.n", "-xT -- host systemd-stdio-bridge --machine=m.n"),
            ("host/.host", "-xT -- host systemd-stdio-bridge"),
            ("u@host:22/m", "-xT -p 22 -- u@host systemd-stdio-bridge --machine=m"),
            ("[::1]:22", "-xT -p 22 -- ::1 systemd-stdio-bridge"),
            ("[::1]", "-xT -- ::1 systemd-stdio-bridge"),
            ("u@[::1]:22/m", "-xT -p 22 -- u@::1 systemd-stdio-bridge --machine=m"),
            ("[fe80::1%eth0]", "-xT -- fe80::1%eth0 systemd-stdio-bridge"),
            ("é", "-xT -- é systemd-stdio-bridge"),
        ] {
            assert_eq!(arguments(host, &[]).unwrap().join(" "), runs, "{host}");
        }
        let with_options = arguments("host:22", &["BatchMode=yes", "User x"]).unwrap();
        let expected = ["-xT", "-o", "BatchMode=yes", "-o", "User x", "-p", "22", "--", "host", "systemd-stdio-bridge"];
        assert_eq!(with_options, expected);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for (host, says) in [
            ("", "is empty"),
            ("-oProxyCommand=x", "begins with \"-\""),
            ("u@-host", "begins with \"-\""),
            ("-u@host", "begins with \"-\""),
            ("-:22", "begins with \"-\""),
            ("a b", "white space"),
            ("host: 22", "white space"),
            ("a\tb", "white space"),
            ("a\0", "control character"),
            ("a\u{1b}[m", "control character"),
            ("host:", "port"),
            ("host:/m", "port"),
            ("host:0", "port"),
            ("host:65536", "port"),
            ("host:99999999999999999999", "port"),
            ("host:+22/m", "port"),
            ("host:+22", "a machine's name"),
            ("host:m/22", "port"),
            ("host:22/", "a machine's name"),
            ("host/", "a machine's name"),
            ("host:22/m/n", "a machine's name"),
            ("host:22/-x", "a machine's name"),
            ("host/.m", "a machine's name"),
            ("host/m..n", "a machine's name"),
            ("host/m.", "a machine's name"),
            ("host/é", "a machine's name"),
            (&format!("host/{}", "m".repeat(65)), "a machine's name"),
            ("host/tester@", "user's manager"),
            ("host/tester@m", "user's manager"),
            ("host/tester@.host", "user's manager"),
            ("/m", "lacks a host's name"),
            (":22", "lacks a host's name"),
            ("u@", "lacks a host's name"),
            ("@host", "lacks a user's name"),
            ("a@b@c", "more than one \"@\""),
            ("host:22:33", "brackets"),
            ("::1", "lacks a host's name"),
            ("fe80::1", "brackets"),
            ("u:p@host", "':'"),
            ("ssh://host", "port"),
            ("[::1", "without a \"]\""),
            ("[]", "IPv6"),
            ("[host]", "IPv6"),
            ("[::1]x", "goes on"),
            ("$(id)", "'$'"),
            ("a;b", "';'"),
            ("a`b", "'`'"),
            ("[::1%$x]", "'$'"),
        ] {
            let error = arguments(host, &[]).unwrap_err();
            assert!(matches!(error, Error::Invalid { what: "host", .. }), "{host:?}: {error}");
            assert!(error.to_string().contains(says), "{host:?}: {error}");
        }
    }

    #[test]
    fn options_that_are_none_are_refused() {
        for option in ["", "-v", "=x", "A=b\nProxyCommand=c", " A=b"] {
            let error = arguments("host", &[option]).unwrap_err();
            assert!(matches!(error, Error::Invalid { what: "ssh option", .. }), "{option:?}: {error}");
        }
    }
}
