"""The root file systems of nginx's image and of ours, and containers of them without an
engine: namespaces, mounts and chroot, ten times as fast."""

import ctypes
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from conftest import NEVER, ROOT, run

TOOLS = ROOT / "target/tools"
CLONE_NEWNET = 0x40000000
# What nginx's image does on request, in the order of its entry point. Here as
# root and before the root becomes read-only, so it does not fail where that image's does.
ENTRY_POINT = r"""
if [ -n "$NGINX_ENTRYPOINT_LOCAL_RESOLVERS" ]; then
  for word in $(sed -n 's/^nameserver *//p' "$ROOT/etc/resolv.conf"); do
    case $word in *:*) word="[$word]" ;; esac
    NGINX_LOCAL_RESOLVERS="${NGINX_LOCAL_RESOLVERS:+$NGINX_LOCAL_RESOLVERS }$word"
  done
  export NGINX_LOCAL_RESOLVERS
fi
folder=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
out=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
names=$(compgen -e | grep -E "$NGINX_ENVSUBST_FILTER" | sed 's/.*/${&}/')
if [ -d "$ROOT$folder" ]; then
  (cd "$ROOT$folder" && find . -follow -type f -name "*$suffix") | while read -r template; do
    mkdir -p "$ROOT$out/$(dirname "$template")"
    envsubst "$names" <"$ROOT$folder/$template" >"$ROOT$out/${template%"$suffix"}"
  done
fi
"""
# Before the program: what the container runtime does.
CONTAINER = r"""
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
for folder in "${empty[@]}"; do
  mkdir -p "$ROOT$folder"
  mount -t tmpfs -o mode=0777 tmpfs "$ROOT$folder"
done
for volume in "${volumes[@]}"; do
  from=${volume%%:*} to=$ROOT${volume#*:}
  if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "${to%/*}"; touch "$to"; fi
  mount --bind "$from" "$to"
done
[ -s "$ROOT/etc/hosts" ] || echo '127.0.0.1 localhost' >"$ROOT/etc/hosts"
mount --rbind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
"""


class Root:
    """A root file system, and how its program is started where a pod says nothing."""

    def __init__(self, folder, program=("/usr/sbin/nginx",), entry_point=""):
        self.folder = folder
        self.program = program
        self.entry_point = entry_point


def nginx_root(folder, unprivileged=False):
    """Laid out as nginx's image is, of nginx's program from PyPI and Debian's package of
    its files. What Debian has otherwise, its main configuration, is written as nginx has it."""
    common = TOOLS / "nginx-common"
    for name in ("bin", "dev", "etc/nginx/conf.d", "proc", "usr/lib/nginx/modules", "usr/sbin", "usr/share/nginx/html",
                 "var/cache/nginx", "var/log/nginx"):
        (folder / name).mkdir(parents=True)
    for name in ("tmp", "run"):
        (folder / name).mkdir()
        (folder / name).chmod(0o1777)
    (folder / "var/run").symlink_to("../run")
    shutil.copy(TOOLS / "nginx-1.31", folder / "usr/sbin/nginx")
    shutil.copy(shutil.which("busybox"), folder / "bin/busybox")
    for applet in ("sh", "sleep", "cat", "sed"):
        (folder / "bin" / applet).symlink_to("busybox")
    for program in ("envsubst", "bash"):
        copy_program(Path(shutil.which(program)), folder)
    for name in ("mime.types", "fastcgi_params", "uwsgi_params", "scgi_params"):
        shutil.copy(common / "etc/nginx" / name, folder / "etc/nginx")
    (folder / "etc/nginx/modules").symlink_to("/usr/lib/nginx/modules")
    (folder / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnginx:x:101:101::/:/bin/false\n"
                                       "nobody:x:65534:65534::/:/bin/false\n")
    (folder / "etc/group").write_text("root:x:0:\nnginx:x:101:\nusers:x:100:\n")
    for page in ("index", "50x"):
        (folder / f"usr/share/nginx/html/{page}.html").write_text(f"<h1>nginx: {page}</h1>\n")
    for log, stream in (("access", "stdout"), ("error", "stderr")):
        (folder / f"var/log/nginx/{log}.log").symlink_to(f"/dev/{stream}")
    own = ROOT / "tls-proxy/image/etc/nginx"
    for name in ("nginx.conf", "conf.d/default.conf"):
        text = (own / name).read_text()
        if unprivileged:
            text = text.replace("listen 80;", "listen 8080;").replace("user nginx;\n", "")
            text = text.replace("pid /run/nginx.pid;", "pid /tmp/nginx.pid;")
        (folder / "etc/nginx" / name).write_text(text)
    if unprivileged:
        for own in (folder / "var/cache/nginx", *(folder / "etc/nginx").rglob("*"), folder / "etc/nginx"):
            os.chown(own, 101, 0, follow_symlinks=False)
    # The wheel's own prefix is the folder where it was started, and its temporary folders are
    # below that. nginx's image has them in /var/cache/nginx, named a little differently.
    program = ["/usr/sbin/nginx", "-p", "/var/cache/nginx/", "-e", "/var/log/nginx/error.log",
               "-c", "/etc/nginx/nginx.conf"]
    return Root(folder, program, ENTRY_POINT)


