"""A pod that is resized in place: the budget follows the limit of its cgroup, up and down,
without a restart."""

import re
import urllib.request

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy


@pytest.fixture
def group():
    with cgroup("limit-that-changes", 32 * MIB) as made:
        yield made


@pytest.fixture
def admin(group, tmp_path):
    """The admin port of a tls-proxy in the group."""
    address = own_address()
    configuration = f"http {{ server {{ listen {address}:8000; return 200 ok; }} }}"
    with tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"):
        yield f"http://{address}:9113/metrics"


def sample(page, name):
    try:
        with urllib.request.urlopen(page, timeout=5) as answer:
            return int(re.search(rf"^{name} (\d+)$", answer.read().decode(), re.MULTILINE)[1])
    except OSError:
        return None


def test_the_budget_follows_the_limit_up_and_down(group, admin):
    def is_between(low, high):
        budget = sample(admin, "tls_proxy_memory_budget_bytes")
        return budget and low * MIB < budget < high * MIB

    wait_for(lambda: is_between(15, 32), "budget inside 32 MiB", 60)
    few = sample(admin, "tls_proxy_connections_limit")
    group.limit(128 * MIB)
    wait_for(lambda: is_between(64, 128), "budget inside 128 MiB", 60)
    assert sample(admin, "tls_proxy_connections_limit") > 2 * few
    group.limit(16 * MIB)
    wait_for(lambda: is_between(4, 16), "budget inside 16 MiB", 60)
    assert sample(admin, "tls_proxy_connections_limit") < few
