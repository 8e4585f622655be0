//! A key or a certificate that is registered for a device, and a private one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::keys(data));
