"""WebSocket tunnels through which nothing is sent."""

from attack import Attack, still_open

ATTACK = Attack(configurations=("tunnels",), short=("10Mi", "32Mi"))
CONNECTIONS = 1000


async def run(target):
    async def open_one(_):
        reader, writer = await target.tls()
        writer.write(b"GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                     b"Upgrade: websocket\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            raise OSError("no tunnel")
        return reader, writer

    opened = await target.many(CONNECTIONS, open_one)
    await target.wait()
    return f"{len(opened)} tunnels, {still_open(opened)} stayed"
