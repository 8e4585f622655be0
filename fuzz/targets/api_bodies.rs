//! Bodies of the HTTP API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::api_bodies(data));
