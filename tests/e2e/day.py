"""A day of 24 hours in a few minutes: DAY_MINUTES, 10 by default.

20 certificates, 20 configurations, 5 rollouts and an application that is killed
ten times, concurrently and with clients of all kinds. One pod, the witness, runs
all the time: its memory and its descriptors must not grow.
"""

import http.client
import os
import ssl
import statistics
import subprocess
import threading
import time
from pathlib import Path

from conftest import ROOT, wait_for
from fixtures import no_pods_left, stand, tell  # noqa: F401

SECONDS = float(os.environ.get("DAY_MINUTES", "10")) * 60
ROTATIONS, CHANGES, ROLLOUTS, DEATHS = 20, 20, 5, 10
# Seconds until a change takes effect.
IN_FORCE = 2
MORTAL_PORT = 9001
# Descriptors opened by the first request; KiB by which the heap varies.
SLACK, HEAP = 4, 1024


class Mortal:
    """A second application behind each proxy, outside the pods."""

    def __init__(self, stand):
        self.stand = stand
        self.begin()

    def begin(self):
        self.process = self.stand.start(
            ROOT / "target/programs/monolith", f"-http=0.0.0.0:{MORTAL_PORT}", "-health=127.0.0.1:9002",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.process.kill()
        self.process.wait()

    def die(self):
        self.end()
        time.sleep(1)
        self.begin()


class Samples:
    """Memory of the witness's two processes, in KiB, and their descriptors."""

    def __init__(self, pod):
        self.pids = {name: pod.podman.inspect(container)["State"]["Pid"]
                     for name, container in pod.containers.items()}
        self.memory = {name: [] for name in self.pids}

    def descriptors(self):
        return {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in self.pids.items()}

    def take(self):
        for name, pid in self.pids.items():
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.memory[name].append(int(status["RssAnon"].split()[0]))

    def growth(self):
        """From the second quarter of the day to the last, by their medians."""
        grown = {}
        for name, sizes in self.memory.items():
            quarter = len(sizes) // 4
            grown[name] = statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter:2 * quarter])
        return grown


class Day:
    def __init__(self, stand):
        self.stand, self.over = stand, time.monotonic() + SECONDS
        self.mortal = Mortal(stand)
        self.generation = 0
        self.late, self.problems = [], []
        self.done = {}
        self.change_configuration()
        self.fleet = stand.fleet(3)
        self.witness = self.fleet.pods.pop(0)

    def pods(self):
        return [self.witness, *self.fleet.pods]

    def configuration(self):
        own = b"server 127.0.0.1:8080;"
        second = f"\n    server {self.stand.outside}:{MORTAL_PORT};".encode()
        text = self.stand.configuration()
        assert own in text
        text = text.replace(own, own + second)
        return text.replace(b"http2 on;", b"http2 on;\n    add_header X-Generation %d;" % self.generation)

    def change_configuration(self):
        self.generation += 1
        return self.stand.volumes["proxy-conf"].write({"proxy.conf": self.configuration()})

    def change(self):
        written = self.change_configuration()
        self.expect(written, "configuration", lambda pod: self.served_generation(pod) == self.generation)

    def served_generation(self, pod):
        connection = http.client.HTTPSConnection(
            pod.address, 8443, timeout=5, context=ssl._create_unverified_context())
        connection.request("GET", "/version")
        generation = int(connection.getresponse().headers["X-Generation"])
        connection.close()
        return generation

    def rotate(self):
        certificate, written = self.stand.renew_certificate()
        expected = certificate.decode().strip()
        self.expect(written, "certificate", lambda pod:
                    ssl.get_server_certificate((pod.address, 8443), timeout=5).strip() == expected)

    def expect(self, written, what, in_force):
        """Every pod must apply it in time, except one that is terminated meanwhile."""
        for pod in self.pods():
            while pod in self.pods():
                try:
                    if in_force(pod):
                        self.late.append(time.monotonic() - written)
                        break
                except OSError:
                    if pod is self.witness:
                        raise
                if time.monotonic() > written + 10:
                    self.problems.append(f"{what} not in force in {pod.name}")
                    break
                time.sleep(0.05)

    def rollout(self):
        for pod in self.fleet.restart(min_ready_seconds=2):
            if set(pod.exit_codes.values()) != {0}:
                self.problems.append(f"{pod.name} ended with {pod.exit_codes}")

    def repeat(self, name, action, times, lead):
        """`times` times over the day, the first after a part of its interval."""
        begin, interval = self.over - SECONDS, (SECONDS - 10) / times
        for number in range(times):
            time.sleep(max(0, begin + (number + lead) * interval - time.monotonic()))
            try:
                action()
            except BaseException as error:
                self.problems.append(f"{name}: {error!r}")
            self.done[name] = self.done.get(name, 0) + 1

    def live(self, samples):
        acts = [threading.Thread(target=self.repeat, args=arguments) for arguments in (
            ("rotations", self.rotate, ROTATIONS, 0.2), ("configurations", self.change, CHANGES, 0.7),
            ("rollouts", self.rollout, ROLLOUTS, 0.1), ("deaths", self.mortal.die, DEATHS, 0.5))]
        for act in acts:
            act.start()
        while any(act.is_alive() for act in acts) or time.monotonic() < self.over:
            samples.take()
            time.sleep(2)


def test_a_day_under_load(stand):
    day = Day(stand)
    samples = Samples(day.witness)
    before = samples.descriptors()
    traffic = stand.traffic(pace=2, seconds=3 * SECONDS + 120)
    try:
        day.live(samples)
    finally:
        day.mortal.end()
        traffic.stop()
    # The last upstream connections are closed by keepalive_timeout, after 60 s.
    wait_for(lambda: all(samples.descriptors()[name] <= count + SLACK for name, count in before.items()),
             f"end of connections: {before} before, {samples.descriptors()} now", 80)
    after, grown = samples.descriptors(), samples.growth()
    figures = [traffic.line(), f"{day.done}", f"in force after {max(day.late):.1f} s at most"]
    figures += [f"{name}: {statistics.median(samples.memory[name]) / 1024:.1f} MiB, grown by {grown[name]:.0f} KiB, "
                f"{before[name]} descriptors before and {after[name]} after" for name in grown]
    day.fleet.pods.append(day.witness)
    tell(f"a day in {SECONDS / 60:g} minutes", *figures)
    assert day.done == {"rotations": ROTATIONS, "configurations": CHANGES, "rollouts": ROLLOUTS, "deaths": DEATHS}
    assert not day.problems, day.problems
    assert traffic.total("failed") == 0, traffic.reasons()
    assert max(day.late) < IN_FORCE
    assert all(kilobytes < HEAP for kilobytes in grown.values())
