"""A Service as kube-proxy implements it: a virtual address, and iptables rules
that send each new connection to one of the ready pods.

The rules are in the client's network namespace only; the machine's own do not change.
An existing connection keeps its pod, as on a node, because of conntrack.
"""

import subprocess
import threading

CHAIN = "ENDPOINTS"


class Service:
    """`address`:443 in the network namespace of process `pid`."""

    def __init__(self, pid, address, target_port):
        self.pid, self.address, self.target_port = pid, address, target_port
        self.lock = threading.Lock()
        self.endpoints = []
        self.write()
        self.inside("iptables", "-t", "nat", "-A", "OUTPUT", "-d", address, "-p", "tcp",
                    "--dport", "443", "-j", CHAIN)

    def inside(self, *command, **options):
        return subprocess.run(["nsenter", "--target", str(self.pid), "--net", *command],
                              check=True, capture_output=True, text=True, timeout=60, **options)

    def add(self, address):
        with self.lock:
            self.endpoints.append(address)
            self.write()

    def remove(self, address):
        with self.lock:
            self.endpoints.remove(address)
            self.write()

    def write(self):
        """All rules at once: no connection sees half of them."""
        lines = ["*nat", f":{CHAIN} - [0:0]", f"-F {CHAIN}"]
        left = len(self.endpoints)
        for address in self.endpoints:
            chance = f"-m statistic --mode random --probability {1 / left:.6f} " if left > 1 else ""
            lines.append(f"-A {CHAIN} -p tcp {chance}-j DNAT --to-destination {address}:{self.target_port}")
            left -= 1
        self.inside("iptables-restore", "--noflush", input="\n".join([*lines, "COMMIT", ""]))
