//! Topic names, topic filters, and what a dialect reads in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchbox_fuzz::topics(data));
