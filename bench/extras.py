"""Measures only our own programs: whether a request costs the same with many
connections and many locations, monolith beside plain hyper, the images."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

from contestants import FIRST_PORT, Own
from measures import run, wrk
from peers import debian_nginx
from processes import BINARIES, ROOT, Turns
from services import HEALTH, HYPER, MONOLITH, Monolith, Service
from statistic import HIGHER, LOWER, advantage, medians
from table import OWN

# Two tls-proxy at a time, then two services.
NUMBERS = (80, 81)
PORTS = [FIRST_PORT + 2 * number + offset for number in NUMBERS for offset in (0, 1, 1000)]
PORTS += [MONOLITH, HEALTH, HYPER]
REPEATS = 7
REQUESTS = 10_000
# A proxy takes half of its open files for connections to the upstream.
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONNECTIONS = (10, min(10_000, HARD // 2 - 100))
LOCATIONS = (1, 10_000)
# CPU time per request with many, relative to few: what counts as constant.
FLAT = 1.1
# monolith's target, relative to plain hyper.
BARE = 0.85
# The Go original's peak under the walkthrough, in MB.
ORIGINAL = 4.5


def measure(binary, work, results):
    connections(binary, work, results)
    locations(binary, work, results)
    monolith(work, results)
    image(results)


def take_turns(name, path, contestants, opened, results):
    """CPU µs per request of some proxies, in turn."""
    running = []
    try:
        for contestant, count in zip(contestants, opened):
            contestant.start()
            running.append(Turns(contestant.p256, path))
            running[-1].say("open", count)
        for _ in range(REPEATS):
            for contestant, turns in zip(contestants, running):
                before = contestant.cpu()
                turns.say("ask", REQUESTS)
                cost = (contestant.cpu() - before) / REQUESTS * 1e6
                results.setdefault((name, contestant.name), []).append(cost)
                print(f"{name}: {contestant.name}: {cost:.1f} us", file=sys.stderr)
    finally:
        for turns in running:
            turns.close()
        for contestant in contestants:
            contestant.stop()


def connections(binary, work, results):
    """nginx too: 10 connections fit the CPU caches and 10,000 do not, in any server."""
    for make, name in ((lambda *a: Own(*a, binary, connections=16_384), OWN),
                       (lambda *a: debian_nginx(*a, connections=16_384), "nginx")):
        pair = [make(f"{name}-{count}", number, work) for number, count in zip(NUMBERS, CONNECTIONS)]
        take_turns("connections", "/", pair, CONNECTIONS, results)


def locations(binary, work, results):
    """The requested one is in the middle of the others."""
    pair = []
    for number, count in zip(NUMBERS, LOCATIONS):
        paths = ["/", *(f"/place{n}/" for n in range(1, count))]
        blocks = [f"location {path} {{ proxy_pass http://app; }}" for path in paths]
        name = f"{OWN}-{count}"
        pair.append(Own(name, number, work, binary, locations="\n".join(blocks)))
    take_turns("locations", f"/place{LOCATIONS[-1] // 2}/", pair, (10, 10), results)


def monolith(work, results):
    services = [
        Monolith(work, ROOT / "target/programs/monolith"),
        Service("hyper", work, HYPER, [BINARIES / "monolith-hyper", f"127.0.0.1:{HYPER}"]),
    ]
    try:
        for service in services:
            service.start()
        walk(services[0])
        results["monolith walk", "monolith"] = [services[0].peak() / 1000]
        for _ in range(3):
            for service in services:
                count, _ = wrk(service, 2, f"{service.url}/")
                results.setdefault(("monolith requests", service.name), []).append(count)
                print(f"monolith: {service.name}: {count:,.0f}", file=sys.stderr)
        for service in services:
            results["monolith peak", service.name] = [service.peak() / 1000]
    finally:
        for service in services:
            service.stop()


def walk(service):
    """The requests of the walkthrough, three times."""
    for _ in range(3):
        run(["curl", "-sSf", f"{service.url}/"])
        run(["curl", "-sSf", "-H", service.authorization(), f"{service.url}/secure"])
        run(["curl", "-sSf", f"{service.url}/version"])
        for path in ("healthz", "readiness", "metrics"):
            run(["curl", "-sSf", f"{service.health}/{path}"])


def image(results):
    """The size of the files in each of our images, in MB."""
    if not shutil.which("busybox"):
        return
    folder = ROOT / "target/bench/rootfs"
    subprocess.run([ROOT / "scripts/make-rootfs", ROOT / "target/programs", folder], check=True)
    for name in ("tls-proxy", "monolith"):
        files = [file for file in Path(folder / name).rglob("*") if not file.is_symlink()]
        results["image", name] = [sum(file.stat().st_size for file in files if file.is_file()) / 1e6]
    shutil.rmtree(folder)


def lines(results):
    """The results, as lines below the table."""
    middle = medians(results)
    for what, name, counts in (("connections", OWN, CONNECTIONS), ("connections", "nginx", CONNECTIONS),
                               ("locations", OWN, LOCATIONS)):
        few, many = ((what, f"{name}-{count}") for count in counts)
        if many in results:
            times = advantage(results[few], results[many], LOWER)
            word = "" if name != OWN else ": flat" if times <= FLAT else ": **not flat**"
            yield (f"- {name}, CPU µs per request with {counts[0]:,} and with {counts[1]:,} {what}: "
                   f"{middle[few]:.1f}, {middle[many]:.1f} ({times:.2f} ×{word})")
    own, bare = ("monolith requests", "monolith"), ("monolith requests", "hyper")
    if bare in results:
        times = advantage(results[own], results[bare], HIGHER)
        yield (f"- monolith: {middle[own]:,.0f} requests / CPU s, bare hyper {middle[bare]:,.0f} "
               f"({times:.2f} ×, ≥ {BARE}: {'met' if times >= BARE else '**not met**'})")
    if ("monolith walk", "monolith") in middle:
        yield (f"- monolith, peak memory: {middle['monolith walk', 'monolith']:.1f} MB under the walkthrough, "
               f"the Go original {ORIGINAL} MB")
    if ("monolith peak", "hyper") in middle:
        yield (f"- peak memory under 64 connections: monolith {middle['monolith peak', 'monolith']:.1f} MB, "
               f"bare hyper {middle['monolith peak', 'hyper']:.1f} MB")
    if ("image", "tls-proxy") in middle:
        yield (f"- images: tls-proxy {middle['image', 'tls-proxy']:.2f} MB, "
               f"monolith {middle['image', 'monolith']:.2f} MB, busybox included")
