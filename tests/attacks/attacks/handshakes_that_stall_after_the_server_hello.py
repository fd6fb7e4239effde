"""Connections that send a ClientHello and never reply to the ServerHello."""

from attack import Attack, client_hello, still_open
from server_configurations import TLS

ATTACK = Attack(after=True, short=("10Mi", "32Mi"))
CONNECTIONS = 4000


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS))
    for at in range(0, len(opened), 100):
        await target.one_after_another(opened[at:at + 100], client_hello(), 0.001)
    await target.wait()
    return f"{len(opened)} handshakes half done, {still_open(opened)} stayed"
