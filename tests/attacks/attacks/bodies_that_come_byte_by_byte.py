"""POST requests over HTTP/1 whose body arrives byte by byte (R-U-Dead-Yet, slowhttptest's
slow body)."""

from attack import Attack, still_open

ATTACK = Attack(short=("10Mi", "32Mi"))
CONNECTIONS = 1500


async def run(target):
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx"
    opened = await target.many(CONNECTIONS, lambda _: target.tls())
    await target.one_after_another(opened, begun)
    while target.left() > 0:
        await target.one_after_another(opened, b"x", 0.001)
    return f"{len(opened)} connections with a body that goes on, {still_open(opened)} stayed"
