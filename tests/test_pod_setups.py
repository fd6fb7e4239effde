"""Published pod set-ups for nginx's two images: mounts, user, environment variables. nginx in
its root file system and tls-proxy in ours start, respond and log alike."""

import gzip
import json
import re
from itertools import count

import pytest

from conftest import ROOT, run, wait_for
from pod_roots import TOOLS, Container, PodNetwork, Root, nginx_root

PROXY = "server {\n  listen %s;\n  location / { proxy_pass http://127.0.0.1:3000; }\n}\n"
# The main configuration of nginx's image, with this inside.
MAIN = """user nginx;
worker_processes 1;
error_log /var/log/nginx/error.log warn;
pid /var/run/nginx.pid;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                  '$status $body_bytes_sent "$http_referer" '
                  '"$http_user_agent" "$http_x_forwarded_for"';
  access_log /var/log/nginx/access.log main;
  sendfile on;
  #tcp_nopush on;
  keepalive_timeout 65;
  #gzip on;
%s
}
"""
UNPRIVILEGED = """worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
  proxy_temp_path /tmp/proxy_temp;
  client_body_temp_path /tmp/client_temp;
  fastcgi_temp_path /tmp/fastcgi_temp;
  uwsgi_temp_path /tmp/uwsgi_temp;
  scgi_temp_path /tmp/scgi_temp;
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  log_format main '$remote_addr - $remote_user [$time_local] "$request" $status';
  access_log /var/log/nginx/access.log main;
  include /etc/nginx/conf.d/*.conf;
}
"""
SITE = {"index.html": "<h1>site</h1>\n", "app.js": "let a;\n", "style.css": "a {}\n", "logo.svg": "<svg/>\n",
        "data.json": "{}\n", "font.woff2": "f", "app.wasm": "w", "photo.jpeg": "p", "noending": "n"}
SPA = """server {
  listen 80;
  server_name localhost;
  root /usr/share/nginx/html;
  index index.html;
  location / { try_files $uri $uri/ /index.html; }
  location ~* \\.(js|css|svg)$ { expires 1y; add_header Cache-Control "public, immutable"; }
  location = /healthz { access_log off; default_type text/plain; return 200 "ok\\n"; }
}
"""
TEMPLATE = """upstream app { server ${APP_HOST}:${APP_PORT}; }
server {
  listen ${LISTEN};
  server_name $SERVER_NAME localhost;
  location / {
    proxy_pass http://app;
    proxy_set_header Host $host;
    proxy_set_header X-Name "${UNDEFINED}-$undefined${SERVER_NAME}";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  }
}
""".replace("${UNDEFINED}-$undefined", "")
VARIABLES = {"APP_HOST": "127.0.0.1", "APP_PORT": "3000", "LISTEN": "80", "SERVER_NAME": "pod.test"}
# A Secret of the type kubernetes.io/tls; the test makes it.
TLS = {}
HTPASSWD = "user:{PLAIN}password\n"


class SetUp:
    """`files`: ConfigMaps and Secrets, {where: {key: text}} for a folder, {where: text} for a
    file by itself (subPath). `asks`: port and path, and fields of the request."""

    def __init__(self, *asks, files=None, environment=None, empty=(), command=None, unprivileged=False,
                 log=True, shown=()):
        self.asks = asks or ([(8080, "/")] if unprivileged else [(80, "/")])
        self.files = files or {}
        self.environment = environment or {}
        self.empty = empty
        self.command = command
        self.unprivileged = unprivileged
        # Whether its access log is where nginx's image has it.
        self.log = log
        # Files of the container to compare.
        self.shown = shown


