#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| everynode_fuzz::run("fields_v1", data));
