//! What a manager knows: its version, and the properties that units of a type have there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Manager;
use super::calls::{MANAGER_PATH, Method, unit_path};
use crate::bus::Value;
use crate::error::{Error, Result};
use crate::unit::name;

/// The D-Bus types of properties, by name.
pub(crate) type Types = HashMap<String, String>;

/// What was asked for, kept with the connection.
#[derive(Default)]
pub(super) struct Known {
    version: OnceLock<u32>,
    types: Mutex<HashMap<String, Arc<Types>>>,
}

impl Manager {
    /// The version of the running systemd (its property `Version`). Asked for once per connection.
    pub(crate) async fn version(&self) -> Result<u32> {
        let known = &self.inner.known.version;
        if let Some(version) = known.get() {
            return Ok(*version);
        }
        let version = self.property_at(MANAGER_PATH, "org.freedesktop.systemd1.Manager", "Version").await?;
        let number = match &version {
            Value::Str(text) => first_number(text),
            _ => None,
        };
        let number = number.ok_or_else(|| Error::message(format!("the version of systemd, not {version:?}")))?;
        Ok(*known.get_or_init(|| number))
    }

    /// The properties of units whose names end with this suffix, by introspection. Asked for once per connection.
    pub(crate) async fn types(&self, suffix: &str) -> Result<Arc<Types>> {
        let known = || self.inner.known.types.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(types) = known().get(suffix) {
            return Ok(types.clone());
        }
        // A unit that is not loaded has the properties of its type too.
        let stem = name::generate();
        let path = unit_path(&format!("{}.{suffix}", stem.trim_end_matches(".service")));
        let method = Method {
            path: &path,
            interface: c"org.freedesktop.DBus.Introspectable",
            member: c"Introspect",
            name: "Introspect",
        };
        let xml = self.call(method, None, |_| Ok(()), |reply| Ok(reply.read_str()?.to_owned())).await?;
        let types = Arc::new(properties_in(&xml));
        Ok(known().entry(suffix.to_owned()).or_insert(types).clone())
    }
}

/// The properties of systemd's own interfaces in introspection data (D-Bus specification, "Introspection Data
/// Format"). What it does not understand it passes over.
fn properties_in(xml: &str) -> Types {
    let mut ours = false;
    let mut types = Types::new();
    for tag in xml.split('<').skip(1) {
        let tag = tag.split_once('>').map_or(tag, |(tag, _)| tag);
        if tag.starts_with("interface") {
            ours = attribute(tag, "name").is_some_and(|name| name.starts_with("org.freedesktop.systemd1."));
        } else if let (true, true, Some(name), Some(kind)) =
            (ours, tag.starts_with("property"), attribute(tag, "name"), attribute(tag, "type"))
        {
            // There are some hundred, of which none is long.
            if types.len() < 10_000 && name.len() <= 255 && kind.len() <= 255 {
                types.insert(name.into(), kind.into());
            }
        }
    }
    types
}

/// The value of an attribute in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_ascii_whitespace().find_map(|word| {
        let (key, value) = word.split_once('=')?;
        let value = value.trim_end_matches('/').trim_matches(['"', '\'']);
        (key == name).then_some(value)
    })
}

/// `262` of `262-1` or `v262~rc1`.
fn first_number(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(first_number("252.39-1~deb12u2"), Some(252));
        assert_eq!(first_number("v262~rc1"), Some(262));
        assert_eq!(first_number("é99999999999"), None);
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn properties_are_those_of_systemds_own_interfaces() {
        let types = properties_in(
            r#"<node>
             <interface name="org.freedesktop.DBus.Properties"><property name="No" type="s" access="read"/></interface>
             <interface name="org.freedesktop.systemd1.Unit">
              <property name="Id" type="s" access="read">
               <annotation name="x" value="const"/>
              </property>
              <property type='a(ss)' name='Requires' access='read'/>
              <property name="broken">
             </interface></node><"#,
        );
        assert_eq!(types.len(), 2);
        assert_eq!(types["Id"], "s");
        assert_eq!(types["Requires"], "a(ss)");
        properties_in("<property name=\"<");
    }
}
