"""The rows of the table: what each figure is called, which way is better and its
target. `AtLeast(1.3, "best")`: 1.3 times better than the best
peer; `AtMost(6)`: the figure itself; `Either`: one of several is enough."""

from dataclasses import dataclass

from processor import AVX512
from statistic import HIGHER, LOWER


@dataclass(frozen=True)
class AtLeast:
    """So many times better than a contestant: a name, or `best`, the best peer."""

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
class Either:
    """One of these is enough."""

    targets: tuple

    def __str__(self):
        return " or ".join(map(str, self.targets))


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: str
    better: str
    targets: tuple = ()
    # Whether the picture shows it.
    shown: bool = True
    # The instructions that the own figure depends on most.
    depends: str = ""

    def __str__(self):
        depends = f"; depends on {self.depends}" if self.depends else ""
        return f"{self.title}, {self.unit}{depends}"


BEST = AtLeast(1, "best")
# aws-lc uses AES-GCM only with both.
GCM = f"VAES, {AVX512.split()[0]}"
ROWS = [
    Row("http1", "HTTP/1.1", "requests / CPU s", HIGHER, (AtLeast(1.4, "best"),)),
    Row("http2", "HTTP/2", "requests / CPU s", HIGHER, (AtLeast(1.2, "best"),)),
    Row("rsa full", "full handshakes, RSA-2048", "/ CPU s", HIGHER, (AtLeast(1.4, "best"),), depends=AVX512),
    Row("p256 full", "full handshakes, P-256", "/ CPU s", HIGHER, (AtLeast(1.45, "best"),)),
    Row("hybrid full", "full handshakes, X25519MLKEM768", "/ CPU s", HIGHER, (BEST,)),
    Row("rsa resumed", "resumed handshakes, RSA-2048", "/ CPU s", HIGHER, (AtLeast(1.5, "best"),)),
    Row("p256 resumed", "resumed handshakes, P-256", "/ CPU s", HIGHER, (AtLeast(1.5, "best"),)),
    Row("download", "download", "MB / CPU s", HIGHER, (AtLeast(1.4, "best"),), depends=GCM),
    Row("upload", "upload", "MB / CPU s", HIGHER, (AtLeast(1.8, "best"),), depends=GCM),
    Row("rate", "CPU time at 2,000 requests/s", "µs / request", LOWER, (BEST,)),
    Row("p50", "latency at 2,000 requests/s, p50", "µs", LOWER, shown=False),
    Row("p99", "latency at 2,000 requests/s, p99", "µs", LOWER),
    Row("p99.9", "latency at 2,000 requests/s, p99.9", "µs", LOWER, shown=False),
    Row("arrivals p99", "with 200 RSA handshakes/s besides, p99", "µs", LOWER, (AtMost(2000),),
        shown=False, depends=AVX512),
    Row("idle", "memory, idle", "MiB", LOWER, (AtMost(4),)),
    Row("connection 1000", "1,000 idle connections, HTTP/1.1", "KiB each", LOWER, (AtMost(4.5),)),
    Row("connection 5000", "5,000 idle connections, HTTP/1.1", "KiB each", LOWER, (AtMost(4.5),)),
    Row("h2 connection 1000", "1,000 idle connections, HTTP/2", "KiB each", LOWER, (AtMost(6),)),
    Row("h2 connection 5000", "5,000 idle connections, HTTP/2", "KiB each", LOWER, (AtMost(6),)),
    Row("start", "exec to first answer", "ms", LOWER, (Either((AtMost(5), AtLeast(2, "nginx"))),)),
    Row("size", "program and its libraries", "MB", LOWER),
]
