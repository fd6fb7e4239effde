"""1,200 slow readers without a limit that would stop them; then they are gone, and so
should be what was held for them."""

from attack import Attack

ATTACK = Attack(
    configurations=("static", "deployments"), short=("1Gi",), memory=("1Gi",), after=True
)
CONNECTIONS = 1200


async def run(target):
    async def begin(_):
        reader, writer = await target.tls(receive=4096)
        writer.transport.pause_reading()
        return reader, writer

    opened = await target.many(CONNECTIONS, begin)
    await target.one_after_another(opened, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await target.wait()
    return f"{len(opened)} connections, a large response waiting on each"
