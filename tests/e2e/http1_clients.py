"""HTTP/1.1 clients that follow the RFC and never retry.

A client may reuse a connection unless the response had `Connection: close` or the
peer has closed it meanwhile, which it checks. A connection that ends before the
response is complete is a failure, also a reset of a reused one.
"""

import asyncio
import os
import random
import select
import socket

from tally import BROKEN, Failed

# Longer than anything takes unless it hangs.
PATIENCE = 30
# How long a slow transfer takes, in seconds, in how many steps.
SLOW, STEPS = 3.0, 12
UPLOAD, DOWNLOAD = 96 << 10, 2 << 20


class Connection:
    """One TLS connection to the service."""

    def __init__(self, target, tally):
        self.target, self.tally = target, tally
        self.reader = self.writer = None

    async def open(self, receive_buffer=None):
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setblocking(False)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(plain, self.target.address), PATIENCE)
            self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(
                sock=plain, ssl=self.target.trust, server_hostname=self.target.name, limit=64 << 10), PATIENCE)
        except BaseException:
            plain.close()
            raise
        self.tally.connections += 1
        return self

    async def is_usable(self):
        """Whether the peer has closed it, as far as is known. Received bytes are read first,
        as curl does."""
        plain = self.writer.get_extra_info("socket")
        if plain and plain.fileno() >= 0 and select.select([plain.fileno()], [], [], 0)[0]:
            await asyncio.sleep(0.01)
        return not self.reader.at_eof() and not self.writer.is_closing()

    def close(self):
        if self.writer:
            # No closing handshake to wait for.
            self.writer.transport.abort()
        self.reader = self.writer = None

    def send(self, method, path, *fields):
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {self.target.name}", *fields, "", ""])
        self.writer.write(head.encode())

    async def head(self):
        """Status and fields, names in small letters."""
        text = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        first, *lines = text.decode("latin-1").split("\r\n")[:-2]
        fields = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), {name.lower(): value for name, value in fields.items()}

    async def answer(self, expected=200):
        """The whole body; records whether the connection may be reused."""
        status, fields = await self.head()
        body = await asyncio.wait_for(self.reader.readexactly(int(fields["content-length"])), PATIENCE)
        if status != expected:
            raise Failed(f"status {status}")
        if fields.get("connection", "").lower() == "close":
            self.tally.told_to_close += 1
            self.close()
        return body


async def attempt(tally, work):
    """One request, counted; whether it succeeded."""
    tally.requests += 1
    try:
        await work
        return True
    except (*BROKEN, Failed, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
        tally.fail(error)
        return False


async def greeting(connection):
    connection.send("GET", "/")
    if (await connection.answer()).strip() != b'{"message":"Hello"}':
        raise Failed("another body")


async def new(target, tallies):
    """A connection for each request."""
    tally = tallies.kinds["new"]

    async def once():
        connection = Connection(target, tally)
        try:
            await connection.open()
            await greeting(connection)
        finally:
            connection.close()

    while tallies.running():
        await attempt(tally, once())
        await tallies.pause(0.06)


async def kept(target, tallies, kind="kept", longest=0.12):
    """One connection for as long as the peer keeps it open, with pauses."""
    tally = tallies.kinds[kind]
    connection = Connection(target, tally)

    async def once():
        if connection.writer and not await connection.is_usable():
            tally.closed_idle += 1
            connection.close()
        if not connection.writer:
            await connection.open()
        await greeting(connection)

    while tallies.running():
        if not await attempt(tally, once()):
            connection.close()
        await tallies.pause(longest)
    connection.close()


async def idle(target, tallies):
    """The same, idle for longer than a pod takes to close its listeners."""
    await kept(target, tallies, "idle", 9)


async def upload(target, tallies):
    """Bodies that are sent slowly."""
    tally = tallies.kinds["upload"]

    async def once(path, status):
        connection = Connection(target, tally)
        try:
            await connection.open()
            connection.send("POST", path, f"Content-Length: {UPLOAD}")
            for _ in range(STEPS):
                connection.writer.write(bytes(UPLOAD // STEPS))
                await connection.writer.drain()
                await asyncio.sleep(SLOW / STEPS)
            answer = await connection.answer(int(status))
            if status == "200" and int(answer) != UPLOAD:
                raise Failed("the application got another number of bytes")
        finally:
            connection.close()

    await asyncio.sleep(random.uniform(0, SLOW))
    while tallies.running():
        await attempt(tally, once(*random.choice(target.uploads)))


async def download(target, tallies):
    """Bodies that are read slowly."""
    tally = tallies.kinds["download"]

    async def once():
        connection = Connection(target, tally)
        try:
            await connection.open(receive_buffer=64 << 10)
            connection.send("GET", f"/download/{DOWNLOAD}")
            status, fields = await connection.head()
            if status != 200 or int(fields["content-length"]) != DOWNLOAD:
                raise Failed(f"status {status}")
            for _ in range(STEPS):
                await asyncio.wait_for(connection.reader.readexactly(DOWNLOAD // STEPS), PATIENCE)
                await asyncio.sleep(SLOW / STEPS)
            await asyncio.wait_for(connection.reader.readexactly(DOWNLOAD % STEPS), PATIENCE)
        finally:
            connection.close()

    await asyncio.sleep(random.uniform(0, SLOW))
    while tallies.running():
        await attempt(tally, once())


async def websocket(target, tallies):
    """Tunnels with an echo at their end, closed by the client."""
    tally = tallies.kinds["websocket"]

    async def once():
        connection = Connection(target, tally)
        try:
            await connection.open()
            connection.send("GET", "/ws", "Upgrade: websocket", "Connection: Upgrade",
                            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
            status, _ = await connection.head()
            if status != 101:
                raise Failed(f"status {status}")
            for _ in range(STEPS):
                frame = b"\x82\x85" + os.urandom(9)  # five bytes, masked (RFC 6455, 5.2)
                connection.writer.write(frame)
                if await asyncio.wait_for(connection.reader.readexactly(len(frame)), PATIENCE) != frame:
                    raise Failed("another message")
                tally.messages += 1
                await asyncio.sleep(SLOW / STEPS)
        finally:
            connection.close()

    await asyncio.sleep(random.uniform(0, SLOW))
    while tallies.running():
        await attempt(tally, once())
