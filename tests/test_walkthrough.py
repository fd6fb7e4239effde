"""docs/en and docs/es: the same commands, whose output is as on the pages."""

import os
import re
import sys

import pytest

from conftest import ROOT, run

sys.path.append(str(ROOT / "tests/walkthrough"))

import page  # noqa: E402
from player import Player  # noqa: E402

LANGUAGES = ("en", "es")
CHAPTERS = sorted(path.name for path in (ROOT / "docs/en").glob("[0-9]*.md"))


def text(language, chapter):
    return (ROOT / "docs" / language / chapter).read_text()


def test_both_languages_have_the_same_chapters():
    assert CHAPTERS and CHAPTERS == sorted(path.name for path in (ROOT / "docs/es").glob("[0-9]*.md"))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_both_languages_have_the_same_commands_and_checks(chapter):
    english, spanish = ([match.group() for match in page.FENCE.finditer(text(language, chapter))]
                        for language in LANGUAGES)
    assert english == spanish
    assert page.checks(text("en", chapter)) == page.checks(text("es", chapter)) != []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_block_of_a_page_is_one_that_is_played(language, chapter):
    assert set(re.findall(r"^```(.*)$", text(language, chapter), re.MULTILINE)) <= {
        "", "console", "console cluster", "console terminal-2", "console terminal-2 cluster"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_links_lead_somewhere(language, chapter):
    for target in re.findall(r"\]\((?!https:)([^)#]+)", text(language, chapter)):
        assert (ROOT / "docs" / language / target).is_file(), target


@pytest.mark.parametrize(("expected", "printed", "same"), [
    ("monolith   1/1   Running   0   <AGE>", "monolith     1/1     Running   0          2m11s", True),
    ("monolith   1/1   Running   0   <AGE>", "monolith     0/1     Running   0          2m11s", False),
    ("<IP>", "fd00::1", True),
    ("<IP>", "nobody", False),
    ("64 bytes from <IP>: time=<MS> ms", "64 bytes from 10.0.0.1: time=0.070 ms", True),
    ("<TOKEN>", "no token at all", False),
    ("a.c", "abc", False),
])
def test_a_field_may_differ_and_a_line_may_not(expected, printed, same):
    assert (page.differs([expected], [printed]) is None) == same


def test_a_line_too_many_and_one_too_few_are_seen():
    assert page.differs(["a"], ["a", "b"]) == "more than the page shows: b"
    assert page.differs(["a", "b"], ["a"]) == "nothing, instead of: b"


def test_a_block_that_cannot_be_played_is_refused():
    for body in ("```console later\n$ true\n```\n", "```console\nno command\n```\n"):
        with pytest.raises(page.PageError, match="line 1"):
            page.blocks(body)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_walkthrough_prints_what_its_pages_say(language, measured):
    environment = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    done = run(ROOT / "scripts/walkthrough", "--lang", language, timeout=900, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    measured(done.stdout.splitlines()[-1])
    # Commands that podman can run: more than a few.
    assert int(re.search(r"(\d+) commands printed", done.stdout)[1]) > 30


def test_a_chapter_that_is_not_there_is_named():
    done = run(sys.executable, ROOT / "scripts/walkthrough", "check", "99", check=False)
    assert done.returncode == 1 and "none 99" in done.stderr


def test_a_check_without_a_cluster_says_so_once(tmp_path):
    def check(*commands):
        for name, script in commands:
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        return run(sys.executable, ROOT / "scripts/walkthrough", "check", "1", check=False,
                   env={**os.environ, "PATH": str(tmp_path)})

    assert check().stderr.startswith("walkthrough: kubectl is missing (")
    done = check(("kubectl", "echo noise >&2; echo 'connection refused' >&2; exit 1"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == ("walkthrough: kubectl reaches no cluster; chapter 1 says how to make one. It says:\n"
                           "connection refused\n")


def test_a_command_in_the_background_has_opened_its_files_before_the_next_one(tmp_path):
    """However slowly its shell starts."""
    (tmp_path / "slow").write_text("sleep 1\n")
    player = Player(tmp_path, {**os.environ, "BASH_ENV": str(tmp_path / "slow")}, has_cluster=False)
    try:
        player.play("page", page.blocks("```console terminal-2\n$ sleep 60 >written\n```\n"
                                        "```console\n$ cat written\n```\n"))
    finally:
        player.close()
