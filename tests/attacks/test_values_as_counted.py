"""Values that are computed of what a client or an upstream sends: the program holds no more
memory than it has reserved, however often the configuration repeats them."""

import contextlib
import socket
import threading
import time

import pytest

import frames
from conftest import own_address, wait_for
from limited import MIB, Growth, cgroup, is_up, tls_proxy

CLIENTS = 60

LONG = "$args" * 16

CONFIGURATION = """worker_processes 1; http {{ access_log off; proxy_buffer_size 128k; proxy_buffers 4 256k;
upstream by_hash {{ hash "{long}"; server {address}:8001; server {address}:8001; }}
map $request_uri $mapped {{ ~^(?<all>.*)$ $all; }} map $args $copied {{ default $args; }}
map $args $repeated {{ default "{long}"; }} limit_req_zone $server_port zone=slow:1m rate=1r/m;
resolver {address}:8009 ipv6=off;
server {{ listen {address}:8000; http2 on; root {folder};
location /set {{ set $a $args$args; set $b $a$a; set $c $b$b; proxy_pass http://{address}:8001; }}
location /doubled {{ set $a $args$args; set $b $a$a; set $c $b$b; set $d $c$c; set $e $d$d; set $f $e$e; set $g $f$f;
    set $h $g$g; return 204; }}
location /map {{ proxy_set_header X-A $mapped; proxy_set_header X-B $copied; proxy_pass http://{address}:8001; }}
location /passed {{ proxy_set_header X-Original-URI $request_uri; proxy_set_header X-Forwarded-URI $request_uri;
    proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header X-Auth-Request-Redirect $request_uri;
    proxy_set_header X-Args $args; proxy_pass http://{address}:8001; }}
location /return {{ return 200 $args$args$args$args$args$args$args$args; }}
location /added {{ alias {folder}/page.html; add_header A $args; add_header B $args; add_header C $args;
    add_header D $request_uri; add_header E $request_uri; }}
location /redirect {{ rewrite ^ "http://x/{long}?" redirect; }}
location /page {{ error_page 404 =302 "http://x/{long}"; return 404; }}
location /realm {{ auth_basic "{long}"; auth_basic_user_file {folder}/page.html; alias {folder}/page.html; }}
location /charset {{ charset "{long}"; default_type text/plain; return 200 x; }}
location /body {{ proxy_set_body "{long}"; proxy_pass http://{address}:8001; }}
location /hash {{ proxy_pass http://by_hash; }}
location /added-often {{ {often} return 200 x; }}
location /texts {{ alias {folder}/page.html; sub_filter_types *; sub_filter "{long}" a; sub_filter "a{long}" b; }}
location /small {{ return 204; }}
location /pages {{ recursive_error_pages on; error_page 503 "http://x/{huge}"; return 503; }}
location /method {{ proxy_method "{long}"; proxy_pass http://{address}:8001; }}
location /hops {{ proxy_pass http://{address}:8002; }}
location = /hops/8 {{ proxy_pass http://{address}:8001; }}
location /denied {{ auth_request /refused; error_page 401 = /hops/8; alias {folder}/page.html; }}
location = /refused {{ proxy_pass http://{address}:8002/denied; }}
location /sub {{ alias {folder}/page.html; sub_filter_types *; sub_filter a "{long}"; }}
location /auth {{ auth_request /ask; auth_request_set $value $upstream_http_x_value;
    proxy_set_header X-Value $value; proxy_pass http://{address}:8001; }}
location = /ask {{ proxy_pass http://{address}:8002/long; }}
location /trailers {{ proxy_pass_trailers on; proxy_http_version 1.1; proxy_pass http://{address}:8002; }}
location /computed {{ add_trailer X $args$args$args$args$args$args$args$args$args$args$args$args; return 200 x; }}
location /fields {{ proxy_pass http://{address}:8002; }}
location /moved {{ proxy_redirect ~^(.*)$ /x$1$1$1$1$1$1$1$1; proxy_pass http://{address}:8002; }}
location /tunnel {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_http_version 1.1;
    add_header X-A "{long}" always; proxy_pass http://{address}:8002; }}
location /range {{ alias {folder}/page.html; add_header X-A "{long}"; }}
location /try {{ try_files /none /silent?{long}; }}
location /relocated {{ error_page 404 /silent?{long}; return 404; }}
location = /silent {{ auth_request /unanswered; alias {folder}/page.html; }}
location = /unanswered {{ proxy_pass http://{address}:8001; }}
location /rate {{ set $limit_rate "{long}"; set $a "{long}"; proxy_pass http://{address}:8001; }}
location /delayed {{ if ($repeated = a) {{ return 403; }} limit_req zone=slow burst=1000; alias {folder}/page.html; }}
location /groups {{ if ($repeated ~ ^b(.*)$) {{ return 403; }} if ($repeated ~ ^(.*)$) {{ break; }}
    auth_request /unanswered; alias {folder}/page.html; }}
location /target {{ proxy_pass http://{address}:8001/{long}; }}
location /looked-up {{ proxy_pass http://name.example/{long}; }}
location /both {{ proxy_set_header X-A "{long}"; proxy_pass http://by_hash; }}
location /unread {{ proxy_set_header X-A "{long}{long}"; proxy_pass http://{address}:8003; }}
location /trailer {{ add_trailer X "{long}" always; return 302 "http://x/{long}"; }}
{chain}
location = /challenged/9 {{ proxy_pass http://{address}:8001; }} }} }}"""

