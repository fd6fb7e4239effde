"""cleanup.sh, with the real kubectl and an API server that only knows how to
list, delete and forget."""

import http.server
import json
import os
import threading

import pytest

from conftest import ROOT, run

KINDS = {  # plural: (kind, group)
    "pods": ("Pod", "v1"), "services": ("Service", "v1"), "secrets": ("Secret", "v1"),
    "configmaps": ("ConfigMap", "v1"), "deployments": ("Deployment", "apps/v1"),
}
OF_THE_WALKTHROUGH = {
    ("pods", "nginx"), ("pods", "monolith"), ("pods", "healthy-monolith"), ("pods", "secure-monolith"),
    ("services", "nginx"), ("services", "monolith"), ("secrets", "tls-certs"),
    ("configmaps", "nginx-proxy-conf"), ("deployments", "nginx"),
}
SOMEBODY_ELSES = {("pods", "database"), ("services", "kubernetes"), ("secrets", "tls-certs-2")}


class Api(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, reason):
        self.answer(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                             "reason": reason, "code": status, "message": f"{reason}: {self.path}"})

    def resources(self, group):
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [
            {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind,
             "verbs": ["delete", "get", "list"]}
            for plural, (kind, home) in KINDS.items() if home == group]}

    def discover(self, path):
        version = {"groupVersion": "apps/v1", "version": "v1"}
        return {
            "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": "apps", "versions": [version], "preferredVersion": version}]},
            "/api/v1": self.resources("v1"),
            "/apis/apps/v1": self.resources("apps/v1"),
        }.get(path)

    def named(self):
        *_, plural, name = self.path.split("?")[0].split("/")
        return plural, name

    def do_GET(self):
        known = self.discover(self.path.split("?")[0])
        if known:
            return self.answer(200, known)
        if self.named() not in self.server.objects:
            return self.fail(404, "NotFound")
        plural, name = self.named()
        return self.answer(200, {"kind": KINDS[plural][0], "apiVersion": KINDS[plural][1],
                                 "metadata": {"name": name, "namespace": "default", "uid": name}})

    def do_DELETE(self):
        if self.named() in self.server.forbidden:
            return self.fail(403, "Forbidden")
        if self.named() not in self.server.objects:
            return self.fail(404, "NotFound")
        self.server.objects.discard(self.named())
        return self.answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def log_message(self, *_):
        pass


@pytest.fixture
def cluster(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.objects = OF_THE_WALKTHROUGH | SOMEBODY_ELSES
    server.forbidden = set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "config").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": ""}}]}))
    server.environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)}
    yield server
    server.shutdown()


def cleanup(cluster):
    return run(ROOT / "cleanup.sh", check=False, env=cluster.environment)


def test_deletes_all_that_the_walkthrough_creates_and_nothing_else(cluster):
    done = cleanup(cluster)
    assert done.returncode == 0, done.stderr
    assert cluster.objects == SOMEBODY_ELSES
    assert len(done.stdout.splitlines()) == len(OF_THE_WALKTHROUGH)


def test_deletes_what_is_there_of_it(cluster):
    cluster.objects = {("secrets", "tls-certs")}
    done = cleanup(cluster)
    assert done.returncode == 0 and cluster.objects == set()
    assert done.stdout.startswith('secret "tls-certs" deleted') and done.stderr == ""


def test_says_nothing_when_nothing_is_there(cluster):
    cluster.objects = set(SOMEBODY_ELSES)
    done = cleanup(cluster)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_error_is_shown_and_fails(cluster):
    cluster.forbidden = {("secrets", "tls-certs")}
    done = cleanup(cluster)
    assert done.returncode != 0 and "Forbidden" in done.stderr
    assert cluster.objects == SOMEBODY_ELSES | cluster.forbidden


def test_an_unreachable_cluster_is_an_error(cluster):
    cluster.shutdown()
    cluster.server_close()
    done = cleanup(cluster)
    assert done.returncode != 0 and "refused" in done.stderr
