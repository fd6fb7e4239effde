"""target/images/*.tar: what is in them, how large they are, and that building
them again gives the same."""

import json
import os
import re
import tarfile
from datetime import datetime
from io import BytesIO

import pytest

from conftest import ROOT, run

MB = 1_000_000
LIMITS = {"monolith": 8 * MB, "tls-proxy": 14 * MB}
every_image = pytest.mark.parametrize("name", LIMITS)


class Image:
    def __init__(self, name):
        self.archive = ROOT / "target/images" / f"{name}.tar"
        with tarfile.open(self.archive) as archive:
            def read(path):
                return archive.extractfile(path).read()
            manifest = json.loads(read("manifest.json"))[0]
            self.names = manifest["RepoTags"]
            self.identity = manifest["Config"]
            description = json.loads(read(manifest["Config"]))
            self.config = description["config"]
            # Python 3.11 reads six digits of a second at most.
            self.created = datetime.fromisoformat(re.sub(r"\.\d+|Z$", "", description["created"]) + "+00:00")
            self.history = json.dumps(description["history"])
            self.files, self.contents = {}, {}
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=BytesIO(read(layer))) as files:
                    for file in files:
                        self.files[file.name] = file
                        if file.isfile():
                            self.contents[file.name] = files.extractfile(file).read()


@pytest.fixture(scope="module")
def images():
    # Of the commit that is looked at: they tell which one they are made of.
    run("make", "images", timeout=900)
    return {name: Image(name) for name in LIMITS}


@every_image
def test_is_small(images, name, measured):
    size = images[name].archive.stat().st_size
    measured(f"image {name}: {size / MB:.2f} MB, {images[name].identity[:12]}")
    assert size < LIMITS[name]


def test_building_again_gives_the_same_ids(images):
    run("make", "images", timeout=900)
    for name, image in images.items():
        assert Image(name).identity == image.identity


def test_names_are_those_that_the_manifests_ask_for(images):
    expected = run("make", "--no-print-directory", "image-names").stdout.split()
    assert [name for image in images.values() for name in image.names] == expected


@every_image
def test_labels_tell_what_it_is(images, name):
    labels = {key.removeprefix("org.opencontainers.image."): value
              for key, value in images[name].config["Labels"].items()}
    assert labels["title"] == name
    assert labels["version"] == "1.0.0"
    assert labels["licenses"] == "(MIT OR Apache-2.0) AND GPL-2.0-only AND LGPL-2.1-or-later"
    assert labels["base.name"] == "scratch"
    assert labels["description"]
    assert labels["source"] == "" or labels["source"].startswith("https://")


@every_image
def test_labels_tell_the_commit_and_its_time(images, name):
    commit, time = run("git", "log", "-1", "--format=%H %cI").stdout.split()
    labels = images[name].config["Labels"]
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == commit
    created = datetime.fromisoformat(labels["org.opencontainers.image.created"].replace("Z", "+00:00"))
    assert created == datetime.fromisoformat(time) == images[name].created


@every_image
def test_has_the_licences_of_what_is_in_it(images, name):
    folder = "usr/share/licenses"
    for file in ("LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.md"):
        assert images[name].contents[f"{folder}/secure-monolith/{file}"] == (ROOT / file).read_bytes()
    for part, licence in (("busybox", "GPL-2"), ("glibc", "LGPL-2.1")):
        assert b"GNU" in images[name].contents[f"{folder}/{part}/{licence}"]
        assert images[name].contents[f"{folder}/{part}/copyright"]
        assert b"https://snapshot.debian.org/package/" in images[name].contents[f"{folder}/{part}/SOURCE"]


def test_the_monolith_takes_the_walkthroughs_arguments(images):
    config = images["monolith"].config
    assert config["Entrypoint"] == ["/usr/bin/monolith"] and "Cmd" not in config
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"80/tcp", "81/tcp"}


def test_the_proxy_starts_as_nginx_does(images):
    image = images["tls-proxy"]
    assert "Entrypoint" not in image.config and image.config["Cmd"] == ["/usr/sbin/nginx"]
    assert image.config["StopSignal"] == "SIGQUIT"
    assert set(image.config["ExposedPorts"]) == {"80/tcp", "443/tcp"}
    assert image.files["usr/sbin/nginx"].linkname == "tls-proxy"
    assert "etc/nginx/conf.d/default.conf" in image.files


@every_image
def test_has_a_shell_to_look_around_with(images, name):
    for applet in ("sh", "ls", "cat", "wget", "ps"):
        assert images[name].files[f"bin/{applet}"].linkname == "busybox"


def test_pings_without_a_privilege(images):
    """The shell runs busybox's own, whatever PATH says, unless it is told."""
    image = images["monolith"]
    assert image.files["bin/ping"].linkname == "../usr/bin/monolith"
    assert image.contents["etc/shrc"] == b"alias ping=/bin/ping\n"
    assert "ENV=/etc/shrc" in image.config["Env"]


@every_image
def test_holds_no_key_and_no_certificate(images, name):
    for path, content in images[name].contents.items():
        assert not path.endswith((".pem", ".key", ".crt")), path
        if not content.startswith(b"\x7fELF"):
            assert b"-----BEGIN" not in content, path


@every_image
def test_belongs_to_root_and_grants_nothing(images, name):
    for path, file in images[name].files.items():
        assert (file.uid, file.gid) == (0, 0), path
        assert file.mode & 0o6000 == 0, path
        if not file.issym() and path not in ("tmp", "run"):
            assert file.mode & 0o022 == 0, path
    assert images[name].files["tmp"].mode & 0o7777 == images[name].files["run"].mode & 0o7777 == 0o1777


@every_image
def test_runs_as_a_user_by_number(images, name):
    """`runAsNonRoot` cannot tell whether a name is root's."""
    assert images[name].config["User"] == "65532:65532"
    assert b"nonroot:x:65532:65532:" in images[name].contents["etc/passwd"]


@every_image
def test_does_not_tell_where_it_was_built(images, name):
    for path, content in images[name].contents.items():
        for folder in (str(ROOT), os.path.expanduser("~/.cargo")):
            assert folder.encode() not in content, path
    assert str(ROOT) not in images[name].history


@every_image
def test_needs_no_library(images, name):
    for path, content in images[name].contents.items():
        assert b"ld-linux" not in content[:4096], path
