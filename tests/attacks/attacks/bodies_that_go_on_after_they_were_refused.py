"""Bodies larger than client_max_body_size that continue after the 413."""

from itertools import repeat

from attack import Attack

ATTACK = Attack()


async def run(target):
    begun = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    batch = b"x" * 65_536
    return await target.flood(32, begun, lambda: repeat(batch), alpn="http/1.1")
