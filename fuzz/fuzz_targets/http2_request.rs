//! Feeds bytes to `properties::http2_request` of tls-proxy, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tls_proxy_fuzz::http2_request(data));