CONF_D = "/etc/nginx/conf.d"
SETUPS = {
    "nothing at all": SetUp((80, "/missing"), (80, "/50x.html")),
    "a server in the place of the default one": SetUp(
        (80, "/a?b"), files={f"{CONF_D}/default.conf": PROXY % 80}),
    "a ConfigMap on conf.d": SetUp((80, "/"), files={CONF_D: {"app.conf": PROXY % 80}}),
    "https, with a Secret": SetUp((443, "/a"), files={
        CONF_D: {"https.conf": """server {
  listen 443 ssl;
  http2 on;
  server_name pod.test;
  ssl_certificate /etc/nginx/ssl/tls.crt;
  ssl_certificate_key /etc/nginx/ssl/tls.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers HIGH:!aNULL:!MD5;
  ssl_session_cache shared:SSL:1m;
  location / { proxy_pass http://127.0.0.1:3000; proxy_set_header X-Forwarded-Proto $scheme; }
}
"""}, "/etc/nginx/ssl": TLS}),
    "another port": SetUp((8443, "/"), files={CONF_D: {"app.conf": PROXY % "0.0.0.0:8443"}}),
    "the format main, by its name": SetUp((80, "/", ("X-Forwarded-For", "192.0.2.1")), files={CONF_D: {
        "app.conf": PROXY.replace("location", "access_log /dev/stdout main;\n location") % 80}}),
    "a format of its own": SetUp((80, "/"), files={CONF_D: {
        "log.conf": "log_format short '$request_method $uri $status';\n",
        "site.conf": "server { listen 80; access_log /var/log/nginx/access.log short; return 204; }\n"}}),
    "the main configuration alone": SetUp((80, "/x"), files={
        "/etc/nginx/nginx.conf": MAIN % (PROXY % 80)}),
    "the main configuration and conf.d": SetUp((80, "/x"), files={
        "/etc/nginx/nginx.conf": MAIN % "include /etc/nginx/conf.d/*.conf;", CONF_D: {"app.conf": PROXY % 80}}),
    "a ConfigMap on all of /etc/nginx": SetUp((80, "/"), (80, "/app.js"), files={
        "/etc/nginx": {"nginx.conf": MAIN % "server { listen 80; root /usr/share/nginx/html; }",
                       "mime.types": "types { text/html html; text/x-own js; }"},
        "/usr/share/nginx/html": SITE}),
    "all of /etc/nginx without types": SetUp((80, "/"), log=False, files={
        "/etc/nginx": {"nginx.conf": "events {}\nhttp { server { listen 80; return 200 hello; } }\n"}}),
    "a main configuration elsewhere": SetUp((80, "/app.js"), files={
        "/config": {"nginx.conf": MAIN % "server { listen 80; root /usr/share/nginx/html; }"},
        "/usr/share/nginx/html": SITE},
        command=("nginx", "-c", "/config/nginx.conf", "-g", "daemon off;")),
    "types by a relative name": SetUp((80, "/style.css"), (80, "/noending"), files={
        "/etc/nginx/nginx.conf": "events {}\nhttp { include mime.types; access_log /var/log/nginx/access.log;\n"
        "server { listen 80; root /usr/share/nginx/html; } }\n", "/usr/share/nginx/html": SITE}),
    "a site": SetUp(*((80, f"/{name}") for name in SITE), (80, "/"), (80, "/missing"),
                    files={"/usr/share/nginx/html": SITE}),
    "a page alone": SetUp((80, "/"), (80, "/50x.html"), files={"/usr/share/nginx/html/index.html": "<h1>mine</h1>\n"}),
    "an application of one page": SetUp((80, "/some/route"), (80, "/app.js"), (80, "/healthz"),
                                        files={CONF_D: {"default.conf": SPA}, "/usr/share/nginx/html": SITE}),
    "no application behind it": SetUp((80, "/"), files={f"{CONF_D}/default.conf": """server {
  listen 80;
  location / { proxy_pass http://127.0.0.1:3999; }
  error_page 500 502 503 504 /50x.html;
  location = /50x.html { root /usr/share/nginx/html; }
}
""", "/usr/share/nginx/html/50x.html": "<h1>later</h1>\n"}),
    "gzip": SetUp((80, "/app.js", ("Accept-Encoding", "gzip")), files={
        "/etc/nginx/nginx.conf": MAIN % """gzip on; gzip_min_length 1; gzip_vary on; gzip_proxied any;
gzip_types text/plain text/css application/json application/javascript text/xml image/svg+xml;
server { listen 80; root /usr/share/nginx/html; }""", "/usr/share/nginx/html": {"app.js": "let a = 1;\n" * 100}}),
    "to https": SetUp((80, "/a/b?c"), files={CONF_D: {"default.conf": """server {
  listen 80 default_server;
  server_name _;
  return 301 https://$host$request_uri;
}
"""}}),
    "a WebSocket in front of an application": SetUp((80, "/socket"), files={CONF_D: {"default.conf": """
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
server {
  listen 80;
  client_max_body_size 50m;
  location / {
    proxy_pass http://localhost:3000/;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 3600s;
    proxy_buffering off;
  }
}
"""}}),
    "probes on a port of their own": SetUp((80, "/"), (8081, "/healthz"), (8081, "/other"), files={CONF_D: {
        "default.conf": PROXY % 80,
        "probes.conf": "server { listen 8081; access_log off; location = /healthz { allow 127.0.0.1; deny all; "
        "add_header Content-Type text/plain; return 200 healthy; } location / { deny all; } }\n"}}),
    "passwords of a Secret": SetUp(
        (80, "/"), (80, "/", ("Authorization", "Basic dXNlcjpwYXNzd29yZA==")),
        files={CONF_D: {"default.conf": "server { listen 80; auth_basic Restricted; auth_basic_user_file "
                        "/etc/nginx/auth/htpasswd;\n location / { proxy_pass http://127.0.0.1:3000; } }\n"},
               "/etc/nginx/auth": {"htpasswd": HTPASSWD}}),
    "clients behind a load balancer": SetUp((80, "/", ("X-Forwarded-For", "192.0.2.7")), files={CONF_D: {
        "default.conf": "set_real_ip_from 127.0.0.0/8;\nreal_ip_header X-Forwarded-For;\n"
        "limit_req_zone $binary_remote_addr zone=one:1m rate=100r/s;\n" + PROXY.replace(
            "location", "limit_req zone=one burst=5; location") % 80}}),
    "logs in a volume for another container": SetUp(
        (80, "/"), (80, "/missing"), empty=("/var/log/nginx",), log=False, shown=("/var/log/nginx/access.log",)),
    "a template": SetUp((80, "/"), files={"/etc/nginx/templates": {"default.conf.template": TEMPLATE}},
                        environment=VARIABLES),
    "templates and a ConfigMap": SetUp((80, "/"), files={
        "/etc/nginx/templates": {"app.conf.template": "upstream app { server ${APP_HOST}:${APP_PORT}; }\n",
                                 "notes.txt": "not a template"},
        f"{CONF_D}/default.conf": "server { listen 80; location / { proxy_pass http://app; } }\n"},
        environment=VARIABLES),
    "a template of the main configuration": SetUp((80, "/x"), files={
        "/etc/nginx/templates": {"nginx.conf.template": MAIN % "server { listen ${LISTEN}; return 200 $uri; }"}},
        environment={**VARIABLES, "NGINX_ENVSUBST_OUTPUT_DIR": "/etc/nginx"}),
    "templates elsewhere, with a filter": SetUp((80, "/"), files={
        "/templates": {"default.conf.tmpl": "server { listen ${APP_PORT}0; }\nserver { listen 80; "
                       "location / { return 200 \"$APP_HOST ${OTHER_x}\\n\"; } set $OTHER_x kept; }\n"}},
        environment={**VARIABLES, "OTHER_x": "replaced", "NGINX_ENVSUBST_TEMPLATE_DIR": "/templates",
                     "NGINX_ENVSUBST_TEMPLATE_SUFFIX": ".tmpl", "NGINX_ENVSUBST_FILTER": "^APP_"}),
    "templates below a folder": SetUp((80, "/"), files={
        "/etc/nginx/templates/sub": {"inner.conf.template": "return 200 \"$SERVER_NAME\\n\";\n"},
        f"{CONF_D}/default.conf": "server { listen 80; include conf.d/sub/*.conf; }\n"},
        environment=VARIABLES),
    "the pod's own name servers": SetUp((80, "/"), files={
        "/etc/nginx/templates": {"default.conf.template": "resolver ${NGINX_LOCAL_RESOLVERS} valid=5s;\n"
                                 "server { listen 80; location / { return 200 \"${NGINX_LOCAL_RESOLVERS}\\n\"; } }\n"},
        "/etc/resolv.conf": "search default.svc.cluster.local\nnameserver 10.96.0.10\nnameserver fd00::a\n"},
        environment={"NGINX_ENTRYPOINT_LOCAL_RESOLVERS": "1"}),
    "processes by the quota": SetUp(
        (80, "/"), environment={"NGINX_ENTRYPOINT_WORKER_PROCESSES_AUTOTUNE": "1"},
        files={f"{CONF_D}/default.conf": PROXY % 80}),
    "a command for a shell": SetUp(
        (80, "/"), files={f"{CONF_D}/default.conf": PROXY % 80},
        command=("sh", "-c", "sleep 0; exec nginx %s -g 'daemon off;'")),
    "a command that makes the configuration": SetUp(
        (80, "/a"), files={"/config": {"site.template": TEMPLATE}}, environment=VARIABLES, empty=(CONF_D,),
        command=("bash", "-c", "set -e\nenvsubst '$APP_HOST ${APP_PORT},$LISTEN $SERVER_NAME' </config/site.template "
                 f">{CONF_D}/site.conf && exec nginx %s -g 'daemon off;'")),
    "parameters of FastCGI that are not used": SetUp((80, "/"), files={CONF_D: {
        "default.conf": "server { listen 80; include fastcgi_params; include /etc/nginx/uwsgi_params; "
        "include scgi_params; return 200 hello; }\n"}}),
    "unprivileged: nothing at all": SetUp((8080, "/missing"), unprivileged=True),
    "unprivileged: its main configuration": SetUp((8080, "/"), unprivileged=True, files={
        "/etc/nginx/nginx.conf": UNPRIVILEGED, CONF_D: {"default.conf": PROXY % 8080}}),
    "unprivileged: an application of one page": SetUp(
        (8080, "/route"), (8080, "/app.js"), unprivileged=True,
        files={f"{CONF_D}/default.conf": SPA.replace("80;", "8080;"), "/usr/share/nginx/html": SITE}),
    "unprivileged: a template": SetUp(
        (8080, "/"), unprivileged=True, files={"/etc/nginx/templates": {"default.conf.template": TEMPLATE}},
        environment={**VARIABLES, "LISTEN": "8080"}),
}