CHALLENGED = """location = /challenged/{hop} {{ proxy_intercept_errors on; recursive_error_pages on;
    error_page 401 = /challenged/{next}; proxy_pass http://{address}:8002/challenge; }}"""

# What an upstream responds with, by the end of the path.
FIELDS = {
    b"few": b"a:\r\n" * 900,
    b"many": b"a:\r\n" * 9000,
    b"long": b"X-Value: " + b"v" * 120_000 + b"\r\n",
    b"moved": b"Location: " + b"v" * 8000 + b"\r\n",
    b"denied": b"WWW-Authenticate: " + b"v" * 120_000 + b"\r\n",
}
FIELDS |= {
    b"tunnel": b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    b"challenge": b"WWW-Authenticate: Basic\r\nX: " + b"v" * 3500 + b"\r\nContent-Length: 0\r\n",
}
FIELDS |= {b"%d" % hop: b"X-Accel-Redirect: /hops/%d\r\nSet-Cookie: a=1\r\nX: %s\r\n" % (hop + 1, b"v" * 2200)
           for hop in range(8)}
STATUS = {b"moved": b"302 Found", b"denied": b"401 Unauthorized", b"challenge": b"401 Unauthorized",
          b"tunnel": b"101 Switching Protocols"}


@pytest.fixture(params=[512])
def group(request):
    with cgroup("values-as-counted", request.param * MIB) as made:
        yield made


def respond(listener):
    """Responds to each request with the fields for its path, and with more than a client reads."""
    while listener.fileno() >= 0:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            threading.Thread(target=respond_once, args=(connection,), daemon=True).start()


def respond_once(connection):
    path = connection.recv(1 << 16).split(b" ")[1].partition(b"?")[0].rpartition(b"/")[2]
    status = STATUS.get(path, b"200 OK")
    with contextlib.suppress(OSError):
        if path == b"trailers":
            chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
            connection.sendall(chunked + b"a:\r\n" * 4000 + b"\r\n")
        else:
            connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + FIELDS[path] + b"\r\n")
            if path == b"tunnel":
                connection.recv(1)
            elif path != b"challenge":
                connection.sendall(b"x" * 5_000_000)
    connection.close()


@pytest.fixture
def proxy(group, tmp_path):
    """A tls-proxy with an upstream that never responds and one that does."""
    address = own_address()
    (tmp_path / "page.html").write_bytes(b"a" * MIB)
    chain = "".join(CHALLENGED.format(address=address, hop=hop, next=hop + 1) for hop in range(9))
    often = " ".join(f"add_header X-{number} $args always;" for number in range(24))
    configuration = CONFIGURATION.format(address=address, folder=tmp_path, long=LONG, huge=10 * LONG, chain=chain,
                                         often=often)
    with (tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"),
          socket.create_server((address, 8001), backlog=2 * CLIENTS),
          socket.create_server((address, 8002), backlog=2 * CLIENTS) as responding,
          socket.socket() as narrow, socket.socket(type=socket.SOCK_DGRAM) as names):
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.bind((address, 8003))
        narrow.listen(2 * CLIENTS)
        names.bind((address, 8009))
        threading.Thread(target=respond, args=(responding,), daemon=True).start()
        wait_for(lambda: is_up(address), "tls-proxy", 60)
        yield address


