"""A folder with more files than there is memory to list: nginx has no such bound."""

import urllib.error
import urllib.request

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy

# Each takes its name and some 80 bytes more.
FILES = 60_000


@pytest.fixture
def group():
    with cgroup("folder-too-large", 12 * MIB) as made:
        yield made


@pytest.fixture
def server(group, tmp_path):
    """A tls-proxy in the group that lists the folder `files`."""
    address = own_address()
    files = tmp_path / "files"
    files.mkdir()
    for number in range(FILES):
        (files / f"{number:0100}").touch()
    configuration = (
        f"error_log {tmp_path}/error.log; worker_processes 1; http {{ access_log off; server {{ listen {address}:8000; "
        f"root {tmp_path}; autoindex on; location = /well {{ return 200 well; }} }} }}")
    with tls_proxy(group, tmp_path, configuration):
        yield f"http://{address}:8000"


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
