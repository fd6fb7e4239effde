"""A pod whose application crashes or is overloaded."""

import base64
import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import wait_for
from fixtures import no_pods_left, stand, tell  # noqa: F401

LOGINS = 200


def ask(pod, path="/", timeout=60, **fields):
    """Status and body of one request to the pod."""
    trust = ssl._create_unverified_context()  # the pod's address is in no certificate
    connection = http.client.HTTPSConnection(pod.address, 8443, timeout=timeout, context=trust)
    connection.request("GET", path, headers=fields)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_killed_monolith_gives_502_at_once_and_200_when_it_is_back(stand):
    pod = stand.fleet(1).pods[0]
    assert ask(pod)[0] == 200
    stand.podman("kill", "--signal", "KILL", pod.containers["monolith"])
    wait_for(lambda: not pod.probe("monolith", "livenessProbe"), "end of monolith")
    began = time.monotonic()
    statuses = [ask(pod)[0] for _ in range(20)]
    slowest = (time.monotonic() - began) / 20
    stand.podman("start", pod.containers["monolith"])
    wait_for(lambda: pod.probe("monolith", "livenessProbe"), "return of monolith")
    back = time.monotonic()
    wait_for(lambda: ask(pod)[0] == 200, "answer 200", 5)
    back = time.monotonic() - back
    tell("killed monolith", f"{statuses.count(502)} of 20 answered 502 in {slowest * 1000:.0f} ms each",
         f"200 again {back * 1000:.0f} ms after its return")
    assert set(statuses) == {502} and slowest < 0.5
    assert back < 1


def test_200_logins_at_once_are_answered_and_no_probe_fails(stand):
    pod = stand.fleet(1).pods[0]
    login = {"Authorization": "Basic " + base64.b64encode(b"user:password").decode()}
    probes = []
    with ThreadPoolExecutor(LOGINS) as pool:
        flood = [pool.submit(ask, pod, "/login", **login) for _ in range(LOGINS)]
        while not all(one.done() for one in flood):
            probes += [pod.probe(name, kind) for name in pod.containers
                       for kind in ("livenessProbe", "readinessProbe")]
            time.sleep(0.2)
    statuses = [one.result()[0] for one in flood]
    tell("200 logins in 0.2 CPU", f"{statuses.count(200)} x 200, {statuses.count(503)} x 503",
         f"{len(probes)} probes, {probes.count(False)} failed")
    assert set(statuses) <= {200, 503} and statuses.count(200) > 0
    assert probes and all(probes)
    assert all(stand.podman.is_running(name) for name in pod.containers.values())
