//! Queries over devices in the language of Azure IoT Hub.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::azure_query(data));
