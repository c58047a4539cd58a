//! Messages: whatever comes over the socket, libsystemd and what reads it give what it says or an error, the registry
//! survives it, and whoever waits is told.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sdrun::fuzzing::message(data));
