"""How an attack is declared, and the functions that it uses.

An attack is a file in attacks/ with `ATTACK = Attack(…)` and `async def run(target)`,
which returns a description of its load: a text, or an `Outcome` if it checks the
responses it gets. As a program, `attack.py NAME SECONDS`, this file runs one and
prints that as JSON.
"""

import asyncio
import faulthandler
import importlib
import json
import logging
import os
import socket
import ssl
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import server_configurations as configurations

FOLDER = Path(__file__).resolve().parent / "attacks"
# Seconds to open one connection, with its handshake; to open many of them, before the
# attack's own time begins.
CONNECT, COME = 5, 15
# Lower than that of the server and the new clients: a real attacker has machines of
# its own.
PRIORITY = 5


@dataclass(frozen=True)
class Attack:
    # Functions of server_configurations.py.
    configurations: tuple = ("deployments",)
    # The memory limits of the short form; empty: not part of it.
    short: tuple = ("32Mi",)
    # Seconds in the short form and in the long one: longer than a new client waits.
    seconds: tuple = (6, 20)
    # The server's limit on open files, if it is part of the attack.
    files: int | None = None
    # The server's key: "ec" or "rsa".
    key: str = "ec"
    # The program under attack: "tls-proxy" or "monolith".
    program: str = "tls-proxy"
    # Memory limits instead of those of the command line, if they are part of the attack.
    memory: tuple | None = None
    # The new clients during the attack: a kind of new_clients.py.
    new_clients: str = "https"
    # Whether they must get responses; not if the attack fills the server legitimately.
    answers: bool = True
    # Whether nginx is attacked, too.
    nginx: bool = True
    # Whether the short form waits for memory to be returned, too.
    after: bool = False


@dataclass
class Outcome:
    held: str
    # What was wrong with the attack's own responses, if anything.
    wrong: str | None = None


