"""`make run`: how both programs start, and all the ways they stop."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.request

import pytest

from conftest import NEVER, ROOT, programs, run, wait_for
from terminal import Terminal

PORTS = (10080, 10081, 10443)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def logins_begun():
    """Logins that monolith is processing or has responded to."""
    page = urllib.request.urlopen(f"http://127.0.0.1:{PORTS[1]}/metrics", timeout=NEVER).read().decode()
    return sum(int(float(value)) for value in re.findall(
        r'^(?:monolith_password_queue|monolith_logins_total{outcome="accepted"}) (\S+)$', page, re.M))


def nothing_is_left():
    # A program that drains has closed its ports already.
    return wait_for(lambda: not any(map(listens, PORTS)) and not processes(), "end of the pair")


def processes():
    """The pids of the programs of this repository that run, by name."""
    return {name: pid for name, pid, folder in programs() if folder == ROOT}


@pytest.fixture
def make_run():
    """`make run` in a terminal, ready."""
    terminal = Terminal("make", "--no-print-directory", "run")
    try:
        terminal.wait_for("Ctrl-C stops both.", seconds=900)
        yield terminal
    finally:
        terminal.close()


def test_ctrl_c_drains_both_and_exits_0(make_run):
    make_run.type("\x03")
    assert make_run.exit_code() == 0, make_run.output
    assert nothing_is_left()


def test_ctrl_c_lets_requests_in_flight_finish(make_run):
    trust = ssl.create_default_context(cafile=ROOT / "tls/ca.pem")
    clients = [
        trust.wrap_socket(socket.create_connection(("127.0.0.1", 10443)), server_hostname="localhost")
        for _ in range(8)
    ]
    for client in clients:  # a login takes a while: its password check is slow on purpose
        client.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n"
                       b"Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n")
    wait_for(lambda: logins_begun() >= len(clients), "logins in flight")
    make_run.type("\x03")
    for client in clients:
        client.settimeout(NEVER)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.close()
    assert make_run.exit_code() == 0, make_run.output


def test_sigterm_to_the_script_drains_both_and_exits_0():
    done = subprocess.Popen(["scripts/foreground", "scripts/run"], cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    wait_for(processes, "programs")
    for line in done.stdout:
        if "Ctrl-C" in line:
            break
    done.send_signal(signal.SIGTERM)
    assert done.wait(NEVER) == 0
    assert nothing_is_left()


def test_sigterm_to_make_leaves_nothing_behind(make_run):
    os.kill(make_run.pid, signal.SIGTERM)
    make_run.exit_code()
    assert nothing_is_left()


# A shell that starts a command in the background has it ignore SIGINT, `make
# test` too: then make takes no notice, and ends as its recipe does.
@pytest.mark.parametrize(("number", "ignored", "code"), [
    (signal.SIGINT, False, -signal.SIGINT),
    (signal.SIGINT, True, 0),
    (signal.SIGTERM, False, -signal.SIGTERM),
])
def test_a_signal_to_the_whole_group_without_a_terminal_drains_both(number, ignored, code):
    def as_started():
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)

    with subprocess.Popen(["make", "--no-print-directory", "run"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          start_new_session=True, preexec_fn=as_started) as make:
        for line in make.stdout:
            if "Ctrl-C" in line:
                break
        os.killpg(make.pid, number)
        rest = make.stdout.read()
        assert make.wait(NEVER) == code
    assert "exit code" not in rest
    assert nothing_is_left()


def test_a_killed_make_leaves_nothing_behind(make_run):
    os.kill(make_run.pid, signal.SIGKILL)
    make_run.exit_code()
    assert nothing_is_left()


def test_a_closed_terminal_leaves_nothing_behind():
    terminal = subprocess.Popen(["script", "-qfc", "make --no-print-directory run", "/dev/null"],
                                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: all(map(listens, PORTS)), "pair", 900)
    terminal.kill()
    terminal.wait()
    assert nothing_is_left()


@pytest.mark.parametrize("name", ["monolith", "tls-proxy"])
def test_when_one_program_dies_the_other_stops_and_the_exit_code_tells(make_run, name):
    os.kill(processes()[name], signal.SIGKILL)
    assert make_run.exit_code() == 2  # make's own, for a recipe that failed
    assert f"make run: {name} ended with exit code 137" in make_run.output
    assert nothing_is_left()


@pytest.mark.parametrize("port", PORTS)
def test_a_port_in_use_is_one_clear_line(port):
    with socket.create_server(("127.0.0.1", port)):
        done = run("scripts/run", check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (f"make run: port {port} of 127.0.0.1 is in use: "
                           "stop the program that listens there, then try again\n")


def test_certificates_that_are_there_are_kept(make_run):
    before = (ROOT / "tls/cert.pem").read_text()
    make_run.type("\x03")
    make_run.exit_code()
    again = Terminal("make", "--no-print-directory", "run")
    again.wait_for("Ctrl-C stops both.")
    again.type("\x03")
    assert again.exit_code() == 0
    again.close()
    assert (ROOT / "tls/cert.pem").read_text() == before


@pytest.mark.parametrize(("present", "missing"), [((), "Rust"), (("cargo",), "a C compiler")])
def test_a_compiler_that_is_missing_is_one_clear_line(tmp_path, present, missing):
    for name in ("make", "sh", "bash", "sed", *present):
        (tmp_path / name).symlink_to(shutil.which(name))
    # As from a shell: within `make test` make would call itself make[1].
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = {**outside, "PATH": str(tmp_path)}
    done = run("make", "--no-print-directory", "run", check=False, env=environment)
    assert done.returncode == 2 and done.stdout == ""
    told, ended = done.stderr.splitlines()
    assert told.startswith(f"make: {missing} is missing (") and ended.startswith("make: *** ")
    # Docker alone is enough to load the images, which needs their names.
    assert run("make", "--no-print-directory", "image-names", env=environment).stderr == ""