@pytest.fixture(scope="module")
def network():
    own = PodNetwork()
    yield own
    own.close()


@pytest.fixture(scope="module", autouse=True)
def certificate(tmp_path_factory):
    key, chain = (tmp_path_factory.mktemp("tls") / name for name in ("key", "chain"))
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
        "-out", chain, "-subj", "/CN=pod.test", "-days", "2")
    TLS.update({"tls.crt": chain.read_text(), "tls.key": key.read_text()})


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """{unprivileged: (nginx's, ours)}"""
    folder = tmp_path_factory.mktemp("roots")
    folder.chmod(0o755)
    run("scripts/make-rootfs", ROOT / "target/programs", folder / "ours")
    return {
        False: (nginx_root(folder / "nginx"), Root(folder / "ours/tls-proxy")),
        True: (nginx_root(folder / "unprivileged", unprivileged=True), Root(folder / "ours/tls-proxy-unprivileged")),
    }


def write_volume(folder, content):
    """A volume as the kubelet makes it: its files are links through `..data`."""
    if isinstance(content, str):
        folder.write_text(content)
        return
    data = folder / "..2030_01_01"
    data.mkdir(parents=True)
    (folder / "..data").symlink_to(data.name)
    for key, text in content.items():
        (data / key).write_text(text)
        (folder / key).symlink_to(f"..data/{key}")


