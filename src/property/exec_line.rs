//! Command lines with prefixes, as `ExecStart=` has them (`systemd.service(5)`, "Command Lines").

use super::Property;
use super::field::Field;
use super::forms::{structs, unsplittable};
use super::split::ESCAPED;
use crate::bus::Value;
use crate::error::Result;

/// From this version on there is `|`, `!!` has no effect any more, and a line is sent in the simpler form where that says
/// it all, even where its setting is called `…Ex`.
const WITH_SHELL: u32 = 258;

/// A command line.
#[derive(Debug, Default, PartialEq)]
struct Line {
    prefixes: Prefixes,
    /// The program and its arguments from `argv[0]` on. None: the list of command lines is emptied.
    command: Option<(String, Vec<String>)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Prefixes {
    /// `-`
    ignore_failure: bool,
    /// `@`: the second word is `argv[0]`.
    argv0: bool,
    /// `:`
    no_env_expand: bool,
    /// `|`
    via_shell: bool,
    /// `+`
    privileged: bool,
    /// `!`
    no_setuid: bool,
    /// `!!`
    ambient: bool,
}

impl Prefixes {
    /// The flags as systemd spells them, in its order.
    fn flags(self) -> Vec<String> {
        let all = [
            (self.ignore_failure, "ignore-failure"),
            (self.privileged, "privileged"),
            (self.no_setuid, "no-setuid"),
            (self.ambient, "ambient"),
            (self.no_env_expand, "no-env-expand"),
            (self.via_shell, "via-shell"),
        ];
        all.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect()
    }
}

/// A command line: the property of this name, or `…Ex` where a prefix needs it.
pub(super) fn exec_line(field: &Field<'_>) -> Result<Vec<Property>> {
    let name = field.name.strip_suffix("Ex").unwrap_or(field.name);
    let now = property(name, parse(field, true)?, false);
    // What only the newer language has is sent to an older manager too, which says what it thinks of it.
    let Ok(before) = parse(field, false) else { return Ok(vec![Property::Set(now.0.into(), now.1)]) };
    let before = property(name, before, name != field.name);
    Ok(vec![if now == before {
        Property::Set(now.0.into(), now.1)
    } else {
        Property::Since(WITH_SHELL, (now.0.into(), now.1), (before.0.into(), before.1))
    }])
}

fn property(name: &str, line: Line, as_ex: bool) -> (String, Value) {
    let Line { prefixes, command } = line;
    let simple = Prefixes { ignore_failure: false, argv0: false, ..prefixes } == Prefixes::default();
    let element = |last| command.map(|(path, argv)| vec![path.into(), argv.into(), last]).into_iter().collect();
    if simple && !as_ex {
        (name.to_owned(), structs("sasb", element(prefixes.ignore_failure.into())))
    } else {
        (format!("{name}Ex"), structs("sasas", element(prefixes.flags().into())))
    }
}

/// Reads a line in the language since 258 (`now`), or before.
fn parse(field: &Field<'_>, now: bool) -> Result<Line> {
    let mut prefixes = Prefixes::default();
    let mut rest = field.value;
    let mut no_more_ids = false;
    while let Some(prefix) = rest.chars().next() {
        let changes_ids = prefixes.privileged || prefixes.no_setuid || no_more_ids;
        match prefix {
            '-' if !prefixes.ignore_failure => prefixes.ignore_failure = true,
            '@' if !prefixes.argv0 => prefixes.argv0 = true,
            ':' if !prefixes.no_env_expand => prefixes.no_env_expand = true,
            '|' if now && !prefixes.via_shell => prefixes.via_shell = true,
            '+' if !changes_ids => prefixes.privileged = true,
            '!' if !changes_ids => prefixes.no_setuid = true,
            '!' if prefixes.no_setuid => {
                prefixes.no_setuid = false;
                prefixes.ambient = !now;
                no_more_ids = true;
            }
            _ => break,
        }
        rest = &rest[1..];
    }

    let mut words = ESCAPED.words(rest).map_err(|unsplit| unsplittable(field, unsplit))?;
    let command = if prefixes.via_shell {
        words.insert(0, if prefixes.argv0 { "-sh" } else { "sh" }.to_owned());
        Some(("/bin/sh".to_owned(), words))
    } else if prefixes.argv0 {
        if words.len() < 2 {
            return Err(field
                .refuse("has no program and argv[0], which the prefix \"@\" demands (expected \"@PROGRAM ARGV0\")"));
        }
        Some((words.remove(0), words))
    } else {
        words.first().cloned().map(|path| (path, words))
    };
    Ok(Line { prefixes, command })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{refused, sent};
    use super::*;

    #[test]
    fn lines() {
        for (value, answer) in [
            ("/bin/true a 'b c' \\x41", r#" a(sasb) [("/bin/true",["/bin/true","a","b c","A"],false)]"#),
            ("-true", r#" a(sasb) [("true",["true"],true)]"#),
            ("@/bin/true x y", r#" a(sasb) [("/bin/true",["x","y"],false)]"#),
            ("", " a(sasb) []"),
            ("-", " a(sasb) []"),
            ("+", "Ex a(sasas) []"),
            (":/a $B", r#"Ex a(sasas) [("/a",["/a","$B"],["no-env-expand"])]"#),
            (":-!a", r#"Ex a(sasas) [("a",["a"],["ignore-failure","no-setuid","no-env-expand"])]"#),
            ("+!a", r#"Ex a(sasas) [("!a",["!a"],["privileged"])]"#),
            ("!!!a", r#" a(sasb) [("!a",["!a"],false)]"#),
            ("--a", r#" a(sasb) [("-a",["-a"],true)]"#),
            ("|@a b", r#"Ex a(sasas) [("/bin/sh",["-sh","a","b"],["via-shell"])]"#),
            ("|", r#"Ex a(sasas) [("/bin/sh",["sh"],["via-shell"])]"#),
        ] {
            assert_eq!(sent("service", &format!("ExecStop={value}")), [format!("ExecStop{answer}")]);
            assert_eq!(sent("service", &format!("ExecStopEx={value}")), [format!("ExecStop{answer}")]);
        }
        for bad in ["@", "@/bin/true", "a \\q", "a \"b", "a\\", "a \\; b", "a \\xff", "| \"a"] {
            refused("service", &format!("ExecStart={bad}"));
        }
    }

    fn before(assignment: &str) -> String {
        match super::super::read(super::super::UnitType::Service, assignment).unwrap().pop() {
            Some(Property::Since(WITH_SHELL, _, (name, value))) => format!("{name} {value:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_older_managers_are_sent() {
        assert!(before("ExecStart=|a").starts_with("ExecStart Array"));
        assert!(before("ExecStart=|a").contains("\"|a\""));
        assert!(before("ExecStart=!!a").starts_with("ExecStartEx") && before("ExecStart=!!a").contains("ambient"));
        assert!(before("ExecStartEx=a").starts_with("ExecStartEx"));
        assert!(before("ExecStart=a").starts_with("Some(Set("));
    }
}
