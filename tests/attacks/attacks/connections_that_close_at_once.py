"""Connections that are reset as soon as they are established."""

import socket
import struct

from attack import Attack
from server_configurations import TLS

ATTACK = Attack()


async def run(target):
    async def come_and_go(_):
        _, writer = await target.connect(TLS)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return f"{await target.repeat(64, come_and_go)} connections, 64 at a time"
