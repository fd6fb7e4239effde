"""Keep-alive connections over TLS that stay open after a response."""

from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"), seconds=(8, 30))
CONNECTIONS = 5000


async def run(target):
    async def ask(_):
        reader, writer = await target.tls()
        writer.write(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    opened = await target.many(CONNECTIONS, ask)
    await target.wait()
    return f"{len(opened)} connections, {still_open(opened)} stayed"