@pytest.fixture
def start(network, tmp_path):
    tmp_path.parent.chmod(0o755)
    running, numbers = [], count()

    def start_one(root, setup, user, read_only):
        work = tmp_path / str(next(numbers))
        work.mkdir()
        volumes = []
        for number, (place, content) in enumerate(sorted(setup.files.items())):
            write_volume(work / f"volume-{number}", content)
            volumes.append((work / f"volume-{number}", place))
        empty = list(setup.empty)
        if read_only:
            empty += ["/var/cache/nginx", "/run", "/tmp"]
        command = setup.command
        if command and command[0] in ("sh", "bash"):
            command = (*command[:2], command[2] % " ".join(root.program[1:]))
        running.append(Container(network, root, work, user=user, read_only=read_only, volumes=volumes, empty=empty,
                                 environment=setup.environment, command=command))
        return running[-1]

    yield start_one
    for container in running:
        container.close()


def masked(text):
    text = re.sub(r"\[\d\d/\w+/\d{4}:[^]]*\]", "[time]", text)
    return re.sub(r'" (\d{3}) \d+ "', r'" \1 SIZE "', text)


FIELDS = ("Content-Type", "Location", "Cache-Control", "Content-Encoding", "Vary", "WWW-Authenticate", "Connection")


def observe(container, setup):
    """What clients and readers of the log see of a container."""
    if not container.wait_for_port(setup.asks[0][0]):
        return f"ended with {container.process.returncode}", container.stderr.read_text()
    seen = []
    for port, path, *fields in setup.asks:
        response, body = container.ask(port, path, **dict(fields))
        kept = {name: response.headers[name] for name in FIELDS if response.headers[name]}
        if kept.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        # A page of the program's own, or of its image, names the program.
        own = b"nginx" in body or b"tls-proxy" in body or b"<h1>An error occurred</h1>" in body
        seen.append((path, response.status, kept, "a page of its own" if own else body))
    logs = [container.stdout] if setup.log else []
    return seen, [lines(log, setup) for log in logs + [container.file(path) for path in setup.shown]]


def lines(log, setup):
    """The lines of an access log, in any order: nginx's workers write at any time. Without
    those of probes."""
    expected = sum(port != 8081 and path != "/healthz" for port, path, *_ in setup.asks)
    wait_for(lambda: len(log.read_text().splitlines()) >= expected, "lines of the access log")
    return sorted(masked(log.read_text()).splitlines())


