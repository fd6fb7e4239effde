"""The application behind the proxy, outside its cgroup. Usage: application.py PORT
[CERTIFICATE KEY], with TLS if there is a certificate. The path decides what it does:

  /                a response of two bytes, after reading the request body
  /large           20 MiB
  /medium          200 KB
  /slow            the two bytes after a minute
  /late            the two bytes after two seconds
  /endless         an endless body
  /tables          an endless gzip body of blocks that are nothing but their tables
  /pausing         11 bytes of text, and the end of the body three seconds later
  /unread          never responds and never reads the body
  /head/endless    a header that never ends
  /head/large      a header of 100 KB
  /head/half       3 KB of a header, and no more
  /head/fields     a header of 110 small fields
  /interim         interim responses (103) that never end
  /tunnel          101, then an echo
"""

import asyncio
import ssl
import sys

PIECE = b"x" * 65536
LARGE = 20 << 20
OK = b"HTTP/1.1 200 OK\r\n"


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(maxsplit=2)[1].decode()
            if path in PATHS:
                await PATHS[path](reader, writer)
                return
            await read_body(reader, head)
            writer.write(OK + b"Content-Length: 2\r\n\r\nok")
            await writer.drain()
    except (OSError, EOFError, asyncio.LimitOverrunError):
        pass  # The proxy has closed.
    finally:
        writer.close()


async def read_body(reader, head):
    lower = head.lower()
    if b"\r\ntransfer-encoding:" in lower:
        while int(await reader.readuntil(b"\r\n"), 16):
            pass
        return
    start = lower.find(b"\r\ncontent-length:")
    left = int(lower[start + 17:].split(b"\r\n")[0]) if start >= 0 else 0
    while left > 0 and (piece := await reader.read(min(left, len(PIECE)))):
        left -= len(piece)


async def large(_, writer):
    writer.write(OK + b"Content-Length: %d\r\n\r\n" % LARGE)
    for _ in range(LARGE // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()


async def medium(reader, writer):
    writer.write(OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000)
    await serve(reader, writer)


async def slow(_, writer):
    await asyncio.sleep(60)
    writer.write(OK + b"Content-Length: 2\r\n\r\nok")


async def late(_, writer):
    await asyncio.sleep(2)
    writer.write(OK + b"Content-Length: 2\r\n\r\nok")


async def endless(_, writer):
    writer.write(OK + b"Connection: close\r\n\r\n")
    while True:
        writer.write(PIECE)
        await writer.drain()


async def pausing(_, writer):
    writer.write(OK + b"Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello there\r\n")
    await asyncio.sleep(3)
    writer.write(b"0\r\n\r\n")


def in_order(value, count):
    """The bits of a number as deflate has them (RFC 1951, section 3.1.1)."""
    return "".join(str(value >> bit & 1) for bit in range(count))


def tables():
    """Blocks whose tables are for their end only (RFC 1951, section 3.2.7), with a letter after each 15 KB."""
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    lengths = "".join(in_order(symbol in (1, 18), 3) for symbol in order)
    # 138 and 118 codes that are not used, then that of the end, one distance, and the end.
    codes = "1" + in_order(138 - 11, 7) + "1" + in_order(118 - 11, 7) + "00" + "0"
    table = "0" + in_order(2, 2) + in_order(0, 10) + in_order(14, 4) + lengths + codes
    letter = "0" + in_order(1, 2) + f"{0x30 + ord('a'):08b}" + "0000000"
    # Eight of each end with a whole byte.
    bits = (table * 1300 + letter) * 8
    return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")


async def empty_blocks(_, writer):
    writer.write(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n")
    writer.write(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")
    body = tables()
    while True:
        writer.write(body)
        await writer.drain()


async def unread(_, writer):
    writer.transport.pause_reading()
    await asyncio.sleep(120)


async def head_endless(_, writer):
    writer.write(OK)
    for number in range(100_000):
        writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1000))
        await writer.drain()
        await asyncio.sleep(0.01)


async def head_large(_, writer):
    writer.write(OK + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(100)) + b"\r\n")


async def head_half(_, writer):
    writer.write(OK + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(3)))
    await asyncio.sleep(60)


async def head_fields(reader, writer):
    fields = b"".join(b"f%02x: v\r\n" % number for number in range(110))
    writer.write(OK + fields + b"Content-Length: 2\r\n\r\nok")
    await serve(reader, writer)


async def interim(_, writer):
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0.001)


async def tunnel(reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


PATHS = {
    "/large": large, "/medium": medium, "/slow": slow, "/late": late, "/endless": endless,
    "/tables": empty_blocks, "/pausing": pausing, "/unread": unread, "/head/endless": head_endless, "/head/large": head_large,
    "/head/half": head_half, "/head/fields": head_fields, "/interim": interim, "/tunnel": tunnel,
}


async def main():
    tls = None
    if len(sys.argv) > 2:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*sys.argv[2:])
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), ssl=tls, backlog=4096)
    await server.serve_forever()


asyncio.run(main())
