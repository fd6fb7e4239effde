"""The rows of the table: what each figure is called, which way is better and what
it has to reach (issue 5). `AtLeast(1.3, "best")`: 1.3 times better than the best
peer; `AtMost(6)`: the figure itself."""

from dataclasses import dataclass

from statistic import HIGHER, LOWER


@dataclass(frozen=True)
class AtLeast:
    """So many times better than another: a name, or `best`, the best peer."""

    times: float
    than: str

    def __str__(self):
        return f"≥ {self.times:g} × {self.than}"


@dataclass(frozen=True)
class AtMost:
    """The figure itself."""

    limit: float

    def __str__(self):
        return f"≤ {self.limit:g}"


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: str
    better: str
    targets: tuple = ()
    # Whether the picture has it.
    shown: bool = True


BEST = AtLeast(1, "best")
ROWS = [
    Row("http1", "HTTP/1.1", "requests / CPU s", HIGHER, (AtLeast(1.3, "best"),)),
    Row("http2", "HTTP/2", "requests / CPU s", HIGHER, (AtLeast(1.2, "best"),)),
    Row("rsa full", "full handshakes, RSA-2048", "/ CPU s", HIGHER, (AtLeast(1.5, "nginx"), BEST)),
    Row("p256 full", "full handshakes, P-256", "/ CPU s", HIGHER, (AtLeast(2, "nginx"), BEST)),
    Row("rsa resumed", "resumed handshakes, RSA-2048", "/ CPU s", HIGHER, (AtLeast(2, "nginx"), BEST)),
    Row("p256 resumed", "resumed handshakes, P-256", "/ CPU s", HIGHER, (AtLeast(2, "nginx"), BEST)),
    Row("download", "download", "MB / CPU s", HIGHER, (AtLeast(1.1, "best"),)),
    Row("upload", "upload", "MB / CPU s", HIGHER, (AtLeast(1.1, "best"),)),
    Row("rate", "CPU time at 2,000 requests/s", "µs / request", LOWER, (BEST,)),
    Row("p50", "latency at 2,000 requests/s, p50", "µs", LOWER, shown=False),
    Row("p99", "latency at 2,000 requests/s, p99", "µs", LOWER),
    Row("p99.9", "latency at 2,000 requests/s, p99.9", "µs", LOWER, shown=False),
    Row("arrivals p99", "with 200 RSA handshakes/s besides, p99", "µs", LOWER, shown=False),
    Row("idle", "memory, idle", "MiB", LOWER, (AtMost(6),)),
    Row("connection 1000", "1,000 idle connections", "KiB each", LOWER, (AtMost(15),)),
    Row("connection 5000", "5,000 idle connections", "KiB each", LOWER, (AtMost(15),)),
    Row("start", "exec to first answer", "ms", LOWER, (AtMost(30),)),
    Row("size", "program and its libraries", "MB", LOWER),
]
