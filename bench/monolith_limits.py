"""The client of bench/monolith-limits: loads a service, probes it, prints.

Usage: monolith_limits.py HTTP HEALTH PID NOW PEAK EVENTS (two ports, a process,
three files of its cgroup). Exits with 1 when a probe fails.
"""

import asyncio
import base64
import socket
import sys
import time

HTTP, HEALTH, PID = (int(argument) for argument in sys.argv[1:4])
NOW, PEAK, EVENTS = sys.argv[4:7]
LOGIN = base64.b64encode(b"user:password").decode()
# The kubelet's time-out of the walkthrough's liveness probe, in seconds.
PROBE_TIMEOUT = 5


async def ask(port, path, header="", keep=False):
    """Sends one request; returns the status, and the streams if `keep`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = "keep-alive" if keep else "close"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n{header}\r\n".encode())
    line = await reader.readline()
    status = int(line.split()[1]) if line else 0
    if keep:
        return status, (reader, writer)
    writer.close()
    return status, None


class Probes:
    """Probes /healthz each second until cancelled; records the slowest."""

    def __init__(self):
        self.times, self.failed = [], 0

    async def run(self):
        while True:
            begun = time.monotonic()
            try:
                status, _ = await asyncio.wait_for(ask(HEALTH, "/healthz"), PROBE_TIMEOUT)
                self.failed += status != 200
            except (OSError, asyncio.TimeoutError):
                self.failed += 1
            self.times.append(time.monotonic() - begun)
            await asyncio.sleep(0.2)


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def mebibytes(path):
    return int(read(path) or 0) / 2**20


def resident():
    """Resident memory of the process in MiB: all of it, and without its file."""
    fields = dict(line.split(":", 1) for line in read(f"/proc/{PID}/status").splitlines())
    kilobytes = [int(fields.get(name, "0").split()[0]) for name in ("VmRSS", "RssAnon")]
    return [size / 1024 for size in kilobytes]


async def part(name, load):
    """Runs one part under probes and prints a line; returns failed probes."""
    probes = Probes()
    probing = asyncio.create_task(probes.run())
    result = await load()
    probing.cancel()
    rss, anonymous = resident()
    print(
        f"{name:<34} group {mebibytes(NOW):5.2f} MiB, peak {mebibytes(PEAK):5.2f}, "
        f"resident {rss:5.2f} (own {anonymous:4.2f}), slowest of {len(probes.times)} probes "
        f"{max(probes.times) * 1000:6.1f} ms, failed {probes.failed}  {result}",
        flush=True,
    )
    return probes.failed


async def idle():
    await asyncio.sleep(3)
    return ""


async def keep_alive(count):
    """Opens keep-alive connections, with a second request on each."""
    opened = await asyncio.gather(*(ask(HTTP, "/", keep=True) for _ in range(count)))
    await asyncio.sleep(3)
    for _, (_, writer) in opened:
        writer.close()
    return f"{sum(status == 200 for status, _ in opened)} answered"


async def too_many(count):
    """Opens connections that send half a header each, then a normal one."""
    opened = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", HTTP) for _ in range(count)), return_exceptions=True
    )
    streams = [pair for pair in opened if not isinstance(pair, BaseException)]
    for _, writer in streams:
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * 8_100)
    await asyncio.sleep(5)
    for _, writer in streams:
        writer.close()
    status, _ = await asyncio.wait_for(ask(HTTP, "/"), 30)
    return f"{len(streams)} half headers of 8 kB; then {status}"


async def pages(count):
    """Requests the page, with as many fields as fit, on connections that read nothing."""
    fields = "".join(f"X-{number}: {'&' * 150}\r\n" for number in range(45))
    request = f"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n{fields}\r\n".encode()
    sockets = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", HTTP))
        # Pipelined requests get responses, too, until no buffer is left.
        client.send(request * 4)
        sockets.append(client)
    await asyncio.sleep(3)
    for client in sockets:
        client.close()
    return f"{len(request)} bytes each"


async def logins(count):
    """Concurrent logins, with the proxy's time-out of a minute."""
    begun = time.monotonic()
    done = await asyncio.gather(
        *(ask(HTTP, "/login", f"Authorization: Basic {LOGIN}\r\n") for _ in range(count)),
        return_exceptions=True,
    )
    kinds = [result[0] if isinstance(result, tuple) else "error" for result in done]
    tally = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return f"{tally} in {time.monotonic() - begun:.1f} s"


async def requests(seconds, clients):
    """Requests the greeting on keep-alive connections as fast as possible."""
    end, answered = time.monotonic() + seconds, 0

    async def client():
        nonlocal answered
        while time.monotonic() < end:
            status, _ = await ask(HTTP, "/")
            answered += status == 200

    await asyncio.gather(*(client() for _ in range(clients)))
    return f"{answered / seconds:.0f} connections/s"


async def main():
    for _ in range(100):
        try:
            await ask(HEALTH, "/healthz")
            break
        except OSError:
            await asyncio.sleep(0.1)
    failed = await part("idle", idle)
    failed += await part("300 keep-alive connections", lambda: keep_alive(300))
    failed += await part("300 pages that nobody reads", lambda: pages(300))
    failed += await part("a new connection each request, 50", lambda: requests(5, 50))
    failed += await part("200 logins at once", lambda: logins(200))
    failed += await part("1000 hostile connections", lambda: too_many(1000))
    failed += await part("200 logins at once, again", lambda: logins(200))
    sys.exit(1 if failed else 0)


asyncio.run(main())
