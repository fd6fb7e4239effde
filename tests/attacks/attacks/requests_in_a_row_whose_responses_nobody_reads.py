"""Pipelined HTTP/1 requests on connections that read nothing."""

from itertools import repeat

from attack import Attack

ATTACK = Attack(configurations=("deployments", "static"))


async def run(target):
    batch = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300
    return await target.flood(64, batch, lambda: repeat(batch), reads=False, alpn="http/1.1")
