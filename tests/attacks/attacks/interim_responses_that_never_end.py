"""An application that never stops sending interim responses (103)."""

import frames
from attack import Attack, still_open

ATTACK = Attack()
CONNECTIONS, STREAMS = 4, range(1, 32, 2)


async def run(target):
    asked = b"".join(frames.request(stream, frames.head(b"/interim")) for stream in STREAMS)
    opened = await target.many(CONNECTIONS, lambda _: target.http2(frames.opening() + asked))
    await target.wait()
    return f"{len(opened)} connections with {len(STREAMS)} requests, {still_open(opened)} stayed"
