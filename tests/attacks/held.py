"""Compares the memory that tls-proxy reserves for its peers with the kernel's count, for
one kind of load at a time, at three sizes. Usage, in network and process namespaces of its
own: held.py PROGRAM GROUP KIND. Prints for each size how much both have grown, bytes, as
JSON.
"""

import asyncio
import itertools
import json
import re
import ssl
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import frames
from attack import Target, client_hello, context
from group import Group, Unavailable
from one import python, raise_loopback, wait_until_it_serves
from server_configurations import ADMIN, APPLICATION, PLAIN, PROXIED, SECURE, TLS
from servers import Server, prepare

# So much that nothing is evicted.
LIMIT = 1 << 30
# Seconds until all that was sent has arrived; and until neither figure changes. The
# allocator keeps freed memory for two seconds.
ARRIVE, SETTLE, LOOK = 1, 30, 2.5
# Relative change of the larger figure below which it is stable.
STILL = 0.01
# Streams on an HTTP/2 connection.
STREAMS = 20
NAMES = itertools.count()
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Kind:
    # Opens one connection with its load.
    begin: object
    # The three numbers of connections.
    sizes: tuple = (100, 200, 400)
    # A function of server_configurations.py.
    configuration: str = "deployments"
    # The largest and smallest ratio of reserved to used memory, and why it is not
    # within 15 %.
    most: float = 1.15
    least: float = 0.85
    why: str = ""


async def asked(target, path=b"/", read=False, **options):
    """A request over TLS whose response is not read, except its header."""
    reader, writer = await target.tls(receive=4096, **options)
    writer.write(GET % path)
    if read:
        await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    return reader, writer


async def asked_plainly(target, path):
    reader, writer = await target.connect(PLAIN, receive=4096)
    writer.write(GET % path)
    writer.transport.pause_reading()
    return reader, writer


async def idle_after_a_request(target):
    return await asked(target, read=True)


async def idle_after_a_request_over_http2(target):
    return await answered(*await target.http2(frames.opening()), frames.request(1, frames.head(b"/")))


async def answered(reader, writer, *requests):
    """Sends the requests of a connection, each once the one before it has its response."""
    parser = frames.Parser()
    for request in requests:
        writer.write(request)
        await frames.until_ended(reader, parser)
    return reader, writer


async def idle_with_tables_of_small_entries(target):
    kept = b"".join(frames.field(b"%02x" % number, b"", kept=True) for number in range(118))
    opening = frames.opening({frames.TABLE_SIZE: 1 << 20})
    return await answered(*await target.http2(opening), frames.request(1, frames.head(b"/small", more=kept)))


async def idle_with_entries_that_keep_buffers(target):
    """HPACK remembers a path of each large head (`h2` keeps the buffer of each)."""
    def head(number):
        large = b"".join(frames.field(b"x-%d" % part, b"v" * 7600) for part in range(2))
        return b"\x82\x87\x44" + frames.string(b"/small?%d" % number) + b"\x01" + frames.string(b"localhost") + large
    return await answered(*await target.http2(frames.opening()), *(
        frames.request(1 + 2 * number, head(number)) for number in range(30)))


async def idle_after_small_requests_over_http2(target):
    """As a client with few fields sends them: the authority is remembered."""
    first = b"\x82\x87\x04" + frames.string(b"/small") + b"\x41" + frames.string(b"localhost")
    other = b"\x82\x87\x04" + frames.string(b"/small") + b"\xbe" + frames.field(b"x", b"v" * 400)
    return await answered(*await target.http2(frames.opening()), frames.request(1, first), *(
        frames.request(3 + 2 * number, other) for number in range(20)))


async def idle_after_a_response_of_many_fields_over_http2(target):
    return await answered(*await target.http2(frames.opening()), frames.request(1, frames.head(b"/head/fields")))


async def idle_after_many_streams(target):
    """As many at once as a connection may have; each has its response."""
    reader, writer = await target.http2(frames.opening() + frames.window_update(0, 1 << 24))
    writer.write(b"".join(
        frames.request(1 + 2 * number, frames.head(b"/small")) for number in range(120)))
    await frames.until_ended(reader, frames.Parser(), 120)
    return reader, writer


def large_frame():
    """Of a kind that must be ignored (RFC 9113, section 4.1)."""
    return frames.frame(0x42, payload=b"x" * (1 << 14))


async def idle_after_a_large_frame(target):
    request = frames.request(1, frames.head(b"/small"))
    return await answered(*await target.http2(frames.opening()), large_frame() + request)


async def parts_of_large_frames(target):
    return await target.http2(frames.opening() + large_frame()[:-9])


