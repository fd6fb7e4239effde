"""The contestants and their configuration. The same for all: one worker, a
P-256 and an RSA certificate on a port each, HTTP/2, the access log on, one header
added, keep-alive to the backend, time-outs of a minute. The hyper baseline has
only the minimum."""

import json
import os
import resource
import subprocess

import envoy_conf
from configurations import CADDY, CONFIGURATION, HAPROXY
from processes import BINARIES, FirstAnswer, Watched
from processor import MASK

# The backend's, and the first of a contestant.
BACKEND = int(os.environ.get("BENCH_PORT", 18090))
FIRST_PORT = BACKEND + 10
# Connections of a contestant: 5,000 idle ones and those to the backend. haproxy
# needs three times as many files; nginx allocates 424 bytes for each, 2.4 MiB.
MOST = 6000


def make_certificates(work):
    kinds = {"p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
    for name, kind in kinds.items():
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            + ["-keyout", f"{work}/{name}.key", "-out", f"{work}/{name}.pem", "-newkey", *kind],
            check=True,
            capture_output=True,
        )


class Contestant(Watched):
    """One proxy under test, on two ports: a P-256 and an RSA certificate."""

    def __init__(self, name, number, work, binary):
        super().__init__(name, work)
        self.binary = binary
        self.p256, self.rsa = FIRST_PORT + 2 * number, FIRST_PORT + 2 * number + 1
        self.ports = [self.p256, self.rsa]

    def start(self):
        """Starts it; returns the milliseconds until its first response."""
        first = FirstAnswer(self.p256)
        begun = self.launch()
        return (first.wait(self) - begun) * 1000

    def places(self, **more):
        """The values of every configuration."""
        return {"work": self.work, "name": self.name, "backend": BACKEND,
                "p256": self.p256, "rsa": self.rsa} | more

    def write(self, ending, text):
        path = self.work / f"{self.name}.{ending}"
        path.write_text(text)
        return path


class Configured(Contestant):
    """tls-proxy or an nginx, with the same configuration."""

    def __init__(self, name, number, work, binary, h2_by_listen=False, connections=MOST, locations=None):
        super().__init__(name, number, work, binary)
        locations = locations or "location / { proxy_pass http://app; }"
        self.conf = self.write("conf", CONFIGURATION.format(**self.places(
            connections=connections,
            locations=locations,
            more=self.more(),
            h2_on="" if h2_by_listen else "http2 on;",
            h2_listen=" http2" if h2_by_listen else "",
        )))

    def more(self):
        return ""

    def command(self):
        return [self.binary, "-c", self.conf]


class Nginx(Configured):
    """It creates directories of unused modules, too."""

    def more(self):
        kinds = ("fastcgi", "uwsgi", "scgi")
        return " ".join(f"{kind}_temp_path {self.work}/{kind};" for kind in kinds)

    def command(self):
        return [*super().command(), "-e", "stderr"]


class Own(Configured):
    """tls-proxy, with its metrics. `masked`: as on a processor without AVX-512."""

    def __init__(self, name, number, work, binary, masked=False, **more):
        super().__init__(name, number, work, binary, **more)
        self.masked = masked
        self.admin = self.p256 + 1000
        self.ports.append(self.admin)

    def command(self):
        return [*super().command(), "--admin", f"127.0.0.1:{self.admin}"]

    def environment(self):
        return os.environ | MASK if self.masked else os.environ


class Haproxy(Contestant):
    def __init__(self, name, number, work, binary):
        super().__init__(name, number, work, binary)
        for kind in ("p256", "rsa"):
            pem, key = (self.work / f"{kind}.{part}" for part in ("pem", "key"))
            (self.work / f"{kind}.both").write_text(pem.read_text() + key.read_text())
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        most = min(MOST, hard // 3 - 100)
        self.conf = self.write("conf", HAPROXY.format(**self.places(most=most)))

    def command(self):
        return [self.binary, "-f", self.conf]


class Caddy(Contestant):
    def __init__(self, name, number, work, binary):
        super().__init__(name, number, work, binary)
        self.conf = self.write("conf", CADDY.format(**self.places()))

    def command(self):
        return [self.binary, "run", "--config", self.conf, "--adapter", "caddyfile"]

    def environment(self):
        home = str(self.work)
        return os.environ | {"GOMAXPROCS": "1", "HOME": home,
                             "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}


class Envoy(Contestant):
    def __init__(self, name, number, work, binary):
        super().__init__(name, number, work, binary)
        self.conf = self.write("json", json.dumps(envoy_conf.configuration(self.places())))

    def command(self):
        return [self.binary, "-c", self.conf, "--concurrency", "1", "--disable-hot-restart",
                "--log-level", "error"]


class Forwarder(Contestant):
    """Plain hyper: the forwarder of bench/tools."""

    def __init__(self, name, number, work):
        super().__init__(name, number, work, BINARIES / "forwarder")

    def command(self):
        listens = []
        for kind, port in [("p256", self.p256), ("rsa", self.rsa)]:
            listens += [f"127.0.0.1:{port}", f"{self.work}/{kind}.pem", f"{self.work}/{kind}.key"]
        return [self.binary, f"127.0.0.1:{BACKEND}", *listens]
