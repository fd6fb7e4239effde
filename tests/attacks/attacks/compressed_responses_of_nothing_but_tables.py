"""Compressed responses whose blocks are nothing but their tables, for clients that do not take gzip: much to
decompress, and next to nothing comes of it."""

from attack import Attack, Outcome

# nginx 1.31 is built without gunzip.
ATTACK = Attack(configurations=("gunzip",), nginx=False)


async def run(target):
    request = b"GET /tables HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    async def ask(_):
        reader, writer = await target.tls("http/1.1")
        try:
            writer.write(request)
            while target.left() > 0 and await reader.read(1 << 16):
                pass
        finally:
            writer.transport.abort()

    asked = await target.repeat(8, ask)
    return Outcome(f"{asked} responses, 8 at a time")
