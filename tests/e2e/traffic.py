"""Clients of all kinds, until they are stopped.

    traffic.py ADDRESS PORT NAME CA --kinds new,kept --limit 500000 --seconds 300

Prints its counts as a line of JSON, twice a second and at the end. It ends at the end of
standard input, after LIMIT requests, or after SECONDS, whichever is first.
"""

import argparse
import asyncio
import ssl
import sys
from types import SimpleNamespace

import http1_clients
from http2_client import http2
from tally import Tallies

# How many clients of each kind there are.
KINDS = {
    "new": (http1_clients.new, 8), "kept": (http1_clients.kept, 16), "idle": (http1_clients.idle, 32),
    "upload": (http1_clients.upload, 8), "download": (http1_clients.download, 6),
    "websocket": (http1_clients.websocket, 8), "http2": (http2, 4),
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("name", help="for Host and SNI")
    parser.add_argument("ca")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--limit", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--upload", default="/upload=200 /upload-streamed=200",
                        help="where bodies go, and the status of the answer")
    parser.add_argument("--pace", type=float, default=1, help="lengthens the clients' pauses")
    return parser.parse_args()


def trust(ca, *protocols):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(list(protocols))
    return context


async def end_of_input():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def show(tallies):
    while True:
        await asyncio.sleep(0.5)
        tallies.show()


async def main():
    given = arguments()
    target = SimpleNamespace(address=(given.address, given.port), name=given.name,
                             uploads=[word.rsplit("=", 1) for word in given.upload.split()],
                             trust=trust(given.ca, "http/1.1"), trust_http2=trust(given.ca, "h2"))
    tallies = Tallies(given.limit, given.pace)
    showing = asyncio.create_task(show(tallies))
    clients = [asyncio.create_task(client(target, tallies))
               for client, count in (KINDS[kind] for kind in given.kinds.split(",")) for _ in range(count)]
    waiting = asyncio.create_task(end_of_input())
    await asyncio.wait([waiting, *clients], timeout=given.seconds, return_when=asyncio.FIRST_COMPLETED)
    tallies.stopping.set()
    for result in await asyncio.gather(*clients, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
    showing.cancel()
    waiting.cancel()
    tallies.show()


asyncio.run(main())
