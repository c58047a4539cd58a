//! The property language takes any text without a panic, and in time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sdrun::{Properties, UnitType};

const TYPES: [UnitType; 6] =
    [UnitType::Service, UnitType::Scope, UnitType::Slice, UnitType::Timer, UnitType::Path, UnitType::Socket];

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let unit = TYPES[usize::from(*first) % TYPES.len()];
    match Properties::new(unit).set(text) {
        Ok(_) => {}
        // An error can always be shown.
        Err(error) => drop(error.to_string()),
    }
});
