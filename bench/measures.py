"""The measures. Each loads one contestant and returns its figures; work is divided by
the proxy's own CPU seconds, since on a shared machine wall-clock time measures the other
programs. A failed request ends the whole run."""

import math
import re
import time
from subprocess import PIPE

from processes import LOAD, LOAD_CORE, end, run, spawn
from statistic import percentile

MEGABYTES = 100
LARGE = MEGABYTES << 20
TRANSFERS = 2
# Requests a second, and the connections that they are spread over.
RATE, CONNECTIONS = 2000, 64
# Clients a second that meanwhile make an RSA handshake and close.
ARRIVALS = 200
# The first offer of openssl and curl; set, since not all servers would choose it.
CIPHER = "TLS_AES_256_GCM_SHA384"


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"no {pattern!r} in:\n{text}")
    return int(found.group(1))


def per_cpu(contestant, load):
    """The counts of `load` per CPU second, and how busy the core was, 0 to 1."""
    cpu, begun = contestant.cpu(), time.monotonic()
    count = load()
    cost = contestant.cpu() - cpu
    return count / max(cost, 0.001), cost / (time.monotonic() - begun)


def wrk(contestant, seconds, url):
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(round(seconds), 1)}s", url]

    def load():
        out = run(command)
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"{contestant.name} failed requests:\n{out}")
        return number(r"(\d+) requests in", out)

    return per_cpu(contestant, load)


def http1(contestant, seconds):
    count, busy = wrk(contestant, seconds, f"https://127.0.0.1:{contestant.p256}/")
    return {"http1": count, "http1 core": busy}


def http2(contestant, seconds):
    url = f"https://127.0.0.1:{contestant.p256}/"
    command = ["h2load", "-t1", "-c16", "-m32", "-D", f"{round(seconds * 1000)}ms", url]

    def load():
        out = run(command)
        if "protocol: h2\n" not in out:
            raise SystemExit(f"{contestant.name} speaks no HTTP/2:\n{out}")
        if number(r"(\d+) failed", out) or number(r"(\d+) errored", out):
            raise SystemExit(f"{contestant.name} failed requests:\n{out}")
        return number(r"status codes: (\d+) 2xx", out)

    count, busy = per_cpu(contestant, load)
    return {"http2": count, "http2 core": busy}


def handshakes(key):
    """RSA or P-256, full or resumed, as the measure's key says; `hybrid`: P-256, and
    the keys exchanged with X25519MLKEM768. None if the contestant has no such group."""
    certificate, kind = key.split()
    group = "X25519MLKEM768" if certificate == "hybrid" else "X25519"
    certificate = certificate.replace("hybrid", "p256")

    def measure(contestant, seconds):
        where = f"127.0.0.1:{getattr(contestant, certificate)}"
        command = [LOAD, "handshakes", where, kind, group, str(seconds / 2)]

        def load():
            out = run(command).strip()
            return math.nan if out == "unsupported" else int(out)

        count, _ = per_cpu(contestant, load)
        return {key: None if math.isnan(count) else count}

    return measure


def transfer(contestant, arguments, sizes):
    """Megabytes per CPU second. `sizes`: what curl must report for each."""
    url = f"https://127.0.0.1:{contestant.p256}/large"
    command = ["curl", "-sSfk", "--http1.1", "--tls13-ciphers", CIPHER, *arguments]

    def load():
        out = run([*command, *[url] * TRANSFERS])
        if out != sizes * TRANSFERS:
            raise SystemExit(f"{contestant.name} transferred {out!r}, not {sizes!r}")
        return TRANSFERS * LARGE / 1e6

    return per_cpu(contestant, load)[0]


def download(contestant, _):
    arguments = ["-w", "%{size_download} ", *["-o", "/dev/null"] * TRANSFERS]
    return {"download": transfer(contestant, arguments, f"{LARGE} ")}


def upload(contestant, _):
    file = contestant.work / "large"
    if not file.exists():
        with open(file, "wb") as out:
            out.truncate(LARGE)
    sent = ["-X", "POST", "-H", "Expect:", *["-T", str(file)] * TRANSFERS]
    # The backend responds with its count.
    return {"upload": transfer(contestant, sent, str(LARGE))}


def at_rate(contestant, seconds, *arrivals):
    """Latencies in µs of requests at a fixed rate, and the CPU seconds they cost."""
    words = RATE, CONNECTIONS, seconds, *arrivals
    command = [LOAD, "rate", f"127.0.0.1:{contestant.p256}", *map(str, words)]
    load = spawn({LOAD_CORE}, command, stdout=PIPE, stderr=PIPE, text=True)
    try:
        ready = load.stdout.readline()
        before = contestant.cpu()
        out, errors = load.communicate()
        cost = contestant.cpu() - before
    finally:
        end(load)
    if load.returncode or ready != "ready\n":
        raise SystemExit(f"{contestant.name} failed requests:\n{errors}")
    return [int(line) for line in out.split()], cost


def rate(contestant, seconds):
    latencies, cost = at_rate(contestant, seconds)
    figures = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {"rate": cost / len(latencies) * 1e6} | {
        name: percentile(latencies, part) for name, part in figures.items()
    }


def arrivals(contestant, seconds):
    latencies, _ = at_rate(contestant, seconds, f"127.0.0.1:{contestant.rsa}", ARRIVALS)
    return {"arrivals p99": percentile(latencies, 0.99)}


# The measures while all contestants run, in order.
LOADS = {
    "http1": http1,
    "http2": http2,
    "rsa full": handshakes("rsa full"),
    "rsa resumed": handshakes("rsa resumed"),
    "p256 full": handshakes("p256 full"),
    "hybrid full": handshakes("hybrid full"),
    "p256 resumed": handshakes("p256 resumed"),
    "download": download,
    "upload": upload,
    "rate": rate,
    "arrivals": arrivals,
}
