"""A head that begins with very many empty lines, which are dropped: what is read of it afterwards is
reserved like that of any other."""

import socket
import ssl
import time

import pytest

import large_certificate
from conftest import own_address, wait_for
from limited import MIB, Growth, cgroup, is_up, tls_proxy

CONNECTIONS = 300


@pytest.fixture
def group():
    with cgroup("heads-as-counted", 128 * MIB) as made:
        yield made


@pytest.fixture
def address(group, tmp_path):
    own = own_address()
    large_certificate.make(tmp_path, 10)
    configuration = f"""worker_processes 1; http {{ access_log off; ssl_certificate own.pem; ssl_certificate_key own.key;
        client_header_timeout 600s; server {{ listen {own}:8443 ssl; return 200 ok; }} }}"""
    with tls_proxy(group, tmp_path, configuration, "--admin", f"{own}:9113"):
        wait_for(lambda: is_up(own), "tls-proxy", 60)
        yield own


class Client:
    """A client that decides when which part of a TLS record is sent."""

    def __init__(self, address):
        self.socket = socket.create_connection((address, 8443), timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.received, self.unsent = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.received, self.unsent)
        while not self.is_connected():
            self.received.write(self.socket.recv(65536))

    def is_connected(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        finally:
            self.socket.sendall(self.unsent.read())

    def record(self, data):
        self.tls.write(data)
        return self.unsent.read()


@pytest.fixture
def growth(group, address):
    return Growth(group, address)


@pytest.fixture
def clients(growth, address):
    opened = [Client(address) for _ in range(CONNECTIONS)]
    yield opened
    for client in opened:
        client.socket.close()


def test_what_follows_empty_lines_is_reserved(growth, clients):
    lines = [client.record(b"\r\n" * 8000) for client in clients]
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 7000 + b"\r\nY: " + b"b" * 7000
    heads = [client.record(head) for client in clients]
    more = [client.record(b"b" * 100 + b"\r\nZ: " + b"z" * 16000) for client in clients]
    # Each part is read before the next one is sent.
    for part in ([line[:-10] for line in lines], [line[-10:] for line in lines], heads, [one[:-10] for one in more]):
        for client, data in zip(clients, part):
            client.socket.sendall(data)
        time.sleep(1)
    growth.check(CONNECTIONS * 24 * 1024)
