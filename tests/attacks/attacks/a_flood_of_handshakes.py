"""Handshakes with an RSA-2048 key, aborted as soon as the server has signed."""

from attack import Attack, client_hello
from server_configurations import TLS

ATTACK = Attack(key="rsa")


async def run(target):
    hello = client_hello()

    async def shake(_):
        reader, writer = await target.connect(TLS)
        try:
            writer.write(hello)
            await reader.read(1 << 16)
        finally:
            writer.transport.abort()

    return f"{await target.repeat(64, shake)} handshakes, 64 at a time"
