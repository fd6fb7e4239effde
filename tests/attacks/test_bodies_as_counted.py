"""Bodies of requests whose upstream does not read them: the program holds no more memory than
it has reserved, whatever the client sends."""

import contextlib
import re
import socket
import time
import urllib.request

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy

CLIENTS = 40
# What is held of bodies may exceed what is reserved for them by this, bytes: pages that are
# partly used, and the tables of the allocator.
ROUNDING = MIB
# More than fits into the buffers of the sockets on the way, bytes.
STUCK = 5_000_000

CONFIGURATION = """worker_processes 1; http {{ access_log off; proxy_http_version 1.1; client_max_body_size 20m;
server {{ listen {address}:8000;
location / {{ proxy_pass http://{address}:8001; }}
location /kept {{ client_body_buffer_size 8m; proxy_pass http://{address}:8001; }} }} }}"""


@pytest.fixture
def group():
    with cgroup("bodies-as-counted", 64 * MIB) as made:
        yield made


def listen(address, port):
    return socket.create_server((address, port), backlog=2 * CLIENTS)


@pytest.fixture
def proxy(group, tmp_path):
    """A tls-proxy."""
    address = own_address()
    configuration = CONFIGURATION.format(address=address)
    with (tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"),
          listen(address, 8001)):
        wait_for(lambda: reserved(address) is not None, "tls-proxy", 60)
        yield address


@pytest.fixture
def connect(proxy):
    """Opens a connection."""
    with contextlib.ExitStack() as opened:
        def one():
            client = opened.enter_context(socket.socket())
            client.connect((proxy, 8000))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            client.settimeout(10)
            return client
        yield one


def reserved(address):
    """The memory that is reserved, bytes."""
    try:
        with urllib.request.urlopen(f"http://{address}:9113/metrics", timeout=5) as answer:
            return int(re.search(r"^tls_proxy_memory_reserved_bytes (\d+)$", answer.read().decode(), re.MULTILINE)[1])
    except OSError:
        return None


class Growth:
    """What is held and what is reserved, from now on."""

    def __init__(self, group, address):
        self.group, self.address = group, address
        self.before = self.now()

    def now(self):
        return self.group.anonymous(), reserved(self.address)

    def check(self, least):
        """At least so much is held, and it is reserved."""
        # Until all that was sent has been read.
        time.sleep(1)
        held, counted = (now - then for now, then in zip(self.now(), self.before))
        assert least < held < counted + ROUNDING, f"{held >> 10} KiB held, {counted >> 10} KiB reserved"


def test_a_body_of_known_length_is_held_once(group, proxy, connect):
    growth = Growth(group, proxy)
    for _ in range(4):
        client = connect()
        client.sendall(b"POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % STUCK + b"x" * STUCK)
    growth.check(least=4 * STUCK)
