//! What is said to whoever called.

use std::fmt::Display;
use std::io::Write;

use sdrun::Unit;

use crate::log::json::string;
use crate::options::{Json, Options};

/// A line on stderr; where nobody reads it that is no reason to fail.
pub fn say(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Text on stdout; the same.
pub fn print(text: impl AsRef<[u8]>) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_ref()).and_then(|()| stdout.flush());
}

/// Says which unit it is.
pub fn running(options: &Options, unit: &Unit) {
    if options.quiet || options.json != Json::Off {
        return;
    }
    match unit.invocation_id() {
        Some(id) => say(format_args!("Running as unit: {}; invocation ID: {id}", unit.name())),
        None => say(format_args!("Running as unit: {}", unit.name())),
    }
}

/// The same as `--json=` asks for it.
pub fn as_json(options: &Options, unit: &Unit) {
    let mut fields = vec![("unit", unit.name().to_owned())];
    fields.extend(unit.invocation_id().map(|id| ("invocation_id", id.to_string())));
    let fields = fields.iter().map(|(name, value)| (string(name), string(value)));
    let text = match options.json {
        _ if options.quiet => return,
        Json::Off => return,
        Json::Short => {
            let fields: Vec<_> = fields.map(|(name, value)| format!("{name}:{value}")).collect();
            format!("{{{}}}\n", fields.join(","))
        }
        Json::Pretty => {
            let fields: Vec<_> = fields.map(|(name, value)| format!("\t{name} : {value}")).collect();
            format!("{{\n{}\n}}\n", fields.join(",\n"))
        }
    };
    print(text);
}
