//! A file that claims to be a component.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::component(data));