async def parts_of_tls_records(target):
    """Each has had a small request before."""
    reader, writer = await target.connect(TLS)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context("h2").wrap_bio(received, sent, server_hostname="localhost")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(sent.read())
            received.write(await reader.read(1 << 14))
    tls.write(frames.opening() + frames.request(1, frames.head(b"/small")))
    writer.write(sent.read())
    tls.write(large_frame()[:16_000])
    await asyncio.sleep(0.1)
    writer.write(sent.read()[:-50])
    return reader, writer


async def half_heads(target):
    reader, writer = await target.tls()
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"x" * 7900) for number in range(3)) + b"X-Last: " + b"x" * 6000)
    return reader, writer


async def half_heads_over_http2(target):
    block = frames.head() + b"".join(frames.field(b"x-%03d" % number, b"") for number in range(700))
    block += b"\x00" + frames.string(b"x-endless") + frames.integer(60_000, 7)
    first = frames.frame(frames.HEADERS, frames.END_STREAM, 1, block)
    more = frames.frame(frames.CONTINUATION, 0, 1, b"x" * 10_800)
    return await target.http2(frames.opening() + first + more * 3)


async def full_tables(target):
    kept = b"".join(frames.field(b"x-%03d" % number, b"v" * 160, kept=True) for number in range(20))
    request = frames.request(1, frames.head(b"/small", more=kept))
    return await target.http2(frames.opening({frames.TABLE_SIZE: 1 << 20}) + request)


async def streams_without_bodies(target):
    length = frames.field(b"content-length", b"1000")
    return await target.http2(frames.opening() + b"".join(
        frames.request(1 + 2 * number, frames.head(b"/", "POST", more=length), ends=False)
        for number in range(100)))


async def unread(target):
    return await asked(target, b"/large")


async def unread_plainly(target):
    return await asked_plainly(target, b"/large")


async def unread_in_chunks(target):
    return await asked(target, b"/endless")


async def unread_over_http2(target):
    largest = (1 << 31) - 1
    reader, writer = await many_over_http2(
        target, b"/endless", {frames.INITIAL_WINDOW: largest}, frames.window_update(0, largest - 65535),
        receive=4096)
    writer.transport.pause_reading()
    return reader, writer


async def bodies_that_nobody_reads(target):
    reader, writer = await target.tls()
    writer.write(b"POST /unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n" + b"x" * 800_000)
    return reader, writer


async def windows_of_zero(target):
    return await many_over_http2(target, b"/large", {frames.INITIAL_WINDOW: 0})


async def half_handshakes(target):
    reader, writer = await target.connect(TLS)
    writer.write(client_hello())
    return reader, writer


async def half_proxy_headers(target):
    reader, writer = await target.connect(PROXIED)
    writer.write(b"PROXY TCP4 192.0.2.1 ")
    return reader, writer


async def half_heads_of_upstreams(target):
    return await asked(target, b"/head/half")


async def half_heads_of_upstreams_over_http2(target):
    return await many_over_http2(target, b"/head/half")


async def waiting_for_an_upstream_over_http2(target):
    return await many_over_http2(target, b"/slow")


async def many_over_http2(target, path, settings=None, window=b"", **options):
    """The streams of a connection, each with a request."""
    return await target.http2(frames.opening(settings) + window + b"".join(
        frames.request(1 + 2 * number, frames.head(path)) for number in range(STREAMS)), **options)


async def waiting_for_an_upstream(target):
    return await asked(target, b"/slow")


async def waiting_for_an_upstream_after_large_bodies(target):
    """Each has had a large response before, and the reads of it."""
    reader, writer = await target.tls()
    writer.write(GET % b"/medium" + GET % b"/slow")
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(200_000)
    return reader, writer


async def idle_connections_to_a_secure_upstream(target):
    """Each is for a name of its own, so that it does not serve the next one."""
    reader, writer = await target.connect(PLAIN)
    writer.write(b"GET / HTTP/1.1\r\nHost: n%d.example\r\nConnection: close\r\n\r\n" % next(NAMES))
    await reader.read()
    writer.transport.abort()
    return reader, writer


# A request must not wait once it has begun, so all that it may need is reserved at its
# start.
REQUEST = "a request's reservation is for 4 KiB each of its head, its response's head and a body"
FIRST = "a new client's reservation is for all until its first response, while nobody waits"
BODY = "a body's reservation is for one that is read from a file and encrypted"
GROWN = "a buffer's reservation is for the largest that it may be"
# net/read_size.rs has memory for them besides the budget.
BULK = "two wires of a worker may read 256 KiB at once"

