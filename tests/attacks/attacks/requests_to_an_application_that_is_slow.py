"""Valid requests, as many as possible, to an application that takes a minute for each."""

from attack import Attack, still_open

ATTACK = Attack(short=("10Mi",), seconds=(10, 20))
CONNECTIONS = 1500


async def run(target):
    opened = await target.many(CONNECTIONS, lambda _: target.tls())
    await target.one_after_another(opened, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await target.wait()
    return f"{len(opened)} connections with a request, {still_open(opened)} stayed"
