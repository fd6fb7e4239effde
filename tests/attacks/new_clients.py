"""New clients during an attack. Usage:

  new_clients.py KIND COUNT PAUSE PATIENCE

One every PAUSE seconds, each on a new connection, concurrently: COUNT of them, and more until the standard input ends. KIND is `https` (HTTP/1.1 and HTTP/2 by turns), `health` or `admin`, the ports of
probes.
Prints for each the seconds until it had its whole response, or why it has none, as
JSON.
"""

import asyncio
import itertools
import json
import ssl
import sys
import time

import frames
from server_configurations import ADMIN, HEALTH, TLS

PLACES = {"https": (TLS, "/small"), "health": (HEALTH, "/healthz"), "admin": (ADMIN, "/healthz")}


def context(protocol):
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols([protocol])
    return made


CONTEXTS = {protocol: context(protocol) for protocol in ("http/1.1", "h2")}


async def over_http1(reader, writer, path):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.read()
    return head.split()[1] == b"200"


async def over_http2(reader, writer, path):
    writer.write(frames.opening() + frames.request(1, frames.head(path.encode())))
    parser, is_good = frames.Parser(), False
    while data := await reader.read(16384):
        for kind, flags, stream, payload in parser.take(data):
            if kind == frames.HEADERS and stream == 1:
                is_good = payload.lstrip(b"\x20\x3f\xe1\x1f")[:1] == bytes([frames.STATUS_200])
            if stream == 1 and kind in (frames.HEADERS, frames.DATA) and flags & frames.END_STREAM:
                return is_good
            if kind == frames.RST_STREAM:
                return False
    return False


async def ask(kind, protocol):
    port, path = PLACES[kind]
    tls = CONTEXTS[protocol] if kind == "https" else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        over = over_http2 if protocol == "h2" else over_http1
        return await over(reader, writer, path)
    finally:
        writer.transport.abort()


async def one(kind, protocol, patience):
    """Its seconds, or why it has no response."""
    begun = time.monotonic()
    try:
        if not await asyncio.wait_for(ask(kind, protocol), patience):
            return f"refused over {protocol}"
    except asyncio.TimeoutError:
        return "late"
    except (OSError, EOFError):
        return f"closed over {protocol}"
    return round(time.monotonic() - begun, 3)


async def main(kind, count, pause, patience):
    coming = []
    protocols = ["http/1.1", "h2"] if kind == "https" else ["http/1.1"]
    begun = time.monotonic()
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    for number in itertools.count():
        await asyncio.sleep(begun + number * pause - time.monotonic())
        if number >= count and ended.done():
            break
        coming.append(asyncio.create_task(one(kind, protocols[number % len(protocols)], patience)))
    print(json.dumps(await asyncio.gather(*coming)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
