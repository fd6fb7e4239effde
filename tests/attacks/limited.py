"""A tls-proxy in a cgroup of its own, for tests of one configuration."""

import contextlib
import os
import re
import subprocess
import time
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

import run
from conftest import wait_for
from group import Group, Unavailable

MIB = 1 << 20
# What is held may exceed what is reserved for it by this, bytes: pages that are partly used,
# and the tables of the allocator.
ROUNDING = MIB


class Upstream(ThreadingHTTPServer):
    """A server for many clients at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_):
        """The program has closed."""


@contextlib.contextmanager
def cgroup(name, memory):
    """A group; the test is skipped where there can be none."""
    try:
        made = Group(f"{name}-{os.getpid()}", memory)
    except Unavailable as error:
        pytest.skip(str(error))
    yield made
    made.remove()


@contextlib.contextmanager
def tls_proxy(group, folder, configuration, *options):
    """tls-proxy in the group, with its files in `folder`; it has to drain at the end."""
    path, log = folder / "nginx.conf", folder / "log"
    path.write_text(f"pid run.pid; events {{}} {configuration}")
    command = [run.PROGRAMS / "tls-proxy", "-p", f"{folder}/", "-c", path, *options]
    process = subprocess.Popen(
        ["sh", "-c", group.enter_command() + '; exec "$@"', "sh", *map(str, command)], stderr=log.open("w"))
    yield
    process.terminate()
    assert process.wait(30) == 0, log.read_text()


def reserved(address):
    """The memory that is reserved, bytes."""
    with urllib.request.urlopen(f"http://{address}:9113/metrics", timeout=10) as answer:
        return int(re.search(r"^tls_proxy_memory_reserved_bytes (\d+)$", answer.read().decode(), re.MULTILINE)[1])


def is_up(address):
    """Whether its admin port responds."""
    try:
        return reserved(address) is not None
    except OSError:
        return False


class Growth:
    """What is held and what is reserved, from now on."""

    def __init__(self, group, address):
        self.group, self.address = group, address
        self.before = self.now()

    def now(self):
        return self.group.anonymous(), reserved(self.address)

    def grown(self):
        """By how much both have grown, bytes."""
        return [now - then for now, then in zip(self.now(), self.before)]

    def check(self, least):
        """At least so much is held, and it is reserved."""
        # Until all that was sent has been read: longer on a busy machine.
        time.sleep(1)
        wait_for(lambda: self.grown()[0] > least, f"{least >> 10} KiB held")
        held, counted = self.grown()
        assert held < counted + ROUNDING, f"{held >> 10} KiB held, {counted >> 10} KiB reserved"
