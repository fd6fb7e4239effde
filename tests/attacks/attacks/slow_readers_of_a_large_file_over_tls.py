"""Clients that request a file of 2 MB over TLS and read next to nothing of it
(slowhttptest's slow read)."""

from attack import Attack

ATTACK = Attack(configurations=("static",), short=("10Mi", "32Mi"), after=True)
CONNECTIONS = 2000


async def run(target):
    opened = await target.slow_readers(CONNECTIONS)
    return f"{len(opened)} connections, a response of 2 MB waiting on each"
