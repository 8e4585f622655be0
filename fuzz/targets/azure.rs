//! What a client of Azure IoT Hub sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::azure(data));
