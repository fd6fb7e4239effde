//! The head of an HTTP/2 request (RFC 9113, section 8.3), once its fields are
//! decoded, as a pure function. Frames, streams and sockets are the server's.

pub(crate) mod request_head;
