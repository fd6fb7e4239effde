"""Lines of an access log that has the bodies of requests: up to six times as long as the body. The memory
for a line is reserved before it is held, and returned when the line has been written."""

import contextlib
import json
import os
import socket
import threading

import pytest

from conftest import own_address, wait_for
from limited import MIB, Growth, cgroup, is_up, tls_proxy

# Of what each byte is escaped as six.
BYTE, ESCAPED = b"\x01", 6
# The bytes of a value without memory.
CUT = 2048
# What may stay after a flood, bytes.
STAYS = 8 * MIB

CONFIGURATION = """http {{ client_max_body_size 20m; client_body_buffer_size 4m;
log_format body escape=json '{{"status":$status,"body":"$request_body"}}'; access_log {folder}/{log} body;
server {{ listen {address}:8000; location / {{ proxy_pass http://{address}:8001; }} }} }}"""


@pytest.fixture
def group(request):
    with cgroup("long-log-lines", request.param * MIB) as made:
        yield made


def respond(connection):
    """Reads one body, and responds."""
    with connection:
        came = b""
        while b"\r\n\r\n" not in came:
            data = connection.recv(1 << 16)
            if not data:
                return
            came += data
        head, _, body = came.partition(b"\r\n\r\n")
        rest = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
        while rest > 0 and (data := connection.recv(1 << 16)):
            rest -= len(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def serve(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=respond, args=(connection,), daemon=True).start()


@contextlib.contextmanager
def running(group, folder, log):
    """A tls-proxy with an upstream, and with this log in the folder."""
    address = own_address()
    configuration = CONFIGURATION.format(address=address, folder=folder, log=log)
    with socket.create_server((address, 8001), backlog=256) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with tls_proxy(group, folder, configuration, "--admin", f"{address}:9113"):
            wait_for(lambda: is_up(address), "tls-proxy", 60)
            yield address


@contextlib.contextmanager
def pipe(path, copy):
    """A log that is a pipe, which is copied to a file from the event on, or the end."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    reads = threading.Event()

    def run():
        reads.wait()
        with copy.open("wb", buffering=0) as out:
            while data := os.read(reader, 1 << 20):
                out.write(data)

    copying = threading.Thread(target=run, daemon=True)
    copying.start()
    yield reads
    copying.join()
    os.close(reader)


def post(address, size):
    """Sends a body; returns the beginning of the response, empty if there is none."""
    try:
        with socket.create_connection((address, 8000), timeout=60) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
                           + BYTE * size)
            return client.recv(15)
    except OSError:
        return b""


def logged(lines):
    """The lines, which are whole: the sizes of their bodies."""
    if not lines.exists():
        return []
    return [len(json.loads(line)["body"]) for line in lines.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize("group", [512], indirect=True)
def test_a_long_line_is_counted_and_its_memory_is_returned(group, tmp_path):
    lines, size = tmp_path / "lines", 4 * MIB
    with pipe(tmp_path / "pipe", lines) as reads, running(group, tmp_path, "pipe") as address:
        growth = Growth(group, address)
        sender = threading.Thread(target=post, args=(address, size))
        sender.start()
        try:
            # Nobody reads the log: the worker waits with the line and the body.
            wait_for(lambda: growth.grown()[0] > (1 + ESCAPED) * size, "the line is held")
            held, counted = growth.grown()
            assert abs(held - counted) < 0.15 * held, f"{held >> 10} KiB held, {counted >> 10} KiB reserved"
        finally:
            reads.set()
            sender.join()
        wait_for(lambda: logged(lines) == [size], "the line is logged whole")
        wait_for(lambda: growth.grown()[1] < MIB, "the memory is not reserved any more")
        wait_for(lambda: growth.grown()[0] < STAYS, "the memory is returned", 60)


@pytest.mark.parametrize("group, clients, size", [(10, 1, 400_000), (32, 4, MIB), (32, 30, 300_000)], indirect=["group"])
def test_lines_take_no_memory_that_is_not_there(group, tmp_path, clients, size):
    lines = tmp_path / "lines"
    with running(group, tmp_path, "lines") as address:
        growth = Growth(group, address)
        responses = []
        senders = [threading.Thread(target=lambda: responses.append(post(address, size))) for _ in range(clients)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        served = responses.count(b"HTTP/1.1 200 OK")
        assert served > 0
        # Every request has its line, cut where there is no memory for it.
        wait_for(lambda: len(logged(lines)) >= served, "lines")
        assert all(known in (size, CUT, 0) for known in logged(lines))
        wait_for(lambda: growth.grown()[0] < STAYS, "the memory is returned", 60)
        assert group.kills() == 0
