"""target/images/*.tar: their content and size, and that builds are
reproducible."""

import json
import os
import re
import tarfile
from datetime import datetime
from io import BytesIO

import pytest

from conftest import ROOT, image_names, run

MB = 1_000_000
PROXIES = ("tls-proxy", "tls-proxy-unprivileged", "tls-proxy-static")
LIMITS = {"monolith": 8 * MB, **dict.fromkeys(PROXIES, 14 * MB)}
every_image = pytest.mark.parametrize("name", LIMITS)
every_proxy = pytest.mark.parametrize("name", PROXIES)
with_shell = pytest.mark.parametrize("name", [name for name in LIMITS if name != "tls-proxy-static"])


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
    # Labels of the commit: they name it.
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
    assert {name: image.names for name, image in images.items()} == {
        target: [name] for target, name in image_names().items()}


@every_image
def test_labels_tell_what_it_is(images, name):
    labels = {key.removeprefix("org.opencontainers.image."): value
              for key, value in images[name].config["Labels"].items()}
    assert labels["title"] == ("monolith" if name == "monolith" else "tls-proxy")
    assert labels["version"] == "1.0.0"
    busybox = "" if name == "tls-proxy-static" else " AND GPL-2.0-only"
    assert labels["licenses"] == f"(MIT OR Apache-2.0){busybox} AND LGPL-2.1-or-later"
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
    parts = {"busybox": "GPL-2", "glibc": "LGPL-2.1"}
    if name == "tls-proxy-static":
        del parts["busybox"]
    for part, licence in parts.items():
        assert b"GNU" in images[name].contents[f"{folder}/{part}/{licence}"]
        assert images[name].contents[f"{folder}/{part}/copyright"]
        assert b"https://snapshot.debian.org/package/" in images[name].contents[f"{folder}/{part}/SOURCE"]


def test_the_monolith_takes_the_walkthroughs_arguments(images):
    config = images["monolith"].config
    assert config["Entrypoint"] == ["/usr/bin/monolith"] and "Cmd" not in config
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"80/tcp", "81/tcp"}


@every_proxy
def test_the_proxy_starts_as_nginx_does(images, name):
    image = images[name]
    assert "Entrypoint" not in image.config and image.config["Cmd"] == ["/usr/sbin/nginx"]
    assert image.config["StopSignal"] == "SIGQUIT"
    ports = {"8080/tcp"} if name == "tls-proxy-unprivileged" else {"80/tcp", "443/tcp"}
    assert set(image.config["ExposedPorts"]) == ports
    for link in ("nginx", "nginx-debug"):
        assert image.files[f"usr/sbin/{link}"].linkname == "tls-proxy"


@every_proxy
def test_the_proxy_has_what_a_configuration_for_nginx_s_image_names(images, name):
    files = images[name].files
    for path in ("nginx.conf", "mime.types", "conf.d/default.conf", "fastcgi_params", "uwsgi_params", "scgi_params"):
        assert files[f"etc/nginx/{path}"].isfile()
    assert files["etc/nginx/modules"].linkname == "/usr/lib/nginx/modules"
    assert files["usr/share/nginx/html/index.html"].isfile() and files["usr/share/nginx/html/50x.html"].isfile()
    assert files["var/log/nginx/access.log"].linkname == "/dev/stdout"
    assert files["var/log/nginx/error.log"].linkname == "/dev/stderr"
    assert files["var/cache/nginx"].isdir() and files["run"].isdir()
    assert b"nginx:x:101:101:" in images[name].contents["etc/passwd"]
    if name != "tls-proxy-static":
        assert files["usr/sbin/envsubst"].linkname == "tls-proxy" and files["bin/bash"].mode & 0o111
        assert files["docker-entrypoint.sh"].mode & 0o111


def test_the_unprivileged_variant_differs_where_nginx_s_does(images):
    contents = images["tls-proxy-unprivileged"].contents
    assert b"listen 8080;" in contents["etc/nginx/conf.d/default.conf"]
    assert b"pid /tmp/nginx.pid;" in contents["etc/nginx/nginx.conf"]
    assert b"user nginx" not in contents["etc/nginx/nginx.conf"]
    assert b"listen 80;" in images["tls-proxy"].contents["etc/nginx/conf.d/default.conf"]


def test_the_static_variant_is_the_program_alone(images):
    image = images["tls-proxy-static"]
    programs = {path for path, content in image.contents.items() if content.startswith(b"\x7fELF")}
    assert programs == {"usr/sbin/tls-proxy"}
    assert not any(path.startswith("bin") or path == "docker-entrypoint.sh" for path in image.files)


@with_shell
def test_has_a_shell_to_look_around_with(images, name):
    for applet in ("sh", "ls", "cat", "wget", "ps"):
        assert images[name].files[f"bin/{applet}"].linkname == "busybox"


def test_pings_without_a_privilege(images):
    """The shell would run busybox's own command regardless of PATH."""
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
def test_its_variables_are_settings_and_no_secret(images, name):
    names = {each.partition("=")[0] for each in images[name].config["Env"]}
    assert names == ({"PATH", "ENV", "MONOLITH_LEAVE_LAST", "MONOLITH_SHUTDOWN_BUDGET"} if name == "monolith"
                     else {"PATH", "TLS_PROXY_SHUTDOWN_BUDGET"})


@every_image
def test_belongs_to_root_and_grants_nothing(images, name):
    for path, file in images[name].files.items():
        assert (file.uid, file.gid) == (0, 0), path
        assert file.mode & 0o6000 == 0, path
        if not file.issym() and path not in ("tmp", "run"):
            assert file.mode & 0o022 == 0, path
    assert images[name].files["tmp"].mode & 0o7777 == images[name].files["run"].mode & 0o7777 == 0o1777


@pytest.mark.parametrize(("name", "user"), [
    ("monolith", 65532), ("tls-proxy", 0), ("tls-proxy-unprivileged", 101), ("tls-proxy-static", 65532)])
def test_runs_as_a_user_by_number(images, name, user):
    """`runAsNonRoot` cannot tell whether a name is root's."""
    assert images[name].config["User"] == f"{user}:{user}"
    assert b":x:%d:%d:" % (user, user) in images[name].contents["etc/passwd"]


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
