"""scripts/release push and scripts/pin, with stubs that record their arguments, in a copy
of their input."""

import json
import os
import re
import shutil
import tarfile
from io import BytesIO

import pytest

from conftest import ROOT, run

# By the Dockerfile's targets: repository, and what the tag ends with.
TARGETS = {"monolith": ("monolith", ""), "tls-proxy": ("tls-proxy", ""),
           "tls-proxy-unprivileged": ("tls-proxy", "-unprivileged"), "tls-proxy-static": ("tls-proxy", "-static")}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Copy:
    """A repository with a tag, and a PATH with stubs before the real one."""

    def __init__(self, folder):
        self.root = folder / "repository"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.log = folder / "log"
        self.log.write_text("")
        for path in ("scripts/release", "scripts/images.sh", "scripts/pin", "Cargo.toml", "Dockerfile", "CHANGELOG.md", "Makefile"):
            self.copy(path)
        for workflow in (ROOT / ".github/workflows").iterdir():
            self.copy(workflow.relative_to(ROOT))
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "commit", "--quiet", "-m", "all")

    def copy(self, path):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, self.root / path)

    def git(self, *words):
        run("git", *words, cwd=self.root)

    def add(self, name, body):
        tool = self.bin / name
        tool.write_text(f'#!/bin/bash\necho "{name} $*" >>{self.log}\n{body}\n')
        tool.chmod(0o755)

    def run(self, script, *arguments):
        return run(self.root / "scripts" / script, *arguments, check=False, cwd=self.root,
                   env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"})

    def calls(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


@pytest.fixture
def release(copy):
    """Version 2.3.4, built for both architectures."""
    for file in ("Cargo.toml", "Dockerfile"):
        path = copy.root / file
        path.write_text(path.read_text().replace('"1.0.0"', '"2.3.4"'))
    (copy.root / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [2.3.4] - 2030-01-01\n\n- News.\n\n## [1.0.0]\n")
    for architecture in ("amd64", "arm64"):
        folder = copy.root / "target/release-files" / architecture
        folder.mkdir(parents=True)
        for program in ("monolith", "tls-proxy"):
            (folder / f"{program}-2.3.4-linux-{architecture}").write_text("program")
        for target in TARGETS:
            (folder / f"{target}.spdx.json").write_text("{}")
            index = json.dumps({"manifests": [{"digest": "sha256:" + "a" * 64}]}).replace(" ", "").encode()
            with tarfile.open(folder / f"{target}.oci.tar", "w") as archive:
                entry = tarfile.TarInfo("index.json")
                entry.size = len(index)
                archive.addfile(entry, BytesIO(index))
    copy.add("buildah", 'while [ $# -gt 1 ]; do [ "$1" != --digestfile ] || printf sha256:abc >"$2"; shift; done')
    return copy


def test_pushes_each_image_under_each_tag_to_each_registry(release):
    release.git("tag", "v2.3.4")
    done = release.run("release", "push", "docker.io/you", "ghcr.io/you")
    assert done.returncode == 0, done.stderr
    pushed = [call.split()[-1] for call in release.calls() if "manifest push" in call]
    assert pushed == [f"docker://{registry}/{program}:{tag}{variant}" for program, variant in TARGETS.values()
                      for registry in ("docker.io/you", "ghcr.io/you") for tag in ("2.3.4", "2.3", "2", "latest")]
    added = [call.split()[-1] for call in release.calls() if "manifest add" in call]
    assert added == [f"oci-archive:target/release-files/{architecture}/{target}.oci.tar"
                     for target in TARGETS for architecture in ("amd64", "arm64")]
    files = release.root / "target/release-files"
    assert (files / "digests").read_text() == "".join(f"{target}=sha256:abc\n" for target in TARGETS)
    assert (files / "pushed").read_text().splitlines()[0] == "docker.io/you/monolith@sha256:abc"
    assert "- News." in (files / "notes.md").read_text()
    names = {line.split()[1] for line in (files / "page/SHA256SUMS").read_text().splitlines()}
    assert names == {path.name for path in (files / "page").iterdir()} - {"SHA256SUMS"}
    assert "tls-proxy-2.3.4-linux-arm64" in names and "monolith-amd64.spdx.json" in names


def test_a_preview_has_no_other_tag_than_its_own(release):
    for file in ("Cargo.toml", "CHANGELOG.md"):
        path = release.root / file
        path.write_text(path.read_text().replace("2.3.4", "2.3.4-rc.1"))
    release.git("tag", "v2.3.4-rc.1")
    done = release.run("release", "push", "docker.io/you")
    assert done.returncode == 0, done.stderr
    assert {call.rpartition(":")[2] for call in release.calls() if "manifest push" in call} == {
        f"2.3.4-rc.1{variant}" for _, variant in TARGETS.values()}


def test_nothing_is_pushed_without_the_tag_or_the_notes(release):
    done = release.run("release", "push", "docker.io/you")
    assert done.returncode == 1 and done.stderr == "release: HEAD has no tag v2.3.4\n"
    release.git("tag", "v2.3.4")
    (release.root / "CHANGELOG.md").write_text("## [Unreleased]\n")
    done = release.run("release", "push", "docker.io/you")
    assert done.returncode == 1 and done.stderr == "release: CHANGELOG.md has no section [2.3.4]\n"
    assert not any("push" in call for call in release.calls())


def test_every_action_is_pinned_by_a_commit_with_its_version_beside_it():
    for workflow in (ROOT / ".github/workflows").iterdir():
        for used in re.findall(r"uses: (.*)", workflow.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/\w+\.yml", used), used


def test_pin_writes_what_it_was_told(copy):
    copy.add("git", f'[ "$1" = ls-remote ] && echo "{COMMIT}\trefs/tags/x^{{}}"')
    copy.add("skopeo", "echo manifest")
    assert copy.run("pin", "--check").returncode == 1
    assert copy.run("pin").returncode == 0
    texts = [path.read_text() for path in (copy.root / ".github/workflows").iterdir()]
    assert all(set(re.findall(r"@([0-9a-f]{40}) # v", text)) <= {COMMIT} for text in texts)
    assert re.search(r"^FROM rust:1\.95-bookworm@sha256:[0-9a-f]{64} AS build$",
                     (copy.root / "Dockerfile").read_text(), re.MULTILINE)
    assert copy.run("pin", "--check").returncode == 0


def test_pin_leaves_alone_what_it_cannot_ask_for(copy):
    before = [path.read_bytes() for path in sorted(copy.root.rglob("*.yml"))]
    copy.add("git", "exit 1")
    copy.add("skopeo", "exit 1")
    done = copy.run("pin")
    assert done.returncode == 0 and "could not be looked up" in done.stderr
    assert [path.read_bytes() for path in sorted(copy.root.rglob("*.yml"))] == before
