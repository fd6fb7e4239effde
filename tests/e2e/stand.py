"""A substitute for a cluster: pods in podman, a Service, and a network namespace for
the clients and an application for uploads and tunnels.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fleet
from conftest import ROOT, run, wait_for
from kubelet import Fleet, Pod
from podman import LOW_PORTS, Podman
from service import Service
from volume import Volume

HERE = Path(__file__).resolve().parent
BACKEND_PORT = 9000
NAME = "secure-monolith"

# What monolith does not have, added to deployments/proxy.conf.
LOCATIONS = """
    location = /upload   { proxy_pass http://BACKEND; }
    location /download/  { proxy_pass http://BACKEND; }
    location = /upload-streamed {
        proxy_pass http://BACKEND/upload;
        proxy_http_version 1.1;
        proxy_request_buffering off;
    }
    location = /ws {
        proxy_pass http://BACKEND;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }
}
"""


class Stand:
    def __init__(self):
        self.podman = Podman()
        self.template = fleet.pod_spec(fleet.objects(fleet.render()))
        self.tls = self.podman.folder / "tls"
        self.tls.mkdir()
        for name in ("update-tls.sh", "ssl-extensions-x509.cnf"):
            shutil.copy(ROOT / "tls" / name, self.tls)
        self.podman("run", "--detach", "--name", "outside", LOW_PORTS, "--network", self.podman.network,
                    "docker.io/securemonolith/monolith:1.0.0")
        self.pid = self.podman.inspect("outside")["State"]["Pid"]
        self.outside = self.podman.address("outside")
        self.backend = self.start(sys.executable, HERE / "backend.py", BACKEND_PORT)
        self.volumes = {name: Volume(self.podman.folder / f"volume-{name}") for name in ("tls", "jwt", "proxy-conf")}
        self.volumes["jwt"].write({"key": b"the same in all pods, 32 bytes.."})
        self.volumes["proxy-conf"].write({"proxy.conf": self.configuration()})
        self.renew_certificate()
        network = self.outside.rpartition(".")[0]
        self.service = Service(self.pid, f"{network}.250", 8443)
        self.fleets = []

    def start(self, *command, **options):
        """A process in the clients' network namespace."""
        return subprocess.Popen(["nsenter", "--target", str(self.pid), "--net", *map(str, command)], **options)

    def configuration(self):
        text = (fleet.FOLDER / "proxy.conf").read_text().rstrip()
        assert text.endswith("}")
        added = LOCATIONS.replace("BACKEND", f"{self.outside}:{BACKEND_PORT}")
        return (text[:-1] + added).encode()

    def renew_certificate(self):
        """A new pair in the pods' volume. Returns its certificate and when."""
        run(self.tls / "update-tls.sh")
        return self.pair()["tls.crt"], self.volumes["tls"].write(self.pair())

    def pair(self):
        """What create-secrets.sh would put into the Secret."""
        return {"tls.crt": (self.tls / "cert.pem").read_bytes(), "tls.key": (self.tls / "key.pem").read_bytes()}

    def fleet(self, replicas):
        self.fleets.append(Fleet(self.podman, self.template, self.volumes, self.service, replicas))
        return self.fleets[-1]

    def traffic(self, *kinds, pace=1, seconds=300):
        """Clients of these kinds, or of all; `pace` lengthens their pauses."""
        options = ["--pace", pace, "--seconds", seconds, *(["--kinds", ",".join(kinds)] if kinds else [])]
        return Counting(self.start(
            sys.executable, HERE / "traffic.py", self.service.address, 443, NAME, self.tls / "ca.pem", *options,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def end_fleets(self):
        """Cleans up after a scenario."""
        Counting.end_all()
        left = [pod for each in self.fleets for pod in each.pods]
        for pod in left:
            self.service.remove(pod.address)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Pod.remove, left))
        self.fleets.clear()

    def close(self):
        self.backend.terminate()
        self.backend.wait()
        self.podman.close()


class Counting:
    """The clients of traffic.py while they run."""

    running = set()

    def __init__(self, process):
        self.process = process
        self.running.add(process)
        self.figures = {}
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()
        self.began = time.monotonic()

    def read(self):
        for line in self.process.stdout:
            self.figures = json.loads(line)

    def total(self, figure="requests"):
        return sum(kind[figure] for kind in self.figures.values())

    def wait_for(self, requests, seconds=120):
        wait_for(lambda: self.total() >= requests or self.process.poll(), f"{requests} requests", seconds)

    def stop(self):
        """Stops the clients and returns their counts."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.running.discard(self.process)
        self.reading.join()
        self.seconds = time.monotonic() - self.began
        return self.figures

    @classmethod
    def end_all(cls):
        """Stops what a failed scenario has left running."""
        while cls.running:
            process = cls.running.pop()
            process.kill()
            process.wait()

    def line(self):
        """One line for the report."""
        kinds = ", ".join(f"{name} {kind['requests']}" for name, kind in sorted(self.figures.items()))
        return (f"{self.total()} requests ({kinds}), {self.total('failed')} failed, "
                f"{self.total('connections')} connections, {self.seconds:.0f} s")

    def reasons(self):
        return {name: kind["reasons"] for name, kind in self.figures.items() if kind["reasons"]}
