"""Who takes part in bench/compare: how each is started, watched and ended."""

import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROXY_CORE, LOAD_CORE = 0, 1
# One for all: the default context would read every root of the machine each time.
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE
BACKEND = 18090

# One file for tls-proxy and both nginx; {h2} is what the versions disagree on.
CONFIGURATION = """
worker_processes 1;
daemon off;
pid {work}/{name}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    upstream app {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 100000000; }}
    ssl_protocols TLSv1.2 TLSv1.3;
    keepalive_requests 100000000;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    {h2_on}
    server {{
        listen 127.0.0.1:{p256} ssl{h2_listen};
        ssl_certificate {work}/p256.pem;
        ssl_certificate_key {work}/p256.key;
        location / {{ proxy_pass http://app; }}
    }}
    server {{
        listen 127.0.0.1:{rsa} ssl{h2_listen};
        ssl_certificate {work}/rsa.pem;
        ssl_certificate_key {work}/rsa.key;
        location / {{ proxy_pass http://app; }}
    }}
}}
"""


def pinned(core):
    return ["taskset", "-c", str(core)]


def make_certificates(work):
    kinds = {"p256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
    for name, kind in kinds.items():
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-keyout", f"{work}/{name}.key", "-out", f"{work}/{name}.pem", "-newkey", *kind],
            check=True,
            capture_output=True,
        )


class Contestant:
    """One proxy under test, on two ports: a P-256 and an RSA certificate."""

    def __init__(self, name, number, work, http2=True):
        self.name, self.work, self.http2 = name, Path(work), http2
        self.p256, self.rsa = 18100 + 2 * number, 18101 + 2 * number
        self.process = None

    def start(self):
        """Starts it; returns the seconds until its first answer."""
        log = open(self.work / f"{self.name}.log", "ab")
        begun = time.monotonic()
        self.process = subprocess.Popen(
            pinned(PROXY_CORE) + self.command(), stdout=log, stderr=log
        )
        while True:
            try:
                if self.ask().startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - begun
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - begun > 10:
                raise SystemExit(f"{self.name} did not start: see {log.name}")
            time.sleep(0.0005)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process = None

    def connect(self):
        return CONTEXT.wrap_socket(socket.create_connection(("127.0.0.1", self.p256), 5))

    def ask(self):
        with self.connect() as stream:
            stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return stream.recv(4096)

    def processes(self):
        """It and its children: nginx's worker is one."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found

    def cpu(self):
        """CPU seconds so far (utime + stime)."""
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def memory(self):
        """Proportional resident memory in KiB: pages nginx's two processes
        share count once."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
        return total


class Configured(Contestant):
    """tls-proxy or an nginx, with the same configuration."""

    def __init__(self, name, number, work, binary, h2_by_listen):
        super().__init__(name, number, work)
        self.binary = binary
        self.conf = self.work / f"{name}.conf"
        self.conf.write_text(
            CONFIGURATION.format(
                name=name,
                work=work,
                backend=BACKEND,
                p256=self.p256,
                rsa=self.rsa,
                h2_on="" if h2_by_listen else "http2 on;",
                h2_listen=" http2" if h2_by_listen else "",
            )
        )

    def command(self):
        return [self.binary, "-c", str(self.conf)]


class Forwarder(Contestant):
    """hyper's HTTP/1 and nothing else: bench/hyper-forwarder."""

    def __init__(self, name, number, work, binary):
        super().__init__(name, number, work, http2=False)
        self.binary = binary

    def command(self):
        listens = []
        for kind, port in [("p256", self.p256), ("rsa", self.rsa)]:
            listens += [f"127.0.0.1:{port}", f"{self.work}/{kind}.pem", f"{self.work}/{kind}.key"]
        return [self.binary, f"127.0.0.1:{BACKEND}", *listens]
