"""kubectl, as far as the walkthrough needs it and podman can do it: pods with limits and
termination, Secrets that are replaced in a running pod, ConfigMaps, logs, a shell, forwarded
ports. Readiness is probed from outside, as the kubelet does. No restarts by probes, no
Services, no Deployments: blocks that need them say `cluster`.

State between two calls is in podman's directory, $WALKTHROUGH_STATE.
"""

import base64
import http.client
import json
import os
import socket
import socketserver
import sys
import threading
import time
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import yaml

from podman import Podman
from volume import Volume

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

    def mounts(self, pod, spec):
        """The pod's Secrets and ConfigMaps as (volume, its object, where podman has its files)."""
        for volume in spec.get("volumes", []):
            for kind, word in (("secret", "secretName"), ("configMap", "name")):
                if kind in volume:
                    yield volume, (kind.lower(), volume[kind][word]), self.folder / "volumes" / pod / volume["name"]

    def project(self, pod, spec, only=None):
        """Writes these volumes, or those of the object `only`, as the kubelet does."""
        for volume, source, folder in self.mounts(pod, spec):
            if only in (None, source):
                data = self.read(*source)["data"]
                items = volume["secret" if source[0] == "secret" else "configMap"].get("items")
                keys = [item["key"] for item in items] if items else data
                Volume(folder).write({key: base64.b64decode(data[key]) for key in keys})

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
        cluster.write("pod", name, {**manifest, "created": time.time()})
        sys.stdout.flush()
        cluster.project(name, manifest["spec"])
        played = deepcopy(manifest)
        for volume, source, folder in list(cluster.mounts(name, played["spec"])):
            del volume["secret" if source[0] == "secret" else "configMap"]
            volume["hostPath"] = {"path": str(folder), "type": "Directory"}
        cluster.play(played, {})
        return
    kind, rest = words[0], words[2:] if words[0] == "secret" else words[1:]
    value = {"kind": kind, "metadata": {"name": rest[0]}, "data": dict(files(rest[1:]))}
    if "--dry-run=client" in rest:
        print(yaml.safe_dump(value))
    else:
        cluster.write(kind, rest[0], value)


def files(words):
    """What `--from-file=[KEY=]PATH` names, as (key, base64)."""
    for word in words:
        if word.startswith("--from-file="):
            key, _, path = word.removeprefix("--from-file=").rpartition("=")
            source = Path(path)
            for each in source.iterdir() if source.is_dir() else [source]:
                if each.is_file():
                    yield key or each.name, base64.b64encode(each.read_bytes()).decode()


def replace(cluster, words):
    """`-f -`, of a Secret or ConfigMap: pods that have it get the new files."""
    value = yaml.safe_load(sys.stdin)
    source = value["kind"], value["metadata"]["name"]
    cluster.read(*source)
    (cluster.objects / ".".join(source)).write_text(json.dumps(value))
    for pod in cluster.names("pod"):
        cluster.project(pod, cluster.read("pod", pod)["spec"], source)
    print("{}/{} replaced".format(*source))


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
    """The positional arguments, and the options with their values."""
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
                # A pod's network can go before its last packet has left.
                there.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
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
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    # Also where the other side was reset: this one shall not wait for it.
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def delete(cluster, words):
    """`pod NAME -o name`, with the time that its containers have."""
    parser = ArgumentParser()
    parser.add_argument("kind", choices=["pod"])
    parser.add_argument("name")
    parser.add_argument("-o", choices=["name"], required=True)
    parser.add_argument("--grace-period", type=int)
    asked = parser.parse_args(words)
    spec = cluster.read("pod", asked.name)["spec"]
    grace = asked.grace_period or spec.get("terminationGracePeriodSeconds", 30)
    print(f"pod/{asked.name}", flush=True)
    deadline = time.monotonic() + grace
    with ThreadPoolExecutor() as pool:
        for container in spec["containers"]:
            pool.submit(cluster.stop, f"{asked.name}-{container['name']}", container, deadline)
    cluster("pod", "rm", "--force", "--time", "0", asked.name)
    (cluster.objects / f"pod.{asked.name}").unlink()


VERBS = {"create": create, "get": get, "wait": wait, "logs": logs, "exec": execute,
         "port-forward": port_forward, "replace": replace, "delete": delete}

if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    VERBS[verb](Cluster(), arguments)
