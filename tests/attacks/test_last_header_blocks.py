"""Responses over HTTP/2 that end with a header block (HEAD, 204, 304): they are in progress until the block has
been written, or until their connection has ended, and no longer."""

import contextlib
import socket
import time

import pytest

import frames
from conftest import own_address, wait_for
from limited import MIB, cgroup, is_up, reserved, tls_proxy

PORT = 8000
# What is in use without a client, at most, bytes.
NOTHING = 256 * 1024
WIDE = (1 << 31) - 1


def asked(stream, path, method=b"GET"):
    block = b"\x02" + frames.string(method) + b"\x86\x04" + frames.string(path) + b"\x01" + frames.string(b"localhost")
    return frames.request(stream, block)


class Proxy:
    def __init__(self, group, folder, address):
        self.folder, self.address = folder, address
        (folder / "small").write_bytes(b"x" * 2000)
        with (folder / "large").open("wb") as file:
            file.truncate(64 * MIB)
        # Only a response that is complete ends in time.
        configuration = f"""worker_processes 1; http {{ log_format own "$request_method $uri $request_completion";
            access_log access.log own; error_log error.log info; send_timeout 600s;
            server {{ listen {address}:{PORT}; http2 on; root {folder}; }} }}"""
        self.running = contextlib.ExitStack()
        self.running.enter_context(tls_proxy(group, folder, configuration, "--admin", f"{address}:9113"))

    def __enter__(self):
        wait_for(lambda: is_up(self.address), "tls-proxy", 60)
        return self

    def __exit__(self, *problem):
        return self.running.__exit__(*problem)

    def connect(self, receive):
        client = socket.socket()
        client.settimeout(60)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.connect((self.address, PORT))
        client.sendall(frames.opening({frames.INITIAL_WINDOW: WIDE}) + frames.window_update(0, WIDE - 70_000))
        return client

    def log(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as running:
        def started(memory):
            group = running.enter_context(cgroup("last-blocks", memory))
            return running.enter_context(Proxy(group, tmp_path, own_address()))
        yield started


def test_a_response_is_complete_though_others_are_still_sent(start):
    proxy = start(64 * MIB)
    client = proxy.connect(32768)
    proxy.running.callback(client.close)
    downloads = range(1, 41, 2)
    client.sendall(b"".join(asked(stream, b"/large") for stream in downloads))
    # Some of each has come: the socket takes no more than the client reads.
    parser, begun, head = frames.Parser(), set(), 41
    while len(begun) < len(downloads):
        begun |= {stream for kind, _, stream, _ in parser.take(client.recv(8192)) if kind == frames.DATA}
    client.sendall(asked(head, b"/small", b"HEAD"))
    while head not in {stream for kind, _, stream, _ in parser.take(client.recv(8192)) if kind == frames.HEADERS}:
        pass
    wait_for(lambda: "HEAD /small OK\n" in proxy.log("access.log"), "the line of the response that has come", 60)
    assert "/large" not in proxy.log("access.log")


def test_those_of_a_connection_that_was_closed_to_free_memory_end(start):
    proxy = start(32 * MIB)
    heads = b"".join(asked(stream, b"/small", b"HEAD") for stream in range(3, 15, 2))
    # A header block that does not end.
    begun = frames.frame(frames.HEADERS, frames.END_STREAM, 15, b"\x82")
    clients = []
    for _ in range(30):
        group = []
        with contextlib.suppress(OSError):
            group += [proxy.connect(4096) for _ in range(4)]
        for part in (asked(1, b"/large"), heads, begun):
            for client in group:
                with contextlib.suppress(OSError):
                    client.sendall(part)
            # Until it has been read, and the socket is full.
            time.sleep(0.1)
        clients += group
    wait_for(lambda: "connection closed to free memory" in proxy.log("error.log"), "a connection that is closed", 60)
    for client in clients:
        client.close()
    wait_for(lambda: reserved(proxy.address) < NOTHING, "all memory given back", 60)
