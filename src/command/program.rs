//! Which file a program's name means.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::words;
use crate::error::{Error, Result};

/// Where execvp(3) looks when there is no `$PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Where the program will be run, as far as finding it goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// On this host, with the `PATH` that the command was given, if it was.
    Here { path: Option<&'a str> },
    /// Elsewhere: the files there cannot be seen.
    Elsewhere,
}

/// The program as a path that systemd takes: it is to be absolute, unless it is a bare name that is searched for
/// elsewhere, in the search path of the manager there.
pub(super) fn resolve<'a>(program: &'a str, place: &Place<'_>) -> Result<Cow<'a, str>> {
    let relative = || program.contains('/');
    match place {
        _ if program.starts_with('/') => Ok(program.into()),
        Place::Elsewhere if relative() => {
            let reason = "is a relative path, which means nothing where this command is to run: give it from \"/\" on";
            Err(Error::invalid("program", program, reason))
        }
        Place::Elsewhere => Ok(program.into()),
        Place::Here { .. } if relative() => {
            let absolute = std::path::absolute(program)
                .map_err(|error| Error::invalid("program", program, format!("cannot be made absolute: {error}")))?;
            text(absolute).map(Cow::Owned)
        }
        Place::Here { path } => {
            let own = std::env::var_os("PATH");
            let search = path.map(OsStr::new).or(own.as_deref()).unwrap_or(OsStr::new(DEFAULT_PATH));
            let found = std::env::split_paths(search).map(|folder| folder.join(program)).find(|file| executable(file));
            match found {
                Some(found) => text(std::path::absolute(&found).unwrap_or(found)).map(Cow::Owned),
                None => Err(Error::ProgramNotFound { program: program.into() }),
            }
        }
    }
}

fn text(path: PathBuf) -> Result<String> {
    words::program(path.as_os_str())
}

fn executable(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_by_a_shell() {
        let here = |path: Option<&'static str>| Place::Here { path };
        assert_eq!(resolve("/no/such", &here(None)).unwrap(), "/no/such");
        assert!(resolve("sh", &here(None)).unwrap().ends_with("/sh"));
        assert_eq!(resolve("sh", &here(Some("/etc:/bin"))).unwrap(), "/bin/sh");
        let missing = resolve("sh", &here(Some("/etc"))).unwrap_err();
        assert!(matches!(&missing, Error::ProgramNotFound { program } if &**program == "sh"), "{missing:?}");
        assert_eq!(std::io::Error::from(missing).kind(), std::io::ErrorKind::NotFound);
        let own = std::env::current_dir().unwrap();
        assert_eq!(resolve("./x", &here(None)).unwrap(), own.join("x").to_str().unwrap());
    }

    #[test]
    fn elsewhere_the_manager_there_searches() {
        assert_eq!(resolve("sh", &Place::Elsewhere).unwrap(), "sh");
        assert!(resolve("./sh", &Place::Elsewhere).unwrap_err().to_string().contains("relative"));
    }
}
