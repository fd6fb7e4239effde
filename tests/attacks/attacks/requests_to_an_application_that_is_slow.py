"""Honest requests, as many as come in, to an application that takes a minute for each."""

from attack import Attack, still_open

# Not held yet: docs/attacks.md says why. In the long form alone until it is.
ATTACK = Attack(short=None)
CONNECTIONS = 1500


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.tls())
    await target.one_after_another(opened, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await target.wait()
    return f"{len(opened)} connections with a request, {still_open(opened)} stayed"
