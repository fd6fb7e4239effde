//! Feeds bytes to `properties::http2_request` of tls-proxy, which checks the properties.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_proxy_fuzz::http2_request(data));
