//! The settings of `systemd.timer(5)`.

use super::field::Field;
use super::forms::{boolean, seconds, structs};
use super::{Property, Table, calendar, time};
use crate::bus::Value;
use crate::error::Result;

// Later than 252: RandomizedOffsetSec (258), DeferReactivation (257).
pub(super) const TABLE: Table = table! {
    monotonic: "OnActiveSec" "OnBootSec" "OnStartupSec" "OnUnitActiveSec" "OnUnitInactiveSec";
    on_calendar: "OnCalendar";
    seconds: "AccuracySec" "RandomizedDelaySec" "RandomizedOffsetSec";
    boolean: "FixedRandomDelay" "OnClockChange" "OnTimezoneChange" "Persistent" "WakeSystem" "RemainAfterElapse"
        "DeferReactivation";
};

/// A time span from some event on; none of them where it is empty.
fn monotonic(field: &Field<'_>) -> Result<Vec<Property>> {
    let mut entries = Vec::new();
    if !field.value.is_empty() {
        let span = time::span(field.value).ok_or_else(|| field.refuse_part(field.value, time::SPAN))?;
        entries.push(vec![Value::from(field.name), Value::from(span)]);
    }
    field.set_as("TimersMonotonic", structs("st", entries))
}

/// A calendar event, which is checked here and sent as it is: systemd reads it again.
fn on_calendar(field: &Field<'_>) -> Result<Vec<Property>> {
    let mut entries = Vec::new();
    if !field.value.is_empty() {
        calendar::check(field.value).map_err(|fault| field.refuse(fault.to_string()))?;
        entries.push(vec![Value::from(field.name), Value::from(field.value)]);
    }
    field.set_as("TimersCalendar", structs("ss", entries))
}

#[cfg(test)]
mod tests {
    use crate::property::{Property, UnitType, read};

    #[test]
    fn a_bad_calendar_event_is_refused_with_its_place() {
        let refused = read(UnitType::Timer, "OnCalendar=Mon *-13-01").unwrap_err();
        let expected = r#"OnCalendar=Mon *-13-01: "13" (at character 7) is not a month (1 to 12)"#;
        assert_eq!(refused.to_string(), expected);
        assert!(matches!(&read(UnitType::Timer, "OnCalendar=daily").unwrap()[..], [Property::Set(name, _)]
            if name == "TimersCalendar"));
    }
}
