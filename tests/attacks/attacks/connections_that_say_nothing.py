"""Ten thousand connections on which nothing is sent."""

from attack import Attack, still_open
from server_configurations import TLS

ATTACK = Attack(after=True, seconds=(8, 30), short=("10Mi", "32Mi"))
CONNECTIONS = 10_000


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS))
    await target.wait()
    return f"{len(opened)} connections, {still_open(opened)} stayed"
