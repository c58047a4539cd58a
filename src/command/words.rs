//! The parts of a command, checked before anything is sent.

use std::ffi::OsStr;
use std::path::{Component, Path};

use crate::error::{Error, Result};

/// Longest description that is made of a command line: it is there to be read.
const LONGEST_DESCRIPTION: usize = 256;

/// The program: its path, or the name by which it is looked for.
pub(super) fn program(program: &OsStr) -> Result<String> {
    some("program", text("program", program)?.into())
}

/// The argument at this place, the program being at 0.
pub(super) fn argument(at: usize, argument: &OsStr) -> Result<String> {
    text("argument", argument).map(String::from).map_err(|error| match error {
        Error::Invalid { value, reason, .. } => {
            Error::Invalid { what: "argument", value, reason: format!("(number {at}) {reason}").into() }
        }
        other => other,
    })
}

/// An environment variable. Its value is never shown.
pub(super) fn variable(key: &OsStr, value: &OsStr) -> Result<(String, String)> {
    let name = text("environment variable", key)?;
    let refuse = |reason: &str| Err(Error::invalid("environment variable", name, reason));
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() {
        return refuse("has an empty name");
    }
    if !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return refuse("has an invalid name: systemd takes letters, digits and \"_\", and no digit in front");
    }
    match sendable(value) {
        Ok(value) => Ok((name.into(), value.into())),
        Err(reason) => refuse(&format!("has a value that {reason}")),
    }
}

/// The working directory, absolute.
pub(super) fn directory(directory: &Path) -> Result<String> {
    absolute("directory", directory)
}

/// The file of a standard stream, absolute.
pub(super) fn file(file: &Path) -> Result<String> {
    absolute("file", file)
}

/// A path to be watched, absolute.
pub(super) fn watched(path: &Path) -> Result<String> {
    absolute("path", path)
}

fn absolute(what: &'static str, path: &Path) -> Result<String> {
    let shown = text(what, path.as_os_str())?;
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::invalid(what, shown, format!("cannot be made absolute: {error}")))?;
    let absolute = if absolute.components().any(|part| part == Component::ParentDir) {
        // systemd takes no "..".
        let name = absolute.file_name();
        let folder = if name.is_some() { absolute.parent().unwrap_or(&absolute) } else { &absolute };
        let reason = |error| Error::invalid(what, shown, format!("has \"..\" in it and cannot be resolved: {error}"));
        let folder = folder.canonicalize().map_err(reason)?;
        name.map(|name| folder.join(name)).unwrap_or(folder)
    } else {
        absolute
    };
    let absolute = text(what, absolute.as_os_str())?;
    if absolute.ends_with([' ', '\t']) {
        return Err(Error::invalid(what, absolute, "ends with a blank, which systemd drops at its next reload"));
    }
    one_line(what, absolute.into())
}

/// A path that must be absolute, since it is the manager's to look at.
pub(super) fn absolute_path(path: &Path) -> Result<&str> {
    let path = text("path", path.as_os_str())?;
    if path.starts_with('/') { Ok(path) } else { Err(Error::invalid("path", path, "is not absolute")) }
}

/// The file of a credential. systemd 254 and later hand a unit over to the program that executes it in lines that they split
/// at blanks, and that have escapes: the unit fails then as if its program had, or another file is read.
pub(super) fn credential_file(path: &Path) -> Result<String> {
    let path = absolute_path(path)?;
    if path.contains([' ', '\\']) {
        let reason = "has a blank or a backslash in it, which systemd takes for more than that: name the file otherwise, with a \
                      link for instance";
        return Err(Error::invalid("path", path, reason));
    }
    one_line("path", path.into())
}

/// The name of a credential: that of a file, and of a descriptor (`credential_name_valid` of systemd), without what
/// [`credential_file`] may not have either.
pub(super) fn credential(name: &str) -> Result<String> {
    let refuse = |reason: &str| Err(Error::invalid("credential", name, reason));
    if name.is_empty() {
        return refuse("may not be empty");
    }
    if matches!(name, "." | "..") || name.len() > 255 {
        return refuse("is no name of a file: that has 255 bytes at most, and is neither \".\" nor \"..\"");
    }
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '/' | ':' | '\\')) {
        let allowed = "ASCII characters without blanks, \":\", \"/\" and \"\\\"";
        return refuse(&format!("may not contain {:?}: the name is of {allowed}", bad.to_string()));
    }
    Ok(name.into())
}

/// Text that systemd writes down as it is, in the unit's file, and reads again at the next daemon-reload: more than one line
/// would be more than one setting.
pub(super) fn one_line(what: &'static str, value: String) -> Result<String> {
    let refuse = |reason: &str| Err(Error::invalid(what, &value, reason));
    if value.contains(['\n', '\r']) {
        return refuse("holds a line break: systemd would take what follows for another setting at its next reload");
    }
    if value.ends_with('\\') {
        return refuse("ends with a backslash: systemd would join the next setting to it at its next reload");
    }
    text(what, OsStr::new(&value))?;
    Ok(value)
}

