"""Connections that send half a PROXY protocol header, of both versions."""

from attack import Attack, still_open
from server_configurations import PROXIED

ATTACK = Attack(configurations=("proxy_protocol",))
CONNECTIONS = 4000
# Version 2 announces 60,000 bytes of fields.
HALVES = [b"PROXY TCP4 192.0.2.1 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xea\x60" + b"x" * 1000]


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.connect(PROXIED))
    for half, some in zip(HALVES, (opened[::2], opened[1::2])):
        await target.one_after_another(some, half, 0.0005)
    await target.wait()
    return f"{len(opened)} connections, {still_open(opened)} stayed"
