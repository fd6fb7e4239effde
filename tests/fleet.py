"""deployments/ as `kubectl apply -k` sends it."""

import shutil

import yaml

from conftest import ROOT, run

FOLDER = ROOT / "deployments"


def render(folder=FOLDER):
    """The output of kustomize for a directory."""
    return run("kubectl", "kustomize", folder).stdout


def with_native_sidecar(folder):
    """A copy of deployments/ in `folder` with the component enabled."""
    copy = shutil.copytree(FOLDER, folder / "deployments")
    file = copy / "kustomization.yaml"
    file.write_text(file.read_text().replace("# components:\n#   - native", "components:\n  - native"))
    return copy


def objects(text):
    """The rendered objects by their kind: there is one of each."""
    found = {item["kind"]: item for item in yaml.safe_load_all(text)}
    assert len(found) == text.count("\nkind: ")
    return found


def pod_spec(found):
    return found["Deployment"]["spec"]["template"]["spec"]


def all_containers(spec):
    return {c["name"]: c for c in [*spec.get("initContainers", []), *spec["containers"]]}