/// The name of an environment variable.
pub(super) fn variable_name(key: &OsStr) -> Result<String> {
    variable(key, OsStr::new("")).map(|(name, _)| name)
}

/// Text that may hold anything but NUL, and something it must.
pub(super) fn some(what: &'static str, value: String) -> Result<String> {
    if value.is_empty() {
        return Err(Error::invalid(what, "", "may not be empty"));
    }
    text(what, OsStr::new(&value))?;
    Ok(value)
}

/// Splits a line into words as a shell does.
pub(super) fn split(line: &str) -> Result<Vec<String>> {
    shell_words::split(line)
        .map_err(|_| Error::invalid("command line", line, "has a quote that is opened and never closed"))
}

/// Text that can cross D-Bus.
pub(super) fn text<'a>(what: &'static str, value: &'a OsStr) -> Result<&'a str> {
    sendable(value).map_err(|reason| Error::invalid(what, value.to_string_lossy(), reason))
}

/// What can cross D-Bus: UTF-8 without NUL and without noncharacters; or why it cannot.
fn sendable(value: &OsStr) -> Result<&str, String> {
    let Some(text) = value.to_str() else { return Err("is not UTF-8, and D-Bus carries no other text".into()) };
    // The Unicode Standard, 23.7: 66 code points that stand for no character. sd-bus refuses them.
    let unsendable = |c: &char| matches!(u32::from(*c), 0 | 0xfdd0..=0xfdef) || u32::from(*c) & 0xfffe == 0xfffe;
    match text.chars().find(unsendable) {
        None => Ok(text),
        Some('\0') => Err("holds a NUL byte, which no program can be given".into()),
        Some(c) => Err(format!("holds U+{:04X}, which is no character: D-Bus does not carry it", u32::from(c))),
    }
}

/// The most bytes that Linux takes as one argument, or one variable with its name, without the NUL byte (execve(2)): 32
/// pages.
fn longest_string() -> usize {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    page.and_then(|page| usize::try_from(page).ok()).map_or(LONGEST_ARGUMENT, |page| 32 * page - 1)
}

/// Refuses an argument of a program of this host that Linux would not pass on. The unit would fail, in a way that depends on
/// systemd's version: 203, or `resources`.
pub(super) fn passable_argument(at: usize, argument: &str) -> Result<()> {
    match too_long(argument.len()) {
        None => Ok(()),
        Some(reason) => Err(Error::invalid("argument", argument, format!("(number {at}) {reason}"))),
    }
}

/// The same for an environment variable, whose value is never shown.
pub(super) fn passable_variable(name: &str, value: &str) -> Result<()> {
    match too_long(name.len() + 1 + value.len()) {
        None => Ok(()),
        Some(reason) => Err(Error::invalid("environment variable", name, format!("with its value {reason}"))),
    }
}

fn too_long(length: usize) -> Option<String> {
    let longest = longest_string();
    let reason = || {
        format!(
            "is {length} bytes long, and Linux passes at most {longest} on: hand it over in a file, through a pipe or as a \
             credential"
        )
    };
    (length > longest).then(reason)
}

/// The shell of [`by_shell`].
pub(super) const SHELL: &str = "/bin/sh";

/// Longest argument that Linux passes to a program, without the NUL byte.
const LONGEST_ARGUMENT: usize = 131_071;

/// A script for the shell that executes this command line, in a form in which every `$` and `;` lacks just the
/// backslash before it that systemd 252 puts there. `None` where it would be too long.
pub(super) fn by_shell<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut script = String::from("exec");
    for word in words {
        script.push(' ');
        if word.is_empty() {
            script.push_str("''");
        }
        for c in word.chars() {
            match c {
                // As it is. No "${" comes about, which systemd would expand: "{" gets a backslash.
                '$' | ';' | '/' | '.' | ',' | '_' | '-' | '+' | ':' | '@' | '%' => script.push(c),
                _ if c.is_ascii_alphanumeric() => script.push(c),
                // A backslash would take a newline away.
                _ if c.is_control() || !c.is_ascii() => script.extend(['\'', c, '\'']),
                _ => script.extend(['\\', c]),
            }
        }
    }
    // Room for the backslashes that are to come.
    (script.len() + script.matches(['$', ';']).count() <= LONGEST_ARGUMENT).then_some(script)
}

