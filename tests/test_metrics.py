"""The metrics of both programs: promtool accepts them, and docs/metrics.md lists exactly
them."""

import json
import os
import re
import subprocess
import urllib.request

import pytest

from conftest import NEVER, ROOT, own_address, run, wait_for
from test_nginx_conf import TLS_PROXY, main_file

MONOLITH = ROOT / os.environ["PROGRAMS"] / "monolith"
PROMTOOL = ROOT / "target/tools/promtool"
DASHBOARD = ROOT / "docs/grafana-dashboard.json"

# One row of docs/metrics.md: name, kind, labels, meaning.
ROW = re.compile(r"\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|")
METRIC = re.compile(r"\b(?:tls_proxy|monolith|process)_\w+")


def start(running, *command, **environment):
    running.append(subprocess.Popen(
        [str(word) for word in command], env=os.environ | environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def fetch(url):
    """The text, once the server responds."""
    def text():
        try:
            return urllib.request.urlopen(url, timeout=NEVER).read().decode()
        except ConnectionError:
            return None
        except urllib.error.HTTPError as refused:
            return refused.read().decode() or "refused"
        except urllib.error.URLError:
            return None
    return wait_for(text, url)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The metrics of both programs, after a request or two of each kind."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "tls").mkdir()
    for name in ("update-tls.sh", "ssl-extensions-x509.cnf"):
        (folder / "tls" / name).write_bytes((ROOT / "tls" / name).read_bytes())
    run("bash", folder / "tls/update-tls.sh")
    address = own_address()
    https, admin, http, health = (f"{address}:{port}" for port in (8443, 9113, 8080, 8081))
    main = main_file(
        folder, ROOT / "nginx/proxy.conf", ("/etc/tls", str(folder / "tls")),
        ("listen 443 ssl", f"listen {https} ssl"),
        ("127.0.0.1:80;", f"{http};"),
    )
    running = []
    start(running, MONOLITH, "--http", http, "--health", health)
    start(running, TLS_PROXY, "-p", f"{folder}/", "-c", main, TLS_PROXY_ADMIN=admin)
    fetch(f"http://{health}/healthz")
    fetch(f"http://{admin}/healthz")
    for more in ([], ["-u", "user:wrong"], ["--http1.0"], ["--tls-max", "1.2"]):
        run("curl", "-sS", "-o", "/dev/null", "--cacert", folder / "tls/ca.pem", *more,
            "--resolve", f"localhost:8443:{address}", "https://localhost:8443/login")
    yield {
        "tls-proxy": fetch(f"http://{admin}/metrics"),
        "monolith": fetch(f"http://{health}/metrics"),
    }
    for process in running:
        process.terminate()
        process.wait(NEVER)


def families(page):
    """The families of a page: type, labels and help of each."""
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.M))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", page, re.M))
    labels = {name: set() for name in kinds}
    for name, inside in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", page, re.M):
        labels[base(name, kinds)] |= set(re.findall(r'(\w+)="', inside)) - {"le"}
    return {name: (kinds[name], labels[name], helps[name]) for name in kinds}


def base(name, kinds):
    """The family of a sample of a histogram or summary."""
    if name in kinds:
        return name
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    assert kinds[stem] in ("histogram", "summary"), name
    return stem


@pytest.mark.parametrize("program", ["tls-proxy", "monolith"])
def test_promtool_has_nothing_to_say(pages, program):
    done = run(PROMTOOL, "check", "metrics", input=pages[program])
    assert done.stdout + done.stderr == ""


def documented():
    """The tables of docs/metrics.md by their headings."""
    text = (ROOT / "docs/metrics.md").read_text()
    tables = {}
    for part in text.split("\n## ")[1:]:
        rows = {}
        for name, kind, labels, meaning in ROW.findall(part):
            rows[name] = (kind, set(re.findall(r"`(\w+)`", labels)), meaning.strip())
        tables[part.split("\n", 1)[0]] = rows
    return tables


@pytest.mark.parametrize("program", ["tls-proxy", "monolith"])
def test_the_documentation_tells_of_what_is_there(pages, program):
    assert documented()[program] == families(pages[program])


def expressions():
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (note["expr"] for note in board["annotations"]["list"])


def test_the_dashboard_asks_for_what_is_there(pages):
    known = {}
    for page in pages.values():
        known |= families(page)
    board = json.loads(DASHBOARD.read_text())
    variables = board["templating"]["list"]
    assert variables[0]["type"] == "datasource"
    queries = [own["query"]["query"] for own in variables[1:]]
    asked = set()
    for text in [*expressions(), *queries]:
        for name in METRIC.findall(text):
            asked.add(base(name, {name: kind for name, (kind, *_) in known.items()}))
    assert asked <= known.keys()
    # Every metric is shown, except limits and versions, which are for alerts.
    unseen = {"process_max_fds", "process_start_time_seconds"}
    own = {name for name in families(pages["tls-proxy"]) if name.startswith("tls_proxy_")}
    assert own - asked - unseen - {
        "tls_proxy_workers", "tls_proxy_config_last_reload_timestamp_seconds"} == set()


def test_prometheus_understands_the_dashboard(tmp_path):
    rules = []
    for number, text in enumerate(expressions()):
        text = text.replace("$__rate_interval", "5m").replace("$__interval", "5m")
        rules.append({"record": f"a:b{number}", "expr": text})
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    done = run(PROMTOOL, "check", "rules", file)
    assert "SUCCESS" in done.stdout
