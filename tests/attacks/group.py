"""A cgroup with a memory limit, and optionally a CPU quota, as of a container. Both cgroup
versions; v2 is written after the kernel's documentation (admin-guide/cgroup-v2)."""

import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # of the CPU quota, microseconds


class Unavailable(Exception):
    """This machine, or this user, cannot limit memory; says why."""


class Group:
    """A cgroup below the root, without processes."""

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
            # Socket buffers are accounted separately once a limit is set.
            self._write_if_there("memory.kmem.tcp.limit_in_bytes", str(1 << 40))
        if cpus and self.v2:
            (self.memory / "cpu.max").write_text(f"{int(cpus * PERIOD)} {PERIOD}")
        elif cpus:
            (self.cpu / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.cpu / "cpu.cfs_quota_us").write_text(str(int(cpus * PERIOD)))
        if self.v2:
            self._write_if_there("memory.swap.max", "0")

    def limit(self, memory):
        """Sets its memory limit, bytes, as when a pod is resized in place."""
        name = "memory.max" if self.v2 else "memory.limit_in_bytes"
        (self.memory / name).write_text(str(memory))

    def enter_command(self):
        """Shell words that put the shell that runs them into the group."""
        folders = [self.memory] + [self.cpu] * self.has_cpu
        return "; ".join(f"echo $$ >{folder}/cgroup.procs" for folder in folders)

    def usage(self):
        """The memory of the cgroup now, with page cache, bytes."""
        return self._number("memory.current" if self.v2 else "memory.usage_in_bytes")

    def peak(self):
        """Its peak memory, bytes; None with v2 before Linux 5.19."""
        return self._number("memory.peak" if self.v2 else "memory.max_usage_in_bytes")

    def unreclaimable(self):
        """What the kernel cannot reclaim: memory of the program's own and of the
        kernel for it, bytes."""
        stat = _table(self.memory / "memory.stat")
        if self.v2:
            return stat.get("anon", 0) + stat.get("kernel", 0)
        return stat.get("rss", 0) + self._number("memory.kmem.usage_in_bytes")

    def anonymous(self):
        """The memory of the programs' own, without the kernel's part, bytes."""
        return _table(self.memory / "memory.stat").get("anon" if self.v2 else "rss", 0)

    def sockets(self):
        """Its socket buffers, bytes: charged in v2 only."""
        if self.v2:
            return _table(self.memory / "memory.stat").get("sock", 0)
        return self._number("memory.kmem.tcp.usage_in_bytes")

    def kills(self):
        """The number of OOM kills."""
        return _table(self.memory / ("memory.events" if self.v2 else "memory.oom_control")).get("oom_kill", 0)

    def failures(self):
        """How often the limit was reached; the kernel then reclaims pages."""
        if self.v2:
            return _table(self.memory / "memory.events").get("max", 0)
        return self._number("memory.failcnt")

    def remove(self):
        """Removes it; its processes must have exited."""
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
        raise Unavailable(f"the memory controller cannot be delegated: {error}") from error
    return ROOT / name, ROOT / name


def _table(path):
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}