def ask(address, path):
    """The beginning of the response."""
    with socket.create_connection((address, 8000), timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return client.recv(15)


@pytest.mark.parametrize("group", [12], indirect=True)
def test_values_without_memory_are_refused(group, proxy):
    assert ask(proxy, "/doubled?" + "q" * 8000) == b"HTTP/1.1 503 Se"
    assert ask(proxy, "/doubled?q") == b"HTTP/1.1 204 No"
    assert ask(proxy, "/pages?" + "q" * 8000) == b"HTTP/1.1 503 Se"
    assert group.kills() == 0


@pytest.mark.parametrize("path", ["/added-often", "/texts", "/method"])
@pytest.mark.parametrize("group", [32], indirect=True)
def test_values_are_not_held_while_they_wait_for_memory(group, proxy, path):
    """Of clients that read nothing, far more than there is memory for."""
    request = f"GET {path}?{'q' * 8000} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with contextlib.ExitStack() as opened:
        for _ in range(10 * CLIENTS):
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((proxy, 8000))
            # It may have been closed again.
            with contextlib.suppress(OSError):
                client.sendall(request)
        for _ in range(30):
            assert ask(proxy, "/small") == b"HTTP/1.1 204 No"
            time.sleep(0.1)
    assert group.kills() == 0


def check_growth(group, address, request, each):
    """`each` bytes or more are held of every request that is sent, and reserved."""
    growth = Growth(group, address)
    with contextlib.ExitStack() as opened:
        for _ in range(CLIENTS):
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((address, 8000))
            client.sendall(request)
        wait_for(lambda: growth.grown()[0] > CLIENTS * each, f"growth by {CLIENTS * each} bytes")
        growth.check(least=CLIENTS * each)


# Where, what each request takes at least, bytes, and whether its query is long.
@pytest.mark.parametrize("path, each, queries", [
    ("/set", 100_000, True), ("/map", 50_000, True), ("/passed", 50_000, True), ("/return", 100_000, True),
    ("/added", 90_000, True), ("/sub", 130_000, True), ("/auth", 200_000, False), ("/fields/few", 80_000, False),
    ("/fields/many", 500_000, False), ("/fields/long", 200_000, False), ("/moved", 150_000, False),
    ("/redirect", 200_000, True), ("/page", 200_000, True), ("/realm", 200_000, True), ("/charset", 200_000, True),
    ("/body", 110_000, True), ("/hash", 110_000, True), ("/hops/0", 5_000, False),
    ("/denied", 100_000, False), ("/try", 110_000, True), ("/relocated", 110_000, True), ("/rate", 110_000, True),
    ("/delayed", 110_000, True), ("/groups", 220_000, True), ("/looked-up", 110_000, True), ("/both", 220_000, True),
    ("/unread", 210_000, True), ("/trailer", 400_000, True), ("/challenged/0", 10_000, False),
])
def test_values_are_counted(group, proxy, path, each, queries):
    query = "?" + "q" * 8000 if queries else ""
    check_growth(group, proxy, f"GET {path}{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), each)


@pytest.mark.parametrize("head, each", [
    ("GET /tunnel?{query} HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket", 110_000),
    ("GET /range?{query} HTTP/1.1\r\nRange: bytes=99999999-", 200_000),
    ("POST /target?{query} HTTP/1.1\r\nContent-Length: 9", 110_000),
    ("GET /silent HTTP/1.1" + "\r\na:" * 990, 40_000),
], ids=["of a tunnel", "of a page for a range", "while a body comes", "of a head with many fields"])
def test_values_are_counted_too(group, proxy, head, each):
    check_growth(group, proxy, f"{head}\r\nHost: a\r\n\r\n".format(query="q" * 8000).encode(), each)


@pytest.mark.parametrize("path, each", [(b"/trailers", 250_000), (b"/computed?" + b"q" * 7000, 200_000)],
                         ids=["of an upstream", "computed"])
def test_trailers_are_counted(group, proxy, path, each):
    """Those of a body that HTTP/2 clients have no window for."""
    growth = Growth(group, proxy)
    with contextlib.ExitStack() as opened:
        for _ in range(CLIENTS):
            client = opened.enter_context(socket.create_connection((proxy, 8000), timeout=60))
            client.sendall(frames.opening({frames.INITIAL_WINDOW: 0}) + frames.request(1, frames.head(path)))
        wait_for(lambda: growth.grown()[0] > CLIENTS * each, "growth by the trailers")
        growth.check(least=CLIENTS * each)
