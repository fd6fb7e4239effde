"""The profiles for profile-guided optimization have the request paths."""

import platform
import re
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import counts  # noqa: E402

PROFILES = [ROOT / program / "requests.profdata" for program in ("monolith", "tls-proxy")]
ORDER = ROOT / "tls-proxy/functions.txt"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.parent.name)
def test_a_function_has_the_hash_of_its_name_in_the_profile(profile):
    data = profile.read_bytes()
    names = set(re.findall(rb"_ZN[\w.$]*?17h[0-9a-f]{16}E", data))
    assert len({counts.name_hash(name) for name in names} & {name for name, _ in counts.known(data)}) > 100


def test_a_profile_of_another_version_is_refused():
    data = bytearray(PROFILES[0].read_bytes())
    data[8] += 1
    with pytest.raises(ValueError, match="version 14, not 13"):
        list(counts.known(bytes(data)))


def test_only_the_target_of_the_profile_is_built_with_it():
    """For another one every function would be optimized for size, and GNU's linker has no `--icf`."""
    def options(target):
        done = subprocess.run(["make", "--dry-run", "programs", f"TARGET={target}"], cwd=ROOT,
                              capture_output=True, text=True, check=True)
        return set(re.findall(r"profile-use|--icf|crt-static", done.stdout))

    for other in ("aarch64-unknown-linux-gnu", "x86_64-unknown-linux-musl"):
        assert options(other) == {"crt-static"}
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True).stdout
    if int(re.search(r"^LLVM version: (\d+)", version, re.M).group(1)) >= 22:
        assert options("x86_64-unknown-linux-gnu") == {"crt-static", "profile-use", "--icf"}


def test_the_order_of_functions_was_made_with_the_profile():
    """`make profile` writes both. The names of functions that other crates can call are
    the same in both; with another version of the crate none is."""
    profile = ORDER.with_name("requests.profdata").read_bytes()
    known = {name for name, _ in counts.known(profile)}
    own = [name for name in ORDER.read_text().split() if name.startswith("_ZN9tls_proxy")]
    assert len({counts.name_hash(name.encode()) for name in own} & known) > 50


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.parent.name)
def test_the_profile_knows_the_functions_of_a_requests_path(profile):
    """Builds the instrumented program, which takes minutes, and sends it requests."""
    made_with = re.search(r"^FROM rust:([\d.]+)", (ROOT / "Dockerfile").read_text(), re.M).group(1)
    present = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout
    if not re.match(rf"rustc {re.escape(made_with)}\b", present):
        pytest.skip(f"the profiles are made with Rust {made_with}")
    if platform.machine() != "x86_64":
        pytest.skip("the profiles are for x86-64")
    assert shutil.which("curl") and shutil.which("openssl")
    command = ["make", "--no-print-directory", "check-profile", f"PROFILED={profile.parent.name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
