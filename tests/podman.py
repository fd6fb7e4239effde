"""Podman with a store of its own, and what the kubelet does and podman does not."""

import copy
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import yaml

import pytest

from conftest import ROOT, image_names, own_subnet, run

MOST_TRIES = 10
# For an image on its own, as Docker has it without being asked.
LOW_PORTS = "--sysctl=net.ipv4.ip_unprivileged_port_start=0"


def free_ports(count):
    """Ports of 127.0.0.1 that are free at this moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def on_free_ports(count, start, undo):
    """The ports that `start(ports)` has bound. Podman cannot be told to let the
    kernel choose, so where somebody has taken one first, others are tried."""
    for _ in range(MOST_TRIES):
        ports = free_ports(count)
        done = start(ports)
        if done.returncode == 0:
            return ports
        undo()
        if "address already in use" not in done.stderr.lower():
            break
    return pytest.fail(f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


class Podman:
    """Separate from the containers, images and networks of this machine."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="walkthrough-"))  # short: holds sockets
        self.network = self.folder.name
        self.make_network()
        for name in image_names():
            self("load", "--quiet", "--input", ROOT / "target/images" / f"{name}.tar")

    def make_network(self):
        """Podman chooses a bridge and a subnet that are not in use yet. Two runs at once would
        choose the same, and give their containers the same addresses."""
        self("network", "create", "--subnet", own_subnet(), self.network)
        file = self.folder / "networks" / f"{self.network}.json"
        network = json.loads(file.read_text())
        network["network_interface"] = f"own-{self.network[-8:]}"
        file.write_text(json.dumps(network))

    def command(self, *words):
        return ["podman", "--root", str(self.folder / "store"), "--storage-driver", "vfs",
                "--runroot", str(self.folder / "run"), "--tmpdir", str(self.folder / "tmp"),
                "--network-config-dir", str(self.folder / "networks"), *map(str, words)]

    def environment(self, sysctls=()):
        """With these sysctls ({"name": …, "value": …}) for the pods that are made: podman
        4.3 passes over those of a manifest."""
        conf = ROOT / "tests/containers.conf"
        if sysctls:
            own = [f"{each['name']}={each['value']}" for each in sysctls]
            text = conf.read_text().replace("default_sysctls = []", f"default_sysctls = {json.dumps(own)}")
            conf = self.folder / "containers.conf"
            conf.write_text(text)
        return {**os.environ, "CONTAINERS_CONF": str(conf)}

    def __call__(self, *words, sysctls=(), **options):
        return run(*self.command(*words), env=self.environment(sysctls), **options)

    def inspect(self, container):
        return json.loads(self("inspect", container).stdout)[0]

    def is_running(self, container):
        return self.inspect(container)["State"]["Running"]

    def address(self, container):
        """Its pod's address in the network."""
        return self.inspect(container)["NetworkSettings"]["Networks"][self.network]["IPAddress"]

    def memory(self, container, old_name, new_name):
        """A figure of the container's memory cgroup, by its v1 and v2 names."""
        pid = self.inspect(container)["State"]["Pid"]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                return int(Path(f"/sys/fs/cgroup/memory{path}/{old_name}").read_text())
        return int(Path(f"/sys/fs/cgroup{path}/{new_name}").read_text())

    def play(self, manifest, files):
        """Starts the pod as it stands, with its Secrets and ConfigMaps made
        from `files` ({name: {key: path}}) as `kubectl create` makes them.
        Returns the host's port for each of the pod's."""
        manifest = copy.deepcopy(manifest)
        spec = manifest["spec"]
        # Do not restart containers, so that an exit is noticed.
        spec["restartPolicy"] = "Never"
        configuration = []
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                # Podman 4.3 mounts a Secret whole, and as the base64 text if
                # `kube play` has read it.
                chosen = self.choose(volume["secret"], files[volume["secret"]["secretName"]])
                file = self.folder / "secret.json"
                file.write_text(json.dumps({"apiVersion": "v1", "kind": "Secret", "data": chosen}))
                self("secret", "create", volume["secret"]["secretName"], file)
            if "configMap" in volume:
                name = volume["configMap"]["name"]
                data = {key: path.read_text() for key, path in files[name].items()}
                file = self.folder / f"{name}.yaml"
                file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap",
                                                "metadata": {"name": name}, "data": data}))
                configuration += ["--configmap", file]
        published = []
        for container in spec["containers"]:
            # Podman would run curl inside the container, which has none. The
            # tests ask from outside, as the kubelet does.
            container.pop("livenessProbe", None)
            container.pop("readinessProbe", None)
            published += container.get("ports", [])
        pod = self.folder / "pod.yaml"

        def start(ports):
            for own, port in zip(published, ports):
                own.update(hostIP="127.0.0.1", hostPort=port)
            pod.write_text(yaml.safe_dump(manifest))
            return self("kube", "play", "--network", self.network, *configuration, pod, check=False,
                        sysctls=spec["securityContext"].get("sysctls", ()))

        def undo():
            self("pod", "rm", "--force", "--time", "0", manifest["metadata"]["name"], check=False)

        ports = on_free_ports(len(published), start, undo)
        return dict(zip((own["containerPort"] for own in published), ports))

    def stop(self, container, spec, deadline, before=()):
        """As the kubelet does: the preStop hook, at once; the stop signal, after the ends
        of those in `before`; SIGKILL when the time is over."""
        hook = spec.get("lifecycle", {}).get("preStop")
        if hook:
            with suppress(subprocess.TimeoutExpired):
                self("exec", container, *hook["exec"]["command"], check=False,
                     timeout=max(0, deadline - time.monotonic()))
        for ended in before:
            ended.wait(max(0, deadline - time.monotonic()))
        left = max(2, int(deadline - time.monotonic()))  # the kubelet's least
        self("stop", "--time", left, container, check=False)

    @staticmethod
    def choose(volume, files):
        wanted = [item["key"] for item in volume["items"]]
        return {key: files[key].read_text() for key in wanted}

    def close(self):
        self("pod", "rm", "--force", "--all", "--time", "0", check=False)
        self("rm", "--force", "--all", "--time", "0", check=False)
        self("network", "rm", "--force", self.network, check=False)
        shutil.rmtree(self.folder)
