"""deployments/: valid on every supported Kubernetes, safe, and of one piece."""

import base64
import os
import re
import sys

import pytest
import yaml

import fleet
from conftest import ROOT, image_names, run
from pod_security import violations
from test_manifests import images_of, shutdown_budgets

LABELS = {"app.kubernetes.io/name": "monolith", "app.kubernetes.io/instance": "secure-monolith"}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@pytest.fixture(scope="module")
def plain():
    return fleet.render()


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return fleet.render(fleet.with_native_sidecar(tmp_path_factory.mktemp("native")))


@pytest.fixture(scope="module", params=["plain", "native"])
def found(request):
    """The rendered objects, without and with the component."""
    return fleet.objects(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def spec(found):
    return fleet.pod_spec(found)


@pytest.fixture(scope="module")
def containers(spec):
    return fleet.all_containers(spec)


def valid(text, minor, folder):
    file = folder / "rendered.yaml"
    file.write_text(text)
    done = run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", f"1.{minor}", file, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("minor", range(25, 38))
def test_valid_on_kubernetes(plain, minor, tmp_path):
    valid(plain, minor, tmp_path)


@pytest.mark.parametrize("minor", range(29, 38))
def test_the_native_sidecar_is_valid_on_kubernetes(native, minor, tmp_path):
    valid(native, minor, tmp_path)


def test_there_is_one_object_of_each_kind(found):
    assert set(found) == {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy",
                          "PodDisruptionBudget", "Service", "ServiceAccount"}


def test_nothing_has_a_name_that_cleanup_deletes(found):
    cleaned = re.findall(r"(\w+)/([\w-]+)", (ROOT / "cleanup.sh").read_text())
    assert ("service", "monolith") in cleaned
    for kind, item in found.items():
        assert (kind.lower(), item["metadata"]["name"]) not in cleaned


def test_no_secret_is_part_of_the_repository():
    assert "kind: Secret" not in fleet.render()
    assert "PRIVATE KEY" not in "".join(f.read_text() for f in fleet.FOLDER.rglob("*") if f.is_file())


def test_images_are_set_in_one_place(containers):
    kustomization = (fleet.FOLDER / "kustomization.yaml").read_text()
    for name, container in containers.items():
        image = images_of(image_names())[name]
        assert container["image"] == image
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert kustomization.count(image.rpartition(":")[0]) == 1
    others = [f for f in fleet.FOLDER.rglob("*.yaml") if f.name != "kustomization.yaml"]
    assert not any("securemonolith/" in f.read_text() for f in others)


def test_the_grace_period_is_longer_than_the_shutdown_budget(spec, containers):
    given = {entry["name"] for c in containers.values() for entry in c.get("env", [])}
    for variable, seconds in shutdown_budgets().items():
        assert variable not in given
        assert seconds + 3 <= spec["terminationGracePeriodSeconds"]


def test_the_proxy_drains_before_the_pod_stops(containers):
    assert containers["tls-proxy"]["lifecycle"] == {
        "preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}}


def test_a_rollout_never_takes_a_ready_pod_first(found):
    spec = found["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["minReadySeconds"] >= 5


def test_the_autoscaler_alone_sets_the_number_of_replicas(found):
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    target = scaler["scaleTargetRef"]
    assert found[target["kind"]]["metadata"]["name"] == target["name"]
    assert scaler["minReplicas"] == 3
    assert "replicas" not in found["Deployment"]["spec"]


def test_the_autoscaler_sees_a_request_of_every_container(containers):
    # A utilisation is a share of the requests; a limit stands for one.
    for c in containers.values():
        assert "cpu" in {**c["resources"].get("limits", {}), **c["resources"].get("requests", {})}


def test_every_selector_finds_the_pods(found):
    assert LABELS.items() <= found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert found["Service"]["spec"]["selector"] == LABELS
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABELS
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind]["spec"]["selector"]["matchLabels"] == LABELS
    spread = fleet.pod_spec(found)["topologySpreadConstraints"]
    assert {s["topologyKey"] for s in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert all(s["labelSelector"]["matchLabels"] == LABELS for s in spread)


def test_the_walkthroughs_service_does_not_choose_these_pods(found):
    selector = yaml.safe_load((ROOT / "services/monolith.yaml").read_text())["spec"]["selector"]
    assert not selector.items() <= found["Deployment"]["spec"]["template"]["metadata"]["labels"].items()


def test_named_ports_are_there(found, containers):
    ports = {p["name"]: p["containerPort"] for c in containers.values() for p in c["ports"]}
    assert ports == {"https": 8443, "admin": 9113, "http": 8080, "health": 8081}
    policy = found["NetworkPolicy"]["spec"]
    used = {p["port"] for rule in policy["ingress"] for p in rule["ports"]}
    assert used == {"https", "admin", "health"}
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == "https"


def test_only_https_is_for_everybody_and_nothing_gets_out(found):
    policy = found["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"} and not policy.get("egress")
    for rule in policy["ingress"]:
        assert "from" in rule or [p["port"] for p in rule["ports"]] == ["https"]


def test_every_container_has_all_probes(containers):
    ports = {"tls-proxy": "admin", "monolith": "health"}
    for name, c in containers.items():
        assert {c[probe]["httpGet"]["port"] for probe in PROBES} == {ports[name]}
        assert c["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert c["readinessProbe"]["httpGet"]["path"] == "/readiness"


def test_the_pod_security_standard_restricted_holds(spec, containers):
    assert violations(spec) == []
    for c in containers.values():
        assert c["securityContext"] == {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                        "capabilities": {"drop": ["ALL"]}}
        assert not any("hostPort" in p or p["containerPort"] < 1024 for p in c["ports"])
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir"}


def test_no_token_of_the_api_server_gets_in(found, spec):
    assert found["ServiceAccount"]["metadata"]["name"] == spec["serviceAccountName"]
    assert found["ServiceAccount"]["automountServiceAccountToken"] is False
    assert spec["automountServiceAccountToken"] is False


def test_no_volume_is_mounted_by_subpath(containers):
    """Kubernetes never updates such a mount when the Secret changes."""
    assert not any("subPath" in mount for c in containers.values() for mount in c["volumeMounts"])


def test_a_new_configuration_reaches_the_pods_that_run(found, spec):
    volumes = {v["name"]: v for v in spec["volumes"]}
    # A hash in the name would start a rollout instead.
    assert volumes["proxy-conf"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert found["ConfigMap"]["metadata"]["name"] == "secure-monolith-proxy-conf"


def test_the_configuration_is_the_walkthroughs_on_other_ports():
    def directives(file):
        return [line.strip() for line in (ROOT / file).read_text().splitlines()
                if line.strip() and not line.strip().startswith("#")]
    walkthrough = "\n".join(directives("nginx/proxy.conf"))
    for old, new in (("127.0.0.1:80;", "127.0.0.1:8080;"), ("listen 443 ssl;", "listen 8443 ssl;\nlisten [::]:8443 ssl;\nhttp2 on;"),
                     ("cert.pem", "tls.crt"), ("key.pem", "tls.key")):
        assert old in walkthrough
        walkthrough = walkthrough.replace(old, new)
    assert directives("deployments/proxy.conf") == walkthrough.splitlines()


def test_the_monolith_keeps_its_limits(containers):
    assert containers["monolith"]["resources"] == {"limits": {"cpu": "0.2", "memory": "10Mi"}}


def test_the_native_sidecar_is_the_monolith(native):
    spec = fleet.pod_spec(fleet.objects(native))
    assert [c["name"] for c in spec["containers"]] == ["tls-proxy"]
    assert [(c["name"], c["restartPolicy"]) for c in spec["initContainers"]] == [("monolith", "Always")]


@pytest.fixture
def cluster(tmp_path, tls):
    """create-secrets.sh in a folder of its own, with a kubectl that keeps what is applied."""
    (tmp_path / "deployments").mkdir()
    script = tmp_path / "deployments/create-secrets.sh"
    script.write_bytes((fleet.FOLDER / "create-secrets.sh").read_bytes())
    script.chmod(0o755)
    kept = tmp_path / "kept"
    kept.mkdir()
    real = run("sh", "-c", "command -v kubectl").stdout.strip()
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(f"""#!/bin/sh
case $1 in
  create) exec {real} "$@" ;;
  get) [ ! -e {kept}/"$3" ] || echo secret/"$3" ;;
  apply) cat >{kept}/new && mv {kept}/new {kept}/"$(sed -n 's/^  name: //p' {kept}/new)" ;;
esac
""")
    kubectl.chmod(0o755)
    environment = {**os.environ, "PATH": f"{kubectl.parent}:{os.environ['PATH']}"}

    def call(*arguments, **options):
        return run(script, *arguments, env=environment, **options)

    def secret(name):
        manifest = yaml.safe_load((kept / name).read_text())
        return manifest["type"] if "type" in manifest else "Opaque", {
            key: base64.b64decode(value) for key, value in manifest["data"].items()}

    return call, secret


def test_the_script_makes_the_secrets_that_the_pods_want(cluster, spec, tls):
    call, secret = cluster
    call()
    for volume in spec["volumes"]:
        if "secret" in volume:
            wanted = volume["secret"]
            assert wanted["optional"] is False
            assert {item["key"] for item in wanted["items"]} == set(secret(wanted["secretName"])[1])
    kind, pair = secret("secure-monolith-tls")
    assert kind == "kubernetes.io/tls"
    assert pair == {"tls.crt": (tls / "cert.pem").read_bytes(), "tls.key": (tls / "key.pem").read_bytes()}
    assert len(base64.b64decode(secret("secure-monolith-jwt")[1]["key"])) == 32


def test_the_script_renews_the_certificate_and_keeps_the_key(cluster, tls):
    call, secret = cluster
    call()
    before = secret("secure-monolith-jwt"), secret("secure-monolith-tls")
    run(tls / "update-tls.sh")
    call()
    assert secret("secure-monolith-jwt") == before[0]
    assert secret("secure-monolith-tls") != before[1]
    call("--new-key")
    assert secret("secure-monolith-jwt") != before[0]


def test_the_script_refuses_what_it_does_not_know(cluster):
    done = cluster[0]("--force", check=False)
    assert done.returncode == 64 and "usage: create-secrets.sh" in done.stderr
