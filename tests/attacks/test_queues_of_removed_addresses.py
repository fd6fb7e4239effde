"""Clients in the queues of addresses that a reload removes: they are served, but no more than there is memory for."""

import contextlib
import os
import signal
import socket
import time

import pytest

from attack import client_hello
from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy
from servers import make_certificate

CLIENTS = 500
KEPT = "server {{ listen {address}:8000; return 204; }}"
REMOVED = """ssl_certificate {certificate}; ssl_certificate_key {key};
server {{ listen {address}:8443 ssl; http2 on; return 204; }}
server {{ listen {address}:8444 ssl; http2 on; return 204; }}"""


@pytest.fixture
def group():
    with cgroup("queues", 10 * MIB) as made:
        yield made


def configuration(*servers, **values):
    return f"worker_processes 2; http {{{{ access_log off; {' '.join(servers)} }}}}".format(**values)


def responds(address):
    with socket.create_connection((address, 8000), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.recv(4096).startswith(b"HTTP/1.1 204 ")


def is_up(address):
    try:
        return responds(address)
    except OSError:
        return False


def test_queues_take_no_more_memory_than_there_is(group, tmp_path):
    certificate, key = make_certificate(tmp_path, "ec")
    values = {"address": own_address(), "certificate": certificate, "key": key}
    address, hello = values["address"], client_hello()
    with tls_proxy(group, tmp_path, configuration(KEPT, REMOVED, **values)), contextlib.ExitStack() as opened:
        wait_for(lambda: is_up(address), "tls-proxy", 60)
        for port in [8443, 8444] * CLIENTS:
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            # Some find no place in the kernel's queue.
            with contextlib.suppress(OSError):
                client.connect((address, port))
            with contextlib.suppress(OSError):
                client.sendall(hello)
        time.sleep(1)
        path = tmp_path / "nginx.conf"
        path.write_text(f"pid run.pid; events {{}} {configuration(KEPT, **values)}")
        os.kill(int((tmp_path / "run.pid").read_text()), signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in (tmp_path / "log").read_text(), "the reload", 30)
        time.sleep(2)
        assert group.kills() == 0
        assert responds(address)