/// The command line as a description: quoted where it must be, on one line, of bounded length.
pub(super) fn describe<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        // A word that is very long is cut before it is quoted.
        let cut = word.char_indices().nth(LONGEST_DESCRIPTION).map_or(word.len(), |(at, _)| at);
        line.push_str(&shell_words::quote(&word[..cut]));
        if line.len() > LONGEST_DESCRIPTION {
            break;
        }
    }
    let mut characters = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut description: String = characters.by_ref().take(LONGEST_DESCRIPTION).collect();
    if characters.next().is_some() {
        description.push('…');
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn programs_have_a_name() {
        assert_eq!(program(OsStr::new("/bin/true")).unwrap(), "/bin/true");
        let reason = |text: &str| program(OsStr::new(text)).unwrap_err().to_string();
        assert!(reason("").contains("empty"));
        assert!(reason("/a\0b").contains("NUL"));
    }

    #[test]
    fn arguments_are_named_by_their_place() {
        let error = argument(2, OsStr::from_bytes(b"a\xffb")).unwrap_err().to_string();
        assert_eq!(error, "argument \"a\u{fffd}b\" (number 2) is not UTF-8, and D-Bus carries no other text");
        assert!(argument(1, OsStr::new("")).is_ok());
    }

    #[test]
    fn what_linux_does_not_pass_on_is_refused() {
        let longest = longest_string();
        assert!(longest >= LONGEST_ARGUMENT);
        let text = "a".repeat(longest + 1);
        assert!(passable_argument(3, &text[1..]).is_ok() && passable_variable("AB", &text[4..]).is_ok());
        let error = passable_argument(3, &text).unwrap_err().to_string();
        assert!(
            error.starts_with("argument \"aaa") && error.contains("(number 3) is ") && error.len() < 400,
            "{error}"
        );
        let error = passable_variable("AB", &text[3..]).unwrap_err().to_string();
        assert!(
            error.starts_with("environment variable \"AB\" with its value is ") && !error.contains("aaa"),
            "{error}"
        );
    }

    #[test]
    fn noncharacters_cannot_be_sent() {
        for bad in ['\u{fdd0}', '\u{fdef}', '\u{fffe}', '\u{ffff}', '\u{1fffe}', '\u{10ffff}'] {
            let error = argument(1, OsStr::new(&format!("a{bad}"))).unwrap_err().to_string();
            assert!(error.contains(&format!("U+{:04X}", u32::from(bad))), "{error}");
        }
        assert!(argument(1, OsStr::new("\u{fdcf}\u{fdf0}\u{fffd}\u{10000}\u{10fffd}")).is_ok());
    }

    #[test]
    fn what_is_written_down_as_it_is_has_one_line() {
        for bad in ["a\nExecStop=/bin/evil", "a\r", "a\\", "a\0"] {
            assert!(one_line("description", bad.into()).is_err(), "{bad:?}");
            assert!(directory(Path::new(&format!("/{bad}"))).is_err(), "{bad:?}");
        }
        assert!(directory(Path::new("/a ")).is_err());
        assert_eq!(directory(Path::new("/usr/bin/../no-such")).unwrap(), "/usr/no-such");
        assert_eq!(directory(Path::new("/usr/bin/..")).unwrap(), "/usr");
        assert!(directory(Path::new("/no-such/../usr")).unwrap_err().to_string().contains("\"..\""));
        assert_eq!(directory(Path::new("/a\\b c%n")).unwrap(), "/a\\b c%n");
        assert_eq!(one_line("description", " \t%n \u{1} ".into()).unwrap(), " \t%n \u{1} ");
    }

    #[test]
    fn variables_have_valid_names_and_values_stay_secret() {
        assert!(variable(OsStr::new("_a1"), OsStr::new("x y\n\t")).is_ok());
        for bad in ["", "1a", "a-b", "a=b", "a b", "é", "a\0"] {
            assert!(variable(OsStr::new(bad), OsStr::new("hush")).is_err(), "{bad:?}");
        }
        for value in [OsStr::new("hush\0"), OsStr::from_bytes(b"hush\xff")] {
            let error = variable(OsStr::new("A"), value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn a_shell_takes_the_backslashes_of_systemd_252_away() {
        let every: String = ('\u{1}'..='\u{2ff}').collect();
        let words = ["/usr/bin/printf", "%s\\0", "", "${X}$$X$ $", "\\$;\\;", "~", "a\nb", "'\"`", &every];
        let script = by_shell(words.into_iter()).unwrap();
        assert!(!script.contains("${"), "{script}");
        let after_reload = script.replace('$', "\\$").replace(';', "\\;");
        let output = std::process::Command::new(SHELL).args(["-c", &after_reload]).output().unwrap();
        let expected = words[2..].iter().map(|word| format!("{word}\0")).collect::<String>();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        assert_eq!(by_shell([&*"$".repeat(LONGEST_ARGUMENT / 2)].into_iter()), None);
    }

    #[test]
    fn descriptions_are_one_readable_line() {
        assert_eq!(describe(["/bin/echo", "a b", "", "c"]), "/bin/echo 'a b' '' c");
        assert_eq!(describe(["/bin/echo", "a\nb"]), "/bin/echo 'a b'");
        let long = describe(["/bin/echo", &"é".repeat(1 << 20)]);
        assert_eq!(long.chars().count(), LONGEST_DESCRIPTION + 1);
    }

    #[test]
    fn lines_are_split_as_a_shell_does() {
        assert_eq!(split("/bin/echo 'a b' c\\ d \"$X\" ''").unwrap(), ["/bin/echo", "a b", "c d", "$X", ""]);
        assert!(split("/bin/echo 'a").unwrap_err().to_string().contains("never closed"));
    }
}
