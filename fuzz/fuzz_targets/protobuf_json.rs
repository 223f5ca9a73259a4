#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| everynode_fuzz::run("protobuf_json", data));
