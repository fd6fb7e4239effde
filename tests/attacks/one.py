"""Runs one attack on one server; run.py calls it in network and process namespaces of its
own. Takes its parameters as JSON in its argument, prints the results as JSON."""

import asyncio
import fcntl
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import new_clients
from attack import COME, load
from server_configurations import APPLICATION
from group import Group, Unavailable
from servers import Server, prepare

HERE = Path(__file__).resolve().parent
# New clients before the attack, during it (at least), and in the seconds after it;
# seconds between two of them if they do not depend on the attack's.
BEFORE, DURING, AFTER = (16, 0.05), 12, (3, 0.7)
# Seconds within which a new client must get its response; on a busy machine that many
# times what one took before the attack, up to a bound.
PROMPT, SLOWER, SLOWEST = 2.0, 40, 5.0
# Seconds for the attack's program to start and exit, besides its own time.
GRACE = 20
# Seconds for the server's first response.
START = 30


def raise_loopback():
    """A new network has its loopback interface down. Packets are as large as on an
    Ethernet: with the usual 64 KiB, small windows would make everybody wait."""
    get_flags, set_flags, set_mtu, up, mtu = 0x8913, 0x8914, 0x8922, 1, 1500
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, get_flags, request))[1]
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", flags | up))
        fcntl.ioctl(any_socket, set_mtu, struct.pack("16si12x", b"lo", mtu))


def python(*words, **options):
    return subprocess.Popen([sys.executable, *map(str, words)], cwd=HERE,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)


def new_clients_come(kind, count, pause, patience):
    """Starts them; returns a function that stops them and returns their seconds."""
    process = python("new_clients.py", kind, count, pause, patience)
    return lambda: json.loads(process.communicate(timeout=count * pause + patience + GRACE)[0])


def in_time(took):
    """The seconds of the new clients that got responses."""
    return [one for one in took if not isinstance(one, str)]


def wait_until_it_serves(server, kind):
    end = time.monotonic() + START
    while time.monotonic() < end and server.is_alive():
        if in_time([asyncio.run(new_clients.one(kind, "http/1.1", 2))]):
            return
        time.sleep(0.05)
    raise SystemExit("it did not start:\n" + "\n".join(server.last))


class Watch:
    """Monitors the server during the attack."""

    def __init__(self, server, work):
        self.group, self.work = server.group, work
        self.held, self.sockets = 0, 0

    def during(self, process, seconds):
        """Waits until the attack's program exits; returns its output."""
        end = time.monotonic() + COME + seconds + GRACE
        while process.poll() is None and time.monotonic() < end:
            self.held = max(self.held, self.group.unreclaimable())
            self.sockets = max(self.sockets, self.group.sockets())
            time.sleep(0.1)
        if process.poll() is None:
            process.kill()
            raise SystemExit("it did not end")
        if process.returncode:
            raise SystemExit((self.work / "errors").read_text())
        return json.loads(process.stdout.read())


def attack(wanted, server, declared):
    kind = declared.new_clients
    wait_until_it_serves(server, kind)
    baseline = statistics.median(in_time(new_clients_come(kind, *BEFORE, 20)()))
    patience = min(max(PROMPT, SLOWER * baseline), SLOWEST)
    before, cpu = server.resident(), server.cpu()
    seconds = wanted["seconds"]
    watch = Watch(server, Path(wanted["work"]))
    errors = (watch.work / "errors").open("w")
    process = python("attack.py", wanted["attack"], seconds, stderr=errors)
    end_new_clients = new_clients_come(kind, DURING, seconds / DURING, patience)
    outcome = watch.during(process, seconds)
    ended = time.monotonic()
    cpu = server.cpu() - cpu if server.is_alive() else 0
    took = end_new_clients() + new_clients_come(kind, *AFTER, patience)()
    metrics = server.metrics()
    if wanted["after"] and server.is_alive():
        time.sleep(max(0, ended + wanted["after"] - time.monotonic()))
    return {
        **outcome,
        "baseline": baseline,
        "patience": patience,
        "must_answer": declared.answers,
        "new_clients": len(took),
        "answered": len(in_time(took)),
        "slowest": max(in_time(took), default=None),
        "missed": Counter(one for one in took if isinstance(one, str)),
        "unreclaimable": watch.held,
        "sockets": watch.sockets,
        "before": before,
        "after": server.resident() if wanted["after"] and server.is_alive() else None,
        "cpu": round(cpu, 2),
        "metrics": metrics,
    }


def main(wanted):
    raise_loopback()
    declared = load(wanted["attack"]).ATTACK
    work = Path(wanted["work"])
    prepare(work, wanted["configuration"], declared.key, wanted["kind"] == "nginx")
    try:
        group = Group(wanted["group"], wanted["memory"], 0.2 if declared.program == "monolith" else None)
    except Unavailable as error:
        print(json.dumps({"unavailable": str(error)}))
        return
    application = None
    if declared.program != "monolith":
        application = python("application.py", APPLICATION)
    server = Server(wanted["kind"], wanted["program"], work, group, declared.files)
    try:
        seen = attack(wanted, server, declared)
        alive = server.is_alive()
        seen |= {
            "alive": alive, "kills": group.kills(), "peak": group.peak(), "failures": group.failures(),
            "lines": server.lines, "last": list(server.last)[-3:],
        }
        print(json.dumps(seen))
    finally:
        server.stop()
        if application:
            application.kill()
        group.remove()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
