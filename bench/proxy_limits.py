"""The client, and the application behind, of bench/proxy-limits.

Usage: proxy_limits.py PORT BACKEND PID NOW PEAK EVENTS (two ports, a process,
three files of its cgroup). Exits with 1 when the process has exited or does not
respond.
"""

import asyncio
import os
import ssl
import sys
import time
from pathlib import Path

PORT, BACKEND, PID = (int(argument) for argument in sys.argv[1:4])
NOW, PEAK, EVENTS = sys.argv[4:7]
PIECE = b"x" * 65536
LARGE = 20 << 20
MOST = 3000
STALLED = 300

CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def application(reader, writer):
    """Responds to GET with two bytes or LARGE of them; reads request bodies."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST /stalled"):
                await asyncio.sleep(60)
            size = LARGE if head.startswith(b"GET /large") else 2
            left = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    left = int(line.split(b":")[1])
            while left > 0 and (piece := await reader.read(min(left, 65536))):
                left -= len(piece)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            while size > 0:
                writer.write(PIECE[:size])
                await writer.drain()
                size -= len(PIECE)
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        # The proxy has closed, or this program exits.
        writer.close()


async def connect():
    return await asyncio.open_connection("127.0.0.1", PORT, ssl=CONTEXT)


async def ask(streams):
    """One request on an open connection; its status."""
    reader, writer = streams
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    return int(head.split()[1])


async def one():
    """The status of a request on a new connection; 0 without a response."""
    try:
        streams = await asyncio.wait_for(connect(), 20)
        status = await asyncio.wait_for(ask(streams), 20)
        streams[1].close()
        return status
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        return 0


async def idle():
    await asyncio.sleep(1)
    return f"{await one()}"


async def keep_alive():
    """Opens keep-alive connections until the proxy begins to evict idle ones."""
    opened = []
    while len(opened) < MOST:
        try:
            streams = await asyncio.wait_for(connect(), 2)
            await asyncio.wait_for(ask(streams), 2)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            break
        opened.append(streams)
        if any(reader.at_eof() for reader, _ in opened[:1]) or len(opened) % 50 == 0:
            await asyncio.sleep(0.01)
        if sum(reader.at_eof() for reader, _ in opened) > 5:
            break
    await asyncio.sleep(1)
    alive = sum(not reader.at_eof() for reader, _ in opened)
    memory = mebibytes(NOW)
    close(opened)
    await asyncio.sleep(0.5)
    return f"{alive} of {len(opened)} stayed, at {memory:.2f} MiB"


def close(opened):
    for _, writer in opened:
        writer.close()


async def flood():
    """Small requests on 32 connections for five seconds."""
    end, answered, before = time.monotonic() + 5, 0, cpu()

    async def client():
        nonlocal answered
        streams = await connect()
        while time.monotonic() < end:
            try:
                status = await ask(streams)
                answered += status == 200
            except (OSError, asyncio.IncompleteReadError):
                streams[1].close()
                streams = await connect()
        streams[1].close()

    done = await asyncio.gather(*(client() for _ in range(32)), return_exceptions=True)
    failed = sum(isinstance(result, BaseException) for result in done)
    each = (cpu() - before) * 1e6 / max(answered, 1)
    return f"{answered} requests, {each:.0f} us of CPU each, {failed} clients failed"


async def half_open():
    """Connections that send the first bytes of a handshake and no more."""

    async def begin():
        # If the accept queue is full, the kernel retries later.
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", PORT), 5)

    opened = await asyncio.gather(*(begin() for _ in range(1000)), return_exceptions=True)
    opened = [streams for streams in opened if not isinstance(streams, BaseException)]
    for _, writer in opened:
        writer.write(b"\x16\x03\x01\x10\x00\x01\x00\x0f\xfc" + b"x" * 3000)
    await asyncio.sleep(3)
    memory = mebibytes(NOW)
    close(opened)
    await asyncio.sleep(1)
    return f"{len(opened)} at {memory:.2f} MiB"


async def large():
    """Sixteen uploads and sixteen downloads of 20 MiB."""

    async def down():
        reader, writer = await connect()
        writer.write(REQUEST.replace(b"/ ", b"/large ", 1))
        await reader.readuntil(b"\r\n\r\n")
        left = LARGE
        while left > 0 and (piece := await reader.read(65536)):
            left -= len(piece)
        writer.close()
        return left == 0

    async def up():
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return head.split()[1] == b"200"

    transfers = [up() for _ in range(16)] + [down() for _ in range(16)]
    done = await asyncio.gather(*transfers, return_exceptions=True)
    return f"{sum(result is True for result in done)} of {len(done)} whole"


async def stalled():
    """Downloads and uploads that are not read: the most memory per connection."""
    download = REQUEST.replace(b"/ ", b"/large ", 1)
    upload = b"POST /stalled HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n" + PIECE * 8
    opened = []
    for number in range(STALLED):
        try:
            streams = await asyncio.wait_for(connect(), 2)
        except (OSError, asyncio.TimeoutError):
            break
        streams[1].transport.pause_reading()
        streams[1].write(upload if number % 2 else download)
        opened.append(streams)
    await asyncio.sleep(3)
    memory = mebibytes(NOW)
    for _, writer in opened:
        writer.transport.abort()
    await asyncio.sleep(0.5)
    return f"{len(opened)} at {memory:.2f} MiB"


def mebibytes(path):
    try:
        return int(Path(path).read_text()) / 2**20
    except OSError:
        return 0


def cpu():
    """CPU seconds of the process so far."""
    fields = Path(f"/proc/{PID}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def field(name):
    """A number of kibibytes in the process's status, as MiB."""
    for line in Path(f"/proc/{PID}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return 0


async def part(name, load):
    try:
        result = await asyncio.wait_for(load(), 120)
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
        result = f"failed: {error!r}"
    print(
        f"{name:<22} group {mebibytes(NOW):5.2f} MiB, peak {mebibytes(PEAK):5.2f}, "
        f"own {field('RssAnon'):5.2f}, {kills()} killed  {result}",
        flush=True,
    )


def kills():
    lines = Path(EVENTS).read_text().splitlines()
    return next((line.split()[1] for line in lines if line.startswith("oom_kill ")), "?")


async def main():
    await asyncio.start_server(application, "127.0.0.1", BACKEND, backlog=1000)
    for _ in range(100):
        if await one():
            break
        await asyncio.sleep(0.1)
    await part("idle", idle)
    await part("keep-alive connections", keep_alive)
    await part("flood of requests", flood)
    await part("half-open handshakes", half_open)
    await part("large bodies", large)
    await part("stalled bodies", stalled)
    await part("keep-alive again", keep_alive)
    if await one() != 200:
        sys.exit("it answers no more")


asyncio.run(main())
