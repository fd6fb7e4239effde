"""Measured programs: starts each on a core of its own, measures its cost so far, stops
it."""

import atexit
import os
import platform
import resource
import select
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[0], CORES[-1]
TARGET = f"{platform.machine()}-unknown-linux-gnu"
ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / TARGET / "release"
LOAD = str(BINARIES / "load")
# Errors of a load are printed.
os.environ["RUST_BACKTRACE"] = "0"
# Seconds for a program's first response, and for its exit.
START, END = 20, 5
# As `nice` counts it.
PRIORITY = -15


def raise_file_limit():
    """Raises the limit on open files, for all processes that are started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def go_first():
    """Raises the priority of all processes that are started. Needs root; otherwise the
    figures vary more from run to run."""
    group = Path("/proc/self/autogroup")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
        # Where the kernel groups processes by session, only the group's counts
        # (sched(7)). It is also the group of the shell that we were called from.
        if group.exists():
            atexit.register(group.write_text, group.read_text().split()[-1])
            group.write_text(str(PRIORITY))
    except OSError:
        pass


def spawn(cores, command, **options):
    """Starts `command` on `cores`. It inherits them instead of being started
    by `taskset`, whose own start would count as its."""
    os.sched_setaffinity(0, cores)
    try:
        return subprocess.Popen([str(word) for word in command], **options)
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})


def run(command, check=True):
    """Runs a load on its own core and returns its output."""
    running = spawn({LOAD_CORE}, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = running.communicate()
    except BaseException:
        end(running)
        raise
    if check and running.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{errors or out}")
    return out


def end(process):
    """Stops it, with a time-out."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Watched:
    """A program under test, with all its processes."""

    # Where it runs.
    cores = {PROXY_CORE}

    def __init__(self, name, work):
        self.name, self.work = name, Path(work)
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return os.environ

    def launch(self):
        """Starts it; returns the moment before."""
        with open(self.work / f"{self.name}.log", "ab") as log:
            begun = time.monotonic()
            self.process = spawn(
                self.cores, self.command(), stdout=log, stderr=log, env=self.environment(),
                # Ctrl-C must only reach this program, which stops it.
                process_group=0,
            )
        return begun

    def fail(self, what):
        log = (self.work / f"{self.name}.log").read_text(errors="replace")
        raise SystemExit(f"{self.name} {what}:\n{log[-2000:]}")

    def stop(self):
        end(self.process)
        self.process = None

    def processes(self):
        """It and its children: nginx's worker is one."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found

    def cpu(self):
        """CPU seconds so far, of all threads that live, to the nanosecond where
        the kernel tells them (CONFIG_SCHED_INFO), else to its tick."""
        total = 0
        for pid in self.processes():
            try:
                tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
                total += sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
            except (OSError, ValueError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def memory(self):
        """Resident memory in KiB. Of nginx's two processes the larger counts whole
        and the other with what is its alone. The proportional set size (`Pss`)
        would fall with whoever else on the machine has mapped the same libraries."""
        sizes = []
        for pid in self.processes():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            fields = {name: int(size) for name, size, *_ in map(str.split, lines)}
            alone = fields["Private_Clean:"] + fields["Private_Dirty:"]
            sizes.append((fields["Rss:"], alone))
        largest = max(sizes)
        return sum(alone for _, alone in sizes) - largest[1] + largest[0]

    def peak(self):
        """The most memory its first process ever had, in KiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    def size(self):
        """Bytes of the program and of the shared libraries that it has loaded."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        files = {line.split(maxsplit=5)[5] for line in maps if line.count("/")}
        libraries = {file for file in files if ".so" in Path(file).name}
        program = os.path.realpath(f"/proc/{self.process.pid}/exe")
        return sum(os.stat(file).st_size for file in libraries | {program})


class FirstAnswer:
    """Waits for the first correct response of a program that is starting."""

    def __init__(self, port):
        command = [LOAD, "first", f"127.0.0.1:{port}"]
        pipe = subprocess.PIPE
        self.waiting = spawn({LOAD_CORE}, command, stdout=pipe, stderr=pipe, bufsize=0)
        self.waiting.stdout.readline()

    def wait(self, watched):
        """When it arrived."""
        try:
            until = time.monotonic() + START + 2
            while not select.select([self.waiting.stdout], [], [], 0.05)[0]:
                if watched.process.poll() is not None or time.monotonic() > until:
                    watched.fail("did not start")
            if self.waiting.stdout.readline() != b"answered\n":
                watched.fail("gave no right answer: " + self.waiting.stderr.read().decode())
            return time.monotonic()
        finally:
            end(self.waiting)


class Turns:
    """Keep-alive connections used in turn: the load of bench/tools."""

    def __init__(self, port, path="/", version="1.1"):
        command = [LOAD, "turns", f"127.0.0.1:{port}", version, path]
        pipe = subprocess.PIPE
        self.load = spawn({LOAD_CORE}, command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)

    def say(self, command, count):
        try:
            self.load.stdin.write(f"{command} {count}\n".encode())
        except BrokenPipeError:
            pass
        if self.load.stdout.readline() != b"done\n":
            raise SystemExit(f"{command} {count} failed: {self.load.stderr.read().decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.load.stdin.close()
        self.load.wait()
