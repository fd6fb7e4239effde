"""The short form of every attack: `run.py` runs them concurrently, once, and each is a
test here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
import verdicts
from attack import load, names

HERE = Path(__file__).resolve().parent
# Concurrent attacks: most of them wait most of the time.
JOBS = 8
SHORT = [(name, memory) for name in names() for memory in load(name).ATTACK.short]


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The result of each attack, by its name and limit."""
    reason = run.unavailable()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("attacks")
    seen = attack(folder / "side-by-side", JOBS, sorted({name for name, _ in SHORT}))
    # Failures may be caused by concurrent attacks: run them again alone.
    missed = sorted({run[0] for run, result in seen.items() if verdicts.faults(result)})
    return seen | (attack(folder / "alone", 1, missed) if missed else {})


def attack(record, jobs, names):
    """Results by name and limit, the worst one of each."""
    command = [sys.executable, HERE / "run.py", "--short", "--jobs", str(jobs), "--record", record, *names]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
    results = {}
    for result in verdicts.read(record):
        which = result["attack"], result["memory"]
        if which not in results or not verdicts.faults(results[which]):
            results[which] = result
    return results


@pytest.mark.parametrize(("name", "memory"), SHORT)
def test_the_program_withstands(name, memory, results):
    result = results.get((name, memory))
    assert result, "run.py gave no result for it"
    if "unavailable" in result:
        pytest.skip(result["unavailable"])
    assert not verdicts.faults(result), verdicts.line(result)


def test_the_documentation_names_every_attack():
    written = " ".join((run.ROOT / "docs/attacks.md").read_text().split())
    for name in names():
        assert f"| `{name}` | {verdicts.sentence(name)} |" in written, "run.py --list prints the rows"
