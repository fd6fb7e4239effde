"""The programs of monolith's page: tls-proxy with nginx/proxy.conf, and monolith."""

import contextlib
import os
import shutil
import socket
import subprocess

from conftest import ROOT, own_address, run, wait_for

PROGRAMS = ROOT / os.environ.get("PROGRAMS", "target/programs")


def listens(place):
    with socket.socket() as client:
        return client.connect_ex(place) == 0


@contextlib.contextmanager
def start_pair(folder):
    """Both programs as `make run` starts them, on an address of their own: the URLs."""
    shutil.copytree(ROOT / "tls", folder / "tls", ignore=shutil.ignore_patterns("*.pem", "*.srl"))
    run(folder / "tls/update-tls.sh")
    address = own_address()
    text = (ROOT / "nginx/proxy.conf").read_text()
    for old, new in (("listen 443 ", f"listen {address}:8443 "), ("127.0.0.1:80;", f"{address}:8080;"),
                     ("/etc/tls", f"{folder}/tls")):
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(f"pid nginx.pid;\nevents {{}}\nhttp {{\n{text}}}\n")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as running:
        for command in (["monolith", "--http", f"{address}:8080", "--health", f"{address}:8081"],
                        ["tls-proxy", "-p", f"{folder}/", "-c", folder / "nginx.conf"]):
            process = subprocess.Popen([PROGRAMS / command[0], *command[1:]], **quiet)
            running.callback(process.wait, 30)
            running.callback(process.terminate)
        for port in (8080, 8443):
            wait_for(lambda port=port: listens((address, port)), f"listener on {port}")
        yield {"http": f"http://{address}:8080/", "https": f"https://{address}:8443/"}
