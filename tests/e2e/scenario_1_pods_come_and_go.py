"""Pods come and go under clients of all kinds: no request fails."""

import time

import pytest

from fixtures import no_pods_left, stand, tell  # noqa: F401

REQUESTS = 10_000
MIN_READY_SECONDS = 2


def judge(name, traffic, gone):
    ends = ", ".join(f"{pod.ended:.1f} s" for pod in gone)
    tell(name, traffic.line(), f"pods ended within {ends}")
    assert traffic.total("failed") == 0, traffic.reasons()
    assert traffic.total() >= REQUESTS
    for pod in gone:
        assert set(pod.exit_codes.values()) == {0}, pod.text


def test_deleting_one_of_two_pods(stand):
    fleet = stand.fleet(2)
    traffic = stand.traffic()
    time.sleep(4)
    gone = fleet.delete_one()
    traffic.wait_for(REQUESTS)
    traffic.stop()
    judge("delete one of two", traffic, gone)


def test_a_rolling_restart_of_three(stand):
    fleet = stand.fleet(3)
    traffic = stand.traffic()
    time.sleep(4)
    gone = fleet.restart(MIN_READY_SECONDS)
    traffic.wait_for(REQUESTS)
    traffic.stop()
    judge("rolling restart of three", traffic, gone)


@pytest.mark.parametrize("sidecar", ["monolith", "tls-proxy"])
def test_with_native_sidecars_the_order_is_the_kubelets(stand, sidecar):
    """All hooks run at once; the sidecar is stopped when the other has ended."""
    fleet = stand.fleet(2)
    traffic = stand.traffic("new", "kept", "http2")
    time.sleep(2)
    gone = fleet.delete_one(sidecar=sidecar)
    traffic.stop()
    tell(f"native sidecar {sidecar}", traffic.line(), f"pod ended within {gone[0].ended:.1f} s")
    assert traffic.total("failed") == 0, traffic.reasons()
    assert gone[0].ended < 15


def test_a_proxy_as_the_sidecar_without_its_hook_is_wrong(stand):
    """monolith waits for the proxy, whose signal waits for monolith."""
    fleet = stand.fleet(2)
    traffic = stand.traffic("new", "kept", "http2")
    time.sleep(2)
    del fleet.pods[0].container_spec("tls-proxy")["lifecycle"]
    gone = fleet.delete_one(sidecar="tls-proxy")
    traffic.stop()
    tell("native sidecar tls-proxy, no hook", traffic.line(), f"pod ended within {gone[0].ended:.1f} s")
    assert gone[0].ended > 20 or traffic.total("failed")
