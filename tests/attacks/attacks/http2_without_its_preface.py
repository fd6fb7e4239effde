"""Connections that negotiate HTTP/2 and then send nothing, or half of the preface."""

from attack import Attack, still_open

ATTACK = Attack()
CONNECTIONS = 2000


async def run(target):
    opened = await target.many(CONNECTIONS, lambda number: target.http2(b"PRI * HTTP/2.0" * (number % 2)))
    await target.wait()
    return f"{len(opened)} connections, {still_open(opened)} stayed"
