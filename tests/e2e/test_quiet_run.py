"""The failures of a quiet run in a cluster decide how many the other scenarios may have."""

import pytest

from cluster import Network


@pytest.mark.parametrize(("quiet", "requests", "allowed"), [
    ((10_000, 0), 20_000, 0), ((10_000, 3), 10_000, 3), ((10_000, 3), 20_000, 6), ((0, 0), 100, 0),
])
def test_no_more_is_lost_than_by_the_network_itself(quiet, requests, allowed):
    network = Network()
    network.measure(*quiet)
    assert network.may_lose(requests) == allowed


def test_the_loss_of_the_network_is_told():
    network = Network()
    network.measure(10_000, 25)
    assert network.told() == "the network itself loses 0.25%"
