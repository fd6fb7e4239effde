"""The walkthrough's curl commands, with the programs that `make run` starts."""

import json
import re

import pytest

from conftest import run, wait_for
from terminal import Terminal


def shell(line):
    """A command in the second terminal."""
    return run("bash", "-c", line).stdout


def status(*arguments):
    return run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *arguments).stdout


@pytest.fixture(scope="module")
def pair():
    """One `make run` for the tests that only send requests."""
    terminal = Terminal("make", "--no-print-directory", "run")
    try:
        terminal.wait_for("Ctrl-C stops both.", seconds=900)
        yield terminal
        terminal.type("\x03")
        assert terminal.exit_code() == 0, terminal.output
    finally:
        terminal.close()


def login():
    return json.loads(shell("curl -s -u user:password http://127.0.0.1:10080/login"))["token"]


def test_the_monolith_says_hello(pair):
    assert shell("curl -s http://127.0.0.1:10080").strip() == '{"message":"Hello"}'


def test_secure_is_refused_without_a_token(pair):
    assert shell("curl -s http://127.0.0.1:10080/secure").strip() == "authorization failed"
    assert status("http://127.0.0.1:10080/secure") == "401"


def test_login_gives_a_token_that_opens_secure(pair):
    token = login()
    answer = run("curl", "-s", "-H", f"Authorization: Bearer {token}", "http://127.0.0.1:10080/secure")
    assert answer.stdout.strip() == '{"message":"Hello"}'


def test_curl_asks_for_the_password_as_in_the_walkthrough(pair):
    terminal = Terminal("curl", "-u", "user", "http://127.0.0.1:10080/login")
    terminal.wait_for("Enter host password for user 'user':")
    terminal.type("password\n")
    assert terminal.exit_code() == 0
    assert '{"token":"' in terminal.output
    terminal.close()


def test_a_wrong_password_is_refused(pair):
    assert shell("curl -s -u user:wrong http://127.0.0.1:10080/login").strip() == "authorization failed"
    assert status("-u", "user:wrong", "http://127.0.0.1:10080/login") == "401"


def test_version_is_that_of_the_images(pair):
    version = shell("curl -s http://127.0.0.1:10080/version")
    assert json.loads(version) == {"version": "1.0.0"}


def test_probes_answer_and_can_be_made_to_fail(pair):
    for probe in ("healthz", "readiness"):
        url = f"http://127.0.0.1:10081/{probe}"
        assert status(url) == "200"
        run("curl", "-sf", f"{url}/status")
        assert status(url) == "503"
        run("curl", "-sf", f"{url}/status")
        assert status(url) == "200"


def test_https_is_trusted_with_the_authority_of_the_repository(pair):
    line = "curl -s --cacert tls/ca.pem https://127.0.0.1:10443"
    assert shell(line).strip() == '{"message":"Hello"}'
    assert run("curl", "-s", "https://127.0.0.1:10443", check=False).returncode == 60


def test_a_token_works_through_the_proxy(pair):
    answer = run("curl", "-s", "--cacert", "tls/ca.pem", "-H", f"Authorization: Bearer {login()}",
                 "https://127.0.0.1:10443/secure")
    assert answer.stdout.strip() == '{"message":"Hello"}'


def test_curl_without_verification_as_at_the_node_port(pair):
    assert shell("curl -s -k https://127.0.0.1:10443").strip() == '{"message":"Hello"}'


def test_every_line_that_make_run_shows_can_be_pasted(pair):
    lines = re.findall(r"^  ((?:curl|TOKEN).*)$", pair.output, re.MULTILINE)
    assert len(lines) == 7
    done = run("bash", "-euc", "\n".join(line.replace("curl ", "curl -sS ") for line in lines))
    assert done.stdout.count('{"message":"Hello"}') == 4
    assert done.stdout.count("authorization failed") == 1


def test_both_logs_are_shown(pair):
    run("curl", "-s", "-A", "seen-by-both", "--cacert", "tls/ca.pem", "https://127.0.0.1:10443/version")
    for name in ("monolith  | ", "tls-proxy | "):
        wait_for(lambda: re.search(rf"^{re.escape(name)}.*GET.*seen-by-both", pair.output, re.MULTILINE),
                 f"log line of {name}")


def test_no_password_or_token_is_logged(pair):
    token = login()
    run("curl", "-s", "--cacert", "tls/ca.pem", "-H", f"Authorization: Bearer {token}",
        "https://127.0.0.1:10443/secure")
    assert token not in pair.output
    assert "dXNlcjpwYXNzd29yZA" not in pair.output  # user:password, as Basic sends it
