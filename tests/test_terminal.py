"""A terminal's programs end with the test, and nothing else does."""

import os

from conftest import wait_for
from terminal import Terminal


def test_closing_a_terminal_ends_only_its_programs(monkeypatch):
    terminal = Terminal("sh", "-c", "echo ready; exec sleep 60")
    terminal.wait_for("ready")
    ended, kill = [], os.killpg

    def killpg(group, number):
        assert group > 0, "the group of the tests"
        kill(group, number)
        ended.append(group)
        # The terminal has no group any more.
        wait_for(lambda: os.tcgetpgrp(terminal.master) == 0, "the end of the command")

    monkeypatch.setattr(os, "killpg", killpg)
    terminal.close()
    assert ended == [terminal.pid]
