"""Shared by the tests: the repository, its programs, commands, addresses, waiting."""

import itertools
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# tls-proxy's last log line about an invalid configuration or certificate.
REFUSED = "the new configuration was rejected; keeping the previous one"

# Seconds until a command counts as stuck, and a condition as one that does not come true:
# far more than either takes beside eight busy processes.
STUCK, NEVER = 600, 60

NUMBERS = itertools.count(1)
CLAIMS = []


def run(*command, check=True, **options):
    """The finished command, with its output as text."""
    options.setdefault("cwd", ROOT)
    options.setdefault("timeout", STUCK)
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    if check and done.returncode != 0:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def wait_for(condition, what, seconds=NEVER):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while True:
        last = time.monotonic() >= end
        value = condition()
        if value:
            return value
        if last:
            return pytest.fail(f"no {what} within {seconds} seconds")
        time.sleep(0.1)


def programs():
    """The monoliths and tls-proxies that run: name, pid, and where they were started."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].rpartition(b"/")[2].decode()
            if name in ("monolith", "tls-proxy"):
                yield name, int(pid), Path(f"/proc/{pid}/cwd").readlink()
        except (OSError, UnicodeDecodeError):  # ended meanwhile, or no program of ours
            continue


def claim(address):
    """Whether nobody else has claimed it; then it is this process's until it ends."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own.bind((address, 4000))
    except OSError:
        own.close()
        return False
    CLAIMS.append(own)
    return True


def own_address():
    """A loopback address that is this process's alone, so that every port of it is
    free. A port that was looked up may be somebody else's when it is bound."""
    pid = os.getpid()
    addresses = (f"127.{pid >> 8 & 255 | 1}.{pid & 255}.{number % 255}" for number in NUMBERS)
    return next(address for address in addresses if claim(address))


def own_subnet():
    """A subnet for containers that no other run of these tests has."""
    pid = os.getpid()
    names = (f"{100 + pid % 100}.{number % 255}" for number in NUMBERS)
    return next(f"10.{name}.0/24" for name in names if claim(f"127.255.{name}"))


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
