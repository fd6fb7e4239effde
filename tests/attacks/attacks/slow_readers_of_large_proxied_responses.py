"""Clients that ask the application for 20 MB and read next to nothing of it."""

from attack import Attack

ATTACK = Attack(short=("10Mi", "32Mi"))
CONNECTIONS = 1500


async def run(target):
    async def begin(_):
        reader, writer = await target.tls(receive=4096)
        writer.transport.pause_reading()
        return reader, writer

    opened = await target.many(CONNECTIONS, begin)
    await target.one_after_another(opened, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await target.wait()
    return f"{len(opened)} connections, a response of 20 MB waiting on each"
