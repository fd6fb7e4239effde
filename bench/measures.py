"""What bench/compare measures. Each function loads one contestant and returns
one number; work is divided by the proxy's own CPU seconds, since the machine
may be shared and a wall clock then measures the neighbours."""

import re
import subprocess
import time

from contestants import LOAD_CORE, pinned

TRANSFERS = 3
MEGABYTES = 100
CONNECTIONS = 500


def run(command, check=True):
    command = pinned(LOAD_CORE) + command
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"no {pattern!r} in:\n{text}")
    return int(found.group(1))


def per_cpu(contestant, load):
    """What `load` counted, for each CPU second it cost the proxy."""
    before = contestant.cpu()
    count = load()
    return count / max(contestant.cpu() - before, 0.01)


def http1(contestant, seconds):
    def load():
        out = run(["wrk", "-t1", "-c32", f"-d{seconds}s", f"https://127.0.0.1:{contestant.p256}/"])
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"{contestant.name} failed requests:\n{out}")
        return number(r"(\d+) requests in", out)

    return per_cpu(contestant, load)


def http2(contestant, seconds):
    if not contestant.http2:
        return None

    def load():
        url = f"https://127.0.0.1:{contestant.p256}/"
        out = run(["h2load", "-t1", "-c8", "-m16", "-D", str(seconds), url])
        if number(r"(\d+) failed", out):
            raise SystemExit(f"{contestant.name} failed requests:\n{out}")
        return number(r"status codes: (\d+) 2xx", out)

    return per_cpu(contestant, load)


def handshakes(contestant, port, seconds):
    def load():
        where = f"127.0.0.1:{port}"
        command = ["openssl", "s_time", "-connect", where, "-new", "-tls1_3", "-time", str(seconds)]
        # With -new alone it ends with 1 even when all went well.
        out = run(command, check=False)
        return number(r"(\d+) connections in \d+ real", out)

    return per_cpu(contestant, load)


def p256(contestant, seconds):
    return handshakes(contestant, contestant.p256, seconds)


def rsa(contestant, seconds):
    return handshakes(contestant, contestant.rsa, seconds)


def transfer(contestant, arguments):
    def load():
        for _ in range(TRANSFERS):
            url = f"https://127.0.0.1:{contestant.p256}/large"
            run(["curl", "-sSfk", "--http1.1", "-o", "/dev/null", *arguments, url])
        return TRANSFERS * MEGABYTES

    return per_cpu(contestant, load)


def download(contestant, _):
    return transfer(contestant, [])


def upload(contestant, _):
    file = contestant.work / "large"
    if not file.exists():
        with open(file, "wb") as out:
            out.truncate(MEGABYTES << 20)
    return transfer(contestant, ["-X", "POST", "-H", "Expect:", "-T", str(file)])


def idle(contestant, _):
    """Memory of a fresh process, MiB."""
    return contestant.memory() / 1024


def connection(contestant, _):
    """Memory of an idle connection that has had one answer, KiB."""
    before = contestant.memory()
    streams = [contestant.connect() for _ in range(CONNECTIONS)]
    for stream in streams:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream.recv(4096)
    time.sleep(0.5)
    after = contestant.memory()
    for stream in streams:
        stream.close()
    return (after - before) / CONNECTIONS


# Name, function, whether more is better; a fresh process is measured first.
MEASURES = [
    ("idle MiB", idle, False),
    ("KiB per idle connection", connection, False),
    ("HTTP/1.1 requests", http1, True),
    ("HTTP/2 requests", http2, True),
    ("full handshakes P-256", p256, True),
    ("full handshakes RSA-2048", rsa, True),
    ("download MB", download, True),
    ("upload MB", upload, True),
]