class Target:
    """The server under attack, and the time that is left."""

    def __init__(self, seconds):
        self.seconds, self.has_begun = seconds, False
        self.end = time.monotonic() + seconds

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def begin(self):
        """Starts the attack's time, once."""
        if not self.has_begun:
            self.has_begun = True
            self.end = time.monotonic() + self.seconds

    async def wait(self):
        """Waits until the attack's time is over."""
        await asyncio.sleep(self.left())

    async def connect(self, port=configurations.PLAIN, alpn=None, receive=None, tls=None):
        """A connection; with `alpn` over TLS. `receive`: size of the receive buffer,
        small for slow readers."""
        if alpn and tls is None:
            tls = context(alpn)
        sock = socket.socket()
        sock.setblocking(False)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        # From here on asyncio owns and closes it.
        return await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname="localhost" if tls else None, limit=1 << 16)

    async def tls(self, alpn="http/1.1", **options):
        return await self.connect(configurations.TLS, alpn, **options)

    async def http2(self, opening, port=configurations.TLS, **options):
        """A connection on which `opening` has been sent."""
        alpn = "h2" if port == configurations.TLS else None
        reader, writer = await self.connect(port, alpn, **options)
        writer.write(opening)
        return reader, writer

    async def many(self, count, begin, at_once=16):
        """The results of `begin(number)` for each number below `count` that succeeds in
        time. The attack's time starts afterwards."""
        numbers, made = iter(range(count)), []
        end = self.end if self.has_begun else time.monotonic() + min(COME, self.seconds)

        async def worker():
            for number in numbers:
                left = end - time.monotonic()
                if left <= 0:
                    return
                try:
                    made.append(await asyncio.wait_for(begin(number), min(CONNECT, left)))
                except FAILURES:
                    await asyncio.sleep(0.02)

        await asyncio.gather(*(worker() for _ in range(min(at_once, count))))
        self.begin()
        return made

    async def one_after_another(self, opened, data, pause=0.002):
        """Sends `data` on each of them while there is time."""
        for _, writer in opened:
            if self.left() <= 0:
                return
            if not writer.is_closing():
                writer.write(data)
            await asyncio.sleep(pause)

    async def slow_readers(self, count):
        """`count` connections over TLS that request `/large` and read nothing of it."""
        async def begin(_):
            reader, writer = await self.tls(receive=4096)
            writer.transport.pause_reading()
            return reader, writer

        opened = await self.many(count, begin)
        await self.one_after_another(opened, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await self.wait()
        return opened

    async def half_requests(self, port, count):
        """`count` connections to the health port that send half a request and wait.
        Those that are closed reconnect, not faster than a probe gets its response."""
        async def begin(_):
            connection = await self.connect(port)
            connection[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            return connection

        opened = await self.many(count, begin)
        while self.left() > 1:
            opened = [pair for pair in opened if still_open([pair])]
            if len(opened) < count:
                opened += await self.many(1, begin)
            await asyncio.sleep(0.02)
        return f"{len(opened)} connections with half a request, {still_open(opened)} stayed"

    async def flood(self, count, opening, batches, reads=True, alpn="h2"):
        """`count` connections that send `opening` and then what `batches()` yields, as
        fast as possible, and reconnect when they are closed. What they receive is
        discarded, or, without `reads`, not read."""
        sent, came = 0, 0

        async def discard(reader):
            while await reader.read(1 << 16):
                pass

        async def client(_):
            nonlocal sent, came
            reader, writer = await self.tls(alpn)
            writer.write(opening)
            came += 1
            if reads:
                reading = asyncio.create_task(discard(reader))
            else:
                reading = asyncio.create_task(asyncio.sleep(self.left()))
                writer.transport.pause_reading()
            try:
                for batch in batches():
                    if self.left() <= 0 or reading.done() or writer.is_closing():
                        break
                    writer.write(batch)
                    await writer.drain()
                    sent += len(batch)
                    await asyncio.sleep(0)
            finally:
                reading.cancel()
                writer.transport.abort()

        await self.repeat(count, client)
        return f"{sent >> 20} MB over {came} connections, {count} at a time"

    async def repeat(self, count, act):
        """Repeats `act(number)` in `count` concurrent clients until the time is over.
        Returns how often it succeeded."""
        done = 0

        async def client(number):
            nonlocal done
            while self.left() > 0:
                try:
                    await asyncio.wait_for(act(number), self.left() + 0.1)
                    done += 1
                except FAILURES:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*(client(number) for number in range(count)))
        return done


FAILURES = (OSError, EOFError, ssl.SSLError, asyncio.TimeoutError, asyncio.LimitOverrunError)
_contexts = {}


def context(alpn):
    """A TLS context that verifies nothing."""
    if alpn not in _contexts:
        made = ssl.create_default_context()
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        made.set_alpn_protocols([alpn])
        _contexts[alpn] = made
    return _contexts[alpn]


def client_hello(alpn="h2"):
    """The first flight of a handshake."""
    out = ssl.MemoryBIO()
    tls = context(alpn).wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def still_open(connections):
    """How many of them the server has not closed, as far as is known."""
    return sum(not reader.at_eof() and not writer.is_closing() for reader, writer in connections)


def names():
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name):
    """The module of an attack."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)


async def main(name, seconds):
    # Broken connections are expected.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    logging.getLogger("asyncio").disabled = True
    target = Target(seconds)
    result = await load(name).run(target)
    await target.wait()
    if not isinstance(result, Outcome):
        result = Outcome(result)
    print(json.dumps(asdict(result)), flush=True)
    # Closing thousands of connections one by one takes longer than the kernel does.
    os._exit(0)


if __name__ == "__main__":
    # Attacks import this module by its name, not as the program.
    sys.modules["attack"] = sys.modules["__main__"]
    os.nice(PRIORITY)
    # Prints where an attack hangs.
    faulthandler.dump_traceback_later(COME + float(sys.argv[2]) + 10, exit=True)
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
