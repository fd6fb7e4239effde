"""What the tests share: the repository, its programs, commands, addresses, waiting."""

import itertools
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What tls-proxy says, last, of a configuration or certificate that it does not take.
REFUSED = "the new configuration was rejected; keeping the previous one"

NUMBERS = itertools.count(1)
CLAIMS = []


def run(*command, check=True, **options):
    """The finished command, with its output as text."""
    options.setdefault("cwd", ROOT)
    options.setdefault("timeout", 120)
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    if check and done.returncode != 0:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def wait_for(condition, what, seconds=15):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    return pytest.fail(f"no {what} within {seconds} seconds")


def own_address():
    """A loopback address that is this process's alone, so that every port of it is
    free. A port that was looked up may be somebody else's when it is bound."""
    for number in NUMBERS:
        pid = os.getpid()
        address = f"127.{pid >> 8 & 255 | 1}.{pid & 255}.{number % 255}"
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((address, 4000))
        except OSError:  # somebody else's
            claim.close()
            continue
        CLAIMS.append(claim)
        return address


MEASURED = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[MEASURED] = []


@pytest.fixture
def measured(request):
    """Takes figures that the end of the run shows."""
    return request.config.stash[MEASURED].append


def pytest_terminal_summary(terminalreporter, config):
    for figure in config.stash[MEASURED]:
        terminalreporter.write_line(f"measured: {figure}")


def image_names():
    """{target of the Dockerfile: name of the image}"""
    targets = run("bash", "-c", '. scripts/images.sh; echo "${image_targets[@]}"').stdout.split()
    return dict(zip(targets, run("make", "--no-print-directory", "image-names").stdout.split(), strict=True))


@pytest.fixture
def tls(tmp_path):
    """A folder of its own with tls/'s script, still without certificates."""
    folder = tmp_path / "tls"
    folder.mkdir()
    for name in ("update-tls.sh", "ssl-extensions-x509.cnf"):
        shutil.copy(ROOT / "tls" / name, folder)
    return folder
