"""Connections to monolith's service that send half a request and wait: probes should not
be delayed."""

from attack import Attack, still_open
from server_configurations import APPLICATION

ATTACK = Attack(configurations=("none",), short=("10Mi",), program="monolith", new_clients="health",
                memory=("10Mi",), nginx=False)
CONNECTIONS = 2000


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.connect(APPLICATION))
    await target.one_after_another(opened, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4000, 0.001)
    await target.wait()
    return f"{len(opened)} connections with half a request, {still_open(opened)} stayed"
