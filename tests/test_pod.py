"""pods/*.yaml in podman: the real images under the real limits."""

import json
import os
import resource
import ssl
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from conftest import NEVER, ROOT, run, wait_for
from podman import LOW_PORTS, Podman, on_free_ports
from terminal import Terminal

MONOLITH, NGINX = "secure-monolith-monolith", "secure-monolith-nginx"


@pytest.fixture(scope="module")
def podman():
    engine = Podman()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """tls/ as `ls tls` shows it in the walkthrough."""
    folder = tmp_path_factory.mktemp("pod") / "tls"
    folder.mkdir()
    for name in ("update-tls.sh", "ssl-extensions-x509.cnf"):
        (folder / name).write_bytes((ROOT / "tls" / name).read_bytes())
        (folder / name).chmod(0o755)
    run(folder / "update-tls.sh")
    return folder


def is_open(client):
    """Whether the proxy has not closed an idle connection."""
    client.settimeout(0.001)
    try:
        return client.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


class SecurePod:
    def __init__(self, podman, certificates, change=lambda manifest: None):
        self.podman = podman
        self.authority = certificates / "ca.pem"
        manifest = yaml.safe_load((ROOT / "pods/secure-monolith.yaml").read_text())
        change(manifest)
        self.ports = podman.play(manifest, {
            "tls-certs": {path.name: path for path in certificates.iterdir()},
            "nginx-proxy-conf": {"proxy.conf": ROOT / "nginx/proxy.conf"},
        })
        self.url = f"https://127.0.0.1:{self.ports[443]}"
        wait_for(lambda: self.curl("", check=False).returncode == 0, "answer of the pod")

    def curl(self, path, *options, **keywords):
        return run("curl", "-sSf", "--cacert", self.authority, *options, f"{self.url}{path}", **keywords)

    def idle_clients(self, count):
        """Connections after one response each, opened one after the other."""
        resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
        trust = ssl.create_default_context(cafile=self.authority)
        clients = []
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", self.ports[443]), timeout=NEVER)
            clients.append(trust.wrap_socket(client, server_hostname="localhost"))
            clients[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert clients[-1].recv(4096).startswith(b"HTTP/1.1 200")
        return clients

    def probe(self, path, seconds=NEVER):
        """What the kubelet asks; its own limit is one second."""
        return run("curl", "-s", "-m", seconds, "-o", os.devnull, "-w", "%{http_code}",
                   f"http://127.0.0.1:{self.ports[81]}{path}", check=False).stdout

    def close(self):
        self.podman("pod", "rm", "--force", "--time", "0", "secure-monolith", check=False)
        self.podman("secret", "rm", "tls-certs", check=False)
        self.podman("volume", "rm", "--all", "--force", check=False)


@pytest.fixture(scope="module")
def pod(podman, certificates):
    secure = SecurePod(podman, certificates)
    yield secure
    secure.close()


@pytest.fixture
def fresh_pod(podman, certificates):
    """A pod that a test may stop. The shared one has been closed before."""
    secure = SecurePod(podman, certificates)
    yield secure
    secure.close()


@pytest.fixture(scope="module")
def google(podman):
    """A host of this name in the pod's network, for the walkthrough's ping."""
    podman("run", "--detach", "--name", "google", LOW_PORTS, "--network", podman.network,
           "--network-alias", "google.com", "docker.io/securemonolith/monolith:1.0.0")


def test_https_answers_through_the_proxy(pod):
    assert pod.curl("").stdout.strip() == '{"message":"Hello"}'


def test_login_and_secure_work_through_the_proxy(pod):
    token = json.loads(pod.curl("/login", "-u", "user:password").stdout)["token"]
    assert pod.curl("/secure", "-H", f"Authorization: Bearer {token}").stdout.strip() == '{"message":"Hello"}'


def test_the_probes_of_the_manifest_succeed(pod):
    assert pod.probe("/healthz") == "200"
    assert pod.probe("/readiness") == "200"


def test_the_proxy_sees_only_its_pair_and_its_configuration(pod):
    listing = pod.podman("exec", NGINX, "ls", "/etc/tls", "/etc/nginx/conf.d").stdout.split()
    assert listing == ["/etc/nginx/conf.d:", "proxy.conf", "/etc/tls:", "cert.pem", "key.pem"]


def test_both_containers_have_their_real_memory_limits(pod):
    def limit(name):
        return pod.podman.memory(name, "memory.limit_in_bytes", "memory.max")
    assert limit(MONOLITH) == 10 << 20
    assert limit(NGINX) == 32 << 20


def test_the_monolith_has_its_real_cpu_limit(pod):
    host = pod.podman.inspect(MONOLITH)["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.2


def test_no_container_can_write_or_gain_powers(pod):
    for name, user in ((NGINX, "101"), (MONOLITH, "65532")):
        state = dict(line.split(":\t", 1) for line in
                     pod.podman("exec", name, "cat", "/proc/1/status").stdout.splitlines() if ":\t" in line)
        assert state["Uid"].split() == [user] * 4
        assert int(state["CapEff"], 16) == int(state["CapBnd"], 16) == 0
        assert state["NoNewPrivs"] == "1"
        done = pod.podman("exec", name, "sh", "-c", "touch /etc/written", check=False)
        assert "Read-only file system" in done.stderr


def test_plain_http_is_for_the_proxy_alone(pod, google):
    done = pod.podman("exec", "google", "wget", "-q", "-O", "-", "http://secure-monolith/", check=False)
    assert "Connection refused" in done.stderr
    inside = pod.podman("exec", NGINX, "wget", "-q", "-O", "-", "http://127.0.0.1/")
    assert inside.stdout.strip() == '{"message":"Hello"}'


def test_ping_works_in_an_interactive_shell(pod, google):
    shell = Terminal(*pod.podman.command("exec", "--interactive", "--tty", MONOLITH, "/bin/sh"),
                     environment=pod.podman.environment())
    shell.wait_for("$ ")
    shell.type("ping -c 3 google.com\n")
    shell.wait_for("3 packets transmitted, 3 packets received, 0% packet loss")
    shell.type("exit\n")
    assert shell.exit_code() == 0
    shell.close()


def test_logs_show_the_traffic_and_follow_it(pod):
    pod.curl("/version", "-A", "before-following")
    follower = Terminal(*pod.podman.command("logs", "--follow", NGINX),
                        environment=pod.podman.environment())
    follower.wait_for("before-following")
    pod.curl("/version", "-A", "while-following")
    follower.wait_for("while-following")
    follower.close()
    assert '"GET /version HTTP/1.1" 200' in pod.podman("logs", NGINX).stdout
    assert "before-following" in pod.podman("logs", MONOLITH).stdout


def test_a_login_flood_neither_kills_the_monolith_nor_its_probe(pod):
    with ThreadPoolExecutor(200) as pool:
        flood = [pool.submit(pod.curl, "/login", "-u", "user:password", "-m", "15", check=False)
                 for _ in range(200)]
        answers = []
        while not all(login.done() for login in flood):
            answers.append(pod.probe("/healthz", 1))
            time.sleep(0.5)
    # One that is late may be the machine's fault. The kubelet restarts after three in a row.
    assert answers and ["000"] * 3 not in [answers[at:at + 3] for at in range(len(answers))], answers
    assert set(answers) <= {"200", "000"}
    assert any('"token"' in login.result().stdout for login in flood)
    assert pod.podman.is_running(MONOLITH)


def test_a_thousand_idle_connections_fit_into_the_limits(pod):
    clients = pod.idle_clients(1000)
    assert pod.curl("").stdout.strip() == '{"message":"Hello"}'
    assert sum(is_open(client) for client in clients) == 1000
    assert pod.probe("/healthz") == "200"
    for client in clients:
        client.close()


def test_ended_orphans_do_not_stay(pod):
    for name in (NGINX, MONOLITH):
        pod.podman("exec", name, "sh", "-c", "sleep 0.2 & exit")

        def states():
            # A process may end between the shell's list and cat.
            states = pod.podman("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat", check=False).stdout
            assert states.startswith("1 (")
            return states

        wait_for(lambda: "(sleep)" not in states(), f"end of an orphan in {name}")


def test_nothing_was_killed_or_restarted_in_all_of_this(pod, measured):
    for name in (MONOLITH, NGINX):
        peak = pod.podman.memory(name, "memory.max_usage_in_bytes", "memory.peak")
        measured(f"{name}: {peak / (1 << 20):.1f} MiB at most")
        state = pod.podman.inspect(name)
        assert state["State"]["Running"] and not state["State"]["OOMKilled"]
        assert state["RestartCount"] == 0
    pod.close()


def test_within_10mi_idle_connections_stay_and_the_oldest_make_room(podman, certificates, measured):
    def small(manifest):
        manifest["spec"]["containers"][0]["resources"]["limits"]["memory"] = "10Mi"

    pod = SecurePod(podman, certificates, small)
    clients = pod.idle_clients(1000)
    assert pod.curl("", "-m", NEVER).stdout.strip() == '{"message":"Hello"}'
    still_open = [is_open(client) for client in clients]
    measured(f"{NGINX} in 10Mi: {sum(still_open)} of 1000 idle connections held")
    # 6 of 10 MiB are reserved for the program: there is one worker, for 92 connections.
    assert sum(still_open) >= 60
    # They are idle in the order in which their handshakes ended, so the border is not sharp.
    assert not any(still_open[:300]) and all(still_open[-40:])
    state = podman.inspect(NGINX)
    assert state["State"]["Running"] and not state["State"]["OOMKilled"] and state["RestartCount"] == 0
    pod.close()


def test_the_pre_stop_hook_ends_the_proxy_gracefully(fresh_pod):
    hook = fresh_pod.podman("exec", NGINX, "/usr/sbin/nginx", "-s", "quit", check=False)
    wait_for(lambda: not fresh_pod.podman.is_running(NGINX), "end of the proxy")
    # The container may be removed before the hook's exit code is known.
    assert hook.returncode in (0, 137), hook.stderr
    assert fresh_pod.podman.inspect(NGINX)["State"]["ExitCode"] == 0
    assert fresh_pod.podman.is_running(MONOLITH)


def test_the_monolith_outlives_the_proxy_and_waits_no_longer(fresh_pod):
    fresh_pod.podman("kill", "--signal", "TERM", MONOLITH)
    wait_for(lambda: fresh_pod.probe("/readiness") == "503", "end of readiness")
    time.sleep(1)  # it would be gone by now
    # On a new connection, as the proxy needs for a late request.
    assert fresh_pod.curl("").stdout.strip() == '{"message":"Hello"}'
    fresh_pod.podman("exec", NGINX, "/usr/sbin/nginx", "-s", "quit", check=False)
    wait_for(lambda: not fresh_pod.podman.is_running(NGINX), "end of the proxy")
    wait_for(lambda: not fresh_pod.podman.is_running(MONOLITH), "end of the monolith")
    assert fresh_pod.podman.inspect(MONOLITH)["State"]["ExitCode"] == 0


def test_a_monolith_that_alone_is_told_to_stop_does_not_wait_for_the_proxy(fresh_pod):
    began = time.monotonic()
    fresh_pod.podman("exec", MONOLITH, "kill", "1")
    wait_for(lambda: not fresh_pod.podman.is_running(MONOLITH), "end of the monolith")
    assert time.monotonic() - began > 5, "it might have been the pod that ends"
    assert fresh_pod.podman.inspect(MONOLITH)["State"]["ExitCode"] == 0
    refused = fresh_pod.curl("", "-m", NEVER, "-o", os.devnull, "-w", "%{http_code}", check=False)
    assert refused.stdout == "502"
    fresh_pod.podman("start", MONOLITH)
    wait_for(lambda: fresh_pod.probe("/healthz") == "200", "return of the monolith")
    wait_for(lambda: fresh_pod.curl("", check=False).returncode == 0, "answer of the pod")


def test_both_programs_exit_0_on_their_stop_signals(fresh_pod):
    for name in (NGINX, MONOLITH):
        fresh_pod.podman("stop", "--time", "30", name)  # then it would be killed: 137
        assert fresh_pod.podman.inspect(name)["State"]["ExitCode"] == 0


def test_the_pod_works_as_whatever_user_the_platform_chooses(podman, certificates):
    """As on OpenShift, with an arbitrary user of the group 0."""
    def somebody(manifest):
        for container in manifest["spec"]["containers"]:
            container["securityContext"].update(runAsUser=1000690000, runAsGroup=0)

    pod = SecurePod(podman, certificates, somebody)
    for name in (NGINX, MONOLITH):
        assert podman("exec", name, "id", "-u").stdout == "1000690000\n"
    assert pod.probe("/readiness") == "200"
    hook = podman("exec", NGINX, "/usr/sbin/nginx", "-s", "quit", check=False)
    wait_for(lambda: not podman.is_running(NGINX), "end of the proxy")
    assert hook.returncode in (0, 137), hook.stderr
    assert "pid file" not in podman("logs", NGINX).stderr
    pod.close()


@pytest.mark.parametrize(("image", "arguments", "flag"), [
    ("monolith", (), "--http"), ("monolith", ("-http=0.0.0.0:8080",), "--health"), ("tls-proxy", (), "0.0.0.0:80")])
def test_a_port_that_needs_a_sysctl_says_so(podman, image, arguments, flag):
    done = podman("run", "--rm", "--user", "65532", "--network", podman.network,
                  f"docker.io/securemonolith/{image}:1.0.0", *arguments, check=False)
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if flag in line)
    assert "choose a port from 1024" in line and "net.ipv4.ip_unprivileged_port_start" in line, done.stderr


@pytest.mark.parametrize(("variant", "port", "arguments"), [
    ("", 80, ()), ("", 80, ("nginx", "-g", "daemon off;")), ("", 80, ("nginx-debug", "-g", "daemon off;")),
    ("", 80, ("/docker-entrypoint.sh", "nginx")), ("", 80, ("sh", "-c", "nginx -t && exec nginx -g 'daemon off;'")),
    ("-unprivileged", 8080, ()), ("-static", 80, ())])
def test_the_proxy_image_alone_answers_with_a_welcome_page(podman, variant, port, arguments):
    image = f"docker.io/securemonolith/tls-proxy:1.0.0{variant}"

    def start(ports):
        return podman("run", "--detach", "--name", "welcome", LOW_PORTS, "--read-only", "--cap-drop=all",
                      "--publish", f"127.0.0.1:{ports[0]}:{port}", "--network", podman.network, image, *arguments,
                      check=False)

    published, = on_free_ports(1, start, lambda: podman("rm", "--force", "--time", "0", "welcome", check=False))
    url = f"http://127.0.0.1:{published}/"
    wait_for(lambda: run("curl", "-sf", "-m", "2", url, check=False).returncode == 0, "welcome page")
    assert "<h1>Welcome to tls-proxy</h1>" in run("curl", "-sf", url).stdout
    assert '"GET / HTTP/1.1" 200' in podman("logs", "welcome").stdout
    podman("rm", "--force", "--time", "0", "welcome")


def test_a_hook_of_the_shell_drains(podman):
    """Common preStop hooks, and one without a shell."""
    for variant, hook in (("", ("sh", "-c", "sleep 1; nginx -s quit")), ("-static", ("/usr/sbin/nginx", "-s", "quit"))):
        podman("run", "--detach", "--name", "hooked", LOW_PORTS, "--network", podman.network,
               f"docker.io/securemonolith/tls-proxy:1.0.0{variant}")
        wait_for(lambda: "listening on" in podman("logs", "hooked").stderr, "the first line of the log")
        podman("exec", "hooked", *hook, check=False)
        wait_for(lambda: not podman.is_running("hooked"), "end of the proxy")
        assert podman.inspect("hooked")["State"]["ExitCode"] == 0
        podman("rm", "--force", "hooked")


@pytest.mark.parametrize("name", ["monolith", "healthy-monolith"])
def test_the_pods_without_a_proxy_answer_too(podman, name):
    ports = podman.play(yaml.safe_load((ROOT / f"pods/{name}.yaml").read_text()), {})
    for port, path in ((80, "/"), (80, "/version"), (81, "/healthz"), (81, "/readiness")):
        url = f"http://127.0.0.1:{ports[port]}{path}"
        wait_for(lambda: run("curl", "-sf", "-m", "2", url, check=False).returncode == 0, url)
    podman("pod", "rm", "--force", "--time", "0", name)
