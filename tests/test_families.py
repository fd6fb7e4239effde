"""deployments/ in pods that have IPv4, IPv6 or both: programs with the manifest's arguments
in a network namespace with the addresses of such a pod."""

import os
import subprocess

import pytest

import fleet
from conftest import ROOT, run, wait_for

PROGRAMS = ROOT / os.environ["PROGRAMS"]
ADDRESSES = {"IPv4": ["10.99.0.1/24"], "IPv6": ["fd99::1/64"], "both": ["10.99.0.1/24", "fd99::1/64"]}


class PodNetwork:
    """As a pod has it: loopback with both families, an interface with what is given."""

    def __init__(self, addresses):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "network namespace")
        self.running = []
        self("ip", "link", "set", "lo", "up")
        self("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "node")
        for address in addresses:
            self("ip", "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        for end in ("eth0", "node"):
            self("ip", "link", "set", end, "up")

    def command(self, *words):
        return ["nsenter", "--target", str(self.holder.pid), "--net", *map(str, words)]

    def __call__(self, *words, **options):
        return run(*self.command(*words), **options)

    def start(self, *words, **environment):
        self.running.append(subprocess.Popen(self.command(*words), env={**os.environ, **environment},
                                             stdout=subprocess.DEVNULL))

    def close(self):
        for process in [*self.running, self.holder]:
            process.kill()
            process.wait()


@pytest.fixture(params=ADDRESSES)
def addresses(request):
    return ADDRESSES[request.param]


@pytest.fixture
def network(addresses):
    made = PodNetwork(addresses)
    yield made
    made.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
def test_every_port_answers_in_each_family(network, addresses, tls, tmp_path):
    run(tls / "update-tls.sh")
    spec = fleet.pod_spec(fleet.objects(fleet.render()))
    proxy, monolith = (fleet.all_containers(spec)[name] for name in ("tls-proxy", "monolith"))
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    network.start(PROGRAMS / "monolith", *(word.replace("/etc/monolith/jwt", str(tmp_path))
                                           for word in monolith["args"]))
    text = (fleet.FOLDER / "proxy.conf").read_text()
    for name, file in (("tls.crt", "cert.pem"), ("tls.key", "key.pem")):
        text = text.replace(f"/etc/tls/{name}", str(tls / file))
    (tmp_path / "nginx.conf").write_text(f"pid nginx.pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    environment = {each["name"]: each["value"] for each in proxy["env"]}
    network.start(PROGRAMS / "tls-proxy", "-p", f"{tmp_path}/", "-c", tmp_path / "nginx.conf",
                  "-g", "error_log stderr;", **environment)
    for address in addresses:
        host = address.partition("/")[0]
        host = f"[{host}]" if ":" in host else host
        for url in (f"https://{host}:8443/", f"http://{host}:9113/readiness", f"http://{host}:8081/readiness"):
            wait_for(lambda: network("curl", "-gksf", "-m", "2", url, check=False).returncode == 0, url)
