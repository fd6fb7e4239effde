"""The short form of `make e2e`: the pods start, serve and terminate as they should."""

import json
import time
from base64 import b64encode
from pathlib import Path

from fixtures import no_pods_left, stand  # noqa: F401
from scenario_3_failures import ask


def test_the_pod_of_the_deployment_runs_without_any_power(stand):
    pod = stand.fleet(1).pods[0]
    for container in pod.containers.values():
        pid = stand.podman.inspect(container)["State"]["Pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        state = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert state["Uid"].split() == ["65532"] * 4
        assert int(state["CapEff"], 16) == int(state["CapBnd"], 16) == 0
        assert state["NoNewPrivs"] == "1" and state["Seccomp"] == "2"
        assert stand.podman.inspect(container)["HostConfig"]["ReadonlyRootfs"]


def test_a_token_from_one_pod_is_good_in_the_other(stand):
    first, second = stand.fleet(2).pods
    basic = "Basic " + b64encode(b"user:password").decode()
    token = json.loads(ask(first, "/login", Authorization=basic)[1])["token"]
    assert ask(second, "/secure", Authorization=f"Bearer {token}")[0] == 200


def test_no_request_fails_when_one_of_two_pods_is_deleted(stand, measured):
    fleet = stand.fleet(2)
    traffic = stand.traffic()
    time.sleep(3)
    gone = fleet.delete_one()
    traffic.stop()
    measured(f"delete one of two pods: {traffic.line()}")
    assert traffic.total("failed") == 0, traffic.reasons()
    assert set(gone[0].exit_codes.values()) == {0}, gone[0].text
