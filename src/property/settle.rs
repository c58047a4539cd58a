//! What depends on the manager: properties that it takes in another form, and settings that only it knows.

use std::borrow::Cow;

use super::field::Field;
use super::{Property, forms, numbers, resource_control, time};
use crate::bus::{Message, Value};
use crate::error::Result;
use crate::manager::Manager;

/// Properties as one manager takes them.
pub(crate) struct Settled<'a>(Vec<(Cow<'a, str>, Cow<'a, Value>)>);

impl Settled<'_> {
    /// Appends them, each a `(sv)`.
    pub fn append_to(&self, message: &mut Message<'_>) -> Result<()> {
        self.0.iter().try_for_each(|(name, value)| value.append_property_to(name, message))
    }

    /// How many descriptors are in them.
    pub fn descriptors(&self) -> usize {
        self.0.iter().map(|(_, value)| value.descriptors()).sum()
    }
}

/// The properties of a unit with a name that ends like this, as this manager takes them. It is asked only where
/// something depends on it, and for each thing once per connection.
pub(crate) async fn settle<'a>(list: &'a [Property], suffix: &str, manager: &Manager) -> Result<Settled<'a>> {
    let mut settled = Vec::with_capacity(list.len());
    for property in list {
        settled.push(match property {
            Property::Set(name, value) => (Cow::Borrowed(&**name), Cow::Borrowed(value)),
            Property::Since(version, now, before) => {
                let (name, value) = if manager.version().await? >= *version { now } else { before };
                (Cow::Borrowed(&**name), Cow::Borrowed(value))
            }
            Property::Old { name, text } => {
                if manager.version().await? < super::WITHOUT_CGROUP_V1 {
                    let (name, value) = resource_control::old(&Field::new(name, text))?;
                    settled.push((name, Cow::Owned(value)));
                }
                continue;
            }
            Property::Unknown { name, text } => {
                let field = Field::new(name, text);
                if let Some(stem) = name.strip_suffix("USec") {
                    let reason =
                        format!("has the name that it has in D-Bus, in microseconds; the setting is {stem}Sec");
                    return Err(field.refuse_name(reason));
                }
                let types = manager.types(suffix).await?;
                let property = [Some(name.clone()), name.ends_with("Sec").then(|| forms::in_microseconds(name))]
                    .into_iter()
                    .flatten()
                    .find_map(|name| types.get_key_value(&name));
                let Some((name, signature)) = property else {
                    let version = manager.version().await?;
                    return Err(field.refuse_name(format!("systemd {version} has no such setting for a {suffix}")));
                };
                (Cow::Owned(name.clone()), Cow::Owned(value_of_type(&field, name, signature)?))
            }
        });
    }
    Ok(Settled(settled))
}

/// The text as a value of this type, in the form in which unit files have such values.
fn value_of_type(field: &Field<'_>, property: &str, signature: &str) -> Result<Value> {
    let text = field.value;
    let wrong = |what: &str| field.refuse_part(text, &format!("is not {what}, which this systemd takes here"));
    let whole = |what| numbers::signed(text).ok_or_else(|| wrong(what));
    let out_of_range = |_| wrong("a whole number in the range");
    Ok(match signature {
        "s" => text.into(),
        "o" => Value::ObjectPath(text.into()),
        "b" => numbers::boolean(text).ok_or_else(|| wrong("a boolean"))?.into(),
        "y" => u8::try_from(whole("a number")?).map_err(out_of_range)?.into(),
        "n" => i16::try_from(whole("a number")?).map_err(out_of_range)?.into(),
        "q" => u16::try_from(whole("a number")?).map_err(out_of_range)?.into(),
        "i" => i32::try_from(whole("a number")?).map_err(out_of_range)?.into(),
        "u" if text == "infinity" => u32::MAX.into(),
        "u" => u32::try_from(whole("a number")?).map_err(out_of_range)?.into(),
        "x" => whole("a number")?.into(),
        "t" if property.ends_with("USec") => time::span(text).ok_or_else(|| wrong("a time span"))?.into(),
        "t" if text == "infinity" => u64::MAX.into(),
        "t" => {
            numbers::size(text).or_else(|| numbers::unsigned(text)).ok_or_else(|| wrong("a number or a size"))?.into()
        }
        "d" => text.parse::<f64>().map_err(|_| wrong("a number"))?.into(),
        "as" => forms::split(field, super::split::QUOTED)?.into(),
        other => {
            let reason = format!("is of type {other} in systemd, for which there is no text; use extra() with a Value");
            return Err(field.refuse(reason));
        }
    })
}
