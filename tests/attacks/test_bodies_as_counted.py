"""Bodies of requests whose upstream does not read them: the program holds no more memory than
it has reserved, whatever the client sends."""

import contextlib
import os
import select
import signal
import socket
import threading
import time

import pytest

import frames
from conftest import NEVER, own_address, wait_for
from limited import MIB, ROUNDING, Growth, cgroup, is_up, reserved, tls_proxy

CLIENTS = 40
# Reserved for a connection, its request and the transfer of one body, bytes.
WITHOUT_BODY = (9 + 23 + 62) << 10
# One piece of a large read, and what fills the buffers of the sockets on the way, bytes.
LARGE, STUCK = 400_000, 5_000_000
# Bodies of a small read and a large one, of a request that fills the buffer of a UNIX socket and
# of a response that fits into it, bytes.
ENDING_UP, ENDING = 270_000, 150_000

CONFIGURATION = """worker_processes 1; http {{ access_log off; proxy_http_version 1.1; client_max_body_size 20m;
server {{ listen {address}:8000; http2 on; location /warm {{ return 200; }}
location / {{ proxy_pass http://{address}:8001; }}
location /file {{ client_body_in_file_only clean; client_body_temp_path {folder}/bodies; proxy_pass http://{address}:8001; }}
location /kept {{ client_body_buffer_size 8m; proxy_pass http://{address}:8001; }}
location /local {{ proxy_pass http://unix:{folder}/local:; }}
location /ending {{ proxy_pass http://unix:{folder}/ending:; }}
location /begun {{ proxy_pass http://{address}:8004; }}
location /read {{ proxy_pass http://{address}:8002; }}
location /unbuffered {{ proxy_request_buffering off; proxy_pass http://{address}:8003; }} }} }}"""


@pytest.fixture
def group():
    with cgroup("bodies-as-counted", 64 * MIB) as made:
        yield made


def listen(address, port):
    return socket.create_server((address, port), backlog=2 * CLIENTS)


