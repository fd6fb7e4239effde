"""A compressed response of 11 bytes that pauses before its end, over HTTP/1 and HTTP/2:
nothing should be sent during the pause."""

import frames
from attack import Attack, Outcome

ATTACK = Attack(configurations=("gzip",), seconds=(6, 12))
# Eleven bytes, compressed, with head and frames.
MOST = 2000


async def run(target):
    gzip = frames.field(b"accept-encoding", b"gzip")
    over_http2 = frames.opening() + frames.request(1, frames.head(b"/pausing", more=gzip))
    over_http1 = (b"GET /pausing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  b"Accept-Encoding: gzip\r\n\r\n")
    most = 0

    async def ask(number):
        nonlocal most
        reader, writer = await target.tls(("h2", "http/1.1")[number % 2])
        size = 0
        try:
            writer.write((over_http2, over_http1)[number % 2])
            # Three seconds, then a little.
            end = target.left() - 4
            while target.left() > max(end, 0):
                data = await reader.read(1 << 16)
                size += len(data)
                if not data or (number % 2 == 0 and size and b"\x00\x01\x00\x00\x00\x01" in data[-16:]):
                    break
        finally:
            most = max(most, size)
            writer.transport.abort()

    asked = await target.repeat(4, ask)
    wrong = f"{most} bytes for a response of 11" if most > MOST else None
    return Outcome(f"{asked} responses, {most} bytes the longest", wrong)