@pytest.mark.parametrize(("user", "read_only"), [(0, False), (101, True)], ids=["root", "read-only"])
@pytest.mark.parametrize("name", SETUPS)
def test_starts_answers_and_logs_as_nginx_does(start, roots, name, user, read_only):
    setup = SETUPS[name]
    seen = []
    for root in roots[setup.unprivileged]:
        container = start(root, setup, user, read_only)
        seen.append(observe(container, setup))
        container.close()
    theirs, ours = seen
    assert not isinstance(theirs[0], str), f"nginx does not start: {theirs}"
    assert ours == theirs


def test_every_file_of_nginx_s_image_is_there(roots):
    for theirs, ours in roots.values():
        for path in sorted(theirs.folder.rglob("*")):
            relative = path.relative_to(theirs.folder)
            # Paths of programs and libraries are not compared.
            if relative.parts[0] in ("bin", "lib", "lib64"):
                continue
            own = ours.folder / relative
            assert own.is_dir() == path.is_dir() and (own.is_symlink() or own.exists()), own
            if path.is_symlink():
                assert own.readlink() == path.readlink()


def directives(path):
    """What a file says, its lines in any order."""
    text = re.sub(r"#.*", "", path.read_text())
    return sorted(" ".join(each.split()) for each in re.split(r"[;{}]", text) if each.strip())


def test_types_and_parameters_are_those_of_debian(roots):
    ours = roots[False][1].folder / "etc/nginx"
    debian = TOOLS / "nginx-common/etc/nginx"
    # Debian adds two.
    added = re.compile(r"\w+_param (HTTP_HOST|REMOTE_USER) ")
    for name in ("fastcgi_params", "uwsgi_params", "scgi_params"):
        assert directives(ours / name) == [each for each in directives(debian / name) if not added.match(each)]

    def types(path):
        lines = (line.split() for line in directives(path))
        return {ending: kind for kind, *endings in lines for ending in endings}
    known = types(ours / "mime.types")
    assert {ending: kind for ending, kind in types(debian / "mime.types").items() if known.get(ending) != kind} == {}


# What nginx's image does not support, or does differently.

def started(start, roots, setup, name="listening on"):
    container = start(roots[False][1], setup, 101, True)
    wait_for(lambda: name in container.stderr.read_text(), name)
    return container


def test_types_and_main_are_known_where_a_volume_hides_them(start, roots):
    setup = SetUp(empty=("/etc/nginx",), files={"/usr/share/nginx/html": SITE, CONF_D: {
        "site.conf": "server { listen 80; root /usr/share/nginx/html; access_log /dev/stdout main; }\n"}})
    container = started(start, roots, setup)
    response, _ = container.ask(80, "/style.css", X_Forwarded_For="192.0.2.1")
    assert response.headers["Content-Type"] == "text/css"
    wait_for(lambda: '"GET /style.css HTTP/1.1" 200' in container.stdout.read_text(), "a line of the access log")
    assert '"192.0.2.1"' in container.stdout.read_text()


def test_a_main_configuration_finds_types_that_a_volume_hides(start, roots):
    setup = SetUp(files={"/etc/nginx": {
        "nginx.conf": MAIN % "server { listen 80; root /usr/share/nginx/html; }"}, "/usr/share/nginx/html": SITE})
    response, _ = started(start, roots, setup).ask(80, "/app.wasm")
    assert response.headers["Content-Type"] == "application/wasm"


def test_json_is_asked_for_once(start, roots):
    container = started(start, roots, SetUp(environment={"TLS_PROXY_LOG_FORMAT": "json"}))
    container.ask(80, "/")
    wait_for(container.stdout.read_text, "a line of the access log")
    assert json.loads(container.stdout.read_text())["request"] == "GET / HTTP/1.1"
    assert all(json.loads(line) for line in container.stderr.read_text().splitlines())


def test_scripts_are_named_and_templates_announced(start, roots):
    files = {"/docker-entrypoint.d": {"40-own.sh": "echo", "20-envsubst-on-templates.sh": "", "notes": ""},
             "/etc/nginx/templates": {"default.conf.template": "server { listen 80; return 200; }"}}
    said = started(start, roots, SetUp(files=files), "is expanded as").stderr.read_text()
    assert "[warn] scripts in /docker-entrypoint.d are not run: 40-own.sh;" in said
    assert "/etc/nginx/templates/default.conf.template is expanded as /etc/nginx/conf.d/default.conf" in said
    quiet = started(start, roots, SetUp(files=files, environment={"NGINX_ENTRYPOINT_QUIET_LOGS": "1"}), "40-own.sh")
    quiet.wait_for_port(80)
    assert "is expanded as" not in quiet.stderr.read_text()