KINDS = {f"{made.begin.__name__}, {made.configuration}": made for made in (
    Kind(idle_after_a_request),
    Kind(idle_after_a_request_over_http2),
    Kind(half_heads, most=2.4, why="the whole of a head is held twice once it is passed on"),
    Kind(half_heads_over_http2, sizes=(25, 50, 100), most=2.3, why="the most that h2 makes of a header block"),
    # Two full tables take some KiB more than HTTP/2 is counted as.
    Kind(full_tables, least=0.8),
    Kind(idle_with_tables_of_small_entries, configuration="static"),
    Kind(idle_with_entries_that_keep_buffers, sizes=(5, 10, 20), most=1.45, configuration="static", why=GROWN),
    Kind(idle_after_small_requests_over_http2, sizes=(25, 50, 100), configuration="static"),
    Kind(idle_after_a_response_of_many_fields_over_http2),
    Kind(idle_after_many_streams, sizes=(60, 120, 180), least=0.7, most=1.9, configuration="static", why=GROWN),
    Kind(idle_after_a_large_frame, most=1.35, configuration="static", why=GROWN),
    Kind(parts_of_large_frames, most=1.3, configuration="static", why=FIRST),
    Kind(parts_of_tls_records, configuration="static"),
    Kind(streams_without_bodies, sizes=(4, 8, 16), most=4.4, why=REQUEST),
    Kind(unread, most=2.4, why=BODY),
    Kind(unread, configuration="static", most=1.3, why=BODY),
    Kind(unread_in_chunks, least=0.7, most=1.4, why=BULK),
    Kind(unread_over_http2, sizes=(8, 16, 32), most=2.1, why=BODY),
    # All of each may have been read, and what it was read with serves the next one.
    Kind(bodies_that_nobody_reads, most=12, why=BODY),
    Kind(unread_plainly, configuration="static", most=2.1, why=BODY),
    Kind(windows_of_zero, sizes=(8, 16, 32), most=3.1, why=f"{REQUEST}; {BODY}"),
    Kind(windows_of_zero, sizes=(8, 16, 32), configuration="static", most=2.3, why=f"{REQUEST}; {BODY}"),
    Kind(half_handshakes, most=4.7, why=FIRST),
    Kind(half_proxy_headers, configuration="proxy_protocol", most=6.0, why=FIRST),
    Kind(half_heads_of_upstreams, most=1.6, why=REQUEST),
    Kind(half_heads_of_upstreams_over_http2, sizes=(8, 16, 32), most=2.0, why=REQUEST),
    Kind(waiting_for_an_upstream, most=2.2, why=REQUEST),
    Kind(waiting_for_an_upstream, configuration="secure_upstream", most=1.9, why=REQUEST),
    Kind(idle_connections_to_a_secure_upstream, configuration="secure_upstream"),
    Kind(waiting_for_an_upstream_over_http2, sizes=(8, 16, 32), most=2.3, why=REQUEST),
    Kind(waiting_for_an_upstream_after_large_bodies, most=12,
         why=f"{REQUEST}; what the bodies before it took is used again"),
)}


def reserved():
    with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/metrics", timeout=5) as page:
        return int(re.search(r"^tls_proxy_memory_reserved_bytes (\d+)$", page.read().decode(), re.MULTILINE)[1])


async def figures(group):
    """Reserved and used memory, once neither changes."""
    await asyncio.sleep(ARRIVE)
    before, end = (0, 0), time.monotonic() + SETTLE
    while time.monotonic() < end:
        now = (await asyncio.to_thread(reserved), group.unreclaimable())
        if all(abs(one - other) <= STILL * one for one, other in zip(now, before)):
            return now
        before = now
        await asyncio.sleep(LOOK)
    return before


async def measure(kind, server):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    # Until it is cancelled.
    target = Target(3600)
    target.begin()
    begin = lambda _: kind.begin(target)  # noqa: E731
    # Memory that does not depend on the load.
    held = await target.many(kind.sizes[0] // 4, begin)
    first = await figures(server.group)
    seen, already = [], len(held)
    for size in kind.sizes:
        held += await target.many(size + already - len(held), begin)
        now = await figures(server.group)
        seen.append({"held": len(held) - already, "wanted": size,
                     "reserved": now[0] - first[0], "taken": now[1] - first[1]})
    return seen


def main(program, name, chosen):
    raise_loopback()
    kind = KINDS[chosen]
    with tempfile.TemporaryDirectory(prefix="held-") as folder:
        work = Path(folder)
        prepare(work, kind.configuration, "ec", False)
        try:
            group = Group(name, LIMIT)
        except Unavailable as error:
            print(json.dumps({"unavailable": str(error)}))
            return
        applications = [python("application.py", APPLICATION),
                        python("application.py", SECURE, work / "cert.pem", work / "key.pem")]
        server = Server("tls-proxy", program, work, group)
        try:
            wait_until_it_serves(server, "https")
            print(json.dumps(asyncio.run(measure(kind, server))))
        finally:
            server.stop()
            for application in applications:
                application.kill()
            group.remove()


if __name__ == "__main__":
    main(*sys.argv[1:])
