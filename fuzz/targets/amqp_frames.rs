//! Fuzzes the input of an AMQP client after SASL.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::amqp_frames(data));
