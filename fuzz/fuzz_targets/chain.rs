//! Feeds bytes to `chain_properties::chain` of tls-proxy, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_proxy_fuzz::chain(data));
