"""Requests that begin on all idle connections at once: what is read of their heads may be more than there
is memory for. The program is stopped meanwhile, as one that is busy, or out of its CPU quota."""

import os
import signal
import socket

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy

CONNECTIONS = 1300
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
# It does not end.
HEAD = REQUEST[:-2] + b"X: %s\r\nY: %s" % (b"x" * 7900, b"y" * 7000)


@pytest.fixture
def group():
    with cgroup("heads-at-once", 32 * MIB) as made:
        yield made


@pytest.fixture
def server(group, tmp_path):
    address = own_address()
    configuration = f"http {{ access_log off; server {{ listen {address}:8000; return 200 ok; }} }}"
    with tls_proxy(group, tmp_path, configuration):
        yield address, 8000


def send_to_all(group, all_of_them, data):
    """Sends it on all of them; all of it has come before the program sees any of it."""
    pids = [int(pid) for pid in (group.memory / "cgroup.procs").read_text().split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for connection in all_of_them:
        try:
            connection.sendall(data)
        except OSError:
            pass  # It has been closed for another one.
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def is_served(server):
    try:
        with socket.create_connection(server, timeout=60) as client:
            client.sendall(REQUEST)
            return client.recv(1000).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def test_there_is_memory_for_what_is_read(group, server):
    wait_for(lambda: is_served(server), "tls-proxy", 60)
    idle = []
    for _ in range(CONNECTIONS):
        client = socket.create_connection(server, timeout=60)
        client.sendall(REQUEST)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        idle.append(client)
    for _ in range(3):
        send_to_all(group, idle, HEAD)
        assert is_served(server)
        assert group.kills() == 0
    for client in idle:
        client.close()
