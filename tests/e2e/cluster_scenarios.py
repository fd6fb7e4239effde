"""make e2e on a real cluster: kubectl does what kubelet.py does in podman."""

import base64
import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import SYNC, Cluster, wait_until_all
from conftest import REFUSED, run, wait_for
from fixtures import tell
from stand import Counting

REQUESTS = 10_000
LOGINS = 200


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def no_clients_left():
    yield
    Counting.end_all()


def ask(cluster, path="/", timeout=60, **fields):
    connection = http.client.HTTPSConnection(cluster.address, cluster.port, timeout=timeout,
                                             context=ssl._create_unverified_context())
    connection.request("GET", path, headers=fields)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def judge(cluster, name, traffic, *figures):
    traffic.stop()
    tell(name, traffic.line(), *figures)
    allowed = cluster.network.may_lose(traffic.total())
    assert traffic.total("failed") <= allowed, (traffic.reasons(), cluster.network.told())


def test_a_quiet_run_first(cluster):
    """Nothing changes, so failures are the network's."""
    traffic = cluster.traffic()
    traffic.wait_for(REQUESTS)
    traffic.stop()
    cluster.network.measure(traffic.total(), traffic.total("failed"))
    tell("quiet run", traffic.line(), cluster.network.told(), *filter(None, [traffic.reasons()]))
    # Otherwise the other scenarios would prove nothing.
    assert cluster.network.share < 0.01, traffic.reasons()


def test_deleting_one_pod(cluster):
    traffic = cluster.traffic()
    time.sleep(4)
    cluster.kubectl("delete", "pod", cluster.pods()[0])
    cluster.settle()
    traffic.wait_for(REQUESTS)
    judge(cluster, "delete one pod", traffic)


def test_a_rolling_restart(cluster):
    traffic = cluster.traffic()
    time.sleep(4)
    old = set(cluster.pods())
    cluster.kubectl("rollout", "restart", "deployment/secure-monolith")
    cluster.settle()
    wait_for(lambda: not old & set(cluster.kubectl("get", "pods", "-o", "name").stdout.replace("pod/", "").split()),
             "end of the old pods", 90)
    traffic.wait_for(REQUESTS)
    judge(cluster, "rolling restart", traffic)


def test_a_renewed_certificate(cluster):
    traffic = cluster.traffic()
    time.sleep(3)
    told = traffic.total("told_to_close") + traffic.total("closed_idle")
    run(cluster.tls / "update-tls.sh")
    cluster.create_secrets()
    seconds = wait_until_all(cluster, cluster.tls.joinpath("cert.pem").read_text().strip())
    judge(cluster, "renewed certificate", traffic, f"in all pods after {seconds:.0f} s, the kubelet's time included")
    assert traffic.total("told_to_close") + traffic.total("closed_idle") == told


def test_a_broken_certificate(cluster):
    traffic = cluster.traffic()
    before = cluster.served_by_all()
    key = cluster.tls.joinpath("key.pem").read_bytes()
    cluster.write_certificate(b"-----BEGIN CERTIFICATE-----\nnonsense\n", key)
    names = cluster.pods()
    wait_for(lambda: all(REFUSED in cluster.kubectl("logs", name, "-c", "tls-proxy", "--since=5m").stdout
                         for name in names), "a line in every log", SYNC)
    after = cluster.served_by_all()
    cluster.write_certificate(cluster.tls.joinpath("cert.pem").read_bytes(), key)
    judge(cluster, "broken certificate", traffic)
    assert before == after and len(after) == 1


def test_an_ended_monolith(cluster):
    """`kill 1`: it exits when its budget is exceeded, since the proxy keeps running."""
    cluster.kubectl("scale", "deployment/secure-monolith", "--replicas=3")
    cluster.settle()
    restarts = cluster.restarts()
    cluster.kubectl("exec", cluster.pods()[0], "-c", "monolith", "--", "kill", "1")
    wait_for(lambda: cluster.restarts() != restarts, "restart of monolith", 90)
    cluster.settle()
    began = time.monotonic()
    wait_for(lambda: ask(cluster) == 200, "answer 200", 10)
    tell("ended monolith", f"200 again {time.monotonic() - began:.1f} s after its return")


def test_200_logins_at_once(cluster):
    restarts = cluster.restarts()
    login = {"Authorization": "Basic " + base64.b64encode(b"user:password").decode()}
    with ThreadPoolExecutor(LOGINS) as pool:
        statuses = list(pool.map(lambda _: ask(cluster, "/login", **login), range(LOGINS)))
    tell("200 logins", f"{statuses.count(200)} x 200, {statuses.count(503)} x 503")
    assert set(statuses) <= {200, 503} and statuses.count(200) > 0
    assert cluster.restarts() == restarts
    assert cluster.field("pods", "{.items[*].status.containerStatuses[*].ready}").find("false") < 0
