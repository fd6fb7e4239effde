"""scripts/load-images and scripts/publish-images, with stubs that record their
arguments."""

import os
import shutil

import pytest

from conftest import ROOT, run

NAMES = {"MONOLITH_IMAGE": "example/monolith:1", "TLS_PROXY_IMAGE": "example/tls-proxy:1"}
TARGETS = ("monolith", "tls-proxy", "tls-proxy-unprivileged", "tls-proxy-static")
IMAGES = ("monolith:1", "tls-proxy:1", "tls-proxy:1-unprivileged", "tls-proxy:1-static")


# The output of git for scripts/provenance.sh, and the resulting labels.
SOURCE = {"SOURCE": "https://example.org/it", "REVISION": "0123", "SOURCE_DATE_EPOCH": "1700000000"}
LABELS = ("--build-arg SOURCE=https://example.org/it --build-arg REVISION=0123 "
          "--build-arg CREATED=2023-11-14T22:13:20Z")


class Tools:
    """A PATH with nothing but bash's helpers and the tools a test puts in."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "log"
        self.log.write_text("")
        for helper in ("bash", "dirname", "env"):
            (folder / helper).symlink_to(shutil.which(helper))

    def add(self, name, body=""):
        tool = self.folder / name
        tool.write_text(f'#!/bin/bash\necho "{name} $*" >>{self.log}\n{body}\n')
        tool.chmod(0o755)

    def run(self, script, *arguments):
        environment = {**NAMES, **SOURCE, "PATH": str(self.folder)}
        return run(ROOT / "scripts" / script, *arguments, check=False, env=environment)

    def calls(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def tools(tmp_path):
    return Tools(tmp_path)


@pytest.fixture(autouse=True)
def archives():
    """load-images starts in the directory of the archives."""
    os.makedirs(ROOT / "target/images", exist_ok=True)


@pytest.mark.parametrize(("tool", "command"), [
    ("minikube", "minikube image load"),
    ("k3s", "k3s ctr --namespace k8s.io images import"),
    ("ctr", "ctr --namespace k8s.io images import"),
    ("podman", "podman load --quiet --input"),
    ("docker", "docker load --quiet --input"),
])
def test_loads_every_archive_into_what_is_there(tools, tool, command):
    tools.add(tool)
    done = tools.run("load-images")
    assert done.returncode == 0, done.stderr
    assert tools.calls()[-4:] == [f"{command} {target}.tar" for target in TARGETS]
    assert [line.partition(" is in ")[0] for line in done.stdout.splitlines()] == [
        f"load: example/{image}" for image in IMAGES]


def test_loads_into_every_kind_cluster(tools):
    tools.add("kind", '[ "$1" != get ] || printf "one\\ntwo\\n"')
    done = tools.run("load-images")
    assert done.returncode == 0, done.stderr
    assert tools.calls()[1:] == [
        f"kind load image-archive --name {cluster} {name}.tar"
        for cluster in ("one", "two") for name in TARGETS]


def test_what_is_installed_but_does_not_run_is_passed_over(tools):
    tools.add("docker", '[ "$1" = load ]')
    tools.add("minikube", "exit 1")
    tools.add("podman")
    done = tools.run("load-images")
    assert done.returncode == 0
    assert done.stdout == "".join(f"load: example/{image} is in podman\n" for image in IMAGES)


def test_a_refused_archive_is_an_error(tools):
    tools.add("podman", "exit 1")
    done = tools.run("load-images")
    assert done.returncode == 1
    assert done.stderr == ("load: podman refused monolith.tar "
                           "(the command was: podman load --quiet --input monolith.tar)\n")


def test_nowhere_to_load_to_is_an_error(tools):
    done = tools.run("load-images")
    assert done.returncode == 1
    assert done.stderr == "load: none of kind, minikube, k3s, containerd, podman and docker runs here\n"


def test_publishes_every_image_for_both_platforms_with_docker(tools):
    tools.add("docker")
    done = tools.run("publish-images", "docker.io/you/", "1.0.0")
    assert done.returncode == 0, done.stderr
    assert tools.calls()[1:] == [
        f"docker buildx build --platform linux/amd64,linux/arm64 {LABELS} --target {target} "
        f"--tag docker.io/you/{image.replace(':1', ':1.0.0')} --push ." for target, image in zip(TARGETS, IMAGES)]


def test_publishes_with_buildah_where_docker_is_missing(tools):
    tools.add("buildah")
    done = tools.run("publish-images", "docker.io/you", "1.0.0")
    assert done.returncode == 0, done.stderr
    image = "docker.io/you/monolith:1.0.0"
    assert tools.calls()[:3] == [
        f"buildah manifest rm {image}",
        f"buildah bud --platform linux/amd64,linux/arm64 {LABELS} --target monolith --manifest {image} .",
        f"buildah manifest push --all {image} docker://{image}"]


def test_a_failed_push_is_an_error(tools):
    tools.add("docker", '[ "$2" = version ]')
    done = tools.run("publish-images", "docker.io/you", "1.0.0")
    assert done.returncode != 0 and "is published" not in done.stdout


def test_publishing_to_nowhere_is_one_clear_line():
    done = run("make", "--no-print-directory", "publish", check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "publish: say where to: make publish NAMESPACE=docker.io/you"
