//! A token that a device shows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::tokens(data));
