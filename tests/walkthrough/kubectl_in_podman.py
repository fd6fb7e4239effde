"""kubectl, as far as the walkthrough needs it and podman has the parts: pods with their limits,
Secrets, ConfigMaps, logs, a shell, forwarded ports. Readiness is asked for from outside, as
the kubelet does. No restarts by probes, no Services, no Deployments: blocks that need them
say `cluster`.

What is kept between two calls is podman's folder, $WALKTHROUGH_STATE.
"""

import http.client
import json
import os
import socket
import socketserver
import sys
import threading
import time
from argparse import ArgumentParser
from pathlib import Path

import yaml

from podman import Podman

STATE = Path(os.environ["WALKTHROUGH_STATE"])
# Where this machine's 127.0.0.1 would be, in a copy that is ours alone.
ADDRESS = os.environ["WALKTHROUGH_ADDRESS"]


class Cluster(Podman):
    """The one that WALKTHROUGH_STATE has; `scripts/walkthrough` has made it."""

    def __init__(self):
        self.folder = STATE
        self.network = STATE.name
        self.objects = STATE / "objects"
        self.objects.mkdir(exist_ok=True)

    def names(self, kind):
        return sorted(path.name.partition(".")[2] for path in self.objects.glob(f"{kind}.*"))

    def read(self, kind, name):
        path = self.objects / f"{kind}.{name}"
        if not path.exists():
            sys.exit(f'Error from server (NotFound): {kind}s "{name}" not found')
        return json.loads(path.read_text())

    def write(self, kind, name, value):
        path = self.objects / f"{kind}.{name}"
        if path.exists():
            sys.exit(f'Error from server (AlreadyExists): {kind}s "{name}" already exists')
        path.write_text(json.dumps(value))
        print(f"{kind}/{name} created")

    def container(self, pod, name):
        containers = [each["name"] for each in self.read("pod", pod)["spec"]["containers"]]
        if name not in [None, *containers]:
            sys.exit(f"error: container {name} not found in pod {pod}")
        return f"{pod}-{name or containers[0]}"

    def is_ready(self, pod, container):
        name = f"{pod}-{container['name']}"
        if not self.is_running(name):
            return False
        probe = container.get("readinessProbe", {}).get("httpGet")
        if not probe:
            return True
        try:
            connection = http.client.HTTPConnection(self.address(name), probe["port"], timeout=1)
            connection.request("GET", probe["path"])
            return connection.getresponse().status == 200
        except OSError:
            return False

    def ready(self, pod):
        """How many containers are, and of how many."""
        containers = self.read("pod", pod)["spec"]["containers"]
        return sum(self.is_ready(pod, each) for each in containers), len(containers)


def create(cluster, words):
    if words[0] == "-f":
        manifest = yaml.safe_load(Path(words[1]).read_text())
        name = manifest["metadata"]["name"]
        if manifest["kind"] != "Pod":
            sys.exit(f"podman has no {manifest['kind']}")
        files = {name: {key: Path(path) for key, path in cluster.read(kind, name).items()}
                 for kind in ("secret", "configmap") for name in cluster.names(kind)}
        cluster.write("pod", name, {**manifest, "created": time.time()})
        sys.stdout.flush()
        cluster.play(manifest, files)
        return
    kind, rest = words[0], words[2:] if words[0] == "secret" else words[1:]
    source = Path(rest[1].removeprefix("--from-file="))
    paths = source.iterdir() if source.is_dir() else [source]
    cluster.write(kind, rest[0], {path.name: str(path.resolve()) for path in paths})


def age(created):
    seconds = int(time.time() - created)
    return f"{seconds}s" if seconds < 120 else f"{seconds // 60}m{seconds % 60}s"


def get(cluster, words):
    parser = ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("name", nargs="?")
    parser.add_argument("-l", dest="labels", default="")
    parser.add_argument("-o", dest="form", choices=["name"])
    asked = parser.parse_args(words)
    rows = [("NAME", "READY", "STATUS", "RESTARTS", "AGE")]
    for name in [asked.name] if asked.name else cluster.names("pod"):
        pod = cluster.read("pod", name)
        labels = dict(label.split("=") for label in asked.labels.split(",") if label)
        if labels.items() <= pod["metadata"]["labels"].items():
            ready, of = cluster.ready(name)
            rows.append((name, f"{ready}/{of}", "Running", "0", age(pod["created"])))
    if asked.form == "name":
        return print("".join(f"pod/{row[0]}\n" for row in rows[1:]), end="")
    if len(rows) == 1:
        return print("No resources found in default namespace.", file=sys.stderr)
    widths = [max(len(row[i]) for row in rows) + 3 for i in range(5)]
    for row in rows:
        print("".join(field.ljust(width) for field, width in zip(row, widths)).rstrip())


def wait(cluster, words):
    wanted = next(word for word in words if word.startswith("--for="))
    pod = next(word for word in words if word.startswith("pod/")).removeprefix("pod/")
    ready, end = not wanted.endswith("=false"), time.monotonic() + 90
    while time.monotonic() < end:
        are, of = cluster.ready(pod)
        if (are == of) == ready:
            return print(f"pod/{pod} condition met")
        time.sleep(0.3)
    sys.exit(f"error: timed out waiting for the condition on pods/{pod}")


def options(words, valued, flags=()):
    """The words that are no options, and the values of those that have one."""
    plain, values, words = [], {}, iter(words)
    for word in words:
        if word in valued:
            values[word] = next(words)
        elif word not in flags:
            plain.append(word)
    return plain, values


def logs(cluster, words):
    plain, values = options(words, ("-c",))
    done = cluster("logs", cluster.container(plain[0], values.get("-c")))
    # A terminal shows both as they come.
    sys.stdout.write(done.stderr + done.stdout)


def execute(cluster, words):
    cut = words.index("--")
    interactive = ("--stdin", "--tty", "-i", "-t", "-it")
    plain, values = options(words[:cut], ("-c",), interactive)
    terminal = ["--interactive", "--tty"] if len(plain) < cut - 2 * len(values) else []
    command = cluster.command("exec", *terminal, cluster.container(plain[0], values.get("-c")), *words[cut + 1:])
    os.execvpe(command[0], command, cluster.environment())


def port_forward(cluster, words):
    pod, (local, remote) = words[0], words[1].split(":")
    address = cluster.address(cluster.container(pod, None))

    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection((address, int(remote))) as there:
                back = threading.Thread(target=copy, args=(there, self.request), daemon=True)
                back.start()
                copy(self.request, there)
                back.join()

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer((ADDRESS, int(local)), Forward) as server:
        server.daemon_threads = True
        print(f"Forwarding from 127.0.0.1:{local} -> {remote}", flush=True)
        server.serve_forever()


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def delete(cluster, words):
    """What is there of the names; the rest is ignored, as cleanup.sh asks."""
    for kind, name in (word.split("/") for word in words if "/" in word):
        path = cluster.objects / f"{kind}.{name}"
        if path.exists():
            if kind == "pod":
                cluster("pod", "rm", "--force", "--time", "0", name, check=False)
            if kind == "secret":
                cluster("secret", "rm", name, check=False)
            path.unlink()
            print(f'{kind} "{name}" deleted')


VERBS = {"create": create, "get": get, "wait": wait, "logs": logs, "exec": execute,
         "port-forward": port_forward, "delete": delete}

if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    VERBS[verb](Cluster(), arguments)
