"""Clients of both protocols that request small and large responses, read them or not, do
not finish their bodies, reset streams and stop within frames: all memory may be held by
requests that wait for more of it."""

import asyncio
import random

import frames
from attack import Attack

ATTACK = Attack(configurations=("deployments", "static"))
CLIENTS = 200
PATHS = (b"/small", b"/small", b"/large")
PIECES = (9, 500, 20_000, 20_000)


def http1(chance):
    """Requests, some of them not whole."""
    path = chance.choice(PATHS)
    yield b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path
    yield b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\n\r\n" % path + (
        b"x" * chance.choice((0, 1000, 3000)))
    yield b"GET %s HTTP/1.1\r\nHost: localhost\r\nX: " % path + b"a" * chance.choice((10, 3000, 8000))


def http2(chance):
    """Frames, in an order that a server has to bear."""
    yield frames.opening(chance.choice(({}, {frames.INITIAL_WINDOW: 0}, {frames.INITIAL_WINDOW: 1 << 20})))
    for stream in range(1, 400, 2):
        what = chance.random()
        if what < 0.6:
            yield frames.request(stream, frames.head(chance.choice(PATHS)))
        elif what < 0.8:
            yield frames.request(stream, frames.head(chance.choice(PATHS), method="POST"), ends=False)
            yield frames.frame(frames.DATA, 0, stream, b"x" * chance.choice((0, 100, 16_000)))
        elif what < 0.9:
            yield frames.request(stream, frames.head(b"/large")) + frames.reset(stream)
        else:
            # Its header block goes on, perhaps for ever.
            yield frames.frame(frames.HEADERS, 0, stream, frames.head(b"/small"))
            if chance.random() < 0.5:
                yield frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream, b"")


async def run(target):
    chance, came = random.Random(1), 0

    async def client(_):
        nonlocal came
        protocol = "h2" if chance.random() < 0.7 else "http/1.1"
        reader, writer = await target.tls(protocol, receive=chance.choice((4096, 65_536)))
        came += 1
        if chance.random() < 0.4:
            writer.transport.pause_reading()
            reading = None
        else:
            reading = asyncio.create_task(discard(reader))
        try:
            for data in (http2 if protocol == "h2" else http1)(chance):
                while data:
                    size = chance.choice(PIECES)
                    writer.write(data[:size])
                    data = data[size:]
                    await asyncio.sleep(0)
                if writer.is_closing() or chance.random() < 0.005:
                    return
            await asyncio.sleep(chance.random())
        finally:
            if reading:
                reading.cancel()
            writer.transport.abort()

    await target.repeat(CLIENTS, client)
    return f"{came} connections, {CLIENTS} at a time"


async def discard(reader):
    while await reader.read(1 << 16):
        await asyncio.sleep(0.001)
