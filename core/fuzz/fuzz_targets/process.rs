#![no_main]

#[path = "../bodies/process.rs"]
#[allow(dead_code, reason = "the test looks at what was heard")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
