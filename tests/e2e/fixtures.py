"""One stand per file of scenarios; pods are removed after each scenario."""

import pytest

from stand import Stand


@pytest.fixture(scope="module")
def stand():
    stand = Stand()
    yield stand
    stand.close()


@pytest.fixture(autouse=True)
def no_pods_left(stand):
    yield
    stand.end_fleets()


def tell(scenario, *figures):
    """The report's line."""
    print(f"\n{scenario}: {'; '.join(map(str, figures))}", flush=True)
