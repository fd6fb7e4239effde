"""Connections to monolith's health port that send half a request and wait."""

import asyncio

from attack import Attack, still_open
from server_configurations import HEALTH

ATTACK = Attack(configurations=("none",), short=("10Mi",), program="monolith", memory=("10Mi",),
                newcomers="health", nginx=False)
CONNECTIONS = 256


async def run(target):
    async def begin(_):
        connection = await target.connect(HEALTH)
        connection[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        return connection

    opened = await target.many(CONNECTIONS, begin)
    while target.left() > 1:
        # Who is closed comes again, not faster than a probe is answered.
        opened = [pair for pair in opened if still_open([pair])]
        if len(opened) < CONNECTIONS:
            opened += await target.many(1, begin)
        await asyncio.sleep(0.02)
    return f"{len(opened)} connections with half a request, {still_open(opened)} stayed"
