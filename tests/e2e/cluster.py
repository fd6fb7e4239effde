"""deployments/ in the cluster of KUBECONFIG, in a namespace of its own."""

import base64
import json
import math
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from conftest import ROOT, run, wait_for
from stand import HERE, NAME, Counting

# How long the kubelet may take to update a volume, in seconds.
SYNC = 150



class Network:
    """The failures of the network to the cluster, from a run in which nothing changes."""

    def __init__(self):
        self.share = 0.0

    def measure(self, requests, failed):
        self.share = failed / max(requests, 1)

    def may_lose(self, requests):
        """How many failures of that many requests may be the network's."""
        return math.ceil(self.share * requests)

    def told(self):
        return f"the network itself loses {self.share:.2%}"


class Cluster:
    """Never changes another namespace; its own is deleted in the end."""

    def __init__(self):
        self.network = Network()
        self.folder = Path(tempfile.mkdtemp(prefix="e2e-"))
        self.namespace = f"e2e-{uuid.uuid4().hex[:8]}"
        # A copy of the configuration, so that the user's context does not change.
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(run("kubectl", "config", "view", "--raw", "--minify", "--flatten").stdout)
        self.kubeconfig.chmod(0o600)
        self.tls = self.folder / "tls"
        shutil.copytree(ROOT / "deployments", self.folder / "deployments")
        self.tls.mkdir()
        for name in ("update-tls.sh", "ssl-extensions-x509.cnf"):
            shutil.copy(ROOT / "tls" / name, self.tls)
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.kubectl("config", "set-context", "--current", f"--namespace={self.namespace}")
        self.create_secrets()
        self.kubectl("apply", "-k", self.folder / "deployments")
        # The autoscaler would do the same later.
        self.kubectl("scale", "deployment/secure-monolith", "--replicas=3")
        self.settle()
        self.kubectl("expose", "deployment/secure-monolith", "--name=e2e", "--type=NodePort",
                     "--port=443", "--target-port=https")
        self.port = int(self.field("service/e2e", "{.spec.ports[0].nodePort}"))
        self.address = self.field("nodes", '{.items[0].status.addresses[?(@.type=="InternalIP")].address}').split()[0]
        wait_for(self.served, "answer of the node's port", 60)

    def environment(self):
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *words, **options):
        options.setdefault("timeout", 300)
        return run("kubectl", *words, env=self.environment(), **options)

    def field(self, what, path):
        return self.kubectl("get", what, "-o", f"jsonpath={path}").stdout

    def create_secrets(self):
        run(self.folder / "deployments/create-secrets.sh", env=self.environment())

    def settle(self):
        self.kubectl("rollout", "status", "deployment/secure-monolith", "--timeout=180s")

    def pods(self):
        """The pods that are not terminating."""
        items = json.loads(self.kubectl("get", "pods", "-o", "json").stdout)["items"]
        return [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]

    def restarts(self):
        return self.field("pods", "{.items[*].status.containerStatuses[*].restartCount}")

    def served(self):
        """The certificate that a new connection gets, as PEM, from some pod."""
        try:
            return ssl.get_server_certificate((self.address, self.port), timeout=5).strip()
        except OSError:
            return None

    def served_by_all(self):
        """The certificates of many new connections, which reach all pods."""
        return {self.served() for _ in range(30)}

    def write_certificate(self, certificate, key):
        manifest = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                    "metadata": {"name": "secure-monolith-tls"},
                    "data": {"tls.crt": base64.b64encode(certificate).decode(),
                             "tls.key": base64.b64encode(key).decode()}}
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(manifest))

    def traffic(self):
        """What monolith supports: no long downloads, no tunnels."""
        command = [sys.executable, HERE / "traffic.py", self.address, self.port, NAME, self.tls / "ca.pem",
                   "--kinds", "new,kept,idle,http2,upload", "--upload", "/=405", "--seconds", "600"]
        return Counting(subprocess.Popen([str(word) for word in command],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def close(self):
        self.kubectl("delete", "namespace", self.namespace, "--wait=false", check=False)
        shutil.rmtree(self.folder)


def wait_until_all(cluster, certificate):
    """How long all pods take to serve it, in seconds."""
    began = time.monotonic()
    wait_for(lambda: cluster.served_by_all() == {certificate}, "the new certificate in all pods", SYNC)
    return time.monotonic() - began
