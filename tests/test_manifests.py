"""The manifests: valid on every supported Kubernetes, and as the walkthrough says."""

import re
import sys
import tomllib

import pytest
import yaml

from conftest import ROOT, image_names, run
from pod_security import violations

MANIFESTS = sorted([*(ROOT / "pods").glob("*.yaml"), *(ROOT / "services").glob("*.yaml")])
PODS = ["monolith", "healthy-monolith", "secure-monolith"]


def pod(name):
    return yaml.safe_load((ROOT / "pods" / f"{name}.yaml").read_text())


def container(pod_name, name):
    return next(c for c in pod(pod_name)["spec"]["containers"] if c["name"] == name)


def containers():
    return [(name, c) for name in PODS for c in pod(name)["spec"]["containers"]]


def images_of(names):
    """The images of our manifests by their containers: with a shell in the walkthrough's
    pod, without one in the Deployment."""
    return {"monolith": names["monolith"], "nginx": names["tls-proxy-unprivileged"],
            "tls-proxy": names["tls-proxy-static"]}


@pytest.mark.parametrize("minor", range(25, 38))
def test_valid_on_kubernetes(minor):
    done = run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", f"1.{minor}",
               *MANIFESTS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_field_is_seen(tmp_path):
    text = (ROOT / "pods/monolith.yaml").read_text()
    (tmp_path / "pod.yaml").write_text(text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    done = run(sys.executable, "-m", "kubernetes_validate", "--strict", tmp_path / "pod.yaml", check=False)
    assert done.returncode != 0


def test_names_and_labels_are_those_of_the_walkthrough():
    for name in PODS:
        assert pod(name)["metadata"] == {"name": name, "labels": {"app": "monolith"}}
    assert [c["name"] for c in pod("secure-monolith")["spec"]["containers"]] == ["nginx", "monolith"]


def shutdown_budgets():
    """Those of the images, in seconds."""
    found = re.findall(r"(\w+_SHUTDOWN_BUDGET)=(\d+)s", (ROOT / "Dockerfile").read_text())
    assert len(found) == 2
    return {variable: int(seconds) for variable, seconds in found}


def test_the_grace_period_is_longer_than_the_shutdown_budget():
    for name in PODS:
        spec = pod(name)["spec"]
        given = {entry["name"]: entry.get("value", "") for c in spec["containers"] for entry in c.get("env", [])}
        grace = spec.get("terminationGracePeriodSeconds", 30)
        for variable, seconds in shutdown_budgets().items():
            assert int(given.get(variable, f"{seconds}s").removesuffix("s")) + 3 <= grace, (name, variable)


def test_images_have_one_name_everywhere():
    names = image_names()
    for _, c in containers():
        assert c["image"] == images_of(names)[c["name"]]
        assert c["imagePullPolicy"] == "IfNotPresent"
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r'image\.version="(.*?)"', dockerfile)) == {version}
    for name in names.values():
        assert re.search(rf":{version}(-\w+)?$", name) and f" {name} ." in dockerfile


def test_the_monolith_has_the_limits_and_ports_of_the_walkthrough():
    for name, c in containers():
        if c["name"] == "monolith":
            assert c["resources"] == {"limits": {"cpu": "0.2", "memory": "10Mi"}}, name
            assert c["ports"] == [{"name": "http", "containerPort": 80},
                                  {"name": "health", "containerPort": 81}]


def test_probes_are_those_of_the_walkthrough():
    for name in ("healthy-monolith", "secure-monolith"):
        c = container(name, "monolith")
        assert c["livenessProbe"] == {
            "httpGet": {"path": "/healthz", "port": 81, "scheme": "HTTP"},
            "initialDelaySeconds": 5, "periodSeconds": 15, "timeoutSeconds": 5}
        assert c["readinessProbe"] == {
            "httpGet": {"path": "/readiness", "port": 81, "scheme": "HTTP"},
            "initialDelaySeconds": 5, "timeoutSeconds": 1}


