//! The host's settings file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox::fuzzing::host_settings(data));
