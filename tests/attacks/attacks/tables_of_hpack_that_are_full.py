"""HTTP/2 connections that fill their HPACK tables and stay open.

Both tables: the server's of what the client has named (4 KiB), and, as far as the
server lets the client choose, the one it writes with.
"""

import frames
from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"))
CONNECTIONS = 1500


async def run(target):
    kept = b"".join(frames.field(b"x-%03d" % number, b"v" * 160, kept=True) for number in range(20))
    asked = frames.request(1, frames.head(b"/small", more=kept))
    opening = frames.opening({frames.TABLE_SIZE: 1 << 20})
    opened = await target.many(CONNECTIONS, lambda _: target.http2(opening + asked))
    await target.wait()
    return f"{len(opened)} connections with a full table, {still_open(opened)} stayed"
