"""A control group with a memory limit, and a CPU quota where one is wanted: what a
container is to the kernel. Both versions of control groups; version 2 is written
after the kernel's documentation (admin-guide/cgroup-v2)."""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # of the CPU quota, microseconds


class Unavailable(Exception):
    """This machine, or this user, cannot limit memory; says why."""


class Group:
    """A group of its own below the root, without a process in it."""

    def __init__(self, name, memory, cpus=None):
        self.memory, self.cpu = _folders(name)
        try:
            self.memory.mkdir()
            if cpus and self.cpu != self.memory:
                self.cpu.mkdir()
        except OSError as error:
            raise Unavailable(f"no control group can be made: {error}") from error
        self.v2 = self.memory == self.cpu
        self.has_cpu = bool(cpus) and not self.v2
        self.limit(memory)
        if not self.v2:
            # Buffers of sockets are counted, apart, from the first limit on.
            self._write_if_there("memory.kmem.tcp.limit_in_bytes", str(1 << 40))
        if cpus and self.v2:
            (self.memory / "cpu.max").write_text(f"{int(cpus * PERIOD)} {PERIOD}")
        elif cpus:
            (self.cpu / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.cpu / "cpu.cfs_quota_us").write_text(str(int(cpus * PERIOD)))
        if self.v2:
            self._write_if_there("memory.swap.max", "0")

    def limit(self, memory):
        """Limits its memory from now on, bytes: a pod is resized in place so."""
        name = "memory.max" if self.v2 else "memory.limit_in_bytes"
        (self.memory / name).write_text(str(memory))

    def enter_command(self):
        """Shell words that put the shell that runs them into the group."""
        folders = [self.memory] + [self.cpu] * self.has_cpu
        return "; ".join(f"echo $$ >{folder}/cgroup.procs" for folder in folders)

    def usage(self):
        """What the group uses now, its page cache included, bytes."""
        return self._number("memory.current" if self.v2 else "memory.usage_in_bytes")

    def peak(self):
        """The most it has used, bytes; none on version 2 before Linux 5.19."""
        return self._number("memory.peak" if self.v2 else "memory.max_usage_in_bytes")

    def unreclaimable(self):
        """What the kernel cannot take back: memory of the program's own and of the
        kernel for it, bytes."""
        stat = _table(self.memory / "memory.stat")
        if self.v2:
            return stat.get("anon", 0) + stat.get("kernel", 0)
        return stat.get("rss", 0) + self._number("memory.kmem.usage_in_bytes")

    def sockets(self):
        """Buffers of its sockets, bytes: part of the limit in version 2 only."""
        if self.v2:
            return _table(self.memory / "memory.stat").get("sock", 0)
        return self._number("memory.kmem.tcp.usage_in_bytes")

    def kills(self):
        """Processes that the kernel has ended for want of memory."""
        return _table(self.memory / ("memory.events" if self.v2 else "memory.oom_control")).get("oom_kill", 0)

    def failures(self):
        """How often the limit was met; the kernel then takes pages back."""
        if self.v2:
            return _table(self.memory / "memory.events").get("max", 0)
        return self._number("memory.failcnt")

    def remove(self):
        """Its processes have ended before."""
        for folder in [self.memory] + [self.cpu] * self.has_cpu:
            try:
                folder.rmdir()
            except OSError:
                pass

    def _write_if_there(self, name, value):
        if (self.memory / name).exists():
            (self.memory / name).write_text(value)

    def _number(self, name):
        try:
            return int((self.memory / name).read_text())
        except (OSError, ValueError):
            return 0


def _folders(name):
    if os.geteuid() != 0:
        raise Unavailable("only root may make control groups")
    if (ROOT / "memory").is_dir():
        return ROOT / "memory" / name, ROOT / "cpu" / name
    controllers = ROOT / "cgroup.controllers"
    if not controllers.exists() or "memory" not in controllers.read_text().split():
        raise Unavailable("this machine has no memory controller")
    try:
        (ROOT / "cgroup.subtree_control").write_text("+memory +cpu")
    except OSError as error:
        raise Unavailable(f"the memory controller cannot be handed on: {error}") from error
    return ROOT / name, ROOT / name


def _table(path):
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}
