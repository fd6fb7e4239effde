"""A folder with more files than there is memory to list: nginx has no such bound."""

import os
import subprocess
import urllib.error
import urllib.request

import pytest

import run
from conftest import own_address, wait_for
from group import Group, Unavailable

MIB = 1 << 20
# Each takes its name and some 80 bytes more.
FILES = 60_000


@pytest.fixture
def group():
    try:
        made = Group(f"folder-too-large-{os.getpid()}", 12 * MIB)
    except Unavailable as error:
        pytest.skip(str(error))
    yield made
    made.remove()


@pytest.fixture
def server(group, tmp_path):
    """A tls-proxy in the group that lists the folder `files`."""
    address = own_address()
    files = tmp_path / "files"
    files.mkdir()
    for number in range(FILES):
        (files / f"{number:0100}").touch()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid run.pid; error_log {tmp_path}/error.log; worker_processes 1; events {{}} http {{ access_log off; "
        f"server {{ listen {address}:8000; root {tmp_path}; autoindex on; location = /well {{ return 200 well; }} }} }}")
    command = [run.PROGRAMS / "tls-proxy", "-p", f"{tmp_path}/", "-c", configuration]
    process = subprocess.Popen(
        ["sh", "-c", group.enter_command() + '; exec "$@"', "sh", *map(str, command)],
        stderr=(tmp_path / "log").open("w"))
    yield f"http://{address}:8000"
    process.terminate()
    assert process.wait(30) == 0, (tmp_path / "log").read_text()


def status(address):
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def test_a_folder_that_does_not_fit_is_503_and_the_rest_is_served(server, tmp_path):
    wait_for(lambda: status(f"{server}/well") == 200, "the server", 60)
    assert status(f"{server}/files/") == 503
    wait_for(lambda: 'not enough memory to list "' in (tmp_path / "error.log").read_text(), "a line in the log", 60)
    # What was read of it has been freed.
    assert status(f"{server}/well") == 200
    for number in range(FILES - 100):
        (tmp_path / "files" / f"{number:0100}").unlink()
    assert status(f"{server}/files/") == 200
