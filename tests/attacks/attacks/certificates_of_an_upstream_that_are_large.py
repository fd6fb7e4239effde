"""An upstream that shows a certificate of 60 KB, for any name that clients ask for: it responds to
half of the requests, so that connections and sessions are kept, and lets the others wait."""

import asyncio
import ssl

import large_certificate
from attack import Attack
from server_configurations import PLAIN, SECURE

ATTACK = Attack(configurations=("secure_upstream",), short=("10Mi", "32Mi"))
CLIENTS = 600


async def respond(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"/waits" in head:
                await asyncio.sleep(60)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


async def run(target):
    tls = large_certificate.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), 60_000)
    upstream = await asyncio.start_server(respond, "127.0.0.1", SECURE, ssl=tls, backlog=1000)
    answered = 0

    async def ask(number):
        nonlocal answered
        reader, writer = await target.connect(PLAIN)
        path = "waits" if number % 2 else "responds"
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: n{number // 16}.example\r\n\r\n".encode())
        if path == "responds":
            await reader.readuntil(b"\r\n\r\n")
            answered += 1
        return reader, writer

    async with upstream:
        opened = await target.many(CLIENTS, ask)
        await target.wait()
    return f"{len(opened)} requests, {answered} answered"
