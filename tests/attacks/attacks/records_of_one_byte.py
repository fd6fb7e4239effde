"""TLS records of one byte each, of a body that does not end."""

import asyncio

from attack import Attack

ATTACK = Attack()


async def run(target):
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    records = 0

    async def upload(_):
        nonlocal records
        reader, writer = await target.tls()
        try:
            writer.write(begun)
            while target.left() > 0 and not reader.at_eof():
                # Each write is a record.
                for _ in range(200):
                    writer.write(b"x")
                records += 200
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            writer.transport.abort()

    await target.repeat(8, upload)
    return f"{records} records over 8 connections"
