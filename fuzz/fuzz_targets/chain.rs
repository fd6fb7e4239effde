//! Feeds bytes to `chain_properties::chain` of tls-proxy, which checks the properties.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_proxy_fuzz::chain(data));
