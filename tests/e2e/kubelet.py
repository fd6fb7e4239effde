"""Pods of the Deployment in podman, and what the kubelet and the endpoint
controller do that podman does not: volumes, probes, hooks, grace periods, endpoints.
"""

import copy
import http.client
import itertools
import re
import threading
import time

import yaml

# How long after the start of a deletion the endpoint is removed on all nodes: one or
# two seconds on real clusters, more under load.
ENDPOINT_DELAY = 1.5
# Names are never used twice.
NUMBERS = itertools.count(1)


class Pod:
    """One pod, from its template to its removal."""

    def __init__(self, podman, name, spec, volumes):
        self.podman, self.name, self.spec = podman, name, copy.deepcopy(spec)
        self.folder = podman.folder / name
        self.exit_codes = {}
        self.ended = None
        self.containers = {c["name"]: f"{name}-{c['name']}" for c in spec["containers"]}
        self.folder.mkdir()
        file = self.folder / "pod.yaml"
        file.write_text(yaml.safe_dump(self.manifest(volumes)))
        podman("kube", "play", "--network", podman.network, file)
        self.address = podman.address(next(iter(self.containers.values())))

    def manifest(self, volumes):
        spec = copy.deepcopy(self.spec)
        spec["restartPolicy"] = "Never"
        for volume in spec["volumes"]:
            name = volume["name"]
            if "emptyDir" in volume:
                path = self.folder / name
                path.mkdir()
                path.chmod(0o777)  # as the kubelet makes it
            else:
                path = volumes[name].folder
            for kind in ("emptyDir", "secret", "configMap"):
                volume.pop(kind, None)
            volume["hostPath"] = {"path": str(path), "type": "Directory"}
        for container in spec["containers"]:
            # Podman would run the probes inside, and publish the ports.
            for word in ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "ports"):
                container.pop(word, None)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}

    def container_spec(self, name):
        return next(c for c in self.spec["containers"] if c["name"] == name)

    def probe(self, container, kind):
        """A probe: whether it got 200 in time."""
        spec = self.container_spec(container)
        probe = spec[kind]
        port = next(p["containerPort"] for p in spec["ports"] if p["name"] == probe["httpGet"]["port"])
        try:
            connection = http.client.HTTPConnection(self.address, port, timeout=probe.get("timeoutSeconds", 1))
            connection.request("GET", probe["httpGet"]["path"])
            status = connection.getresponse().status
            connection.close()
            return status == 200
        except OSError:
            return False

    def is_ready(self):
        return all(self.probe(name, "readinessProbe") for name in self.containers)

    def wait_until_ready(self, seconds=120):
        end = time.monotonic() + seconds
        while not self.is_ready():
            assert time.monotonic() < end, f"{self.name} did not become ready:\n{self.logs()}"
            time.sleep(0.2)

    def logs(self, container=None):
        names = [self.containers[container]] if container else self.containers.values()
        return "".join((done := self.podman("logs", name, check=False)).stdout + done.stderr for name in names)

    def metric(self, name, **labels):
        """The sum of the proxy's figures of that name with those labels."""
        connection = http.client.HTTPConnection(self.address, 9113, timeout=5)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines
                   if re.match(rf"{name}[{{ ]", line) and all(word in line for word in wanted))

    def stop_container(self, name, deadline, before):
        container = self.containers[name]
        self.podman.stop(container, self.container_spec(name), deadline, before)
        self.exit_codes[name] = self.podman.inspect(container)["State"]["ExitCode"]
        self.gone[name].set()

    def delete(self, service, sidecar=None):
        """Terminates the pod as the kubelet does: all containers at the same time, a
        native sidecar after the others. Returns when the pod is removed."""
        began = time.monotonic()
        deadline = began + self.spec["terminationGracePeriodSeconds"]
        self.gone = {name: threading.Event() for name in self.containers}
        workers = [threading.Timer(ENDPOINT_DELAY, service.remove, [self.address])]
        for name in self.containers:
            before = [end for other, end in self.gone.items() if other != name] if name == sidecar else []
            workers.append(threading.Thread(target=self.stop_container, daemon=True,
                                            args=(name, deadline, before)))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.ended = time.monotonic() - began
        self.text = self.logs()
        self.remove()

    def remove(self):
        self.podman("pod", "rm", "--force", "--time", "0", self.name)


class Fleet:
    """The Deployment's pods behind one Service."""

    def __init__(self, podman, template, volumes, service, replicas):
        self.podman, self.template, self.volumes, self.service = podman, template, volumes, service
        self.pods = []
        for _ in range(replicas):
            self.add()

    def add(self):
        pod = Pod(self.podman, f"web-{next(NUMBERS)}", self.template, self.volumes)
        pod.wait_until_ready()
        self.service.add(pod.address)
        self.pods.append(pod)
        return pod

    def delete_one(self, sidecar=None):
        """`kubectl delete pod`: it is replaced at the same time."""
        pod = self.pods.pop(0)
        ending = threading.Thread(target=pod.delete, args=(self.service, sidecar))
        ending.start()
        self.add()
        ending.join()
        return [pod]

    def restart(self, min_ready_seconds):
        """`kubectl rollout restart` with maxSurge 1 and maxUnavailable 0: a
        terminating pod does not count, so the next new one starts meanwhile."""
        old, ending = list(self.pods), []
        for pod in old:
            self.add()
            time.sleep(min_ready_seconds)
            self.pods.remove(pod)
            ending.append(threading.Thread(target=pod.delete, args=(self.service,)))
            ending[-1].start()
        for thread in ending:
            thread.join()
        return old
