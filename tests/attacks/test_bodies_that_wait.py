"""Uploads that hold all memory for bodies and wait for more of it, while small requests are
served. Others must get what they wait for, and a client that leaves holds nothing."""

import contextlib
import http.client
import socket
import threading
import time

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, reserved, tls_proxy

UPLOADS = 198
HEAD = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"
# Of each body's 1 MiB; sent by turns, so that all of them are kept in part.
PIECE, PIECES = b"x" * 10_000, 6
LARGE = b"l" * 100_000
# What they hold together, at least, bytes.
HELD = 4 * MIB


def get(address, path, patience):
    """The body of a response; none if there is none in time."""
    connection = http.client.HTTPConnection(address, 8000, timeout=patience)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@pytest.fixture
def proxy(tmp_path):
    address = own_address()
    (tmp_path / "large").write_bytes(LARGE)
    # Nobody listens on port 8001, which the uploads never come to.
    configuration = (
        f"worker_processes 1; http {{ access_log off; client_body_buffer_size 1m; server {{ listen {address}:8000; root {tmp_path}; "
        f"location = /small {{ return 200 small; }} location = /upload {{ proxy_pass http://{address}:8001; }} }} }}")
    with cgroup("bodies-that-wait", 40 * MIB) as group:
        with tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"):
            wait_for(lambda: get(address, "/small", 10) == b"small", "tls-proxy", 60)
            yield address


def upload(address):
    """Connections whose bodies stay unfinished."""
    made = [socket.create_connection((address, 8000), timeout=30) for _ in range(UPLOADS)]
    for own in made:
        # What the kernel takes: the proxy reads only some of them on.
        own.setblocking(False)
    for piece in [HEAD] + [PIECE] * PIECES:
        for own in made:
            # Some are closed to free memory.
            with contextlib.suppress(OSError):
                own.send(piece)
        time.sleep(0.05)
    return made


@pytest.fixture
def uploads(proxy):
    """The connections, once they hold all memory. On a busy machine some may be closed before, for
    sending too slowly."""
    for _ in range(10):
        made = upload(proxy)
        try:
            if get(proxy, "/large", 1) is None and reserved(proxy) > HELD:
                yield made
                return
        finally:
            for own in made:
                own.close()
    pytest.fail("there is memory enough")


@pytest.fixture
def small_requests(proxy):
    """They need nothing of what the uploads hold, and are served all the time."""
    end = threading.Event()

    def ask():
        while not end.wait(0.4):
            get(proxy, "/small", 10)

    asking = threading.Thread(target=ask)
    asking.start()
    yield
    end.set()
    asking.join()


def test_others_get_memory_after_some_time(proxy, small_requests, uploads):
    assert get(proxy, "/large", 100) == LARGE


def test_clients_that_leave_hold_nothing(proxy, small_requests, uploads):
    held = wait_for(lambda: reserved(proxy) > HELD and reserved(proxy), "memory in use", 60)
    for own in uploads:
        own.close()
    wait_for(lambda: reserved(proxy) < held / 10, "release of the memory", 60)