def copy_program(program, folder):
    """Into /bin, with the libraries that it wants."""
    shutil.copy(program, folder / "bin")
    for library in re.findall(r"(/\S+) \(", run("ldd", program).stdout):
        (folder / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, folder / library[1:])


class PodNetwork:
    """A network of its own: nobody else's ports, and port 80 for any user. With a server on
    127.0.0.1:3000, the application behind the proxy."""

    def __init__(self):
        self.name = f"pod-{os.getpid()}"
        run("ip", "netns", "add", self.name)
        run("ip", "-netns", self.name, "link", "set", "lo", "up")
        self.inside = ThreadPoolExecutor(1, initializer=self.enter)
        self.inside.submit(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text, "0").result()
        self.application = self.inside.submit(ThreadingHTTPServer, ("127.0.0.1", 3000), Application).result()
        threading.Thread(target=self.application.serve_forever, daemon=True).start()

    def enter(self):
        with open(f"/run/netns/{self.name}") as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def connect(self, port):
        """A connection to the pod, or None."""
        try:
            return self.inside.submit(socket.create_connection, ("127.0.0.1", port), NEVER).result()
        except ConnectionRefusedError:
            return None

    def close(self):
        self.application.shutdown()
        self.inside.shutdown()
        run("ip", "netns", "del", self.name)


class Application(BaseHTTPRequestHandler):
    """Responds with the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kept = sorted(f"{name}: {value}" for name, value in self.headers.items() if name.lower() != "user-agent")
        body = "\n".join([self.requestline, *kept, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Container:
    """The program of a root file system, in namespaces of its own."""

    def __init__(self, network, root, work, *, user, read_only, environment, volumes, empty, command):
        self.network = network
        self.work = work
        copy = work / "root"
        run("cp", "--archive", root.folder, copy)
        script = [f"ROOT={copy}", "volumes=(" + " ".join(f"'{a}:{b}'" for a, b in volumes) + ")",
                  "empty=(" + " ".join(f"'{each}'" for each in empty) + ")", CONTAINER]
        if command is None or command[0] in ("nginx", "/docker-entrypoint.sh"):
            script.append(root.entry_point)
        if read_only:
            script.append('mount -o remount,bind,ro "$ROOT"')
        if command is None:
            command = (*root.program, "-g", "daemon off;")
        elif command[0] == "nginx":
            command = (*root.program, *command[1:])
        words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in command)
        script.append(f"exec chroot --userspec={user}:{user if user else 0} \"$ROOT\" {words}")
        (work / "start").write_text("\n".join(script))
        self.stdout, self.stderr = work / "stdout", work / "stderr"
        with self.stdout.open("a") as stdout, self.stderr.open("a") as stderr:
            # As runc does it: the container's user opens them again, by /dev/stdout.
            for stream in (stdout, stderr):
                os.fchmod(stream.fileno(), 0o666)
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", network.name, "unshare", "--mount", "--pid", "--fork", "--kill-child",
                 "bash", work / "start"], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": "pod", **environment})

    def wait_for_port(self, port):
        """Whether the program accepts there, or has ended."""
        end = time.monotonic() + NEVER
        while self.process.poll() is None and time.monotonic() < end:
            connection = self.network.connect(port)
            if connection:
                connection.close()
                return True
            time.sleep(0.01)
        return False

    def ask(self, port, path, **headers):
        """A response and its body; over TLS on port 443."""
        client = HTTPConnection("127.0.0.1", port)
        client.sock = self.network.connect(port)
        assert client.sock, f"nobody listens on port {port}"
        if port == 443:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.sock = context.wrap_socket(client.sock, server_hostname="pod.test")
        client.request("GET", path, headers={"Host": "pod.test", "User-Agent": "test",
                                             **{name.replace("_", "-"): value for name, value in headers.items()}})
        response = client.getresponse()
        body = response.read()
        client.close()
        return response, body

    def pid(self):
        """Of its first process, as the host counts; unshare is its parent."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def file(self, path):
        """A file of the container, a mounted one as well."""
        return Path(f"/proc/{self.pid()}/root{path}")

    def close(self):
        if self.process.poll() is None:
            # All others in its namespace end with it. It may be about to end by itself.
            with suppress(IndexError, OSError):
                os.kill(self.pid(), signal.SIGKILL)
            self.process.wait(NEVER)
        shutil.rmtree(self.work / "root", ignore_errors=True)