def test_the_proxy_drains_before_the_pod_stops():
    c = container("secure-monolith", "nginx")
    assert c["lifecycle"] == {"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}}
    assert pod("secure-monolith")["spec"]["terminationGracePeriodSeconds"] == 30


def test_the_proxy_has_memory_to_grow_and_no_cpu_limit():
    assert container("secure-monolith", "nginx")["resources"] == {
        "requests": {"memory": "10Mi"}, "limits": {"memory": "32Mi"}}


def test_the_authoritys_key_stays_out_of_the_proxy():
    volumes = {v["name"]: v for v in pod("secure-monolith")["spec"]["volumes"]}
    assert volumes["tls-certs"]["secret"] == {
        "secretName": "tls-certs", "optional": False,
        "items": [{"key": n, "path": n} for n in ("cert.pem", "key.pem")]}
    assert volumes["nginx-proxy-conf"]["configMap"] == {
        "name": "nginx-proxy-conf", "items": [{"key": "proxy.conf", "path": "proxy.conf"}]}
    mounts = {m["name"]: m["mountPath"] for m in container("secure-monolith", "nginx")["volumeMounts"]}
    assert mounts == {"tls-certs": "/etc/tls", "nginx-proxy-conf": "/etc/nginx/conf.d", "tmp": "/tmp"}


def test_no_volume_is_mounted_by_subpath():
    """Kubernetes never updates such a mount when the Secret changes."""
    for _, c in containers():
        assert not any("subPath" in mount for mount in c.get("volumeMounts", []))


def test_only_the_proxy_reaches_the_secure_monolith_without_tls():
    assert "-http=127.0.0.1:80" in container("secure-monolith", "monolith")["args"]


def pod_templates():
    """Every pod of the repository's manifests."""
    yield from ((name, pod(name)["spec"]) for name in PODS)
    yield "deployments", yaml.safe_load((ROOT / "deployments/deployment.yaml").read_text())[
        "spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "spec"), pod_templates())
def test_the_pod_security_standard_restricted_holds(name, spec):
    assert violations(spec) == []


@pytest.mark.parametrize(("name", "spec"), pod_templates())
def test_the_platform_may_choose_the_user(name, spec):
    contexts = [spec["securityContext"], *(c["securityContext"] for c in spec["containers"])]
    for context in contexts:
        assert not {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"} & set(context), name
    for volume in spec.get("volumes", []):
        # The default is 0644: every user can read it.
        assert volume.get("secret", {}).get("defaultMode", 0o644) & 0o444 == 0o444, volume


# A change of the secure pod, and the expected finding.
BREACHES = [
    (lambda pod, c: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (lambda pod, c: pod["securityContext"].pop("seccompProfile"), "seccompProfile"),
    (lambda pod, c: pod["securityContext"]["sysctls"].append({"name": "net.core.somaxconn"}), "net.core.somaxconn"),
    (lambda pod, c: pod.update(hostNetwork=True), "hostNetwork"),
    (lambda pod, c: pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}}), "hostPath"),
    (lambda pod, c: c["securityContext"].update(runAsUser=0), "runAsUser"),
    (lambda pod, c: c["securityContext"].pop("allowPrivilegeEscalation"), "allowPrivilegeEscalation"),
    (lambda pod, c: c["securityContext"]["capabilities"].update(add=["NET_RAW"]), "NET_RAW"),
    (lambda pod, c: c["securityContext"].pop("capabilities"), "capabilities"),
    (lambda pod, c: c["ports"][0].update(hostPort=443), "hostPort"),
    (lambda pod, c: c.update(livenessProbe={"httpGet": {"host": "10.0.0.1", "port": 80}}), "names a host"),
]


@pytest.mark.parametrize(("change", "found"), BREACHES, ids=[found for _, found in BREACHES])
def test_a_breach_of_the_standard_is_seen(change, found):
    spec = pod("secure-monolith")["spec"]
    change(spec, spec["containers"][0])
    seen = violations(spec)
    assert seen and all(found in each for each in seen), seen


def test_no_container_has_more_privilege_than_the_walkthrough_needs():
    for name, c in containers():
        assert c["securityContext"] == {
            "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]}}, name
    for name in PODS:
        spec = pod(name)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"},
                        {"name": "net.ipv4.ping_group_range", "value": "0 2147483647"}]}, name


def test_the_service_waits_for_the_label_that_the_walkthrough_adds():
    service = yaml.safe_load((ROOT / "services/monolith.yaml").read_text())
    assert service["metadata"]["name"] == "monolith"
    assert service["spec"] == {
        "selector": {"app": "monolith", "secure": "enabled"},
        "ports": [{"protocol": "TCP", "port": 443, "targetPort": 443, "nodePort": 31000}],
        "type": "NodePort"}
