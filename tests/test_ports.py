"""Ports of tests: one that was free may be somebody else's when it is bound."""

import json
import socket
from subprocess import CompletedProcess

import pytest

from conftest import own_address
from podman import Podman, on_free_ports


def test_a_port_that_somebody_took_meanwhile_is_given_up_for_another():
    tried, undone = [], []

    def start(ports):
        tried.append(ports)
        error = "" if len(tried) == 3 else "Error: listen tcp 127.0.0.1:1: bind: address already in use"
        return CompletedProcess(["podman"], bool(error), "", error)

    assert on_free_ports(2, start, lambda: undone.append(1)) == tried[2]
    assert len(tried[2]) == 2 and len(undone) == 2


def test_any_other_failure_is_one():
    with pytest.raises(pytest.fail.Exception, match="no such image"):
        on_free_ports(1, lambda _: CompletedProcess(["podman"], 125, "", "no such image"), lambda: None)


def test_addresses_are_not_given_twice():
    first, second = own_address(), own_address()
    assert first != second
    for address in (first, second):
        socket.create_server((address, 8443)).close()


def test_networks_of_two_runs_at_once_share_neither_bridge_nor_subnet(monkeypatch):
    """Podman itself looks only at the bridges that are up."""
    monkeypatch.setattr("podman.image_names", lambda: {})
    engines = [Podman(), Podman()]
    try:
        networks = [json.loads(engine("network", "inspect", engine.network).stdout)[0] for engine in engines]
    finally:
        for engine in engines:
            engine.close()
    assert len({each["network_interface"] for each in networks}) == 2
    assert len({each["subnets"][0]["subnet"] for each in networks}) == 2