def listen_local(path):
    """At a UNIX socket, whose buffers stay small."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(2 * CLIENTS)
    return listener


def read_all(listener):
    """Reads all that arrives, until the listener is closed."""
    while listener.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            while connection.recv(1 << 20):
                pass


def respond(listener, size, length):
    """Responds to each request, when `size` bytes of it have arrived, with `length` bytes."""
    connections = []
    while listener.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connections.append(connection)
            came = 0
            while came < size and (data := connection.recv(1 << 20)):
                came += len(data)
            connection.setblocking(False)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)


def begin(listener):
    """Begins a response to each request: one large chunk, and nothing after it."""
    connections = []
    while listener.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connections.append(connection)
            connection.recv(1 << 20)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % LARGE
                               + b"x" * LARGE + b"\r\n")


@pytest.fixture
def proxy(group, tmp_path):
    """A tls-proxy; the upstream at /read reads, the others do not."""
    address = own_address()
    configuration = CONFIGURATION.format(address=address, folder=tmp_path)
    with (tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"),
          listen(address, 8001), listen(address, 8002) as reader, listen(address, 8003) as endless,
          listen(address, 8004) as begun,
          listen_local(tmp_path / "local"), listen_local(tmp_path / "ending") as ending):
        for work in [(read_all, reader), (begin, begun), (respond, endless, LARGE, STUCK), (respond, ending, 1, ENDING)]:
            threading.Thread(target=work[0], args=work[1:], daemon=True).start()
        wait_for(lambda: is_up(address), "tls-proxy", 60)
        yield address


@pytest.fixture
def connect(proxy):
    """Opens a connection."""
    with contextlib.ExitStack() as opened:
        def one(received=None):
            client = opened.enter_context(socket.socket())
            if received:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
            client.connect((proxy, 8000))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)
            client.settimeout(60)
            return client
        yield one


def warm(client):
    """Makes the receive buffer of the connection grow, so that a large read is filled."""
    client.sendall(b"POST /warm HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % STUCK + b"x" * STUCK)
    client.recv(4096)
    return client


@contextlib.contextmanager
def stopped(folder):
    """What is sent to the program meanwhile is there at once when it continues."""
    process = int((folder / "run.pid").read_text())
    os.kill(process, signal.SIGSTOP)
    try:
        yield
        # Until all of it has arrived.
        time.sleep(1)
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_large_read_is_not_kept_as_the_beginning_of_a_body(group, proxy, connect):
    growth = Growth(group, proxy)
    # Reads that are filled but have hardly any data, and then much at once.
    beginning = (b"1;" + b"x" * 4000 + b"\r\nx\r\n") * 5 + b"400000\r\n" + b"x" * LARGE
    for _ in range(CLIENTS):
        warm(connect()).sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + beginning)
    growth.check(least=CLIENTS << 10)


def test_large_reads_are_few_while_the_ends_of_bodies_are_sent(group, proxy, connect, tmp_path):
    growth = Growth(group, proxy)
    clients = [warm(connect()) for _ in range(CLIENTS)]
    head = b"POST /local HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % ENDING_UP
    with stopped(tmp_path):
        for client in clients:
            client.sendall(head + b"x" * ENDING_UP)
    growth.check(least=CLIENTS << 10)


def test_large_reads_are_few_while_the_ends_of_responses_are_sent(group, proxy, connect):
    growth = Growth(group, proxy)
    for _ in range(CLIENTS):
        connect(received=4096).sendall(b"GET /ending HTTP/1.1\r\nHost: a\r\n\r\n")
    growth.check(least=CLIENTS << 10)


def test_a_large_read_of_a_response_is_not_kept_until_its_end(group, proxy, connect):
    growth = Growth(group, proxy)
    for _ in range(CLIENTS):
        client = connect()
        client.sendall(b"GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
        left = LARGE
        while left > 0:
            left -= len(client.recv(1 << 20))
    growth.check(least=CLIENTS << 10)


def test_a_body_of_known_length_is_held_once(group, proxy, connect):
    growth = Growth(group, proxy)
    for _ in range(4):
        client = connect()
        client.sendall(b"POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % STUCK + b"x" * STUCK)
    growth.check(least=4 * STUCK)


def test_a_body_that_is_in_a_file_first_is_counted(proxy, connect):
    before = reserved(proxy)
    for _ in range(CLIENTS):
        connect().sendall(b"POST /file HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)
    wait_for(lambda: (reserved(proxy) - before) / CLIENTS > WITHOUT_BODY - (1 << 10), "the memory of the uploads")


def test_what_is_kept_of_a_body_counts_beside_its_response(group, proxy, connect):
    before = reserved(proxy)
    clients = [connect() for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(b"POST /unbuffered HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)
    # Its upstream has read all of it when it responds, but the first part may have to be sent again.
    for client in clients:
        assert select.select([client], [], [], NEVER)[0], "no response"
    each = (reserved(proxy) - before) / CLIENTS
    assert each > WITHOUT_BODY + (8 << 10), f"{each / 1024:.0f} KiB reserved for each"


class Http2:
    """A connection with two uploads, which keeps to its windows."""

    def __init__(self, client):
        self.socket, self.parser = client, frames.Parser()
        self.windows = {0: 65535, 1: 65535, 3: 65535}
        stuck = frames.request(1, frames.head(b"/", "POST"), ends=False)
        read = frames.request(3, frames.head(b"/read", "POST"), ends=False)
        self.socket.sendall(frames.opening() + stuck + read)

    def receive(self, seconds):
        """Whether something has come within this time."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        for kind, flags, stream, payload in self.parser.take(self.socket.recv(65536)):
            assert kind not in (frames.RST_STREAM, frames.GOAWAY), payload
            if kind == frames.WINDOW_UPDATE:
                self.windows[stream] += int.from_bytes(payload, "big")
            if kind == frames.SETTINGS and not flags & frames.ACK:
                self.socket.sendall(frames.frame(frames.SETTINGS, frames.ACK))
        return True

    def send(self, stream, size, patience=30):
        """Sends so much data; `False` if the window stays too small for so many seconds."""
        while min(self.windows[0], self.windows[stream]) < size:
            if not self.receive(patience):
                return False
        self.socket.sendall(frames.frame(frames.DATA, 0, stream, b"x" * size))
        for window in (0, stream):
            self.windows[window] -= size
        return True


def test_small_unread_frames_count_with_the_buffers_that_they_keep(group, proxy, connect):
    client = Http2(connect())
    # All buffers on the way to the upstream that does not read.
    while client.send(1, 8000, 1):
        pass
    growth = Growth(group, proxy)
    for _ in range(1000):
        assert client.send(1, 1)
        assert client.send(3, 16000)
    growth.check(least=-ROUNDING)
