"""Clients that ask for a file of 2 MB over TLS and read next to nothing of it
(slowhttptest's slow read)."""

from attack import Attack

ATTACK = Attack(configurations=("static",), short=("10Mi", "32Mi"), after=True)
CONNECTIONS = 2000


async def run(target):
    async def begin(_):
        reader, writer = await target.tls(receive=4096)
        writer.transport.pause_reading()
        return reader, writer

    opened = await target.many(CONNECTIONS, begin)
    await target.one_after_another(opened, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await target.wait()
    return f"{len(opened)} connections, a response of 2 MB waiting on each"
