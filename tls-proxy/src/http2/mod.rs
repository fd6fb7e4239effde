//! The head of an HTTP/2 request (RFC 9113, section 8.3), from its decoded fields, as a
//! pure function. Frames, streams and sockets are in `server/`.

pub(crate) mod request_head;
