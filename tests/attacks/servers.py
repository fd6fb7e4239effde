"""The program under attack: its files, its command, its process in a cgroup."""

import os
import shlex
import signal
import subprocess
import threading
import urllib.request
from collections import deque
from pathlib import Path

import server_configurations as configurations

LARGE, SMALL = 2 << 20, 2 << 10
# Read-ahead of most disks, bytes.
READ_AHEAD = 128 << 10
TICKS = os.sysconf("SC_CLK_TCK")


def make_certificate(work, key):
    """A certificate for localhost and its key, `cert.pem` and `key.pem`: their paths."""
    kind = ["-newkey", "rsa:2048"] if key == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = work / "cert.pem", work / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", *kind,
         "-keyout", files[1], "-out", files[0]],
        check=True, stderr=subprocess.DEVNULL,
    )
    return files


def prepare(work, configuration, key, is_nginx):
    """Creates the server's files in the directory `work`."""
    make_certificate(work, key)
    # As in nginx's image; tls-proxy has its own defaults.
    before = "user root;\nworker_processes auto;\n" if is_nginx else ""
    events = "worker_connections 1024;" if is_nginx else ""
    (work / "nginx.conf").write_text(
        f"pid run.pid;\n{before}events {{ {events} }}\nhttp {{\naccess_log /dev/stdout;\n"
        f"{configurations.ALL[configuration]()}}}\n")
    (work / "given").mkdir()
    (work / "given/large").write_bytes(bytes(range(256)) * (LARGE // 256))
    (work / "given/small").write_bytes(b"x" * SMALL)


def disk(folder):
    """A disk of the usual read-ahead, 128 KiB. Some machines' own read 8 MiB ahead, which
    is as much as the program: where a group has less room than that for pages of files,
    each page fault evicts all other pages. Nothing is mounted if the kernel has no loop
    devices; the mount is removed with the namespace."""
    folder.mkdir()
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, stdout=subprocess.DEVNULL)
    # Direct I/O, so that pages are not cached twice.
    made = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", image],
                          capture_output=True, text=True, check=False)
    if made.returncode:
        return
    device = made.stdout.strip()
    # In sectors of 512 bytes: what a loop device has by itself depends on the kernel.
    subprocess.run(["blockdev", "--setra", str(READ_AHEAD // 512), device], check=True)
    subprocess.run(["mount", device, folder], check=False, stderr=subprocess.DEVNULL)
    # As soon as it is unmounted.
    subprocess.run(["losetup", "--detach", device], check=False)


class Server:
    """One that runs in a cgroup. A process of the cgroup copies its program and its files, so
    that their page cache is charged to it."""

    def __init__(self, kind, program, work, group, files=None):
        self.kind, self.group = kind, group
        self.disk = work / "disk"
        disk(self.disk)
        copy = self.disk / "server"
        steps = [
            group.enter_command(),
            f"cp {shlex.quote(str(program))} {copy}",
            f"cp -r {work}/given {work}/files 2>/dev/null",
            f"ulimit -n {files or '$(ulimit -Hn)'}",
            f"exec {shlex.join(self.command(copy, work))}",
        ]
        self.process = subprocess.Popen(
            ["sh", "-c", "\n".join(steps)], cwd=work, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.lines, self.last = 0, deque(maxlen=20)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def command(self, copy, work):
        common = ["-p", f"{work}/", "-c", f"{work}/nginx.conf", "-e", "stderr"]
        own = {
            "tls-proxy": [*common, "--admin", f"127.0.0.1:{configurations.ADMIN}"],
            "nginx": [*common, "-g", "daemon off;"],
            "monolith": [f"-http=127.0.0.1:{configurations.APPLICATION}",
                         f"-health=127.0.0.1:{configurations.HEALTH}"],
        }
        return [str(copy), *own[self.kind]]

    def is_alive(self):
        return self.process.poll() is None

    def processes(self):
        """The process ids of itself and its workers."""
        return [int(pid) for pid in (self.group.memory / "cgroup.procs").read_text().split()]

    def resident(self):
        """Memory of all its processes, bytes."""
        return sum(_status(pid, "VmRSS") for pid in self.processes())

    def cpu(self):
        """CPU seconds so far."""
        total = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
        return total

    def metrics(self):
        """Counters that are not zero, by name and labels."""
        if self.kind != "tls-proxy" or not self.is_alive():
            return {}
        try:
            url = f"http://127.0.0.1:{configurations.ADMIN}/metrics"
            with urllib.request.urlopen(url, timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return {}
        samples = (line.rsplit(" ", 1) for line in lines if line.startswith("tls_proxy_"))
        return {name: float(value) for name, value in samples
                if "_total" in name and float(value) > 0}

    def stop(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(10)
        # Mounted if there are loop devices.
        subprocess.run(["umount", self.disk], check=False, stderr=subprocess.DEVNULL)

    def _read(self):
        for line in self.process.stderr:
            self.lines += 1
            self.last.append(line.decode(errors="replace").rstrip()[:300])


def _status(pid, name):
    """A number of kibibytes in the process's status, as bytes."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0
