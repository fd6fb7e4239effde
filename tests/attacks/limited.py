"""A tls-proxy in a cgroup of its own, for tests of one configuration."""

import contextlib
import os
import subprocess

import pytest

import run
from group import Group, Unavailable

MIB = 1 << 20


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
