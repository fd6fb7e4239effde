"""HTTP/2 frames (RFC 9113) and HPACK fields (RFC 7541): attacks send what a library
would not."""

import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
# Settings (section 6.5.2).
TABLE_SIZE, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 3, 4, 5

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Entries of HPACK's static table (appendix A).
METHODS = {"GET": b"\x82", "POST": b"\x83"}
STATUS_200 = 0x88


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def settings(values=None):
    values = values or {}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def opening(values=None):
    """The connection preface."""
    return PREFACE + settings(values)


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def reset(stream, code=8):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def integer(value, prefix, first=0):
    """An integer whose first byte has `prefix` bits for it (RFC 7541, 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((first | value,))
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def string(text):
    return integer(len(text), 7) + text


def field(name, value, kept=False):
    """A literal field; with `kept` it is added to the dynamic table."""
    return (b"\x40" if kept else b"\x00") + string(name) + string(value)


def head(path=b"/", method="GET", authority=b"localhost", more=b""):
    """The header block of a request."""
    return METHODS[method] + b"\x87" + b"\x04" + string(path) + b"\x01" + string(authority) + more


def request(stream, block, ends=True):
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)


class Parser:
    """Parses bytes into frames: (kind, flags, stream, payload)."""

    def __init__(self):
        self.pending = bytearray()

    def take(self, data):
        self.pending += data
        found, at = [], 0
        while len(self.pending) - at >= 9:
            length = int.from_bytes(self.pending[at:at + 3], "big")
            if len(self.pending) - at < 9 + length:
                break
            kind, flags = self.pending[at + 3], self.pending[at + 4]
            stream = int.from_bytes(self.pending[at + 5:at + 9], "big") & 0x7FFFFFFF
            found.append((kind, flags, stream, bytes(self.pending[at + 9:at + 9 + length])))
            at += 9 + length
        del self.pending[:at]
        return found


async def until_ended(reader, parser, count=1, resets=False):
    """Reads until that many streams have ended, by a response or, if `resets`, by RST_STREAM."""
    while count > 0:
        data = await reader.read(1 << 14)
        if not data:
            raise EOFError("closed before the response")
        count -= sum((resets and kind == RST_STREAM) or bool(stream and flags & END_STREAM and kind in (DATA, HEADERS))
                     for kind, flags, stream, _ in parser.take(data))
