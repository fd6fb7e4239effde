"""scripts/learn: both languages, with and without a terminal, and its messages when a step fails."""

import os
import re
import socket
import sys
from contextlib import suppress

import pytest

from conftest import ROOT, programs, run, wait_for
from terminal import Terminal

sys.path.append(str(ROOT / "tests/walkthrough"))

import page  # noqa: E402

LEARN = ROOT / "scripts/learn"
STEPS = ROOT / "scripts/learn.txt"
LANGUAGES = ("en", "es")
# A command of each step, and its output if the step succeeds.
OUTCOMES = {
    "tls": ("--cacert tls/ca.pem https://127.0.0.1:", ['{"message":"Hello"}']),
    "untrusted": ("curl -s https://127.0.0.1:", ["curl ended with 60"]),
    "login": ('echo "$TOKEN"', ["<TOKEN>"]),
    "without a token": ("%{http_code}", ["401"]),
    "forged claims": ("$HEADER.$ADMIN.$SIGNATURE", ["authorization failed"]),
    "no signature": ("$NONE.$ADMIN.", ["authorization failed"]),
    "readiness": ("/readiness/status", ["/readiness now answers 503"]),
    "liveness": ("/healthz/status", ["/healthz now answers 503"]),
    "certificate": ('"$OLD" != "$NEW"', ["another one"]),
    "connection": ("version", ['{"version":"<VERSION>"}']),
    "drain": ("cat response", ['{"message":"Hello"}']),
    "nobody was cut": ("exiting", ["draining: listeners closed, finishing requests in progress",
                                   "exiting: drained <NUMBER> connections, none was cut"]),
    "not ready": ("stopping: not ready", ["stopping: not ready"]),
    "stopped": ('|| echo "curl ended with $?"', ["curl ended with 7"]),
}


def played(output):
    """The commands of a run, each with the lines that it printed."""
    found = []
    for line in output.splitlines():
        if line.startswith("$ "):
            found.append((line, []))
        elif not line:
            found.append(("", []))
        elif found:
            found[-1][1].append(line)
    return [each for each in found if each[0]]


def fields(language, name=STEPS):
    return re.findall(rf"^(?:=== \w+|--- [\w-]+(?: {language})?)$", name.read_text(), re.MULTILINE)


def left_behind():
    return sorted(path.name for path in (ROOT / "target").glob("learn-*"))


def programs_of_lessons():
    return [each for each in programs() if ROOT in (each[2], *each[2].parents)]


def test_both_languages_have_the_same_texts():
    english, spanish = ([field.removesuffix(f" {language}") for field in fields(language)] for language in LANGUAGES)
    assert english == spanish


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_step_comes_out_as_it_says(language):
    done = run(LEARN, "--lang", language)
    commands = played(done.stdout)
    for name, (part, expected) in OUTCOMES.items():
        matching = [lines for command, lines in commands if part in command]
        assert any(page.differs(expected, lines) is None for lines in matching), (name, matching)
    assert "\033" not in done.stdout
    assert not left_behind() and not programs_of_lessons()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_transcript_in_docs_is_what_a_run_gives(language):
    done = run(LEARN, "--lang", language, "--transcript")
    assert done.stdout == (ROOT / "docs" / language / "learn.md").read_text()


@pytest.mark.parametrize(("right", "wrong"), [
    ('$HEADER.$ADMIN.$SIGNATURE"', '$TOKEN"'),  # a forged token that is accepted
    ("\n/readiness 503\n", "\n/readiness 200\n"),
    ("$ tls/update-tls.sh\n", "$ true\n"),
    # A proxy that is killed instead, so that the request in flight is cut.
    ("./tls-proxy -p . -c nginx.conf -s quit;", "kill -KILL $(cat nginx.pid); echo draining >>log;"),
])
def test_a_step_that_goes_wrong_ends_it_with_1(tmp_path, right, wrong):
    text = STEPS.read_text()
    assert right in text
    (tmp_path / "steps").write_text(text.replace(right, wrong))
    done = run(LEARN, "--lang", "en", "--steps", tmp_path / "steps", check=False)
    assert done.returncode == 1
    assert "did not print what it should have" in done.stderr
    assert not left_behind() and not programs_of_lessons()


def test_where_a_port_is_taken_others_are_used():
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with taken:
        with suppress(OSError):  # somebody else's already
            taken.bind(("127.0.0.1", 10081))
            taken.listen()
        done = run(LEARN, "--lang", "en")
    assert "https://127.0.0.1:10443" not in done.stdout
    assert re.search(r"https://127\.0\.0\.1:\d\d443", done.stdout)


@pytest.mark.parametrize(("variables", "language"), [
    ({"LANG": "es_ES.UTF-8"}, "es"), ({"LANG": "en_US.UTF-8"}, "en"), ({}, "en"),
    ({"LANG": "en_US.UTF-8", "LC_ALL": "es_MX.UTF-8"}, "es"),
])
def test_the_language_is_that_of_the_environment(variables, language):
    kept = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL", "LC_MESSAGES")}
    # Without curl it exits at once, and says so.
    done = run(sys.executable, LEARN, check=False, env={**kept, **variables, "PATH": "/nowhere"})
    assert done.returncode == 1
    assert done.stderr == {
        "en": "make learn: bash is missing (on Debian: apt-get install bash)\n",
        "es": "make learn: falta bash (en Debian: apt-get install bash)\n"}[language]


def in_terminal(**variables):
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return Terminal("scripts/learn", "--lang", "en", environment={**kept, "TERM": "xterm", **variables})


def test_in_a_terminal_it_waits_for_enter_and_has_colours():
    terminal = in_terminal()
    try:
        for number in range(1, 8):
            wait_for(lambda: terminal.output.count("[Enter]") == number, f"prompt {number}")
            assert f"{number}/7 " in terminal.output and f"{number + 1}/7 " not in terminal.output
            terminal.type("\n")
        assert terminal.exit_code() == 0, terminal.output
        assert terminal.output.count("[Enter]") == 7
        assert "\033[" in terminal.output
    finally:
        terminal.close()


def test_ctrl_c_leaves_nothing_behind():
    terminal = in_terminal(NO_COLOR="1")
    try:
        terminal.wait_for("[Enter]")
        terminal.type("\x03")
        assert terminal.exit_code() == 130
        assert "\033[" not in terminal.output
        assert not left_behind() and not programs_of_lessons()
    finally:
        terminal.close()
