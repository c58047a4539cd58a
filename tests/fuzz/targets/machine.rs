//! The life of a unit: whatever its manager says in whatever order, it ends only where it was told all that an end takes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sdrun::fuzzing::machine(data));
